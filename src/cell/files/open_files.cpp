#include "cell/files/open_files.h"

#include <cerrno>

#include "base/check.h"
#include "cell/files/host_file.h"

namespace hive::cell {

namespace {

constexpr std::uint64_t no_generation = ~std::uint64_t{0};  // of no file, and of no descriptor

}  // namespace

Result<std::shared_ptr<OpenFiles::Shared>> OpenFiles::enter(ClientId client, FileNumber number) {
  const std::scoped_lock lock(mutex_);
  if (burying_.contains(number)) return fail_errno(ENOENT);
  if (losing_.contains(number)) return fail_errno(EBUSY);
  const auto others = clients_.find(client);
  if (others != clients_.end() && others->second.size() >= open_files_per_task) {
    return fail_errno(EMFILE);
  }
  auto& shared = files_[number];
  if (shared == nullptr) shared = std::make_shared<Shared>();
  // One that has no name any more can't have been found by it just now.
  if (shared->nameless) return fail_errno(ENOENT);
  ++shared->users;
  return shared;
}

Result<std::uint64_t> OpenFiles::open(DiskStore& store, ClientId client, FileNumber number) {
  const auto shared = enter(client, number);
  if (!shared) return fail(shared.error());
  Result<void> opened;
  {
    const std::scoped_lock opening((*shared)->opening);
    if ((*shared)->content == nullptr) {
      const std::uint64_t losses = [this] {
        const std::scoped_lock lock(mutex_);
        return losses_;
      }();
      const auto generation = store.generation(number);
      auto content = source_.open(number, [&]() -> Result<std::unique_ptr<FileBacking>> {
        auto file = store.open_content(number);
        if (!file) return fail(file.error());
        return std::make_unique<HostFile>(std::move(*file));
      });
      if (!content || !generation) {
        opened = fail(content ? generation.error() : content.error());
      } else {
        const std::scoped_lock lock(mutex_);
        if (losses == losses_) {
          (*content)->set_generation(*generation);
          (*shared)->content = std::move(*content);
          (*shared)->generation = *generation;
        } else {
          opened = fail_errno(EBUSY);  // the generation may be an old one
        }
      }
    }
  }
  const std::scoped_lock lock(mutex_);
  if (losing_.contains(number)) opened = fail_errno(EBUSY);
  if (!opened) {
    std::vector<FileNumber> to_bury;  // the next start does that
    leave_locked(number, to_bury);
    return fail(opened.error());
  }
  clients_[client][++last_handle_] = {number, (*shared)->generation, (*shared)->content};
  return last_handle_;
}

Result<std::uint64_t> OpenFiles::duplicate(ClientId client, std::uint64_t handle) {
  const auto opened = find(client, handle);
  if (!opened) return fail(opened.error());
  const std::scoped_lock lock(mutex_);
  const auto shared = files_.find(opened->number);
  const Opened* still = opened_locked(client, handle);
  if (still == nullptr || shared == files_.end()) return fail_errno(EBADF);
  auto& handles = clients_[client];
  if (handles.size() >= open_files_per_task) return fail_errno(EMFILE);
  ++shared->second->users;
  handles[++last_handle_] = *opened;
  return last_handle_;
}

Result<OpenFiles::Opened> OpenFiles::find(ClientId client, std::uint64_t handle) const {
  const std::scoped_lock lock(mutex_);
  const Opened* opened = opened_locked(client, handle);
  if (opened == nullptr) return fail_errno(EBADF);
  const auto shared = files_.find(opened->number);
  if (shared == files_.end() || shared->second->generation != opened->generation ||
      losing_.contains(opened->number)) {
    return fail(Code::lost, proto::cause::file_lost, -1, EIO);
  }
  return *opened;
}

const OpenFiles::Opened* OpenFiles::opened_locked(ClientId client, std::uint64_t handle) const {
  const auto of_client = clients_.find(client);
  if (of_client == clients_.end()) return nullptr;
  const auto found = of_client->second.find(handle);
  return found == of_client->second.end() ? nullptr : &found->second;
}

Result<std::vector<FileNumber>> OpenFiles::close(ClientId client, std::uint64_t handle) {
  const std::scoped_lock lock(mutex_);
  const Opened* opened = opened_locked(client, handle);
  if (opened == nullptr) return fail_errno(EBADF);
  std::vector<FileNumber> to_bury;
  leave_locked(opened->number, to_bury);
  clients_[client].erase(handle);
  return to_bury;
}

std::vector<FileNumber> OpenFiles::close_all(ClientId client) {
  const std::scoped_lock lock(mutex_);
  std::vector<FileNumber> to_bury;
  const auto of_client = clients_.find(client);
  if (of_client == clients_.end()) return to_bury;
  for (const auto& [handle, opened] : of_client->second) leave_locked(opened.number, to_bury);
  clients_.erase(of_client);
  return to_bury;
}

void OpenFiles::leave_locked(FileNumber number, std::vector<FileNumber>& to_bury) {
  const auto found = files_.find(number);
  if (found == files_.end() || --found->second->users > 0) return;
  if (found->second->nameless) {
    burying_.insert(number);
    to_bury.push_back(number);
  }
  files_.erase(found);
}

bool OpenFiles::lose_name(FileNumber number) {
  const std::scoped_lock lock(mutex_);
  if (const auto found = files_.find(number); found != files_.end()) {
    found->second->nameless = true;
    return false;
  }
  return burying_.insert(number).second;
}

void OpenFiles::buried(FileNumber number) {
  const std::scoped_lock lock(mutex_);
  burying_.erase(number);
}

void OpenFiles::begin_losing(FileNumber number) {
  const std::scoped_lock lock(mutex_);
  Losing& losing = losing_[number];
  losing.last = ++losses_;
  ++losing.unknown;
  const auto found = files_.find(number);
  if (found != files_.end() && found->second->content) {
    found->second->content->set_generation(~std::uint64_t{0});  // nobody's
  }
}

void OpenFiles::know_lost(FileNumber number) {
  const std::scoped_lock lock(mutex_);
  const auto found = losing_.find(number);
  HIVE_CHECK(found != losing_.end() && found->second.unknown > 0);
  --found->second.unknown;
}

bool OpenFiles::is_losing(FileNumber number) const {
  const std::scoped_lock lock(mutex_);
  return losing_.contains(number);
}

std::uint64_t OpenFiles::known_loss(FileNumber number) const {
  const std::scoped_lock lock(mutex_);
  const auto found = losing_.find(number);
  return found == losing_.end() || found->second.unknown > 0 ? 0 : found->second.last;
}

void OpenFiles::set_generation(FileNumber number, std::uint64_t generation, std::uint64_t loss) {
  const std::scoped_lock lock(mutex_);
  const auto losing = losing_.find(number);
  const bool is_over = losing == losing_.end() || losing->second.last == loss;
  if (losing != losing_.end() && is_over) losing_.erase(losing);
  if (const auto found = files_.find(number); found != files_.end()) {
    found->second->generation = generation;
    if (is_over && found->second->content) found->second->content->set_generation(generation);
  }
}

std::size_t OpenFiles::count() const {
  const std::scoped_lock lock(mutex_);
  std::size_t count = 0;
  for (const auto& [client, opened] : clients_) count += opened.size();
  return count;
}

}  // namespace hive::cell
