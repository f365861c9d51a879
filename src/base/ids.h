// Cells, sets of cells, and their bounds.
#pragma once

#include <bit>
#include <cstdint>

namespace hive {

using CellId = int;  // 0 .. cells-1; a node has the number of its cell

inline constexpr int max_cells = 64;

// A set of cells in one word, so that it can be published and read atomically.
class CellSet {
 public:
  constexpr CellSet() = default;
  constexpr explicit CellSet(std::uint64_t bits) : bits_(bits) {}
  static constexpr CellSet first(int count) {
    return CellSet(count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1);
  }
  constexpr bool has(CellId cell) const { return (bits_ >> cell) & 1; }
  constexpr void add(CellId cell) { bits_ |= std::uint64_t{1} << cell; }
  constexpr void remove(CellId cell) { bits_ &= ~(std::uint64_t{1} << cell); }
  constexpr int count() const { return std::popcount(bits_); }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr CellId lowest() const { return bits_ == 0 ? -1 : std::countr_zero(bits_); }
  constexpr std::uint64_t bits() const { return bits_; }
  constexpr bool operator==(const CellSet&) const = default;

 private:
  std::uint64_t bits_ = 0;
};

}  // namespace hive
