// What tasks ask about files themselves.
#include <algorithm>
#include <cerrno>

#include "cell/files/file_service.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t page_bytes = machine::page_bytes;

// What the disk said, with what it does not know yet.
void add_cached(const ContentStatus& cached, proto::FileStatus& status) {
  status.bytes = cached.bytes;
  if (cached.modified_ns != 0) status.modified_ns = cached.modified_ns;
  status.changed_ns = std::max(status.changed_ns, cached.changed_ns);
  // Which of it lies where the disk has blocks already is not known: no more than a file without
  // holes would have.
  const std::uint64_t whole = (cached.bytes + page_bytes - 1) / page_bytes * page_bytes;
  const std::uint64_t most = std::min(status.disk_bytes + cached.unwritten_bytes, whole);
  status.disk_bytes = std::max(status.disk_bytes, most);
}

}  // namespace

FileService::Answer FileService::open(DiskStore& store, const Request& request) {
  auto handle = open_.open(store, request.client(), request.arg(0));
  // It waits for the new generation, which the disk may not have taken before.
  if (!handle && open_.is_losing(request.arg(0)) && finish_losing(request.arg(0))) {
    handle = open_.open(store, request.client(), request.arg(0));
  }
  if (!handle) return fail(handle.error());
  const auto opened = open_.find(request.client(), *handle);
  Result<void> ready;
  if (!opened) {
    ready = fail(opened.error());
  } else if ((request.arg(1) & proto::file_open_truncate) != 0) {
    ready = opened->content->truncate(0);
  }
  // One that has ended meanwhile was closed before this: nobody else would close it.
  if (request.gate->is_retired()) ready = fail_errno(EBADF);
  machine::fault_point(machine::FaultPoint::file_open);
  if (ready) {
    return GateValues{*handle, opened->content->size(), opened->content->record(),
                      opened->generation};
  }
  if (const auto nameless = open_.close(request.client(), *handle); nameless) {
    bury_files(store, *nameless);
  }
  return fail(ready.error());
}

FileService::Answer FileService::close(DiskStore& store, const Request& request) {
  const auto nameless = open_.close(request.client(), request.arg(0));
  if (!nameless) return fail(nameless.error());
  machine::fault_point(machine::FaultPoint::file_close);
  bury_files(store, *nameless);
  return GateValues{};
}

FileService::Answer FileService::read(const Request& request) {
  const auto opened = open_.find(request.client(), request.arg(0));
  if (!opened) return fail(opened.error());
  const auto to = request.gate->answer_data(request.taken.slot, request.arg(2));
  if (to.empty() && request.arg(2) != 0) return fail_errno(ENOMEM);
  const auto bytes = opened->content->read(request.arg(1), to);
  if (!bytes) return fail(bytes.error());
  // Content that was lost while it was read is not given to anybody.
  if (auto still = open_.find(request.client(), request.arg(0)); !still) {
    return fail(still.error());
  }
  return GateValues{*bytes, 0, *bytes, reinterpret_cast<std::uintptr_t>(to.data())};
}

FileService::Answer FileService::write(const Request& request) {
  const auto opened = open_.find(request.client(), request.arg(0));
  if (!opened) return fail(opened.error());
  const std::uint64_t bytes = request.arg(2);
  if (bytes > proto::gate_data_bytes) return fail_errno(EINVAL);
  const auto data = text_of(request, bytes, proto::gate_data_bytes);
  if (!data) return fail(data.error());
  const auto from = std::as_bytes(std::span(*data));
  file_step();
  if (request.arg(3) != 0) {
    const auto appended = opened->content->append(from);
    if (!appended) return fail(appended.error());
    if (auto still = open_.find(request.client(), request.arg(0)); !still) {
      return fail(still.error());
    }
    return GateValues{appended->bytes, appended->offset};
  }
  const auto written = opened->content->write(request.arg(1), from);
  if (!written) return fail(written.error());
  if (auto still = open_.find(request.client(), request.arg(0)); !still) {
    return fail(still.error());
  }
  return GateValues{*written, request.arg(1)};
}

