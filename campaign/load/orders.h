// What the driver tells a component on its standard input, a line an order; each is answered with
// the same first two words on standard output once it is done.
//   quiet F           stop between two operations: hold no window that is not a stream's
//   audit F           look at everything and log it
//   go F I0 I1 ...    open what has come back (incarnation of each cell, 0 for none), and go on
//   end
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hive::campaign {

struct Order {
  std::string what;
  std::uint64_t fault = 0;
  std::vector<std::uint64_t> incarnations;
};

class Orders {
 public:
  // The next one, if there is one within the time. The end of the input is an `end`.
  std::optional<Order> next(int timeout_ms);
  void answer(const Order& order);
  void say(const std::string& line);

 private:
  std::string pending_;
  bool ended_ = false;
};

}  // namespace hive::campaign
