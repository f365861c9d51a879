// A kernel that dies between any two steps of a change: the next one finds it done or not done,
// and nothing besides.
#include <csignal>
#include <functional>
#include <map>

#include <sys/wait.h>

#include "disk_fixture.h"
#include "machine/fault_point.h"

namespace hive::cell::test {
namespace {

constexpr FileNumber root = proto::file_root;
constexpr std::uint32_t steps_max = 100;

using Tree = std::map<std::string, std::string>;  // name to what it leads to

class DiskKill : public DiskTest {
 protected:
  // Names, kinds, numbers; of files that they are there. Fails where a name leads to nothing.
  Tree tree() {
    Tree all;
    add(all, "", root);
    return all;
  }
  void add(Tree& all, const std::string& path_of, FileNumber directory) {
    bool more = false;
    const auto listed = store->list(directory, "", 1 << 20, more);
    ASSERT_TRUE(listed) << path_of;
    for (const auto& one : *listed) {
      const std::string name = path_of + "/" + one.name;
      all[name] = entry_text(one.entry);
      if (one.entry.home != self) continue;
      ASSERT_TRUE(store->status(one.entry.number)) << name << " leads to nothing";
      if (one.entry.kind == FileKind::directory) add(all, name, one.entry.number);
    }
  }
  // Runs the change in a process that dies before the step; true: it got to the end.
  bool run_until(std::uint32_t step, const std::function<bool(DiskStore&)>& change) {
    const pid_t child = ::fork();
    if (child == 0) {
      machine::arm_fault_point(machine::FaultPoint::file_step, step);
      ::_exit(change(*store) ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0) << "the change itself has failed";
      return true;
    }
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    return false;
  }
  // For each step there is: a disk as `prepare` leaves it, the change killed there, a new kernel.
  // `settled` says whether what is left is in order; both outcomes must have been seen.
  void at_every_step(const std::function<bool(DiskStore&)>& prepare,
                     const std::function<bool(DiskStore&)>& change, std::size_t unsettled_after) {
    std::map<std::string, int> seen;
    for (std::uint32_t step = 0; step < steps_max; ++step) {
      store.reset();
      std::filesystem::remove_all(path);
      std::filesystem::create_directory(path);
      reopen();
      ASSERT_TRUE(prepare(*store));
      const Tree before = tree();
      const bool ended = run_until(step, change);
      reopen();
      const Tree after = tree();
      for (const auto& [name, entry] : after) ++seen[name + "=" + entry];
      // Numbers that were taken and lost are no harm; objects without a name would be.
      std::size_t named = 0;
      for (const auto& [name, entry] : after) named += entry[0] != 'd' && of_self(entry) ? 1 : 0;
      std::size_t waiting = 0;
      for (const Pending& pending : store->unsettled()) {
        if (pending.what == Pending::What::claim) ++waiting;
      }
      EXPECT_EQ(count("files"), named + waiting) << "step " << step;
      if (ended) {
        EXPECT_EQ(store->unsettled().size(), unsettled_after);
        EXPECT_GT(step, 2U) << "a change has several steps";
        return;
      }
      if (!seen_before_) seen_before_ = after == before;
    }
    FAIL() << "the change has no end";
  }
  static bool of_self(const std::string& entry) {
    return entry.substr(1, 3) == ":" + std::to_string(self) + ":";
  }
  bool seen_before_ = false;
};

bool nothing(DiskStore&) { return true; }

TEST_F(DiskKill, MakingAFile) {
  at_every_step(
      nothing, [](DiskStore& s) { return !!s.make_file(root, "x", 0400); }, 0);
  EXPECT_TRUE(seen_before_);
  EXPECT_EQ(tree().size(), 1);
}

TEST_F(DiskKill, MakingADirectoryAndALink) {
  at_every_step(
      nothing,
      [](DiskStore& s) {
        const auto made = s.make_directory(root, "d", 0700);
        return made && s.make_link(made->number, "l", "target");
      },
      0);
  EXPECT_EQ(tree().size(), 2);
}

TEST_F(DiskKill, RemovingAFile) {
  at_every_step([](DiskStore& s) { return !!s.make_file(root, "x", 0600); },
                [](DiskStore& s) {
                  const auto gone = s.unlink(root, "x");
                  return gone && s.drop(*gone) && s.bury(*gone);
                },
                0);
  EXPECT_TRUE(seen_before_);
  EXPECT_TRUE(tree().empty());
}

TEST_F(DiskKill, RemovingADirectory) {
  at_every_step([](DiskStore& s) { return !!s.make_directory(root, "d", 0700); },
                [](DiskStore& s) { return !!s.remove_directory(root, "d"); }, 0);
  EXPECT_TRUE(tree().empty());
}

TEST_F(DiskKill, RenamingOverAFile) {
  at_every_step(
      [](DiskStore& s) { return s.make_file(root, "x", 0600) && s.make_file(root, "y", 0600); },
      [](DiskStore& s) {
        const auto replaced = s.rename(root, "x", root, "y");
        return replaced && *replaced && s.drop(**replaced) && s.bury(**replaced);
      },
      0);
  EXPECT_EQ(tree().size(), 1);
}

TEST_F(DiskKill, RenamingOverADirectory) {
  at_every_step(
      [](DiskStore& s) {
        return s.make_directory(root, "x", 0700) && s.make_directory(root, "y", 0700);
      },
      [](DiskStore& s) { return !!s.rename(root, "x", root, "y"); }, 0);
  EXPECT_EQ(tree().size(), 1);
}

TEST_F(DiskKill, MakingAFileForAnotherHome) {
  at_every_step(
      nothing,
      [](DiskStore& s) {
        const auto made = s.make_for(other, 0600);
        return made && s.drop({FileKind::file, self, *made}) &&
               s.bury({FileKind::file, self, *made});
      },
      0);
  EXPECT_TRUE(tree().empty());
}

TEST_F(DiskKill, TakingOverWhatAnotherHomeHadNamed) {
  at_every_step([](DiskStore& s) { return !!s.make_file(root, "y", 0600); },
                [](DiskStore& s) {
                  const auto old = s.take_over(root, "y", {FileKind::file, other, 17});
                  return old && *old && s.drop(**old) && s.bury(**old);
                },
                0);
  EXPECT_EQ(tree().size(), 1);
}

TEST_F(DiskKill, AMoveLeavesTheNameOrItsNote) {
  for (std::uint32_t step = 0;; ++step) {
    ASSERT_LT(step, steps_max);
    store.reset();
    std::filesystem::remove_all(path);
    std::filesystem::create_directory(path);
    reopen();
    const auto file = store->make_file(root, "x", 0600);
    const bool ended = run_until(step, [&](DiskStore& s) {
      return s.begin_move(root, "x", other, 5, "y") && s.end_move(*file, true);
    });
    reopen();
    const bool named = store->lookup(root, "x").has_value();
    EXPECT_TRUE(store->open_content(file->number)) << "step " << step;
    if (ended) {
      EXPECT_FALSE(named);
      break;
    }
    EXPECT_TRUE(named || store->unsettled(*file)) << "step " << step;
    ASSERT_TRUE(store->end_move(*file, true));
  }
}

TEST_F(DiskKill, AModeIsTheOldOneOrTheNewOne) {
  for (std::uint32_t step = 0;; ++step) {
    ASSERT_LT(step, steps_max);
    const auto file = store->make_file(root, "x" + std::to_string(step), 0600);
    ASSERT_TRUE(file);
    ASSERT_TRUE(store->set_mode(file->number, 0404));
    const bool ended =
        run_until(step, [&](DiskStore& s) { return !!s.set_mode(file->number, 0755); });
    reopen();
    const auto mode = store->status(file->number)->mode;
    EXPECT_TRUE(mode == 0404 || mode == 0755) << std::oct << mode;
    if (!ended) continue;
    EXPECT_EQ(mode, 0755);
    break;
  }
}

}  // namespace
}  // namespace hive::cell::test