FileService::Answer FileService::resize(const Request& request) {
  const auto opened = open_.find(request.client(), request.arg(0));
  if (!opened) return fail(opened.error());
  if (request.arg(1) > proto::file_bytes_max) return fail_errno(EFBIG);
  file_step();
  if (auto done = opened->content->truncate(request.arg(1)); !done) return fail(done.error());
  return GateValues{};
}

FileService::Answer FileService::sync(DiskStore& store, const Request& request) {
  if (request.arg(0) == 0) {
    if (auto done = store.sync_directory(request.arg(1)); !done) return fail(done.error());
    return GateValues{};
  }
  const auto opened = open_.find(request.client(), request.arg(0));
  if (!opened) return fail(opened.error());
  file_step();
  if (auto done = opened->content->flush(); !done) return fail(done.error());
  file_step();
  // The file may be new.
  if (auto done = store.sync_objects(); !done) return fail(done.error());
  if (auto still = open_.find(request.client(), request.arg(0)); !still) {
    return fail(still.error());
  }
  return GateValues{};
}

FileService::Answer FileService::status(DiskStore& store, const Request& request) {
  FileNumber number = request.arg(1);
  if (request.arg(0) != 0) {
    const auto opened = open_.find(request.client(), request.arg(0));
    if (!opened) return fail(opened.error());
    number = opened->number;
  }
  const auto cached = parts_.content.status(number);
  auto status = store.status(number);
  if (!status) return fail(status.error());
  status->incarnation = parts_.incarnation;
  if (cached) add_cached(*cached, *status);
  return data_answer(request, std::as_bytes(std::span(&*status, 1)), 0);
}

FileService::Answer FileService::set(DiskStore& store, const Request& request) {
  Result<void> done = fail_errno(EINVAL);
  if (request.arg(1) == proto::file_set_mode) {
    done = store.set_mode(request.arg(0), static_cast<std::uint32_t>(request.arg(2)));
  } else if (request.arg(1) == proto::file_set_times) {
    auto modified_ns = static_cast<std::int64_t>(request.arg(3));
    if (modified_ns == proto::file_time_now) modified_ns = wall_clock_ns();
    done = store.set_times(request.arg(0), static_cast<std::int64_t>(request.arg(2)), modified_ns);
    if (done && modified_ns != proto::file_time_omit) {
      parts_.content.set_modified(request.arg(0), modified_ns);
    }
  }
  if (!done) return fail(done.error());
  return GateValues{};
}

FileService::Answer FileService::read_link(DiskStore& store, const Request& request) {
  const auto target = store.read_link(request.arg(0));
  if (!target) return fail(target.error());
  return data_answer(request, std::as_bytes(std::span(*target)), 0);
}

FileService::Answer FileService::space(DiskStore& store) {
  const auto space = store.space();
  if (!space) return fail(space.error());
  // What is cached and dirty may need room of its own.
  const std::uint64_t unwritten = std::min(parts_.content.unwritten_bytes(), space->free_bytes);
  return GateValues{space->total_bytes, space->free_bytes - unwritten};
}

// The file is marked as being buried: nobody opens it any more.
void FileService::bury(DiskStore& store, const FileEntry& entry) {
  if (entry.kind == FileKind::file) {
    // Pages that stay for now are written into a file without a name, and go with it.
    if (auto done = parts_.content.forget(entry.number); !done) {
      parts_.log("a file without a name is still cached: " + done.error().message());
    }
  }
  if (auto done = store.bury(entry); !done) {
    parts_.log("a file without a name stays until the next start: " + done.error().message());
  }
  open_.buried(entry.number);
}

void FileService::bury_files(DiskStore& store, const std::vector<FileNumber>& nameless) {
  for (const FileNumber number : nameless) bury(store, {FileKind::file, self_, number});
}

}  // namespace hive::cell
