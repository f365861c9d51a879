#include <hive/segment.h>

#include <utility>

#include "lib/segment_impl.h"

namespace hive {

static_assert(page_size == machine::page_bytes);

Segment::Segment(std::shared_ptr<lib::SegmentImpl> impl) : impl_(std::move(impl)) {}
Segment::Segment(Segment&&) noexcept = default;
Segment& Segment::operator=(Segment&& other) noexcept {
  if (this != &other) {
    if (impl_) impl_->close();
    impl_ = std::move(other.impl_);
  }
  return *this;
}
Segment::~Segment() {
  if (impl_) impl_->close();
}

const std::byte* Segment::data() const { return impl_->data(); }
std::uint64_t Segment::size() const { return impl_->bytes(); }
int Segment::home() const { return impl_->home(); }
const std::string& Segment::name() const { return impl_->name(); }

Result<WriteWindow> Segment::write(std::uint64_t offset, std::uint64_t length, WindowMode mode) {
  const auto pages = impl_->pages_of(offset, length);
  if (!pages) return fail(pages.error());
  if (pages->count == 0) {
    return fail(Code::bad_argument, "a window covers at least one byte", impl_->home());
  }
  auto id = impl_->open_window(*pages, mode);
  if (!id) return fail(id.error());
  return WriteWindow(impl_, *id, impl_->data() + offset, length);
}

Result<WriteWindow> Segment::write_all(WindowMode mode) { return write(0, size(), mode); }

Result<void> Segment::read(std::uint64_t offset, std::span<std::byte> out) const {
  return impl_->read(offset, out);
}
Result<void> Segment::put(std::uint64_t offset, std::span<const std::byte> bytes) {
  return impl_->put(offset, bytes);
}
Result<void> Segment::touch(std::uint64_t offset, std::uint64_t length) const {
  return impl_->touch(offset, length);
}
Result<void> Segment::reset(std::uint64_t offset, std::uint64_t length) {
  return impl_->reset(offset, length);
}
Result<void> Segment::destroy() { return impl_->destroy(); }

}  // namespace hive
