// A value, or one line that says what is wrong with the input. For people, not for code: whoever
// gets one prints it and ends with exit status 1.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace raytrace {

template <class T>
using Outcome = tl::expected<T, std::string>;

inline tl::unexpected<std::string> problem(std::string text) {
  return tl::unexpected<std::string>(std::move(text));
}

}  // namespace raytrace
