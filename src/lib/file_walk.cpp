#include "lib/file_walk.h"

#include <algorithm>
#include <cerrno>
#include <deque>

#include "proto/causes.h"

namespace hive::lib {
namespace {

using proto::GateOp;

// More than any path has; links could make it longer and longer.
constexpr std::size_t components_max = 8192;

void put_in_front(std::deque<std::string>& components, std::string_view path) {
  std::size_t at = 0;
  while (!path.empty()) {
    const std::size_t end = path.find('/');
    const std::string_view name = path.substr(0, end);
    if (!name.empty()) {
      components.insert(components.begin() + static_cast<std::ptrdiff_t>(at++), std::string(name));
    }
    path = end == path.npos ? std::string_view() : path.substr(end + 1);
  }
}

class Walk {
 public:
  Walk(const std::shared_ptr<SessionImpl>& session, bool follow)
      : session_(session), follow_(follow) {
    result_.directories.push_back({});
  }

  Result<Walked> along(std::string_view path) {
    if (path.empty()) return fail_errno(ENOENT);
    if (path.size() > proto::file_path_max) return fail_errno(ENAMETOOLONG);
    if (path.find('\0') != path.npos) return fail_errno(EINVAL);
    result_.wants_directory = path.back() == '/';
    put_in_front(components_, path);
    while (!components_.empty()) {
      if (++steps_ > components_max) return fail_errno(ELOOP);
      const std::string name = std::move(components_.front());
      components_.pop_front();
      if (auto gone = step(name); !gone) return fail(gone.error());
    }
    return std::move(result_);
  }

 private:
  Result<void> step(const std::string& name) {
    auto& directories = result_.directories;
    if (name == ".") return {};
    if (name == "..") {
      if (directories.size() > 1) directories.pop_back();
      return {};
    }
    if (name.size() > proto::file_name_max) return fail_errno(ENAMETOOLONG);
    const bool is_last = components_.empty();
    const auto entry = look_up(name);
    if (!entry) {
      if (entry.error().sys_errno != ENOENT || !is_last) return fail(entry.error());
      result_.name = name;
      return {};
    }
    if (entry->kind == proto::FileKind::link && (!is_last || follow_ || result_.wants_directory)) {
      return follow_link(*entry);
    }
    if (is_last) {
      result_.name = name;
      result_.entry = *entry;
      return {};
    }
    if (entry->kind != proto::FileKind::directory) return fail_errno(ENOTDIR);
    directories.push_back({entry->home, entry->number});
    return {};
  }

  Result<FileEntry> look_up(const std::string& name) {
    const FileDirectory& directory = result_.directory();
    const CellId home = home_of_name(*session_, directory, name);
    const auto values = call_home(session_, home,
                                  {.op = GateOp::file_lookup,
                                   .args = {directory.number, name.size()},
                                   .data = std::as_bytes(std::span(name))});
    if (!values) return fail(values.error());
    return entry_of(*values, *session_, home);
  }

  Result<void> follow_link(const FileEntry& link) {
    if (++links_ > proto::file_links_max) return fail_errno(ELOOP);
    const auto target = read_link(session_, link);
    if (!target) return fail(target.error());
    if (target->front() == '/') result_.directories.resize(1);
    if (components_.empty() && target->back() == '/') result_.wants_directory = true;
    put_in_front(components_, *target);
    return {};
  }

  const std::shared_ptr<SessionImpl>& session_;
  const bool follow_;
  std::deque<std::string> components_;
  std::size_t steps_ = 0;
  int links_ = 0;
  Walked result_;
};

}  // namespace

CellId home_of_name(const SessionImpl& session, const FileDirectory& directory,
                    std::string_view name) {
  if (!directory.is_root()) return directory.home;
  return proto::home_of_root_name(name, session.membership().layout.cells);
}

Result<Walked> walk(const std::shared_ptr<SessionImpl>& session, std::string_view path,
                    bool follow) {
  if (auto usable = session->check(); !usable) return fail(with_errno(usable.error(), EIO));
  return Walk(session, follow).along(path);
}

Result<std::string> read_link(const std::shared_ptr<SessionImpl>& session, const FileEntry& link) {
  std::string target(proto::file_path_max, '\0');
  const auto values = call_home(session, link.home,
                                {.op = GateOp::file_read_link,
                                 .args = {link.number},
                                 .answer = std::as_writable_bytes(std::span(target))});
  if (!values) return fail(values.error());
  if ((*values)[2] == 0) return fail_errno(ENOENT);
  target.resize((*values)[2]);
  return target;
}

}  // namespace hive::lib
