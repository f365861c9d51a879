// What lender and borrower say to each other: the bodies of the RPC operations. Each goes to the
// lender, but for the last.
#pragma once

#include <array>
#include <cstdint>

#include "cell/frames/loans.h"
#include "cell/rpc/message.h"

namespace hive::cell {

inline constexpr std::uint16_t op_frames_lend = 16;    // queued; LendBody -> LoanBody
inline constexpr std::uint16_t op_frames_hold = 17;    // queued; HoldBody -> HeldBody
inline constexpr std::uint16_t op_frames_change = 18;  // queued; ChangeBody -> ChangedBody
inline constexpr std::uint16_t op_frames_return = 19;  // queued; ReturnBody -> nothing
inline constexpr std::uint16_t op_frames_recall = 20;  // queued, one-way, to the borrower; RunBody

struct RunBody {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

struct LendBody {
  std::uint32_t ask = 0;
  std::uint32_t frames_max = 0;
  std::uint32_t known_count = 0;
  std::uint32_t reserved = 0;
  std::array<std::uint64_t, loans_per_borrower_max> known{};
};

struct LoanBody {
  std::uint64_t number = 0;
  std::uint32_t runs_count = 0;
  std::uint32_t reserved = 0;
  std::array<RunBody, loan_runs_max> runs{};
};

// Frames that hold neighbouring pages of one file from now on.
struct HoldBody {
  std::uint64_t loan = 0;
  std::uint64_t file = 0;
  std::uint32_t page = 0;  // the first
  std::uint32_t count = 0;
  std::array<std::uint32_t, lent_batch_max> frames{};
};

// The numbers of the frames: the smallest, and by how much each is larger.
struct HeldBody {
  std::uint64_t base = 0;
  std::array<std::uint32_t, lent_batch_max> over{};
};

enum class LentChange : std::uint32_t { lose = 1, renew = 2, reopen = 3 };
struct ChangeBody {
  std::uint64_t loan = 0;
  LentChange change = LentChange::lose;
  std::uint32_t count = 0;
  std::array<std::uint32_t, lent_batch_max> frames{};
};
struct ChangedBody {
  std::uint32_t done = 0;  // a bit for each frame
  std::uint32_t reserved = 0;
};

struct ReturnBody {
  std::uint64_t loan = 0;
  std::uint32_t count = 0;
  std::uint32_t reserved = 0;
  std::array<RunBody, loan_runs_max> runs{};
};

static_assert(sizeof(LendBody) <= rpc_body_max && sizeof(LoanBody) <= rpc_body_max &&
              sizeof(HoldBody) <= rpc_body_max && sizeof(HeldBody) <= rpc_body_max &&
              sizeof(ChangeBody) <= rpc_body_max && sizeof(ReturnBody) <= rpc_body_max);

}  // namespace hive::cell
