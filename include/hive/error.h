// Errors are values. Every call of Hive that can fail returns a Result; nothing throws.
//
// A code exists only where a caller acts differently. `cause` says in words what happened and is a
// string with static lifetime, so an Error is trivially copyable and may be made in a signal
// handler.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

namespace hive {

enum class Code : std::uint8_t {
  timed_out,     // the deadline passed; it may or may not have happened. Ask again or give up.
  lost,          // the data is gone or torn until somebody resets the range (`lost_range`).
  cell_down,     // the cell that serves this is no longer in the live set; its segments are gone.
  refused,       // the firewall or a rule says no; asking again gives the same answer.
  busy,          // somebody else holds it now; ask again later.
  not_found,     // no such name, task, segment or cell.
  exists,        // the name is taken.
  bad_argument,  // the caller's mistake: a size, a range, a name.
  exhausted,     // a bounded resource of a cell or the host is used up.
  version,       // the other side was built with another layout of Hive.
  corrupt,       // data read from another cell failed a check.
  host,          // Linux refused something that Hive needs; see sys_errno.
};

// The name of a code as it is spelled above. Never fails.
const char* code_name(Code code) noexcept;

// A range of bytes inside a segment.
struct Range {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct Error {
  Code code = Code::host;
  std::int16_t cell = -1;       // the cell that the error is about, or -1
  std::int32_t sys_errno = 0;   // errno of the host, or 0
  std::uint64_t epoch = 0;      // epoch in which it was noticed, or 0
  Range lost_range = {};        // for Code::lost, the first lost range
  const char* cause = "";       // what happened, in words; static lifetime, never null

  // One line for people: "cell_down: cell 2: the home of the segment has failed (epoch 3)".
  std::string message() const;
};

inline Error error(Code code, const char* cause, int cell = -1, int sys_errno = 0) noexcept {
  Error e;
  e.code = code;
  e.cell = static_cast<std::int16_t>(cell);
  e.sys_errno = sys_errno;
  e.cause = cause;
  return e;
}

// A value or an Error. `if (auto r = f()) use(*r); else report(r.error());`
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Failure = tl::unexpected<Error>;

// `return fail(Code::busy, "another task holds a window here", cell);`
inline Failure fail(Code code, const char* cause, int cell = -1, int sys_errno = 0) noexcept {
  return Failure(error(code, cause, cell, sys_errno));
}
inline Failure fail(const Error& e) noexcept { return Failure(e); }

}  // namespace hive
