#include "cell/home/local_names.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace hive::cell {
namespace {

bool never(std::string_view) { return false; }

TEST(LocalNames, ANameThatExistsIsRefused) {
  LocalNames names(1, [](std::string_view name) { return name == "here"; });
  EXPECT_EQ(names.reserve("here", 0, 0).error().code, Code::exists);
  EXPECT_EQ(names.begin("here", 0).error().code, Code::exists);
  EXPECT_TRUE(names.begin("there", 0));
  EXPECT_FALSE(names.begin("there", 0)) << "another task of this cell makes it";
  EXPECT_TRUE(names.confirm("there"));
  names.finish("there");
  EXPECT_EQ(names.size(), 0u);
}

TEST(LocalNames, TheLowerCellWinsATie) {
  LocalNames names(1, never);
  ASSERT_TRUE(names.begin("x", 0));
  EXPECT_FALSE(names.reserve("x", 2, 0));
  EXPECT_TRUE(names.reserve("x", 0, 0));
  EXPECT_FALSE(names.confirm("x"));
  names.finish("x");
  ASSERT_TRUE(names.begin("y", 0));
  ASSERT_TRUE(names.confirm("y"));
  EXPECT_FALSE(names.reserve("y", 0, 0)) << "it is being made";
}

TEST(LocalNames, ReservationsEndByReleaseDeathOrTime) {
  LocalNames names(1, never);
  ASSERT_TRUE(names.reserve("x", 3, 0));
  EXPECT_FALSE(names.begin("x", 0));
  EXPECT_FALSE(names.reserve("x", 4, 0));
  EXPECT_TRUE(names.reserve("x", 3, 0)) << "asked twice";
  names.release("x", 4);
  EXPECT_FALSE(names.begin("x", 0)) << "released by somebody else";
  names.release("x", 3);
  EXPECT_TRUE(names.reserve("x", 4, 0));
  names.forget_cell(4);
  EXPECT_TRUE(names.reserve("x", 5, 0));
  EXPECT_TRUE(names.begin("x", reservation_life_ns));
}

// Cells that create the same name at once, with their questions in every order: exactly one wins.
TEST(LocalNames, OneCellWinsWhateverTheOrderOfTheQuestions) {
  constexpr int cells = 4;
  for (unsigned seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::array<bool, cells> made{};
    std::vector<std::unique_ptr<LocalNames>> names;
    for (int c = 0; c < cells; ++c) {
      names.push_back(std::make_unique<LocalNames>(
          c, [&made, c](std::string_view) { return made[static_cast<std::size_t>(c)]; }));
    }
    struct Creation {
      int cell;
      std::vector<int> to_ask;
      std::vector<int> granted;
      bool begun = false;
    };
    std::vector<Creation> creations;
    for (int c = 0; c < cells; ++c) {
      if (random() % 3 == 0) continue;
      Creation creation{c, {}, {}};
      for (int other = 0; other < cells; ++other) {
        if (other != c) creation.to_ask.push_back(other);
      }
      std::shuffle(creation.to_ask.begin(), creation.to_ask.end(), random);
      creations.push_back(creation);
    }
    const bool anybody = !creations.empty();
    int made_count = 0;
    while (!creations.empty()) {
      const std::size_t i = random() % creations.size();
      Creation& creation = creations[i];
      LocalNames& own = *names[static_cast<std::size_t>(creation.cell)];
      bool over = false;
      if (!creation.begun) {
        creation.begun = true;
        over = !own.begin("x", 0).has_value();
      } else if (!creation.to_ask.empty()) {
        const int other = creation.to_ask.back();
        creation.to_ask.pop_back();
        if (names[static_cast<std::size_t>(other)]->reserve("x", creation.cell, 0)) {
          creation.granted.push_back(other);
        } else {
          over = true;
        }
      } else {
        over = true;
        if (own.confirm("x")) {
          made[static_cast<std::size_t>(creation.cell)] = true;
          ++made_count;
        }
      }
      if (!over) continue;
      own.finish("x");
      for (const int other : creation.granted) {
        names[static_cast<std::size_t>(other)]->release("x", creation.cell);
      }
      creations.erase(creations.begin() + static_cast<std::ptrdiff_t>(i));
    }
    ASSERT_EQ(made_count, anybody ? 1 : 0);
  }
}

}  // namespace
}  // namespace hive::cell
