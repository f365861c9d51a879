#include <hive/session.h>

#include <utility>

#include <hive/segment.h>

#include "lib/name_copy.h"
#include "lib/segment_impl.h"
#include "lib/session_impl.h"

namespace hive {

Result<Session> Session::attach(const AttachOptions& options) {
  auto impl = lib::SessionImpl::attach(options);
  if (!impl) return fail(impl.error());
  return Session(std::move(*impl));
}

Session::Session(std::shared_ptr<lib::SessionImpl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&& other) noexcept {
  if (this != &other) {
    if (impl_) impl_->detach();
    impl_ = std::move(other.impl_);
  }
  return *this;
}
Session::~Session() {
  if (impl_) impl_->detach();
}

int Session::cell() const { return impl_->membership().cell; }
std::uint64_t Session::task() const { return impl_->membership().task; }
std::uint64_t Session::epoch() const { return impl_->epoch(); }

int Session::news_descriptor() const { return impl_->news_descriptor(); }
std::optional<News> Session::next_news() { return impl_->next_news(); }

std::vector<CellView> Session::cells() const {
  const CellSet live = impl_->live_set();
  std::vector<CellView> cells(impl_->membership().layout.cells);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    cells[i].id = static_cast<int>(i);
    cells[i].up = live.has(static_cast<CellId>(i));
  }
  return cells;
}

int Session::span_index() const { return impl_->membership().span_index; }
int Session::span_count() const { return impl_->membership().span_count; }
std::string Session::span_id() const { return impl_->membership().span_id; }

Result<Segment> Session::create(std::string_view name, std::uint64_t size,
                                const SegmentOptions& options) {
  const std::uint64_t flags =
      (options.keep ? proto::segment_flag_keep : 0) |
      (options.on_loss == OnLoss::rollback ? proto::segment_flag_rollback : 0);
  auto impl = lib::create_segment(impl_, lib::NameCopy(name).view(), size, options.home, flags);
  if (!impl) return fail(impl.error());
  return Segment(std::move(*impl));
}

Result<Segment> Session::create(std::string_view name, std::uint64_t size) {
  return create(name, size, SegmentOptions{});
}

Result<Segment> Session::open(std::string_view name, std::chrono::nanoseconds wait) {
  auto impl = lib::open_segment(impl_, lib::NameCopy(name).view(), wait);
  if (!impl) return fail(impl.error());
  return Segment(std::move(*impl));
}

}  // namespace hive
