// What files of the machine cost a task; see main.cpp.
#pragma once

#include <string_view>

#include <hive/hive.h>

namespace bench {

// Nanoseconds for one operation; negative: there is no such figure.
double file_figure(const hive::Session& session, std::string_view what, int home, int count);

}  // namespace bench
