// hive fs rm.
#pragma once

#include <string>

#include <hive/file.h>

namespace hive::cli {

// Removes a file or link; with `recursive` a directory as well, from its leaves up. Goes on behind
// what can not be removed, with a complaint for each. False: there was such. The root stays.
bool remove_tree(const FileSystem& files, const std::string& path, bool recursive);

}  // namespace hive::cli
