// Tells ThreadSanitizer, in a program that is built with it, what it can not see: two threads of
// one process are ordered by a mutex or barrier of Hive, whose words are touched by the copy
// routine, or by the home. Nothing in other programs.
#pragma once

extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier): their names are the sanitizer's
[[gnu::weak]] void __tsan_acquire(void* address);
[[gnu::weak]] void __tsan_release(void* address);
// NOLINTEND(bugprone-reserved-identifier)
}

namespace hive::lib {

// What another thread did before it released the object comes before what follows here.
inline void order_after_release(void* object) noexcept {
  if (&__tsan_acquire != nullptr) __tsan_acquire(object);
}
inline void order_before_acquire(void* object) noexcept {
  if (&__tsan_release != nullptr) __tsan_release(object);
}

}  // namespace hive::lib
