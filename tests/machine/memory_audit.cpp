#include "tests/machine/memory_audit.h"

#include <fstream>
#include <sstream>

namespace hive::test {
namespace {

bool has_flags(const std::string& flags, std::initializer_list<const char*> wanted) {
  for (const char* flag : wanted) {
    if ((flags + " ").find(std::string(" ") + flag + " ") == std::string::npos) return false;
  }
  return true;
}

// What is wrong with one mapping, or nothing. `flags`: the VmFlags line of smaps.
std::string fault_of(const std::string& mapping, const std::string& flags, bool own_kernel) {
  std::istringstream words(mapping);
  std::string range;
  std::string permissions;
  words >> range >> permissions;
  const bool writable = permissions.find('w') != std::string::npos;
  const bool kernel = mapping.find("/memfd:hive-kernel-") != std::string::npos;
  if (!has_flags(flags, {"dc", "dd"})) return "copied by fork or by a core dump";
  if (kernel && writable && !own_kernel) return "writable kernel memory of another node";
  // Faults of missing and of unmapped pages, and write protection, go to a userfaultfd.
  if (!kernel && writable && !has_flags(flags, {"um", "ui", "uw"}))
    return "writable and not fenced";
  return "";
}

}  // namespace

std::vector<std::string> audit_node_mappings(pid_t process, bool own_kernel) {
  std::ifstream file("/proc/" + std::to_string(process) + "/smaps");
  std::vector<std::string> faults;
  std::string mapping;
  int seen = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.find("/memfd:hive-") != std::string::npos) mapping = line;
    if (!line.starts_with("VmFlags:") || mapping.empty()) continue;
    ++seen;
    const std::string fault = fault_of(mapping, line, own_kernel);
    if (!fault.empty()) faults.push_back(fault + ": " + mapping + " [" + line + "]");
    mapping.clear();
  }
  if (seen == 0) faults.push_back("no mapping of node memory at all");
  return faults;
}

}  // namespace hive::test
