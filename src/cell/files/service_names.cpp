// What tasks ask about names.
#include <cerrno>
#include <cstring>

#include "cell/files/file_service.h"

namespace hive::cell {
namespace {

Result<GateValues> answer_of(const Result<FileEntry>& entry) {
  if (!entry) return fail(entry.error());
  return GateValues{proto::pack_entry(entry->kind, entry->home), entry->number};
}

}  // namespace

template <class Change>
auto FileService::settled(DiskStore& store, FileNumber directory, const std::string& name,
                          Change change) {
  auto done = change();
  if (done || errno_of(done.error()) != EBUSY) return done;
  const auto entry = store.lookup(directory, name);
  const auto pending = entry ? store.unsettled(*entry) : std::nullopt;
  if (!pending || !take_in_hand(*entry)) return done;
  const bool is_done = settle(store, *pending);
  let_go(*entry);
  return is_done ? change() : done;
}

FileService::Answer FileService::lookup(DiskStore& store, const Request& request) {
  const auto name = text_of(request, request.arg(1), proto::file_name_max);
  if (!name) return fail(name.error());
  return answer_of(store.lookup(request.arg(0), *name));
}

FileService::Answer FileService::make(DiskStore& store, const Request& request) {
  const FileNumber directory = request.arg(0);
  const auto mode = static_cast<std::uint32_t>(request.arg(2) & proto::file_mode_bits);
  const std::uint64_t home = request.arg(3);
  const std::uint64_t name_length = request.arg(4);
  const std::uint64_t target_length = request.arg(5);
  if (!proto::is_file_kind(request.arg(1)) || home >= parts_.layout.cells) {
    return fail_errno(EINVAL);
  }
  if (name_length > proto::file_name_max || target_length > proto::file_path_max) {
    return fail_errno(ENAMETOOLONG);
  }
  const auto text =
      text_of(request, name_length + target_length, proto::file_name_max + proto::file_path_max);
  if (!text) return fail(text.error());
  const std::string name = text->substr(0, name_length);
  if (auto here = check_place(directory, name); !here) return fail(here.error());
  switch (static_cast<FileKind>(request.arg(1))) {
    case FileKind::directory:
      return answer_of(store.make_directory(directory, name, mode));
    case FileKind::link:
      return answer_of(store.make_link(directory, name, text->substr(name_length)));
    case FileKind::file:
      break;
  }
  if (static_cast<CellId>(home) == self_) {
    return answer_of(store.make_file(directory, name, mode));
  }
  return answer_of(make_elsewhere(store, directory, name, mode, static_cast<CellId>(home)));
}

Result<FileEntry> FileService::make_elsewhere(DiskStore& store, FileNumber directory,
                                              const std::string& name, std::uint32_t mode,
                                              CellId home) {
  // Most of what will fail does so before the other home is troubled.
  const auto there = store.lookup(directory, name);
  if (there) return fail_errno(EEXIST);
  if (errno_of(there.error()) != ENOENT) return fail(there.error());
  {
    const std::scoped_lock lock(hand_mutex_);
    ++naming_[static_cast<std::size_t>(home)];
  }
  const auto number = orders_.give(
      home, {.kind = FileOrderKind::make, .entry = {FileKind::file, home, 0}, .mode = mode});
  const FileEntry entry{FileKind::file, home, number ? *number : 0};
  Result<void> linked;
  if (number) linked = store.link(directory, name, entry);
  {
    const std::scoped_lock lock(hand_mutex_);
    --naming_[static_cast<std::size_t>(home)];
  }
  if (!number) return fail(number.error());
  if (!linked) {
    // One that is not told removes it when it starts again.
    (void)orders_.give(home, {.kind = FileOrderKind::drop, .entry = entry});
    return fail(linked.error());
  }
  if (const auto pending = store.unsettled(entry); pending) (void)settle(store, *pending);
  return entry;
}

FileService::Answer FileService::remove(DiskStore& store, const Request& request) {
  const FileNumber directory = request.arg(0);
  const auto name = text_of(request, request.arg(2), proto::file_name_max);
  if (!name) return fail(name.error());
  if (static_cast<FileKind>(request.arg(1)) == FileKind::directory) {
    auto removed =
        settled(store, directory, *name, [&] { return store.remove_directory(directory, *name); });
    if (!removed && errno_of(removed.error()) == EREMOTE) {
      removed = remove_far_directory(store, directory, *name);
    }
    return answer_of(removed);
  }
  const auto removed =
      settled(store, directory, *name, [&] { return store.unlink(directory, *name); });
  if (removed) (void)lost_name(store, *removed);
  return answer_of(removed);
}

// The name is noted already. A directory is removed where it lies, and then its name.
Result<FileEntry> FileService::remove_far_directory(DiskStore& store, FileNumber directory,
                                                    const std::string& name) {
  const auto entry = store.lookup(directory, name);
  if (!entry) return entry;
  if (!take_in_hand(*entry)) return fail_errno(EBUSY);
  const auto removed =
      orders_.give(entry->home, {.kind = FileOrderKind::remove_directory, .entry = *entry});
  const int error = removed ? 0 : errno_of(removed.error());
  Result<void> done;
  if (error == 0 || error == ENOENT) {
    done = store.forget_name(directory, name, *entry);
  } else {
    // What did not answer may still do it: then the note is settled later.
    if (error == ENOTEMPTY) (void)store.forget(*entry);
    if (error != ENOTEMPTY) settle_again_ns_.store(now_ns() + ns_per_s);
    done = fail(removed.error());
  }
  let_go(*entry);
  if (!done) return fail(done.error());
  return entry;
}

FileService::Answer FileService::rename(DiskStore& store, const Request& request) {
  const FileNumber from = request.arg(0);
  const std::uint64_t to_cell = request.arg(1);
  const FileNumber to = request.arg(2);
  const std::uint64_t length = request.arg(3);
  const std::uint64_t to_length = request.arg(4);
  if (to_cell >= parts_.layout.cells) return fail_errno(EINVAL);
  if (length > proto::file_name_max || to_length > proto::file_name_max) {
    return fail_errno(ENAMETOOLONG);
  }
  const auto text = text_of(request, length + to_length, 2 * proto::file_name_max);
  if (!text) return fail(text.error());
  const std::string name = text->substr(0, length);
  const std::string to_name = text->substr(length);
  if (static_cast<CellId>(to_cell) != self_) {
    const auto moved = settled(store, from, name, [&] {
      return move(store, from, name, static_cast<CellId>(to_cell), to, to_name);
    });
    if (!moved) return fail(moved.error());
    return GateValues{};
  }
  if (auto here = check_place(to, to_name); !here) return fail(here.error());
  const auto renamed =
      settled(store, from, name, [&] { return store.rename(from, name, to, to_name); });
  if (!renamed) {
    // The directory there lies on another home than its name: it is not removed on the way.
    const int error = errno_of(renamed.error());
    return fail_errno(error == EREMOTE ? EXDEV : error);
  }
  if (*renamed) (void)lost_name(store, **renamed);
  return GateValues{};
}

// The other home names it, and then the name here goes. Whoever dies in between: the note says
// where to ask.
Result<void> FileService::move(DiskStore& store, FileNumber from, const std::string& name,
                               CellId to_cell, FileNumber to, const std::string& to_name) {
  const auto seen = store.lookup(from, name);
  if (!seen) return fail(seen.error());
  if (!take_in_hand(*seen)) return fail_errno(EBUSY);
  const auto entry = store.begin_move(from, name, to_cell, to, to_name);
  if (!entry || *entry != *seen) {
    if (entry) (void)store.end_move(*entry, false);
    let_go(*seen);
    return entry ? fail_errno(EBUSY) : fail(entry.error());
  }
  const auto taken = orders_.give(
      to_cell,
      {.kind = FileOrderKind::take_over, .entry = *entry, .directory = to, .name = to_name});
  Result<void> done;
  if (taken) {
    machine::fault_point(machine::FaultPoint::rename_named);
    done = store.end_move(*entry, true);
  } else {
    const int error = errno_of(taken.error());
    const bool is_unknown = error == EHOSTDOWN || error == ETIMEDOUT;
    if (!is_unknown) (void)store.end_move(*entry, false);
    if (is_unknown) settle_again_ns_.store(now_ns() + ns_per_s);
    done = fail_errno(error == EREMOTE ? EXDEV : error);
  }
  let_go(*entry);
  return done;
}

FileService::Answer FileService::list(DiskStore& store, const Request& request) {
  const auto after = text_of(request, request.arg(1), proto::file_name_max);
  if (!after) return fail(after.error());
  // As much as there is memory for the answer.
  const auto to = request.gate->answer_data(request.taken.slot, proto::gate_answer_bytes_max);
  bool more = false;
  const auto listed = store.list(request.arg(0), *after, to.size(), more);
  if (!listed) return fail(listed.error());
  std::size_t bytes = 0;
  for (const DiskStore::Listed& one : *listed) {
    const proto::ListedFile head{one.entry.number, static_cast<std::uint8_t>(one.entry.kind),
                                 static_cast<std::uint8_t>(one.entry.home),
                                 static_cast<std::uint8_t>(one.name.size()), 0};
    std::memcpy(to.data() + bytes, &head, sizeof head);
    std::memcpy(to.data() + bytes + sizeof head, one.name.data(), one.name.size());
    bytes += sizeof head + one.name.size();
  }
  if (more && bytes == 0) return fail_errno(ENOMEM);
  return GateValues{more ? 1U : 0U, listed->size(), bytes,
                    reinterpret_cast<std::uintptr_t>(to.data())};
}

}  // namespace hive::cell
