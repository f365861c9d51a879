#include "campaign/load/orders.h"

#include <array>
#include <sstream>

#include <poll.h>
#include <unistd.h>

namespace hive::campaign {

std::optional<Order> Orders::next(int timeout_ms) {
  while (true) {
    if (const auto line_end = pending_.find('\n'); line_end != std::string::npos) {
      std::istringstream words(pending_.substr(0, line_end));
      pending_.erase(0, line_end + 1);
      Order order;
      words >> order.what >> order.fault;
      for (std::uint64_t number = 0; words >> number;) order.incarnations.push_back(number);
      return order;
    }
    if (ended_) return Order{"end", 0, {}};
    pollfd wait = {STDIN_FILENO, POLLIN, 0};
    if (::poll(&wait, 1, timeout_ms) <= 0) return std::nullopt;
    std::array<char, 1024> bytes;
    const ssize_t n = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (n > 0) {
      pending_.append(bytes.data(), static_cast<std::size_t>(n));
    } else {
      ended_ = true;
    }
  }
}

void Orders::say(const std::string& line) {
  const std::string text = line + "\n";
  [[maybe_unused]] const auto n = ::write(STDOUT_FILENO, text.data(), text.size());
}

void Orders::answer(const Order& order) { say(order.what + " " + std::to_string(order.fault)); }

}  // namespace hive::campaign
