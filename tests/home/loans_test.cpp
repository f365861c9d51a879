// Frames that are lent to other cells: what the lender does, and what the borrower's kernel can.

#include <array>
#include <future>

#include "home_fixture.h"

namespace hive::cell::test {
namespace {

using machine::PageRange;

constexpr Borrower borrower{2, 7};
constexpr std::uint32_t spare = 256 - 256 / 8;

class LoansTest : public HomeTest {
 protected:
  TestClient attach_kernel(CellId cell) {
    ClientInfo info;
    info.cell = cell;
    info.kind = ClientKind::kernel;
    TestClient client;
    client.space = node.make_space();
    client.id = *home->add_client(info, client.space);
    return client;
  }
  Result<Loan> lend(std::uint32_t frames, std::vector<std::uint64_t> known = {}) {
    return home->lend(borrower, {++ask, frames, known});
  }
  static std::vector<std::uint32_t> frames_of(const Loan& loan) {
    std::vector<std::uint32_t> frames;
    for (const PageRange run : loan.runs) {
      for (std::uint32_t f = run.first; f < run.end(); ++f) frames.push_back(f);
    }
    return frames;
  }
  std::uint64_t lent() const { return home->frames_in(FrameState::lent); }
  void expect_sound() const {
    const auto sound = home->check_frames().sound;
    EXPECT_TRUE(sound) << sound.error().message();
  }
  // Another home, with other rules.
  void start_with(const LoanRules& rules) {
    home.reset();
    Home::Parts parts;
    parts.self = self;
    parts.layout = layout;
    parts.heap = &memory.heap();
    parts.memory = &node;
    parts.loans = rules;
    home = *Home::create(parts);
  }
  // One frame, in which the borrower has left something; given back.
  std::uint32_t use_and_return(const TestClient& kernel) {
    const auto loan = lend(1);
    EXPECT_TRUE(loan);
    const std::uint32_t frame = loan->runs[0].first;
    EXPECT_TRUE(kernel.space->store(frame, 4711));
    EXPECT_TRUE(home->take_return(borrower, loan->number, loan->runs));
    return frame;
  }

