#include "machine/linux/firewall.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include <sched.h>

#include "machine/fault_point.h"
#include "machine/linux/userfault.h"

namespace hive::machine {
namespace {

// Linux asks to try again while the fenced process changes its mappings.
constexpr int retries_max = 10000;

// The bits of `range` that lie in the word with this number.
std::uint64_t mask_in_word(PageRange range, std::uint32_t word) {
  const std::uint32_t begin = std::max(range.first, word * 64);
  const std::uint32_t end = std::min(range.end(), word * 64 + 64);
  if (begin >= end) return 0;
  const std::uint32_t bits = end - begin;
  const std::uint64_t ones = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
  return ones << (begin % 64);
}

}  // namespace

bool FencedSpace::Bits::has(std::uint32_t page) const {
  return words_[page / 64].load(std::memory_order_relaxed) >> (page % 64) & 1;
}

std::uint32_t FencedSpace::Bits::count(PageRange range) const {
  int count = 0;
  for (std::uint32_t word = range.first / 64; word * 64 < range.end(); ++word) {
    const std::uint64_t bits = words_[word].load(std::memory_order_relaxed);
    count += std::popcount(bits & mask_in_word(range, word));
  }
  return static_cast<std::uint32_t>(count);
}

void FencedSpace::Bits::set(PageRange range, bool value) {
  for (std::uint32_t word = range.first / 64; word * 64 < range.end(); ++word) {
    const std::uint64_t mask = mask_in_word(range, word);
    if (value) {
      words_[word].fetch_or(mask, std::memory_order_relaxed);
    } else {
      words_[word].fetch_and(~mask, std::memory_order_relaxed);
    }
  }
}

FencedSpace::FencedSpace(UniqueFd userfault, const Layout& layout, CellId node, FirewallMode mode,
                         const Sabotage& sabotage)
    : userfault_(std::move(userfault)),
      layout_(layout),
      node_(node),
      mode_(mode),
      never_closes_(sabotage.firewall),
      given_(layout.user_pages()),
      open_(layout.user_pages()) {}

std::uint64_t FencedSpace::address(std::uint32_t page) const {
  return layout_.user_begin(node_) + page * page_bytes;
}

Failure FencedSpace::failure_of(int refused) const {
  if (refused == ESRCH || refused == ENOENT) {
    return fail(Code::not_found, "the process is gone, or has unmapped the node", node_, refused);
  }
  return fail(Code::host, "userfaultfd refused to change a page", node_, refused);
}

// Maps the pages that are not there; those without memory stay away.
Result<std::uint32_t> FencedSpace::install(std::uint64_t address, std::uint32_t count, bool closed,
                                           const Note& note) {
  if (never_closes_) closed = false;
  std::uint32_t page = 0;
  std::uint32_t fresh = 0;
  std::uint32_t step = count;
  for (int retries = 0; page < count;) {
    std::uint64_t done = 0;
    const std::uint32_t pages = std::min(step, count - page);
    const int refused =
        userfault_continue(userfault_.get(), address + page * page_bytes, pages * page_bytes,
                           closed && mode_ == FirewallMode::mmu, done);
    const auto mapped = static_cast<std::uint32_t>(done / page_bytes);
    note({page, mapped}, true);
    page += mapped;
    fresh += mapped;
    if (refused == 0 || mapped > 0) continue;
    if (refused == EAGAIN && ++retries < retries_max) {
      ::sched_yield();
      continue;
    }
    if (refused == ENOENT && step > 1) {
      step = 1;  // perhaps the run lies in several mappings, see protect_pages()
      continue;
    }
    // EFAULT: a hole in the memory. EINVAL: it has been truncated.
    const bool hole = refused == EFAULT || refused == EINVAL;
    if (!hole && refused != EEXIST) return failure_of(refused);
    note({page, 1}, !hole);
    ++page;
  }
  // Kernels that cannot install a page closed: nobody has begun to store there, and nobody can
  // from here on.
  if (closed && mode_ == FirewallMode::mmu_windowed) {
    if (auto done = protect_pages(address, count, true); !done) return fail(done.error());
  }
  return fresh;
}

// Installs what is missing as far as we know, or everything, in runs of the same kind.
Result<std::uint32_t> FencedSpace::install_missing(PageRange range, bool all) {
  std::uint32_t fresh = 0;
  const auto wanted = [&](std::uint32_t page) { return all || !given_.has(page); };
  for (std::uint32_t page = range.first; page < range.end();) {
    if (!wanted(page)) {
      ++page;
      continue;
    }
    const bool is_open = open_.has(page);
    std::uint32_t end = page + 1;
    while (end < range.end() && wanted(end) && open_.has(end) == is_open) ++end;
    auto installed = install(address(page), end - page, !is_open, [&](PageRange run, bool there) {
      given_.set({page + run.first, run.count}, there);
    });
    if (!installed) return installed;
    fresh += *installed;
    page = end;
  }
  return fresh;
}

// Kernels before 6.4 refuse a range that lies in several mappings, as it does where the process
// has changed the protection of a part of it, with the same ENOENT that means that nothing is
// mapped there at all; and they have then changed nothing. So a range is given up only page by
// page.
Result<void> FencedSpace::protect_pages(std::uint64_t address, std::uint32_t count, bool on) {
  if (never_closes_) on = false;  // what the process has closed itself is opened again
  if (count == 0) return {};
  for (int retries = 0; retries < retries_max; ++retries) {
    const int refused = userfault_protect(userfault_.get(), address, count * page_bytes, on);
    if (refused == 0) return {};
    if (refused == ENOENT && count > 1) {
      const std::uint32_t half = count / 2;
      const auto first = protect_pages(address, half, on);
      const auto second = protect_pages(address + half * page_bytes, count - half, on);
      return first ? second : first;
    }
    if (refused != EAGAIN) return failure_of(refused);
    ::sched_yield();
  }
  return failure_of(EAGAIN);
}

Result<std::uint32_t> FencedSpace::give(PageRange range) {
  if (!layout_.has_pages(range)) return fail(Code::bad_argument, "no such page", node_);
  if (mode_ == FirewallMode::cooperative) return range.count;
  const bool all = given_.count(range) == range.count;
  if (auto done = install_missing(range, all); !done) return fail(done.error());
  return given_.count(range);
}

Result<void> FencedSpace::open(PageRange range) {
  if (!layout_.has_pages(range)) return fail(Code::bad_argument, "no such page", node_);
  if (mode_ == FirewallMode::cooperative) return {};
  open_.set(range, true);
  Result<void> done{};
  auto fresh = install_missing(range, false);
  fault_point(FaultPoint::firewall_open);
  if (!fresh) {
    done = fail(fresh.error());
  } else if (given_.count(range) != range.count) {
    done = fail(Code::lost, "a page has no memory behind it", node_);
  } else if (*fresh != range.count) {
    done = protect_pages(address(range.first), range.count, false);
  }
  if (!done) [[maybe_unused]]
    auto closed = close(range);  // the first error is the one to tell
  return done;
}

Result<void> FencedSpace::close(PageRange range) {
  if (!layout_.has_pages(range)) return fail(Code::bad_argument, "no such page", node_);
  if (mode_ == FirewallMode::cooperative) return {};
  open_.set(range, false);
  fault_point(FaultPoint::firewall_close);
  return protect_pages(address(range.first), range.count, true);
}

namespace {

bool is_view(const Layout& layout, FirewallMode mode, std::uint64_t address, std::uint32_t count) {
  return mode != FirewallMode::cooperative && layout.in_views(address, count * page_bytes);
}

}  // namespace

Result<std::uint32_t> FencedSpace::give_at(std::uint64_t address, std::uint32_t count) {
  if (!is_view(layout_, mode_, address, count)) {
    return fail(Code::bad_argument, "no views are there", node_);
  }
  std::uint32_t there = 0;
  auto fresh = install(address, count, true,
                       [&](PageRange run, bool is) { there += is ? run.count : 0; });
  if (!fresh) return fresh;
  return there;
}

Result<void> FencedSpace::open_at(std::uint64_t address, std::uint32_t count) {
  if (!is_view(layout_, mode_, address, count)) {
    return fail(Code::bad_argument, "no views are there", node_);
  }
  std::uint32_t there = 0;
  const auto fresh = install(address, count, false,
                             [&](PageRange run, bool is) { there += is ? run.count : 0; });
  fault_point(FaultPoint::firewall_open);
  Result<void> done{};
  if (!fresh) {
    done = fail(fresh.error());
  } else if (there != count) {
    done = fail(Code::lost, "a page has no memory behind it", node_);
  } else if (*fresh != count) {
    done = protect_pages(address, count, false);
  }
  if (!done) [[maybe_unused]]
    auto closed = protect_pages(address, count, true);  // the first error is the one to tell
  return done;
}

Result<void> FencedSpace::close_at(std::uint64_t address, std::uint32_t count) {
  if (!is_view(layout_, mode_, address, count)) {
    return fail(Code::bad_argument, "no views are there", node_);
  }
  fault_point(FaultPoint::firewall_close);
  return protect_pages(address, count, true);
}

void FencedSpace::forget(PageRange range) {
  if (!layout_.has_pages(range)) return;
  given_.set(range, false);
  open_.set(range, false);
}

}  // namespace hive::machine
