// Mapped memory: what the public Mapping holds.
#pragma once

#include <cstdint>
#include <memory>

#include <hive/error.h>
#include "lib/session_impl.h"
#include "lib/view_table.h"

namespace hive::lib {

class MappingImpl {
 public:
  // Errors: see Session::map_anonymous.
  static Result<std::unique_ptr<MappingImpl>> anonymous(std::shared_ptr<SessionImpl> session,
                                                        std::uint64_t bytes);
  // Of a file that is open at `file`, with that handle. Errors: see File::mmap.
  struct FileRange {
    ViewAt file;
    std::uint64_t first_page = 0;
    std::uint64_t bytes = 0;
    bool writable = false;
    bool is_private = false;
  };
  static Result<std::unique_ptr<MappingImpl>> of_file(std::shared_ptr<SessionImpl> session,
                                                      const FileRange& range);
  ~MappingImpl();
  MappingImpl(const MappingImpl&) = delete;
  MappingImpl& operator=(const MappingImpl&) = delete;

  std::uint64_t begin() const { return view_->begin; }
  std::uint64_t bytes() const { return bytes_; }
  Result<void> populate(std::uint64_t offset, std::uint64_t length);
  Result<void> sync(std::uint64_t offset, std::uint64_t length);

 private:
  static Result<std::unique_ptr<MappingImpl>> make(std::shared_ptr<SessionImpl> session,
                                                   std::unique_ptr<MappedView> view,
                                                   std::uint64_t bytes, GateCall ask);
  static Result<void> map_at(SessionImpl& session, const MappedView& range, ViewAt& at,
                             GateCall ask);
  static void end_at(SessionImpl& session, const ViewAt& at);
  Result<void> check(std::uint64_t offset, std::uint64_t length) const;
  MappingImpl(std::shared_ptr<SessionImpl> session, MappedView* view, std::uint64_t bytes)
      : session_(std::move(session)), view_(view), bytes_(bytes) {}

  const std::shared_ptr<SessionImpl> session_;
  MappedView* const view_;  // the table's, until we leave it
  const std::uint64_t bytes_;
};

}  // namespace hive::lib
