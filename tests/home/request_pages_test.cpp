#include "cell/gate/request_pages.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/safe_copy.h"

namespace hive::cell {
namespace {

UniqueFd make_memfd(std::uint64_t bytes, bool magic, int seals) {
  UniqueFd fd(::memfd_create("requests", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  const proto::GateRequests requests;
  if (magic) {
    EXPECT_GT(::pwrite(fd.get(), &requests.magic, sizeof requests.magic, 0), 0);
  }
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

TEST(RequestPages, TakesOnlyASealedMemfdOfTheRightSizeAndContent) {
  install_safe_copy_handler();
  constexpr std::uint64_t bytes = proto::gate_request_bytes;
  EXPECT_TRUE(RequestPages::map(make_memfd(bytes, true, F_SEAL_SHRINK)));
  EXPECT_TRUE(RequestPages::map(make_memfd(bytes, true, F_SEAL_SHRINK | F_SEAL_GROW)));
  EXPECT_FALSE(RequestPages::map(make_memfd(bytes, true, F_SEAL_GROW)));
  EXPECT_FALSE(RequestPages::map(make_memfd(bytes - 1, true, F_SEAL_SHRINK)));
  EXPECT_FALSE(RequestPages::map(make_memfd(bytes, false, F_SEAL_SHRINK)));
  EXPECT_FALSE(RequestPages::map(UniqueFd()));
  EXPECT_FALSE(RequestPages::map(UniqueFd(::open("/dev/zero", O_RDWR | O_CLOEXEC))));
}

TEST(RequestPages, SeesWhatTheTaskPostsAndSurvivesItsTricks) {
  UniqueFd fd = make_memfd(proto::gate_request_bytes, true, F_SEAL_SHRINK);
  void* memory = ::mmap(nullptr, proto::gate_request_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                        fd.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* requests = static_cast<proto::GateRequests*>(memory);
  UniqueFd copy(::dup(fd.get()));
  const auto pages = RequestPages::map(std::move(copy));
  ASSERT_TRUE(pages);
  requests->posted[3].store(17);
  requests->slots[3].args[5] = 99;
  requests->slots[3].name[0] = 'n';
  std::uint32_t value = 0;
  EXPECT_TRUE(pages->posted(3, value));
  EXPECT_EQ(value, 17u);
  RequestCopy copied;
  EXPECT_TRUE(pages->copy(3, copied));
  EXPECT_EQ(copied.args[5], 99u);
  EXPECT_EQ(copied.name_text(), "n");
  // The memory goes from under the mapping; what is read is nothing, and nobody crashes.
  ASSERT_EQ(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                        proto::gate_request_bytes), 0);
  EXPECT_TRUE(!pages->posted(3, value) || value == 0);
  ::munmap(memory, proto::gate_request_bytes);
}

}  // namespace
}  // namespace hive::cell
