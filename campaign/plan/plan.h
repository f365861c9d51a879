// The plan of a campaign's load: fixed before the run, computed from the seed alone. The load
// works by it, and the judge computes from it who must survive a fault and what each may lose by
// it.
//
// Each cell has four components:
//   worker     stores into its own area of the segments of several homes, in windows, and shares
//              counters, mutexes, queues, streams with the others. Copes with every error.
//   witness    touches memory, calls its own cell and the others, and notes how long it waited.
//   dependent  loads plainly from the segments of `depends`: it ends if that cell does.
//   filer      writes, syncs and names files on all homes (files.h), and keeps its cell short of
//              frames. Copes with every error.
// and is the home of three segments: `plain` (torn on loss), `undo` (rolled back on loss), `sync`.
//
//   plain, undo:  area of writer 0 | area of writer 1 | ... | area of the vandal   (area_pages
//   each) sync:         page 0: what the mutex guards; 1: words of the witnesses; then streams
// A segment's name has the incarnation of its home in it, so what is new is never taken for old.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace hive::campaign {

using Json = nlohmann::json;

enum class SegmentKind : int { plain = 0, undo = 1, sync = 2 };
inline constexpr int segment_kinds = 3;
const char* segment_kind_name(int kind);

enum class Role : int { worker = 0, witness = 1, dependent = 2, filer = 3 };
const char* role_name(Role role);

struct ComponentPlan {
  std::string name;
  Role role = Role::worker;
  int cell = 0;
  std::vector<int> writes;   // homes in whose plain and undo segments it has windows
  std::vector<int> shares;   // homes whose counter, mutex and queue it uses
  std::vector<int> depends;  // homes without which it ends
};

struct Plan {
  static constexpr int area_pages = 8;
  static constexpr int window_pages_max = 4;
  static constexpr int guarded_page = 0;  // of the sync segment
  static constexpr int witness_page = 1;
  static constexpr int value_page = 2;
  static constexpr int ring_page = 3;
  static constexpr std::uint64_t ring_records = 64;
  static constexpr std::uint64_t queue_items = 1'000'000;

  std::uint64_t seed = 0;
  int cells = 0;
  std::vector<ComponentPlan> components;

  int vandal_area() const { return cells; }
  std::uint64_t area_first_page(int writer) const {
    return static_cast<std::uint64_t>(writer) * area_pages;
  }
  std::uint64_t segment_pages(int kind) const;
  const ComponentPlan* find(const std::string& name) const;
};

Plan make_plan(std::uint64_t seed, int cells);
Json plan_json(const Plan& plan);
// Throws Json::exception for what is no plan.
Plan plan_from(const Json& json);
// Throws Json::exception, also when there is no such file.
Plan read_plan(const std::string& path);

std::string segment_name(int kind, int home, std::uint64_t incarnation);

}  // namespace hive::campaign
