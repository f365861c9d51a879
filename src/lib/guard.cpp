#include "lib/guard.h"

#include <csetjmp>

#include <hive/view.h>

#include "lib/segment_impl.h"

namespace hive {
namespace lib {
namespace {

struct Guard;
thread_local Guard* innermost __attribute__((tls_model("initial-exec"))) = nullptr;

struct Guard {
  Guard() noexcept : outer(innermost) { innermost = this; }
  ~Guard() { innermost = outer; }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  Guard* const outer;
  sigjmp_buf jump{};
  Error error{};
};

}  // namespace

Result<void> run_guarded(void (*body)(void*), void* argument) {
  Guard guard;
  // Without the mask of signals: our handler runs with none blocked, and saving it costs a call.
  if (sigsetjmp(guard.jump, 0) != 0) return fail(guard.error);
  body(argument);
  return {};
}

bool has_guard() noexcept { return innermost != nullptr; }

void jump_to_guard(const Error& error) noexcept {
  if (innermost == nullptr) return;
  innermost->error = error;
  siglongjmp(innermost->jump, 1);
}

}  // namespace lib

Result<std::uint32_t> segment_losses(const lib::SegmentImpl& segment) { return segment.losses(); }

}  // namespace hive