  std::uint32_t ask = 0;
};

TEST_F(LoansTest, LentFramesAreOpenToTheBorrowerAndCountedAndClosedToTheLender) {
  const auto kernel = attach_kernel(2);
  const auto loan = lend(20);
  ASSERT_TRUE(loan) << loan.error().message();
  ASSERT_EQ(loan->runs.size(), 1U) << "free memory is one run";
  EXPECT_EQ(lent(), 20U);
  expect_sound();
  const std::uint32_t frame = loan->runs[0].first;
  EXPECT_EQ(kernel.space->load(frame), 0U);
  EXPECT_TRUE(kernel.space->store(frame, 1));
  std::array<std::byte, 8> bytes{};
  const std::uint64_t offset = frame * page;
  EXPECT_EQ(code_of(home->write_frames(offset, bytes)), Code::refused);
  EXPECT_EQ(code_of(home->read_frames(offset - page, std::span(bytes))), std::nullopt);
  EXPECT_EQ(code_of(home->read_frames(offset, std::span(bytes))), Code::refused);
  ASSERT_TRUE(home->take_return(borrower, loan->number, loan->runs));
  EXPECT_EQ(lent(), 0U);
  EXPECT_FALSE(kernel.space->store(frame, 1)) << "it is closed again";
  EXPECT_FALSE(kernel.space->load(frame));
}

TEST_F(LoansTest, WhatABorrowerLeftInAFrameNobodyElseSees) {
  const auto kernel = attach_kernel(2);
  const std::uint32_t frame = use_and_return(kernel);
  const auto task = attach();
  const auto s = make(task, "all", pages);
  ASSERT_TRUE(load_fault(task, s.pages.first + frame));
  EXPECT_EQ(task.space->load(frame), 0U);
}

TEST_F(LoansTest, WithoutRenewalTheNextOwnerSeesWhatTheBorrowerLeft) {
  start_with({.skip_renewal = true});
  const auto kernel = attach_kernel(2);
  const std::uint32_t frame = use_and_return(kernel);
  const auto task = attach();
  const auto s = make(task, "all", pages);
  ASSERT_TRUE(load_fault(task, s.pages.first + frame));
  EXPECT_EQ(task.space->load(frame), 4711U) << "this is what the renewal is for";
  EXPECT_TRUE(kernel.space->store(frame, 4712)) << "and this";
}

TEST_F(LoansTest, WithoutClosingTheLenderStoresIntoWhatItHasLent) {
  start_with({.skip_closing = true});
  const auto kernel = attach_kernel(2);
  const auto loan = lend(1);
  ASSERT_TRUE(loan);
  const std::uint32_t frame = loan->runs[0].first;
  EXPECT_TRUE(kernel.space->store(frame, 5));
  const std::array<std::uint64_t, 1> wild{6};
  EXPECT_TRUE(home->write_frames(frame * page, std::as_bytes(std::span(wild))));
  EXPECT_EQ(kernel.space->load(frame), 6U) << "this is what the check is for";
}

TEST_F(LoansTest, ALenderKeepsSomeAndRefusesWhatMakesNoSense) {
  EXPECT_EQ(code_of(lend(1)), Code::not_found) << "its kernel is not attached";
  const auto kernel = attach_kernel(2);
  const auto all = lend(pages);
  ASSERT_TRUE(all);
  EXPECT_EQ(lent(), spare);
  EXPECT_EQ(code_of(lend(1, {all->number})), Code::exhausted);
  EXPECT_EQ(code_of(home->lend(borrower, {ask, 1, {}})), Code::busy) << "a late question";
  EXPECT_EQ(lent(), spare) << "a late question ends nothing";
  EXPECT_EQ(code_of(home->lend({self, 1}, {1, 1, {}})), Code::bad_argument);
  EXPECT_EQ(code_of(home->lend({-1, 1}, {1, 1, {}})), Code::bad_argument);
  EXPECT_EQ(code_of(home->lend({64, 1}, {1, 1, {}})), Code::bad_argument);
  EXPECT_EQ(code_of(home->lend(borrower, {++ask, loan_frames_max + 1, {}})),
            Code::bad_argument);
  const auto frames = frames_of(*all);
  const auto first = std::span(frames).first(1);
  EXPECT_EQ(code_of(home->lose_lent({3, 7}, {all->number, first})), Code::not_found);
  EXPECT_EQ(code_of(home->lose_lent({2, 8}, {all->number, first})), Code::not_found);
  EXPECT_EQ(code_of(home->lose_lent(borrower, {all->number + 1, first})), Code::not_found);
  EXPECT_EQ(code_of(home->lose_lent(borrower, {all->number, frames})), Code::bad_argument);
  const std::array<std::uint32_t, 1> none{pages};
  EXPECT_EQ(code_of(home->lose_lent(borrower, {all->number, none})), Code::not_found);
  const std::array<PageRange, 1> outside{{{pages - 1, 2}}};
  EXPECT_EQ(code_of(home->take_return(borrower, all->number, outside)), Code::bad_argument);
  std::array<HeldFrame, 2> twice{{{frames[0], 1, 9, 0}, {frames[0], 2, 9, 0}}};
  EXPECT_EQ(code_of(home->hold_lent(borrower, all->number, twice)), Code::bad_argument);
  expect_sound();
}

TEST_F(LoansTest, APageInALentFrameHasANumberThatItsTasksCheckAndIsGivenToThem) {
  const auto kernel = attach_kernel(2);
  const auto task = attach(2);
  const auto loan = lend(4);
  ASSERT_TRUE(loan);
  const auto frames = frames_of(*loan);
  std::array<HeldFrame, 1> held{{{frames[0], 3, 77, 0}}};
  EXPECT_TRUE(kernel.space->store(frames[0], 12));
  ASSERT_TRUE(home->hold_lent(borrower, loan->number, held));
  EXPECT_EQ(held[0].sequence % 2, 0U);
  EXPECT_EQ(code_of(home->hold_lent(borrower, loan->number, held)), Code::bad_argument)
      << "it holds something already";
  ASSERT_TRUE(home->give_cached(task.id, held));
  EXPECT_EQ(task.space->load(frames[0]), 12U);

  const LentFrames which{loan->number, std::span(frames).first(1)};
  EXPECT_EQ(*home->renew_lent(borrower, which), 0U) << "it still holds a page";
  ASSERT_TRUE(home->lose_lent(borrower, which));
  EXPECT_EQ(code_of(home->give_cached(task.id, held)), Code::not_found);
  EXPECT_EQ(*home->renew_lent(borrower, which), 1U);
  EXPECT_FALSE(task.space->load(frames[0])) << "nobody else has it any more";
  EXPECT_TRUE(kernel.space->store(frames[0], 13)) << "and the borrower has it still";
  const std::uint64_t before = held[0].sequence;
  ASSERT_TRUE(home->hold_lent(borrower, loan->number, held));
  EXPECT_GT(held[0].sequence, before);
  expect_sound();
}

TEST_F(LoansTest, AFrameThatNobodyElseWasGivenIsRenewedWithoutNewMemory) {
  const auto kernel = attach_kernel(2);
  const auto loan = lend(1);
  ASSERT_TRUE(loan);
  const auto frames = frames_of(*loan);
  const std::uint64_t before = node.times_taken_back(frames[0]);
  EXPECT_EQ(*home->renew_lent(borrower, {loan->number, frames}), 1U);
  EXPECT_EQ(node.times_taken_back(frames[0]), before);
  EXPECT_TRUE(home->reopen_lent(borrower, {loan->number, frames}));
  EXPECT_TRUE(kernel.space->store(frames[0], 1));
}

TEST_F(LoansTest, ALoanWhoseAnswerWasLostIsEndedByTheNextQuestion) {
  const auto kernel = attach_kernel(2);
  const auto lost = lend(5);
  const auto known = lend(6, {lost->number});
  ASSERT_TRUE(lost && known);
  EXPECT_EQ(lent(), 11U);
  ASSERT_TRUE(lend(0, {known->number}));
  EXPECT_EQ(lent(), 6U);
  expect_sound();
  home->clean_up();
  EXPECT_FALSE(kernel.space->store(lost->runs[0].first, 1));
  ASSERT_TRUE(home->take_return(borrower, lost->number, lost->runs)) << "nothing to return";
  EXPECT_EQ(lent(), 6U);
}

TEST_F(LoansTest, ALoanThatCanNotBeOpenedIsNone) {
  const auto kernel = attach_kernel(2);
  kernel.space->refuse(SpaceCall::open);
  EXPECT_EQ(code_of(lend(5)), Code::host);
  EXPECT_EQ(lent(), 0U);
  expect_sound();
}

TEST_F(LoansTest, ABorrowerThatDiesWhileItGetsALoanHasNone) {
  const auto kernel = attach_kernel(2);
  kernel.space->on_call([&](SpaceCall call, PageRange) {
    if (call != SpaceCall::open) return;
    home->close_loans_of(2);
    home->free_loans_of(2);
  });
  EXPECT_FALSE(lend(5));
  EXPECT_EQ(lent(), 0U);
  expect_sound();
}

TEST_F(LoansTest, FramesOfADeadBorrowerAreTakenFromAllAndServeOthersLater) {
  const auto kernel = attach_kernel(2);
  const auto task = attach(0);
  const auto loan = lend(4);
  ASSERT_TRUE(loan);
  const auto frames = frames_of(*loan);
  std::array<HeldFrame, 1> held{{{frames[0], 3, 77, 0}}};
  kernel.space->store(frames[0], 12);
  ASSERT_TRUE(home->hold_lent(borrower, loan->number, held));
  ASSERT_TRUE(home->give_cached(task.id, held));
  kernel.space->die();
  home->close_loans_of(2);
  EXPECT_FALSE(task.space->load(frames[0]));
  EXPECT_EQ(code_of(home->give_cached(task.id, held)), Code::not_found);
  EXPECT_EQ(lent(), 4U) << "the others may not have come to the barrier";
  EXPECT_EQ(code_of(home->lose_lent(borrower, {loan->number, std::span(frames).first(1)})),
            Code::not_found);
  home->free_loans_of(2);
  EXPECT_EQ(lent(), 0U);
  home->clean_up();
  EXPECT_EQ(home->frames_in(FrameState::free), pages);
}

TEST_F(LoansTest, ASegmentGetsFramesBackThatAreGivenWhenAsked) {
  const auto kernel = attach_kernel(2);
  const auto loan = lend(100);
  ASSERT_TRUE(loan);
  std::future<void> returning;
  home->use_recall([&](CellId cell, PageRange) {
    EXPECT_EQ(cell, 2);
    returning = std::async(std::launch::async, [&] {
      EXPECT_TRUE(home->take_return(borrower, loan->number, loan->runs));
    });
  });
  make(attach(), "large", pages);
  EXPECT_EQ(lent(), 0U);
}

TEST_F(LoansTest, ASegmentTakesFramesBackThatNobodyGives) {
  start_with({.recall_ns = 1});
  const auto kernel = attach_kernel(2);
  const auto loan = lend(100);
  ASSERT_TRUE(loan);
  const auto client = attach();
  const auto s = make(client, "large", pages);
  EXPECT_EQ(lent(), 0U);
  const std::uint32_t frame = loan->runs[0].first;
  EXPECT_FALSE(kernel.space->store(frame, 1));
  const auto frames = frames_of(*loan);
  EXPECT_EQ(code_of(home->lose_lent(borrower, {loan->number, std::span(frames).first(1)})),
            Code::not_found);
  EXPECT_TRUE(home->take_return(borrower, loan->number, loan->runs)) << "it may not know";
  ASSERT_TRUE(load_fault(client, s.pages.first));
  expect_sound();
}

TEST_F(LoansTest, ABorrowerHasABoundedNumberOfLoans) {
  const auto kernel = attach_kernel(2);
  std::vector<std::uint64_t> known;
  for (std::size_t i = 0; i < loans_per_borrower_max; ++i) {
    const auto loan = lend(1, known);
    ASSERT_TRUE(loan);
    known.push_back(loan->number);
  }
  EXPECT_EQ(code_of(lend(1, known)), Code::exhausted);
  EXPECT_EQ(lent(), loans_per_borrower_max);
}

}  // namespace
}  // namespace hive::cell::test
