#include "machine/linux/starter_channel.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace hive::machine {
namespace {

constexpr std::uint32_t request_magic = 0x4b534154;  // "TASK"

// Followed by the strings, each with its terminating zero.
struct RequestHeader {
  std::uint32_t magic;
  std::uint32_t arguments;
  std::uint32_t environment;
  std::uint32_t reserved;
  std::uint64_t cookie;
};
static_assert(sizeof(RequestHeader) == 24);

bool append(std::vector<std::byte>& to, const std::vector<std::string>& strings) {
  for (const std::string& text : strings) {
    if (text.find('\0') != std::string::npos) return false;
    const auto* bytes = reinterpret_cast<const std::byte*>(text.c_str());
    to.insert(to.end(), bytes, bytes + text.size() + 1);
  }
  return true;
}

bool take_strings(std::string_view& text, std::uint32_t count, std::vector<std::string>& strings) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto end = text.find('\0');
    if (end == std::string_view::npos) return false;
    strings.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return true;
}

}  // namespace

Result<void> request_task(int starter_channel, const TaskStart& start, int working_directory,
                          int standard_input, int standard_output, int standard_error) {
  RequestHeader header{};
  header.magic = request_magic;
  header.arguments = static_cast<std::uint32_t>(start.arguments.size());
  header.environment = static_cast<std::uint32_t>(start.environment.size());
  header.cookie = start.cookie;
  std::vector<std::byte> bytes;
  std::ranges::copy(bytes_of(header), std::back_inserter(bytes));
  if (start.arguments.empty() || !append(bytes, start.arguments) ||
      !append(bytes, start.environment)) {
    return fail(Code::bad_argument, "a task needs a program, and strings without zeros");
  }
  if (bytes.size() > channel_bytes_max) {
    return fail(Code::bad_argument, "the arguments and environment of a task exceed 64 KiB");
  }
  const int fds[starter_descriptor_count] = {working_directory, standard_input, standard_output,
                                             standard_error};
  return channel_send(starter_channel, bytes, fds, 0);
}

Result<StarterRequest> decode_task_start(ChannelMessage message) {
  RequestHeader header{};
  if (message.bytes.size() < sizeof header) return fail(Code::corrupt, "a short request");
  std::memcpy(&header, message.bytes.data(), sizeof header);
  if (header.magic != request_magic || header.arguments == 0 ||
      message.fds.size() != starter_descriptor_count) {
    return fail(Code::corrupt, "this is no request for a task");
  }
  StarterRequest request;
  request.start.cookie = header.cookie;
  std::string_view text(reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size());
  text.remove_prefix(sizeof header);
  if (!take_strings(text, header.arguments, request.start.arguments) ||
      !take_strings(text, header.environment, request.start.environment) || !text.empty()) {
    return fail(Code::corrupt, "a request for a task whose strings do not add up");
  }
  request.fds = std::move(message.fds);
  return request;
}

Result<StarterEvent> next_starter_event(int starter_channel, std::uint64_t deadline_ns) {
  auto message = channel_receive(starter_channel, deadline_ns);
  if (!message) return fail(message.error());
  if (message->end) return fail(Code::host, "the starter is gone");
  StarterAnswer answer{};
  if (message->bytes.size() != sizeof answer) return fail(Code::corrupt, "no answer of a starter");
  std::memcpy(&answer, message->bytes.data(), sizeof answer);
  StarterEvent event;
  event.kind = static_cast<StarterEvent::Kind>(answer.kind);
  event.status = answer.status;
  event.cookie = answer.cookie;
  if (event.kind == StarterEvent::Kind::started) {
    if (message->fds.size() != 1) return fail(Code::corrupt, "a started task without its pidfd");
    event.pidfd = std::move(message->fds[0]);
    // -1 if it has ended already; `ended` follows then.
    event.pid = pid_of_pidfd(event.pidfd.get());
  }
  return event;
}

}  // namespace hive::machine
