"""Files that are mapped privately: what a task sees and stores there is the file's until it stores
to it, and its own from then on, whoever writes, cuts or dies meanwhile."""

import errno
import mmap
import os
import random
import signal
import unittest

from filer import Filer
from machine import seed
from mappings_test import PAGE, WRITABLE, MappingTest


class PrivateMappings(MappingTest):
    def test_a_private_mapping_shows_the_file_and_keeps_what_the_task_stores(self):
        a, b, c = self.filers
        size = 40 * PAGE + 10
        fd, data = self.filled(a, "/f", size, 14, home=1)
        for filer in self.filers:
            # Open for reading only, closed at once; longer than the file.
            reader = filer.open("/f")
            private = filer.map(reader, 60 * PAGE, WRITABLE, 0, mmap.MAP_PRIVATE)
            part = filer.map(reader, 8 * PAGE, mmap.PROT_READ, 4 * PAGE, mmap.MAP_PRIVATE)
            filer.close(reader)
            mine = bytearray(data + bytes(PAGE - 10))
            self.assertEqual(filer.peek(private, 0, 41 * PAGE), mine)
            self.assertEqual(filer.peek(part, 0, 8 * PAGE), data[4 * PAGE:12 * PAGE])
            order = random.Random(seed())
            for _ in range(60):
                at = order.randrange(41 * PAGE - 100)
                new = order.randbytes(order.randrange(1, 100))
                filer.poke(private, at, new)
                mine[at:at + len(new)] = new
                at = order.randrange(41 * PAGE - 5000)
                self.assertEqual(filer.peek(private, at, 5000), mine[at:at + 5000], at)
            filer.msync(private)
            filer.msync(part)
            self.assertEqual(filer.peek(private, 0, 41 * PAGE), mine)
            self.assert_errno(errno.ENXIO, filer.peek, private, 41 * PAGE, 1)
            self.assert_errno(errno.ENXIO, filer.poke, private, 59 * PAGE, b"x")
            self.assertEqual(filer.peek(part, 0, 8 * PAGE), data[4 * PAGE:12 * PAGE])
            self.assertEqual(a.content("/f"), data, "it has never reached the file")
            filer.unmap(private)
            filer.unmap(part)
        self.end()

    def test_what_others_write_does_not_reach_copies(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 16 * PAGE, 15, home=1)
        for filer in (b, c):
            private = filer.map(filer.open("/f"), 16 * PAGE, WRITABLE, 0, mmap.MAP_PRIVATE)
            self.assertEqual(filer.peek(private, 0, 16 * PAGE), data)
            filer.poke(private, 5 * PAGE, b"mine")
            a.pwrite(fd, b"theirs" + data[6:2 * PAGE], 5 * PAGE)
            self.assertEqual(filer.peek(private, 5 * PAGE, PAGE),
                             b"mine" + data[5 * PAGE + 4:6 * PAGE])
            # The copy next to it is of the page as it is by now.
            filer.poke(private, 7 * PAGE - 4, b"last")
            self.assertEqual(filer.peek(private, 6 * PAGE, PAGE),
                             data[PAGE:2 * PAGE - 4] + b"last")
            a.pwrite(fd, data[5 * PAGE:7 * PAGE], 5 * PAGE)
        self.end()

    def test_the_end_of_the_file_moves_under_a_private_mapping(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 10 * PAGE, 16, home=1)
        views = {filer: filer.map(filer.open("/f"), 20 * PAGE, WRITABLE, 0, mmap.MAP_PRIVATE)
                 for filer in self.filers}
        for filer, view in views.items():
            self.assertEqual(filer.peek(view, 0, 10 * PAGE), data)
            filer.poke(view, 7 * PAGE, b"copy")
        a.ftruncate(fd, 5 * PAGE + 100)
        for filer, view in views.items():
            for page in (6, 8, 9, 10):
                self.assert_errno(errno.ENXIO, filer.peek, view, page * PAGE, 1)
                self.assert_errno(errno.ENXIO, filer.poke, view, page * PAGE, b"x")
            self.assertEqual(filer.peek(view, 7 * PAGE, PAGE),
                             b"copy" + data[7 * PAGE + 4:8 * PAGE])
            filer.poke(view, 5 * PAGE + 200, b"behind")
            self.assertEqual(filer.peek(view, 5 * PAGE, 206),
                             data[5 * PAGE:5 * PAGE + 100] + bytes(100) + b"behind")
        a.ftruncate(fd, 12 * PAGE)
        for filer, view in views.items():
            self.assertEqual(filer.peek(view, 6 * PAGE, PAGE), bytes(PAGE))
        # Touches that nobody guards, also of a page that it had seen.
        self.assertEqual(c.peek(views[c], 8 * PAGE, 1), bytes(1))
        a.ftruncate(fd, 8 * PAGE)
        for filer, page in ((b, 12), (c, 8)):
            with self.assertRaises(Filer.Lost):
                filer.touch(views[filer], page * PAGE, True)
            self.assertEqual(filer.process.wait(), 128 + signal.SIGBUS)
        self.end()

    def test_the_end_of_a_task_with_copies_costs_nobody_anything(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 40 * PAGE, 17, home=1)
        reader = a.open("/f")
        generation = a.stat("/f")["generation"]
        for cell in (1, 2):
            private = self.filers[cell].map(self.filers[cell].open("/f", os.O_RDWR), 40 * PAGE,
                                            WRITABLE, 0, mmap.MAP_PRIVATE)
            for page in range(40):
                self.filers[cell].poke(private, page * PAGE, b"wild")
            self.kill_task_of(self.filers[cell])
            self.filers[cell] = Filer(self, cell)
        self.assertEqual(a.stat("/f")["generation"], generation)
        self.assertEqual(a.pread(reader, 40 * PAGE, 0), data)
        self.end()

    def test_the_death_of_the_home_costs_what_is_not_copied(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 40 * PAGE, 18, home=1)
        a.fsync(fd)
        private = c.map(c.open("/f"), 40 * PAGE, WRITABLE, 0, mmap.MAP_PRIVATE)
        looked_at = c.map(c.open("/f"), 40 * PAGE)
        self.assertEqual(c.peek(private, 0, 40 * PAGE), data)
        self.assertEqual(c.peek(looked_at, 0, 40 * PAGE), data)
        for page in (3, 17, 18):
            c.poke(private, page * PAGE, b"copy")

        def check():
            for page in (2, 4, 16, 19, 39):
                with self.assertRaises(OSError):
                    c.peek(private, page * PAGE, 1)
                with self.assertRaises(OSError):
                    c.poke(private, page * PAGE, b"x")
            for page in (3, 17, 18):
                self.assertEqual(c.peek(private, page * PAGE, PAGE),
                                 b"copy" + data[page * PAGE + 4:(page + 1) * PAGE])
                c.poke(private, page * PAGE + 100, b"on")
                c.poke(private, page * PAGE + 100, data[page * PAGE + 100:page * PAGE + 102])

        self.machine.hive("fault", "kill-cell", 1, "--name", "test")
        self.machine.wait_back(1)
        check()
        # It uses the cell again, so that its old memory leaves the task.
        self.assertEqual(c.content("/f"), data)
        check()
        with self.assertRaises(Filer.Lost):
            c.touch(private, 2 * PAGE)
        self.assertEqual(c.process.wait(), 128 + signal.SIGBUS)
        self.filers[2] = Filer(self, 2)
        self.filers[1].process.communicate()
        self.filers[1] = Filer(self, 1)
        self.end()

    def test_copies_without_memory_fail_the_one_touch(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 24 << 20, 19, home=1)
        private = c.map(c.open("/f"), 24 << 20, WRITABLE, 0, mmap.MAP_PRIVATE)
        for at in range(0, 24 << 20, 1 << 20):  # which takes none of it
            self.assertEqual(c.peek(private, at, 1 << 20), data[at:at + (1 << 20)])
        at = 0
        with self.assertRaises(OSError) as caught:
            while at < 24 << 20:
                c.poke(private, at, b"mine")
                at += PAGE
        self.assertEqual(caught.exception.errno, errno.ENOMEM)
        self.assertGreater(at, 12 << 20)
        self.assertEqual(c.peek(private, 0, PAGE), b"mine" + data[4:PAGE])
        self.assertEqual(c.peek(private, at, PAGE), data[at:at + PAGE])
        self.assertEqual(c.peek(private, at - PAGE, PAGE), b"mine" + data[at - PAGE + 4:at])
        with self.assertRaises(Filer.Lost):
            c.touch(private, at, True)
        self.filers[2] = Filer(self, 2)
        self.end()

    def test_threads_that_make_copies_side_by_side(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 64 * PAGE, 20, home=1)
        for filer in (b, c):
            for populated in (0, 20 * PAGE):
                private = filer.map(filer.open("/f"), 64 * PAGE, WRITABLE, 0, mmap.MAP_PRIVATE)
                filer.populate(private, 10 * PAGE, populated)
                self.assertEqual(filer.many(private, 8), 0, "bytes that are not what they were")
                filer.unmap(private)
        self.assertEqual(a.content("/f"), data)
        self.end()


class WithWindowsOfTheMapping(PrivateMappings):
    """The same where it is the mapping that keeps pages closed, as Linux 6.1 needs it."""
    MORE = ("--firewall", "mmu-windowed")


if __name__ == "__main__":
    unittest.main()
