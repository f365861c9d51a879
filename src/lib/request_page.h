// The task's side of a gate: a small memory that this process writes and one cell reads.
#pragma once

#include <hive/error.h>
#include "base/fd.h"
#include "proto/gate.h"

namespace hive::lib {

// Owns the mapping. Not inherited by fork: a child must not write into its parent's calls.
class RequestPage {
 public:
  // Errors: exhausted, host.
  static Result<RequestPage> create();
  RequestPage(RequestPage&& other) noexcept;
  RequestPage& operator=(RequestPage&& other) noexcept;
  RequestPage(const RequestPage&) = delete;
  RequestPage& operator=(const RequestPage&) = delete;
  ~RequestPage();

  proto::GateRequests* requests() const { return requests_; }
  // For the hello: sealed, so that the cell can neither be made to fault by a shrinking file nor
  // write into it. To be closed once sent.
  UniqueFd take_descriptor() { return std::move(descriptor_); }

 private:
  RequestPage() = default;
  proto::GateRequests* requests_ = nullptr;
  UniqueFd descriptor_;
};

}  // namespace hive::lib
