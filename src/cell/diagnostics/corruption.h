// Corrupts what this kernel publishes: a word, or a pointer, of a structure that other cells or
// tasks read. The store is a plain one to its own memory, as a bug of its own would make it.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/boot/published.h"
#include "cell/heap/tagged_heap.h"
#include "machine/layout.h"
#include "machine/node_header.h"

namespace hive::cell {

// What there is to corrupt in.
struct PublishedMemory {
  machine::Layout layout;
  CellId self = -1;
  TaggedHeap& heap;
  CellRoot*& root;  // there once the kernel has made it
};

// A piece of a structure, and the words in it that are pointers; addresses.
struct PublishedPiece {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  std::vector<std::uint64_t> pointers{};
};

struct PublishedStructure {
  const char* name;
  const char* what;
  bool has_pointers;
  std::function<std::vector<PublishedPiece>(const PublishedMemory&)> find;  // those there are now
};
const std::vector<PublishedStructure>& published_structures();

struct Corruption {
  std::uint64_t address = 0;
  std::uint64_t offset = 0;  // from the beginning of the piece
  std::uint64_t old_value = 0;
  std::uint64_t new_value = 0;
};

// Draws one. how: "word" (random bits), or for a pointer "own", "other" (a random address of this,
// of another cell's kernel memory), "off-by-one" (a word further or nearer), "self" (the structure
// it lies in). Errors: bad_argument, not_found (there is no such structure just now).
Result<Corruption> draw_corruption(const PublishedMemory& memory, const std::string& structure,
                                   const std::string& how, std::uint64_t seed);
void corrupt(const Corruption& corruption);

}  // namespace hive::cell
