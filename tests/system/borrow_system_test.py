"""Cells that lend each other frames: a file that does not fit its cell is cached in borrowed ones,
and what is left when lenders and borrowers die, are asked for their frames, and end in order."""

import errno
import os
import random
import unittest

from filer import Filer
from lending import CELLS, FRAMES, HOME, LENDERS, PAGE, PAGES, LendingTest
from machine import seed, wait_for

CREATE = os.O_RDWR | os.O_CREAT
STEP = 64  # pages in one read or write


def content(page, version):
    return (b"%d.%d " % (page, version)).ljust(32, b".") * (PAGE // 32)


class Borrow(LendingTest):
    def setUp(self):
        super().setUp()
        self.filer = Filer(self, HOME)
        self.random = random.Random(seed())

    def end(self):
        self.filer.end()
        super().end()

    def borrowed(self):
        return self.frames()[HOME].get("borrowed", 0)

    def make(self):
        fd = self.filer.open("/big", CREATE, 0o644, HOME)
        for first in range(0, PAGES, STEP):
            data = b"".join(content(p, 0) for p in range(first, first + STEP))
            self.assertEqual(self.filer.pwrite(fd, data, first * PAGE), len(data))
        self.filer.fsync(fd)
        return fd

    def read(self, fd, versions=None):
        """Reads it all. `versions`: what a page may be; else 0."""
        found = {}
        for first in range(0, PAGES, STEP):
            data = self.filer.pread(fd, STEP * PAGE, first * PAGE)
            self.assertEqual(len(data), STEP * PAGE)
            for page in range(first, first + STEP):
                here = data[(page - first) * PAGE:(page - first + 1) * PAGE]
                may_be = versions.get(page, {0}) if versions else {0}
                found[page] = next((v for v in may_be if here == content(page, v)), None)
                self.assertIsNotNone(found[page], f"page {page} is {here[:40]}, not of {may_be}")
        return found

    def borrow(self, fd):
        def read_and_look():
            self.read(fd)
            return self.borrowed() > 0
        wait_for(read_and_look, "the cell to borrow")

    def assert_is_lost(self, fd):
        with self.assertRaises(OSError) as caught:
            self.filer.fsync(fd)
        self.assertEqual(caught.exception.errno, errno.EIO)

    def test_a_file_that_does_not_fit_is_cached_in_borrowed_frames_that_go_back(self):
        fd = self.make()
        self.borrow(fd)
        self.read(fd)
        self.assert_books()
        wait_for(lambda: self.borrowed() == 0, "what nobody uses to go back")
        self.wait_all_back()
        self.read(fd)
        self.end()

    def test_a_lender_that_dies_costs_no_byte_that_was_synced(self):
        fd = self.make()
        self.borrow(fd)
        cell = self.lender()
        self.machine.hive("fault", "kill-cell", cell, "--name", "test")
        self.read(fd)  # all of it was clean
        self.machine.wait_back(cell)
        self.read(fd)
        self.assert_books()
        self.end()

    def test_what_was_dirty_in_frames_of_a_dead_lender_is_an_error(self):
        fd = self.make()
        self.borrow(fd)
        versions = {page: {0} for page in range(PAGES)}
        for page in range(0, PAGES, STEP):  # some of each part
            self.filer.pwrite(fd, content(page, 1), page * PAGE)
            versions[page] = {0, 1}
        self.machine.hive("fault", "kill-cell", self.lender(), "--name", "test")
        try:
            found = self.read(fd, versions)
            self.filer.fsync(fd)
            self.assertEqual([found[p] for p in range(0, PAGES, STEP)], [1] * (PAGES // STEP),
                             "nobody said that something was lost")
        except OSError as error:
            self.assertEqual(error.errno, errno.EIO)
        def opens():
            try:
                return self.filer.open("/big", os.O_RDWR)
            except OSError as error:
                # Its name may lie on the cell that has died.
                self.assertIn(error.errno, (errno.EBUSY, errno.EHOSTDOWN))
                return None
        self.read(wait_for(opens, "the file to be opened again"), versions)
        self.end()

    def test_a_borrower_that_dies_gives_the_lenders_their_frames(self):
        fd = self.make()
        self.borrow(fd)
        self.machine.hive("fault", "kill-cell", HOME, "--name", "test")
        self.wait_all_back()
        self.machine.wait_back(HOME)
        self.filer.end()
        self.filer = Filer(self, HOME)
        self.read(self.filer.open("/big"))
        self.assert_books()
        self.end()

    def test_a_lender_that_is_drained_loses_nothing_of_others(self):
        fd = self.make()
        self.borrow(fd)
        for page in range(0, PAGES, STEP):
            self.filer.pwrite(fd, content(page, 1), page * PAGE)
        versions = {page: {1} for page in range(0, PAGES, STEP)}
        cell = self.lender()
        self.machine.hive("drain", cell, "--name", "test")
        self.read(fd, versions)
        self.filer.fsync(fd)
        self.end()

    def test_a_segment_of_a_lender_gets_its_frames(self):
        fd = self.make()
        self.borrow(fd)
        cell = self.lender()
        keeper = self.start_program(cell, "keeper", "kept", FRAMES)
        self.assertTrue(keeper.stdout.readline().strip(), "there is no segment")
        self.assertEqual(self.lent()[cell], 0)
        self.read(fd)
        self.assert_books()
        self.end()

    def incarnations(self):
        return [c["incarnation"] for c in self.machine.status()["cells"]]

    def arm_lenders(self, point):
        for cell in LENDERS:
            self.machine.hive("fault", "kill-at", cell, "--point", point, "--name", "test",
                              check=False)

    def test_lenders_that_die_of_a_loan(self):
        fd = self.make()
        before = self.incarnations()
        self.arm_lenders("frame-loan")

        def died():
            self.read(fd)
            return self.incarnations() != before
        wait_for(died, "a lender to die")
        self.arm_lenders("none")
        self.machine.wait_up()
        self.read(fd)
        self.assert_books()
        self.end()

    def test_lenders_that_die_when_frames_come_back(self):
        fd = self.make()
        self.borrow(fd)
        before = self.incarnations()
        self.arm_lenders("frame-return")
        self.filer.ftruncate(fd, 0)
        wait_for(lambda: self.incarnations() != before, "a lender to die")
        self.arm_lenders("none")
        self.machine.wait_up()
        self.filer.close(fd)
        self.read(self.make())
        self.assert_books()
        self.end()

    def test_a_lender_that_dies_when_it_takes_what_nobody_gave_back(self):
        # The file has borrowed frames only, and what is dirty there can't be written back in time.
        fd = self.filer.open("/file", CREATE, 0o644, HOME)
        keeper = self.start_program(HOME, "keeper", "own", FRAMES)
        self.assertTrue(keeper.stdout.readline().strip(), "there is no segment")
        self.machine.hive("fault", "fail-disk", HOME, "--how", "io", "--name", "test")
        written = b"".join(content(p, 1) for p in range(STEP // 4))
        self.assertEqual(self.filer.pwrite(fd, written, 0), len(written))
        cell = self.lender()
        self.assertGreater(self.lent()[cell], 0)
        before = self.incarnations()
        self.machine.hive("fault", "kill-at", cell, "--point", "frame-take", "--name", "test")
        self.start_program(cell, "keeper", "theirs", FRAMES)
        self.machine.wait_back(cell)
        self.assertEqual([c for c, was, now in zip(range(CELLS), before, self.incarnations())
                          if was != now], [cell])
        self.machine.hive("fault", "fail-disk", HOME, "--how", "none", "--name", "test")

        def opens():
            try:
                return self.filer.open("/file", os.O_RDWR)
            except OSError as error:
                # Until it is known that content was lost; its name may lie on the cell that died.
                self.assertIn(error.errno, (errno.EBUSY, errno.EHOSTDOWN, errno.EIO))
                return None
        again = wait_for(opens, "the file to be opened again")
        self.assert_is_lost(fd)
        found = self.filer.pread(again, len(written), 0)
        for at in range(0, len(found), PAGE):
            self.assertIn(found[at:at + PAGE], (bytes(PAGE), written[at:at + PAGE]))
        try:
            self.filer.fsync(again)
        except OSError as error:
            self.assertEqual(error.errno, errno.EIO)  # what failed in the background is told once
            self.filer.fsync(again)
        self.assert_books()
        self.end()

    def test_a_borrower_that_dies_of_its_first_loan(self):
        fd = self.make()
        self.machine.hive("fault", "kill-at", HOME, "--point", "frame-borrow", "--name", "test")

        def died():
            try:
                self.read(fd)
            except (OSError, Filer.Lost):
                pass
            return self.machine.cell(HOME)["incarnation"] == 2
        wait_for(died, "the borrower to die")
        self.machine.wait_up()
        self.wait_all_back()
        self.filer.end()
        self.filer = Filer(self, HOME)
        self.read(self.filer.open("/big"))
        self.assert_books()
        self.end()


if __name__ == "__main__":
    unittest.main()
