"""Cached pages of files that tasks read in place: without a call, never another page's bytes,
whatever is reclaimed, written, cut, or dies meanwhile; and what they would see if they believed
what they have looked up."""

import json
import os
import unittest

from filer import Filer
from machine import MachineTest, seed

CREATE = os.O_RDWR | os.O_CREAT
CELLS = 3
# Two files for each cell, which do not fit into its memory together.
FILES = 6
PAGES = 2400


class InPlace(MachineTest):
    def boot(self, *more, cells=CELLS):
        self.machine.boot(cells, "16M", *more)

    def requests(self, cell):
        """Calls of tasks that the cell has served so far."""
        return json.loads(self.machine.hive("fault", "counters", cell, "--name", "test",
                                            "--json").stdout)["gate_requests"]

    def start_pagers(self, cells, how, operations, first_seed, files=FILES, pages=PAGES):
        pagers = [self.start_program(cell, "pager", "/d", files, pages, i, len(cells), operations,
                                     (first_seed + i) % (1 << 32), how)
                  for i, cell in enumerate(cells)]
        for pager in pagers:
            self.assertEqual(pager.stdout.readline(), "ready\n")
        for pager in pagers:  # only when all have written all
            pager.stdin.write("\n")
            pager.stdin.flush()
        return pagers

    def outcome(self, pager):
        words = pager.stdout.readline().split()
        self.assertEqual(words[::2], ["reads", "wrong", "errors"])
        pager.communicate()
        return dict(zip(words[::2], map(int, words[1::2])))

    def mix(self, how, operations=3000, cells=range(CELLS), **more):
        filer = Filer(self, 0)
        filer.mkdir("/d")
        return [self.outcome(pager)
                for pager in self.start_pagers(cells, how, operations, seed(), **more)]

    def read_what_comes_and_goes(self):
        """Of a file larger than the memory of its home, which has nobody to borrow from, parts again
        and again, twice round. How many words were wrong."""
        outcomes = self.mix("read", 7000, [0] * CELLS, files=1, pages=6000)
        self.assertEqual(sum(outcome["errors"] for outcome in outcomes), 0)
        return sum(outcome["wrong"] for outcome in outcomes)

    def test_what_is_cached_is_read_without_a_call(self):
        self.boot()
        for home in range(CELLS):
            filers = [Filer(self, 0), Filer(self, (home + 1) % CELLS)]
            content = os.urandom(100000)
            fd = filers[0].open(f"/f{home}", CREATE, home=home)
            self.assertEqual(filers[0].pwrite(fd, content, 0), len(content))
            for filer in filers:
                fd = filer.open(f"/f{home}", os.O_RDWR)
                self.assertEqual(filer.pread(fd, len(content) + 1, 0), content)  # gives the pages
                before = self.requests(home)
                for at in range(0, len(content), 3000):
                    self.assertEqual(filer.pread(fd, 7000, at), content[at:at + 7000])
                self.assertEqual(filer.pread(fd, 1, len(content)), b"")
                self.assertEqual(filer.lseek(fd, 0, os.SEEK_END), len(content))
                self.assertEqual(self.requests(home), before)
                # What is written is there at once, also for the other one.
                content = b"new" + content[3:] + b"more"
                other = filers[filer is filers[0]]
                self.assertEqual(filer.pwrite(fd, content, 0), len(content))
                other_fd = other.open(f"/f{home}")
                self.assertEqual(other.pread(other_fd, len(content) + 1, 0), content)
                # And what is cut is gone.
                content = content[:-9]
                filer.ftruncate(fd, len(content))
                self.assertEqual(other.pread(other_fd, len(content) + 1, 0), content)
        self.machine.shutdown()
        self.assert_nothing_left()

    def test_pages_that_come_and_go(self):
        self.boot()
        for outcome in self.mix("whole"):
            self.assertEqual((outcome["wrong"], outcome["errors"]), (0, 0), outcome)
            self.assertGreater(outcome["reads"], 0)

    def test_files_that_are_cut(self):
        self.boot()
        for outcome in self.mix("cut"):
            self.assertEqual((outcome["wrong"], outcome["errors"]), (0, 0), outcome)

    def test_a_home_that_dies(self):
        self.boot()
        Filer(self, 0).mkdir("/d")
        pagers = self.start_pagers([0, 2], "cut", 6000, seed())
        self.machine.hive("fault", "kill-cell", 1, "--name", "test")
        for pager in pagers:
            self.assertEqual(self.outcome(pager)["wrong"], 0)
        self.machine.wait_up()

    def test_who_believes_what_he_has_looked_up_reads_other_pages(self):
        self.boot("--sabotage", "sequence", cells=1)
        self.assertGreater(self.read_what_comes_and_goes(), 0)

    def test_who_looks_at_the_frame_does_not(self):
        self.boot(cells=1)
        self.assertEqual(self.read_what_comes_and_goes(), 0)


if __name__ == "__main__":
    unittest.main()
