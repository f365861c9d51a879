// Measurements that only a kernel can take, for `hive bench`: control request
// {"op": "bench", "name": NAME, ...} -> {"ok": true, "ns": FOR ONE OPERATION}.
//
//   spin        {on}                  whether RPC and the receive loop of this cell may spin
//   publish     {}                    -> {small, large, list}: addresses of structures to be read
//   rpc.null    {peer, count}         calls served at interrupt level
//   rpc.queued  {peer, count}         calls served by a server thread
//   careful.64B, careful.4KiB {peer, address, count}; careful.list1000 {peer, address, count}
//   firewall.open_close, firewall.takeback {peer, pages, count}
//   frame.borrow_return {peer, pages, count}   of whoever has most to spare; the peer is not read
//
// Each figure is the median of batches, so that a moment in which somebody else had the processor
// does not count. Runs as an errand: it blocks for as long as the measurement takes.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include <nlohmann/json.hpp>

#include <hive/error.h>
#include "cell/borrow/borrowed_frames.h"
#include "cell/careful/careful.h"
#include "cell/control/clients.h"
#include "cell/heap/tagged_heap.h"
#include "cell/home/home.h"
#include "cell/rpc/rpc_endpoint.h"
#include "machine/linux/firewall.h"

namespace hive::cell {

inline constexpr std::int64_t measure_count_max = 1'000'000;  // of operations in one request
inline constexpr std::int64_t measure_pages_max = 1024;
inline constexpr std::uint32_t measure_list_length = 1000;

class Measure {
 public:
  using Json = nlohmann::json;
  struct Parts {
    const machine::Layout& layout;
    TaggedHeap& heap;
    machine::NodeMemory& memory;
    Home& home;
    Clients& clients;
    RpcEndpoint& rpc;
    BorrowedFrames& borrowed;
  };
  explicit Measure(const Parts& parts) : parts_(parts) {}

  // Throws Json::exception when the request lacks a member. Errors: bad_argument, and those of
  // what is measured.
  Result<Json> run(const Json& request);

 private:
  struct Job {
    CellId peer = -1;
    std::int64_t count = 0;
    std::uint64_t address = 0;
    std::uint32_t pages = 0;
  };
  // Addresses in this cell's heap.
  struct Published {
    std::uint64_t small = 0;
    std::uint64_t large = 0;
    std::uint64_t list = 0;
  };
  Result<Job> read_job(const Json& request) const;
  Result<double> run_job(const std::string& name, const Job& job);
  Result<Published> publish();
  Result<double> calls(const Job& job, std::uint16_t opcode);
  template <Tagged T>
  Result<double> careful(const Job& job) const;
  Result<double> careful_list(const Job& job) const;
  Result<double> firewall(const Job& job, bool take_back);
  Result<double> borrow_and_return(const Job& job);
  Result<double> open_and_close(ClientSpace& space, machine::PageRange pages, std::int64_t count);
  Result<double> take_back(ClientSpace& space, machine::PageRange pages, std::int64_t count);

  const Parts parts_;
  std::mutex mutex_;
  std::optional<Published> published_;  // stays to the cell's end; guarded by mutex_
};

}  // namespace hive::cell
