// Files that tasks have mapped, and pages that are lost with those who could store to them.
#include <algorithm>
#include <cerrno>
#include <mutex>
#include <set>

#include "cell/files/file_service.h"

namespace hive::cell {

using proto::view_block_pages;

namespace {

// One at a time raises a generation, so that none goes up twice for one loss: who has opened the
// file in between would see an error for nothing.
std::mutex losing_mutex;

}  // namespace

FileService::Answer FileService::map(const Request& request) {
  const auto opened = open_.find(request.client(), request.arg(0));
  if (!opened) return fail(opened.error());
  constexpr std::uint64_t page_bytes = machine::page_bytes;
  const std::uint64_t pages = request.arg(2) / page_bytes;
  constexpr std::uint64_t pages_max = proto::file_bytes_max / page_bytes + 1;
  if (request.arg(3) > pages_max || pages > pages_max - request.arg(3)) {
    return fail_errno(EOVERFLOW);
  }
  const auto handle = open_.duplicate(request.client(), request.arg(0));
  if (!handle) return fail(handle.error());
  const FilePart part{.file = opened->number,
                      .first_page = static_cast<std::uint32_t>(request.arg(3)),
                      .writable = request.arg(4) != 0};
  auto view = parts_.home.map_file_view(request.client(), request.arg(1), request.arg(2), part);
  if (view && !request.gate->is_retired()) return GateValues{*view, *handle};
  if (const auto nameless = open_.close(request.client(), *handle); nameless) {
    if (const auto disk = store()) bury_files(**disk, *nameless);
  }
  if (!view) return fail(view.error());
  return fail_errno(EBADF);
}

FileService::Answer FileService::fault(const Request& request) {
  const auto opened = open_.find(request.client(), request.arg(3));
  if (!opened) return fail(opened.error());
  const auto block = show(request, *opened, false);
  if (!block) return fail(block.error());
  // Content that was lost meanwhile is not shown to anybody.
  if (auto still = open_.find(request.client(), request.arg(3)); !still) {
    return fail(still.error());
  }
  return request.gate->view_answer(request.taken.slot, *block);
}

// Handing a fault over to another thread costs more than serving it where the page is cached.
bool FileService::fault_at_once(const std::shared_ptr<Gate>& gate, const TakenRequest& taken) {
  const Request request{gate, taken};
  if (static_cast<proto::GateOp>(taken.request.op) != proto::GateOp::file_fault) return false;
  const auto opened = open_.find(request.client(), request.arg(3));
  if (!opened || pool_.stopped()) return false;
  const auto block = show(request, *opened, true);
  if (!block || !open_.find(request.client(), request.arg(3))) return false;
  gate->answer(taken.slot, taken.sequence, gate->view_answer(taken.slot, *block));
  return true;
}

Result<ViewBlock> FileService::show(const Request& request, const OpenFiles::Opened& opened,
                                    bool at_once) {
  const ViewId view = request.arg(0);
  const std::uint64_t page = request.arg(1);
  const auto part = parts_.home.file_part(request.client(), view, page);
  if (!part) return fail(part.error());
  if (part->file != opened.number) return fail_errno(EBADF);
  const std::uint64_t begin = page / view_block_pages * view_block_pages;
  const auto first = part->first_page + static_cast<std::uint32_t>(begin);
  const auto touched = part->first_page + static_cast<std::uint32_t>(page);
  auto held = opened.content->hold(touched, first, view_block_pages, at_once);
  if (!held) return fail(held.error());
  // There the task has copies.
  std::erase_if(*held, [&](const HeldFrame& h) {
    return (request.arg(4) >> (h.page - first) & 1) != 0;
  });
  if (request.arg(2) != 0) {
    const auto frame = std::ranges::find(*held, touched, &HeldFrame::page);
    if (frame == held->end()) return fail_errno(EAGAIN);
    // In this order: write-back of a page closes it for all who are openers by then.
    auto may = parts_.home.expect_stores(request.client(), view, page, *frame);
    if (may) may = opened.content->expect_stores(*frame);
    if (!may) return fail(may.error());
  }
  return parts_.home.show_file(request.client(), view, page, *held);
}

// --- loss ---------------------------------------------------------------------------------------

void FileService::lose_pages(std::span<const HeldFrame> frames) {
  const bool is_told = !parts_.sabotage.generation;
  std::set<FileNumber> files;
  for (const HeldFrame& held : frames) files.insert(held.file);
  for (const FileNumber file : files) {
    if (is_told) open_.begin_losing(file);
  }
  parts_.content.doubt(frames);
  for (const FileNumber file : files) {
    if (is_told) open_.know_lost(file);
    post_losing(file);
  }
}

void FileService::begin_loss(std::span<const FileNumber> files) {
  for (const FileNumber file : files) {
    open_.begin_losing(file);
    open_.know_lost(file);
  }
  for (const FileNumber file : files) post_losing(file);
}

void FileService::post_losing(FileNumber number) {
  (void)pool_.post([this, number] {
    if (auto done = finish_losing(number); !done) {
      parts_.log("a file that has lost content can not be opened yet: " + done.error().message());
    }
  });
}

Result<void> FileService::finish_losing(FileNumber number) {
  if (parts_.sabotage.generation) return parts_.content.drop_doubted(number);
  const std::scoped_lock lock(losing_mutex);
  // Of more than one cell that dies at once, and of an open that comes in between, each may get
  // here first: pages that nobody doubts yet would stay. Who is about to doubt them comes later.
  const std::uint64_t loss = open_.known_loss(number);
  if (loss == 0) return {};
  const auto disk = store();
  if (!disk) return fail(disk.error());
  if (auto dropped = parts_.content.drop_doubted(number); !dropped) return dropped;
  const auto generation = (*disk)->raise_generation(number);
  if (!generation) return fail(generation.error());
  open_.set_generation(number, *generation, loss);
  return {};
}

}  // namespace hive::cell
