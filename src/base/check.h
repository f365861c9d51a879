// Checks that stay on in release builds. A check that fails is a bug of ours, and ends the process
// at once: a clean early death is what containment is made of. Never check memory of another cell
// or of a task with these: that is input, and gives an error.
#pragma once

namespace hive {

// Ends the process through the panic handler. Async-signal-safe as far as the handler is.
[[noreturn]] void panic(const char* why, const char* file, int line);

// Called first by panic(), with a description of at most one line. A kernel writes its panic
// record here. The default prints to standard error. The handler may return; then abort() follows.
using PanicHandler = void (*)(const char* why, const char* file, int line);
void set_panic_handler(PanicHandler handler);

}  // namespace hive

#define HIVE_PANIC(why) ::hive::panic((why), __FILE__, __LINE__)
#define HIVE_CHECK(condition)                                  \
  do {                                                         \
    if (!(condition)) [[unlikely]]                             \
      ::hive::panic("check failed: " #condition, __FILE__, __LINE__); \
  } while (false)
