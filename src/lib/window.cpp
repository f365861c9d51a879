#include <hive/window.h>

#include <utility>

#include "lib/segment_impl.h"

namespace hive {

WriteWindow::WriteWindow(std::shared_ptr<lib::SegmentImpl> impl, std::uint32_t id, std::byte* data,
                         std::uint64_t length)
    : impl_(std::move(impl)), id_(id), data_(data), length_(length) {}

WriteWindow::WriteWindow(WriteWindow&& other) noexcept
    : impl_(std::move(other.impl_)),
      id_(std::exchange(other.id_, 0)),
      data_(std::exchange(other.data_, nullptr)),
      length_(std::exchange(other.length_, 0)) {}

WriteWindow& WriteWindow::operator=(WriteWindow&& other) noexcept {
  if (this == &other) return *this;
  if (impl_) impl_->abort_window(id_);
  impl_ = std::move(other.impl_);
  id_ = std::exchange(other.id_, 0);
  data_ = std::exchange(other.data_, nullptr);
  length_ = std::exchange(other.length_, 0);
  return *this;
}

WriteWindow::~WriteWindow() {
  if (impl_) impl_->abort_window(id_);
}

std::byte* WriteWindow::data() const { return data_; }
std::uint64_t WriteWindow::length() const { return length_; }

Result<void> WriteWindow::commit() {
  if (!impl_) return fail(Code::bad_argument, "the window is not open in this task");
  const auto impl = std::exchange(impl_, nullptr);
  return impl->commit_window(id_);
}

}  // namespace hive
