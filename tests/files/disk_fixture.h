// A disk in a directory of its own, which goes with the test.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "cell/files/disk_store.h"

namespace hive::cell::test {

// What a call says: 0, or the errno of its error.
template <class T>
int errno_in(const Result<T>& result) {
  return result ? 0 : errno_of(result.error());
}

class DiskTest : public testing::Test {
 protected:
  static constexpr CellId self = 1;
  static constexpr CellId other = 2;
  static constexpr std::uint32_t cells = 4;

  DiskTest() {
    std::string pattern = testing::TempDir() + "hive-disk-XXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    path = pattern;
    reopen();
  }
  ~DiskTest() override {
    store.reset();
    std::filesystem::remove_all(path);
  }
  // As the next kernel does.
  void reopen() {
    store.reset();
    auto opened = DiskStore::open(path, self, cells);
    ASSERT_TRUE(opened) << opened.error().message();
    store = std::move(*opened);
  }
  std::vector<std::string> names(FileNumber directory) {
    bool more = false;
    const auto listed = store->list(directory, "", 1 << 20, more);
    std::vector<std::string> all;
    if (!listed) return {"(" + listed.error().message() + ")"};
    for (const auto& one : *listed) all.push_back(one.name);
    return all;
  }
  // How many things are in a folder of the disk.
  std::size_t count(const char* folder) {
    const auto begin = std::filesystem::directory_iterator(path + "/" + folder);
    return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator()));
  }

  std::string path;
  std::unique_ptr<DiskStore> store;
};

}  // namespace hive::cell::test
