// What one data home has another one do: the parts of a change of names that lie on its disk.
//
// An order is a call that is acknowledged at once, so that no server of RPC waits for a disk, and
// whose outcome comes back in a call of its own. Orders are carried out one after the other in the
// order in which they came, by a thread that never waits for an order of its own: so cells can't
// wait for each other in a circle, and a question that follows an order that was given up finds it
// done, or never to be done. All of them may be given again.
//
// A name that does not fit into a message lies in the kernel memory of who asks, and is read from
// there with care.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include <hive/error.h>
#include "base/work_pool.h"
#include "cell/careful/careful.h"
#include "cell/files/types.h"
#include "cell/rpc/rpc_endpoint.h"

namespace hive::cell {

inline constexpr std::uint64_t file_order_timeout_ns = 20 * ns_per_s;

enum class FileOrderKind : std::uint8_t {
  make = 1,          // mode -> number: a file that the other home names next
  adopt,             // entry: it has a name. ENOENT: it is not there
  drop,              // entry: it has no name any more
  remove_directory,  // entry. ENOTEMPTY
  take_over,         // entry, directory, name: gets this name here
  leads_to,          // entry, directory -> 1: a name in the directory leads to it
  is_claimed,        // entry -> 1: the home that is asked is naming it
};

struct FileOrder {
  FileOrderKind kind = FileOrderKind::make;
  FileEntry entry{};
  std::uint32_t mode = 0;
  FileNumber directory = 0;
  std::string name{};
};

class HomeOrders {
 public:
  // Carries out an order of another cell. An errno, or 0, and a value.
  struct Outcome {
    int error = 0;
    std::uint64_t value = 0;
  };
  using CarryOut = std::function<Outcome(CellId from, const FileOrder& order)>;
  using IsLive = std::function<bool(CellId)>;

  HomeOrders(CellId self, const machine::Layout& layout, TaggedHeap& heap, RpcEndpoint& rpc,
             IsLive is_live, CarryOut carry_out);

  // Before rpc.start().
  void serve();
  void stop() { lane_.stop(); }

  // Has another cell carry out an order, and waits for the outcome. Not from within an order.
  // Errors: EHOSTDOWN (it is down; it may or may not have happened), ETIMEDOUT (the same), and
  // what it says.
  Result<std::uint64_t> give(CellId to, const FileOrder& order);

 private:
  // The name of an order, for the other cell to read.
  struct TaggedName {
    static constexpr std::uint32_t type = type_name("FNAM");
    TypeTag tag;
    std::uint32_t length = 0;
    std::array<char, proto::file_name_max + 1> text{};
  };
  struct OrderBody {
    std::uint64_t ticket = 0;
    std::uint64_t deadline_ns = 0;  // not begun after that
    std::uint64_t number = 0;
    std::uint64_t directory = 0;
    std::uint64_t name_address = 0;  // 0: none
    std::uint32_t mode = 0;
    std::uint8_t kind = 0;
    std::uint8_t entry_kind = 0;
    std::uint8_t entry_home = 0;
    std::uint8_t reserved = 0;
  };
  struct DoneBody {
    std::uint64_t ticket = 0;
    std::uint64_t value = 0;
    std::int32_t error = 0;
    std::int32_t reserved = 0;
  };
  static_assert(sizeof(OrderBody) <= rpc_body_max);
  struct Waiting {
    CellId cell = -1;
    bool done = false;
    Outcome outcome;
  };

  Result<void> take(const RpcRequest& request);
  Result<void> end(const RpcRequest& request);
  void carry_out(CellId from, std::uint64_t ticket, std::uint64_t deadline_ns,
                 const FileOrder& order);
  Result<std::string> read_name(CellId from, std::uint64_t address) const;
  Result<std::uint64_t> await(std::uint64_t ticket, CellId to, std::uint64_t deadline_ns);

  const CellId self_;
  const machine::Layout layout_;
  TaggedHeap& heap_;
  RpcEndpoint& rpc_;
  const IsLive is_live_;
  const CarryOut carry_out_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Waiting> waiting_;  // guarded by mutex_; by ticket
  std::uint64_t last_ticket_ = 0;             // guarded by mutex_
  WorkPool lane_{1, file_queue_max};
};

}  // namespace hive::cell
