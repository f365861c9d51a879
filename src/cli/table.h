// Tables for people: columns as wide as their widest cell.
#pragma once

#include <string>
#include <vector>

namespace hive::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> heads) { rows_.push_back(std::move(heads)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  void print() const;  // to standard output

 private:
  std::vector<std::vector<std::string>> rows_;  // the heads first
};

// What another process says is printed without its control characters.
std::string printable(std::string text);

}  // namespace hive::cli
