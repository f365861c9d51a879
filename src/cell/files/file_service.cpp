#include "cell/files/file_service.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace hive::cell {

using proto::GateOp;

FileService::FileService(const Parts& parts)
    : parts_(parts),
      self_(parts.self),
      open_(parts.content),
      orders_(parts.self, parts.layout, parts.heap, parts.rpc, parts.is_live,
              [this](CellId from, const FileOrder& order) { return carry_out(from, order); }) {}

void FileService::stop() {
  {
    const std::scoped_lock lock(at_once_mutex_);
    serves_at_once_ = false;
  }
  orders_.stop();
  settler_.stop();
  pool_.stop();
}

void FileService::run(const std::shared_ptr<Gate>& gate, const TakenRequest& taken) {
  settle_when_due();
  if (write_at_once(gate, taken)) return;
  const bool posted = pool_.post([this, gate, taken] {
    const Request request{gate, taken};
    gate->answer(taken.slot, taken.sequence, answer(request));
  });
  if (posted) return;
  if (pool_.stopped()) {
    return gate->answer(taken.slot, taken.sequence,
                        fail(Code::cell_down, proto::cause::file_refused, self_, EHOSTDOWN));
  }
  gate->answer(taken.slot, taken.sequence,
               fail(Code::exhausted, proto::cause::too_many_waiting, self_, EAGAIN));
}

// Handing a write over to another thread costs more than storing it where there are frames.
bool FileService::write_at_once(const std::shared_ptr<Gate>& gate, const TakenRequest& taken) {
  const Request request{gate, taken};
  const bool is_append = request.arg(3) != 0;
  if (static_cast<GateOp>(taken.request.op) != GateOp::file_write || is_append) return false;
  const std::shared_lock lock(at_once_mutex_, std::try_to_lock);
  if (!lock || !serves_at_once_) return false;
  const auto opened = open_.find(request.client(), request.arg(0));
  const auto data = gate->data(taken.slot, request.arg(2));
  if (!opened || data.empty()) return false;
  file_step();
  if (!opened->content->write_now(request.arg(1), data)) return false;
  if (!open_.find(request.client(), request.arg(0))) return false;  // lost meanwhile
  gate->answer(taken.slot, taken.sequence, GateValues{data.size(), request.arg(1)});
  return true;
}

void FileService::remove_client(ClientId client) {
  (void)pool_.post([this, client] {
    const auto nameless = open_.close_all(client);
    if (nameless.empty()) return;
    const auto disk = store();
    if (disk) bury_files(**disk, nameless);
  });
}

Result<DiskStore*> FileService::store() {
  const std::scoped_lock lock(store_mutex_);
  if (store_ != nullptr) return store_.get();
  auto opened = DiskStore::open(parts_.disk, self_, parts_.layout.cells);
  if (!opened) {
    if (!std::exchange(refusal_logged_, true)) {
      parts_.log("the disk can not be used: " + opened.error().message());
    }
    return fail(opened.error());
  }
  store_ = std::move(*opened);
  return store_.get();
}

FileService::Answer FileService::answer(const Request& request) {
  const auto disk = store();
  if (!disk) return fail(disk.error());
  DiskStore& store = **disk;
  switch (static_cast<GateOp>(request.taken.request.op)) {
    case GateOp::file_lookup:
      return lookup(store, request);
    case GateOp::file_make:
      return make(store, request);
    case GateOp::file_remove:
      return remove(store, request);
    case GateOp::file_rename:
      return rename(store, request);
    case GateOp::file_list:
      return list(store, request);
    case GateOp::file_open:
      return open(store, request);
    case GateOp::file_close:
      return close(store, request);
    case GateOp::file_read:
      return read(request);
    case GateOp::file_write:
      return write(request);
    case GateOp::file_resize:
      return resize(request);
    case GateOp::file_sync:
      return sync(store, request);
    case GateOp::file_status:
      return status(store, request);
    case GateOp::file_set:
      return set(store, request);
    case GateOp::file_read_link:
      return read_link(store, request);
    case GateOp::file_space:
      return space(store);
    case GateOp::file_map:
      return map(request);
    case GateOp::file_fault:
      return fault(request);
    default:
      return fail(Code::bad_argument, proto::cause::unknown_operation);
  }
}

Result<std::string> FileService::text_of(const Request& request, std::size_t length,
                                         std::size_t longest) {
  if (length > longest) return fail_errno(ENAMETOOLONG);
  std::string text(length, '\0');
  const auto bytes = std::as_writable_bytes(std::span(text));
  if (!bytes.empty() && !request.gate->copy_data(request.taken.slot, bytes)) {
    return fail(Code::bad_argument, proto::cause::senseless_request, -1, EINVAL);
  }
  return text;
}

FileService::Answer FileService::data_answer(const Request& request,
                                             std::span<const std::byte> data,
                                             std::uint64_t value) {
  const auto to = request.gate->answer_data(request.taken.slot, data.size());
  if (to.size() < data.size()) return fail_errno(ENOMEM);
  std::ranges::copy(data, to.begin());
  return GateValues{value, 0, data.size(), reinterpret_cast<std::uintptr_t>(to.data())};
}

// A name in the root on another cell's disk would be found by nobody.
Result<void> FileService::check_place(FileNumber directory, std::string_view name) const {
  if (directory != proto::file_root) return {};
  if (proto::home_of_root_name(name, parts_.layout.cells) == self_) return {};
  return fail_errno(EINVAL);
}

}  // namespace hive::cell
