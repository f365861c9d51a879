#include "lib/file_list.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "lib/causes.h"
#include "lib/file_calls.h"

namespace hive::lib {
namespace {

// False: what the home says makes no sense. Names come in order, so each piece is further on.
bool take(std::span<const std::byte> bytes, std::uint32_t cells, std::string& last,
          DirectoryList& list) {
  while (!bytes.empty()) {
    proto::ListedFile head;
    if (bytes.size() < sizeof head) return false;
    std::memcpy(&head, bytes.data(), sizeof head);
    bytes = bytes.subspan(sizeof head);
    if (head.name_length > bytes.size() || !proto::is_file_kind(head.kind) || head.home >= cells) {
      return false;
    }
    std::string name(reinterpret_cast<const char*>(bytes.data()), head.name_length);
    bytes = bytes.subspan(head.name_length);
    if (proto::check_file_name(name) != 0 || name <= last) return false;
    last = name;
    list.entries.push_back(
        {std::move(name), static_cast<FileKind>(head.kind), head.home, head.number});
  }
  return true;
}

}  // namespace

Result<void> list_directory(const std::shared_ptr<SessionImpl>& session, CellId home,
                            std::uint64_t directory, DirectoryList& list) {
  std::vector<std::byte> buffer(proto::gate_answer_bytes_max);
  std::string last;
  bool more = true;
  while (more) {
    const std::string before = last;
    const auto values = call_home(session, home,
                                  {.op = proto::GateOp::file_list,
                                   .args = {directory, last.size()},
                                   .data = std::as_bytes(std::span(before)),
                                   .answer = buffer});
    if (!values) return fail(values.error());
    more = (*values)[0] != 0;
    const bool makes_sense = take(std::span(buffer).first((*values)[2]),
                                  session->membership().layout.cells, last, list);
    if (!makes_sense || (more && last == before)) {
      return fail(Code::corrupt, cause_bad_reply, home, EIO);
    }
    if (list.entries.size() > listed_max) return fail_errno(EOVERFLOW, home);
  }
  return {};
}

Result<DirectoryList> list_root(const std::shared_ptr<SessionImpl>& session) {
  DirectoryList list;
  const auto cells = static_cast<CellId>(session->membership().layout.cells);
  for (CellId cell = 0; cell < cells; ++cell) {
    auto done = list_directory(session, cell, proto::file_root, list);
    if (done) continue;
    if (done.error().sys_errno != EHOSTDOWN) return fail(done.error());
    list.missing.push_back(cell);
  }
  std::ranges::sort(list.entries, {}, &DirectoryEntry::name);
  return list;
}

}  // namespace hive::lib
