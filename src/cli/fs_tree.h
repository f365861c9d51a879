// Two sides between which trees are copied: the host's files and the machine's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <hive/file.h>

#include "monitor/refusal.h"

namespace hive::cli {

using monitor::Outcome;

struct TreeInfo {
  FileKind kind = FileKind::file;
  bool is_special = false;  // a device or the like: nothing to copy
  mode_t mode = 0;
  std::uint64_t bytes = 0;
  std::int64_t accessed_ns = 0;
  std::int64_t modified_ns = 0;
};

class TreeSide {
 public:
  // Takes bytes in order; what it returns ends the reading.
  using Sink = std::function<Outcome<void>(std::span<const std::byte>)>;
  // Gives bytes to a sink.
  using Source = std::function<Outcome<void>(const Sink&)>;

  virtual ~TreeSide() = default;
  // Links are not followed. Nothing for what is not there.
  virtual Outcome<std::unique_ptr<TreeInfo>> look(const std::string& path) = 0;
  virtual bool is_directory(const std::string& path) = 0;  // or a link to one
  virtual Outcome<std::vector<std::string>> list(const std::string& path) = 0;
  virtual Outcome<std::string> link(const std::string& path) = 0;
  virtual Outcome<void> read(const std::string& path, const Sink& sink) = 0;

  virtual Outcome<void> make_directory(const std::string& path,
                                       mode_t mode) = 0;  // or it is there
  virtual Outcome<void> make_link(const std::string& path, const std::string& target) = 0;
  // Makes or replaces the content; it is on the disk when that succeeds.
  virtual Outcome<void> write(const std::string& path, const TreeInfo& like,
                              const Source& source) = 0;
  virtual Outcome<void> set_like(const std::string& path, const TreeInfo& like) = 0;
};

std::unique_ptr<TreeSide> host_side();
std::unique_ptr<TreeSide> hive_side(const FileSystem& files);

struct TreeCount {
  std::uint64_t files = 0;
  std::uint64_t directories = 0;
  std::uint64_t links = 0;
  std::uint64_t bytes = 0;
  std::uint64_t failed = 0;  // each one complained of
};

// Copies what `from` names to `to`, or into it where that is a directory. Goes on behind what can
// not be copied. `progress` is called now and then.
TreeCount copy_tree(TreeSide& source, const std::string& from, TreeSide& target,
                    const std::string& to, bool with_directories,
                    const std::function<void(const TreeCount&)>& progress);

}  // namespace hive::cli
