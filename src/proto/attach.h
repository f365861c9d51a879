// How a process attaches to a cell: the messages on the cell's socket, as both sides see them.
//
//   process                                   cell
//   AttachHello + [pidfd, request memfd]  ->        (a kernel sends no request memfd)
//          <- AttachWelcome + [kernel memfd, user memfd, doorbell]
//             (to a kernel also: power, starter and kernel pidfds, and O_PATH memfd of user
//             memory)
//   maps, registers; AttachFence + [userfaultfd]  ->    (no descriptor in cooperative mode)
//          <- AttachReady
// Magic and version come first in every version of hello and welcome, so that each side can tell
// the other that theirs differ; protocol_version also counts the layout of gate.h.
// The connection stays open; its end, or the pidfd, tells the cell that the process has died. A
// process that detaches on purpose sends AttachGoodbye before it closes.
// The same socket takes control requests (control.h), which begin with '{'.
#pragma once

#include <array>
#include <cstdint>

#include "machine/layout.h"
#include "proto/pages.h"

namespace hive::proto {

inline constexpr std::uint32_t attach_magic = 0x41565648;  // "HVVA"
inline constexpr std::uint32_t protocol_version = 6;

enum class AttachKind : std::uint32_t { task = 1, kernel = 2 };

struct AttachHello {
  std::uint32_t magic = attach_magic;
  std::uint32_t version = protocol_version;
  AttachKind kind = AttachKind::task;
  std::int32_t cell = -1;     // the process's own cell; for a kernel its own number
  std::uint64_t task = 0;     // 0: a task that attaches to its own cell, which numbers it
  std::uint64_t cookie = 0;   // of a task started by `hive run` ($HIVE_TASK_COOKIE), else 0
  std::uint64_t incarnation = 0;  // of a kernel, else 0
  std::array<char, 64> program{};
};

struct AttachWelcome {
  std::uint32_t magic = attach_magic;
  std::uint32_t version = protocol_version;
  std::uint32_t accepted = 0;  // 0: refused, see code and cause; no descriptors follow
  std::uint32_t code = 0;      // hive::Code
  std::array<char, 96> cause{};
  machine::Layout layout{};
  std::uint64_t incarnation = 0;
  std::uint64_t task = 0;          // this task's machine-wide number
  std::uint64_t replies =
      0;  // address of its GateReplies in the node's kernel memory; 0 for a kernel
  PageRoots pages;  // of cached files
  std::uint32_t trusts_pages = 0;  // 1: a defence is off, see machine::Sabotage::sequence
  std::uint32_t reserved = 0;
  std::uint32_t firewall_mode = 0;  // machine::FirewallMode
  std::int32_t node = -1;
  std::int32_t span_index = 0;
  std::int32_t span_count = 1;
  std::array<char, 32> span_id{};
  std::array<char, 64> machine{};
};

struct AttachFence {
  std::uint32_t magic = attach_magic;
  std::uint32_t reserved = 0;
};

struct AttachGoodbye {
  std::uint32_t magic = attach_magic;
  std::uint32_t goodbye = 1;
};

struct AttachReady {
  std::uint32_t magic = attach_magic;
  std::uint32_t code = 0;
};

}  // namespace hive::proto
