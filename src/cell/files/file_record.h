// What a data home publishes of a file that somebody has open: proto::FileRecord, which tasks read
// to know whether what they find in the page cache is the file's.
//
// Written under the page cache's mutex; read by anybody at any time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cell/heap/tagged_heap.h"
#include "proto/pages.h"

namespace hive::cell {

struct FileRecord {
  static constexpr std::uint32_t type = type_name("FREC");
  TypeTag tag;
  std::uint64_t number = 0;
  std::atomic<std::uint64_t> version{0};
  std::atomic<std::uint64_t> size{0};
  std::atomic<std::uint64_t> generation{0};

  // Around every change that takes bytes away.
  void begin_cut() {
    version.fetch_add(1);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // before anything is gone
  }
  void end_cut(std::uint64_t bytes) {
    size.store(bytes, std::memory_order_release);
    version.fetch_add(1, std::memory_order_release);
  }
};
static_assert(sizeof(FileRecord) == sizeof(proto::FileRecord));
static_assert(FileRecord::type == proto::FileRecord::type);
static_assert(offsetof(FileRecord, number) == offsetof(proto::FileRecord, number));
static_assert(offsetof(FileRecord, version) == offsetof(proto::FileRecord, version));
static_assert(offsetof(FileRecord, size) == offsetof(proto::FileRecord, size));
static_assert(offsetof(FileRecord, generation) == offsetof(proto::FileRecord, generation));

}  // namespace hive::cell
