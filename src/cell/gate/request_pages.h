// The request memory of a client, as its cell sees it: read-only and never trusted. Everything is
// copied out by the routines of safe_copy.h, because the client may take the memory away at any
// time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <hive/error.h>
#include "base/fd.h"
#include "proto/gate.h"

namespace hive::cell {

// A request as it was copied out, so that it cannot change any more.
struct RequestCopy {
  std::uint16_t op = 0;
  std::uint16_t reserved = 0;
  std::uint32_t sleeping = 0;
  std::uint64_t deadline_ns = 0;
  std::array<std::uint64_t, 6> args{};
  std::array<char, 64> name{};

  // None: it has no end.
  std::optional<std::string_view> name_text() const;
};
static_assert(sizeof(RequestCopy) == sizeof(proto::GateRequest));

class RequestPages {
 public:
  // Maps what the client sent at attach. Errors: bad_argument (no memfd of at least
  // gate_request_bytes that is sealed against shrinking, or without the magic), host.
  static Result<RequestPages> map(UniqueFd memfd);
  // Memory of this process, for tests and for callers inside the kernel; must outlive this.
  static RequestPages borrow(const proto::GateRequests* requests);

  RequestPages(RequestPages&& other) noexcept;
  RequestPages& operator=(RequestPages&&) = delete;
  ~RequestPages();

  // Each is false when the memory is not there any more.
  bool slots_used(std::uint32_t& value) const noexcept;
  bool posted(std::uint32_t slot, std::uint32_t& value) const noexcept;
  bool sleeping(std::uint32_t slot, std::uint32_t& value) const noexcept;
  bool copy(std::uint32_t slot, RequestCopy& out) const noexcept;
  // The first bytes of the slot's data, at most gate_data_bytes. Also false where there is none.
  bool copy_data(std::uint32_t slot, std::span<std::byte> out) const noexcept;
  // The same without a copy: the client may change it at any time, and Linux may refuse to show
  // it. So it is for system calls. Empty where there is none.
  std::span<const std::byte> data(std::uint32_t slot, std::size_t bytes) const noexcept;
  // With what the client has marked an entry of the page table; 0 where there is nothing.
  std::uint32_t used(std::uint32_t entry) const noexcept;

 private:
  explicit RequestPages(const proto::GateRequests* requests) : requests_(requests) {}
  const proto::GateRequests* requests_;
  bool mapped_ = false;
};

}  // namespace hive::cell
