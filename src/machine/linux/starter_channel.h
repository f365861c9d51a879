// The messages between a kernel and its starter, and the starter's end of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <hive/error.h>
#include "base/fd.h"
#include "machine/linux/fd_channel.h"
#include "machine/linux/power.h"

namespace hive::machine {

// Descriptors that come with the request for a task, in this order.
enum StarterDescriptor : std::size_t {
  starter_working_directory,
  starter_standard_input,
  starter_standard_output,
  starter_standard_error,
  starter_descriptor_count,
};

struct StarterRequest {
  TaskStart start;
  std::vector<UniqueFd> fds;  // starter_descriptor_count of them
};

// Makes sense of a message of the kernel. Errors: corrupt.
Result<StarterRequest> decode_task_start(ChannelMessage message);

// What the starter answers. `pid` of an event does not travel: it means nothing elsewhere.
struct StarterAnswer {
  std::uint32_t kind;
  std::int32_t status;
  std::uint64_t cookie;
};
static_assert(sizeof(StarterAnswer) == 16);

}  // namespace hive::machine
