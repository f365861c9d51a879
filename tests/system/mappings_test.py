"""Mapped files and anonymous memory: what tasks on several cells see of them, what is left when one
dies in the middle, and what a full cell says."""

import errno
import mmap
import os
import random
import signal
import unittest

from filer import Filer
from machine import MachineTest, seed, wait_for

CREATE = os.O_RDWR | os.O_CREAT
WRITABLE = mmap.PROT_READ | mmap.PROT_WRITE
PAGE = 4096


def pattern(size, salt):
    return random.Random(salt).randbytes(size)


class MappingTest(MachineTest):
    CELLS = 3
    MORE = ()

    def setUp(self):
        super().setUp()
        self.machine.boot(self.CELLS, "16M", *self.MORE)
        self.filers = [Filer(self, cell) for cell in range(self.CELLS)]

    def end(self):
        self.check_frames()
        for filer in self.filers:
            filer.end()
        self.machine.shutdown()
        self.assert_nothing_left()

    def check_frames(self):
        for cell in self.machine.frames():
            self.assertTrue(cell["adds_up"], cell)

    def assert_errno(self, number, call, *arguments):
        with self.assertRaises(OSError, msg=(call.__name__, *arguments)) as caught:
            call(*arguments)
        self.assertEqual(errno.errorcode.get(caught.exception.errno), errno.errorcode[number],
                         arguments)

    def kill_task_of(self, filer):
        task = next(t for t in self.machine.tasks() if t["cell"] == filer.cell)
        os.kill(task["pid"], signal.SIGKILL)
        filer.process.communicate()
        wait_for(lambda: not any(t["id"] == task["id"] for t in self.machine.tasks()),
                 "the task to be gone")

    def filled(self, filer, path, size, salt, home=-1):
        fd = filer.open(path, CREATE, home=home)
        data = pattern(size, salt)
        for at in range(0, size, 1 << 19):
            filer.pwrite(fd, data[at:at + (1 << 19)], at)
        return fd, data



class Mappings(MappingTest):
    # --- reading -----------------------------------------------------------------------------

    def test_a_mapping_shows_the_file(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 300_000, 1)
        views = {filer: filer.map(filer.open("/f"), 300_000) for filer in self.filers}
        for filer, view in views.items():
            self.assertEqual(filer.peek(view, 0, 300_000), data)
        for i, at in enumerate((0, 5000, 131_072, 299_990)):
            b_fd = b.open("/f", os.O_RDWR)
            self.assertEqual(b.pwrite(b_fd, f"writ{i}".encode(), at), 5)
            for filer, view in views.items():
                self.assertEqual(filer.peek(view, at, 5), f"writ{i}".encode(), (filer.cell, at))
        # From the middle, after the descriptor is closed, and the name is gone.
        fd = c.open("/f")
        part = c.map(fd, 2 * PAGE, offset=16 * PAGE)
        c.close(fd)
        a.unlink("/f")
        self.assertEqual(c.peek(part, 10, 20), data[16 * PAGE + 10:16 * PAGE + 30])
        for filer, view in views.items():
            filer.unmap(view)
        self.end()

    def test_what_mmap_refuses(self):
        a, b, _ = self.filers
        fd, _ = self.filled(a, "/f", 10_000, 2)
        read_only = b.open("/f")
        write_only = b.open("/f", os.O_WRONLY)
        a.mkdir("/d")
        for number, call, *arguments in [
                (errno.EACCES, b.map, read_only, 10, WRITABLE), (errno.EACCES, b.map, write_only, 10),
                (errno.EINVAL, a.map, fd, 0), (errno.EINVAL, a.map, fd, 10, mmap.PROT_READ, 100),
                (errno.EINVAL, a.map, fd, 10, mmap.PROT_EXEC),
                (errno.EINVAL, a.map, fd, 10, mmap.PROT_READ, 0, 0),
                (errno.EINVAL, a.map, fd, 10, mmap.PROT_READ, 0, mmap.MAP_SHARED | mmap.MAP_PRIVATE),
                (errno.EACCES, b.map, write_only, 10, WRITABLE, 0, mmap.MAP_PRIVATE),
                (errno.ENODEV, a.map, a.open("/d"), 10), (errno.EINVAL, a.map, fd, 10, 1, -PAGE),
                (errno.ENOMEM, a.map, fd, 1 << 60), (errno.EBADF, a.map, 999, 10)]:
            self.assert_errno(number, call, *arguments)
        view = b.map(read_only, 10_000)
        self.assertEqual(len(b.peek(view, 0, 12_288)), 12_288)
        self.assert_errno(errno.ENXIO, b.peek, b.map(read_only, 20_000), 12_288, 1)
        self.end()

    def test_the_end_of_the_file_moves_under_a_mapping(self):
        a, b, _ = self.filers
        fd, data = self.filled(a, "/f", 10 * PAGE, 3, home=1)
        view = a.map(fd, 20 * PAGE, WRITABLE)
        other = b.map(b.open("/f"), 20 * PAGE)
        self.assertEqual(b.peek(other, 0, 10 * PAGE), data)
        self.assert_errno(errno.ENXIO, b.peek, other, 10 * PAGE, 1)
        a.ftruncate(fd, 5 * PAGE + 100)
        for filer, mapping in ((a, view), (b, other)):
            self.assert_errno(errno.ENXIO, filer.peek, mapping, 6 * PAGE, 1)
            self.assertEqual(filer.peek(mapping, 5 * PAGE, PAGE),
                             data[5 * PAGE:5 * PAGE + 100] + bytes(PAGE - 100))
        # What is stored behind the end is not in the file, also when that grows.
        a.poke(view, 5 * PAGE + 200, b"behind")
        a.ftruncate(fd, 8 * PAGE)
        self.assertEqual(b.peek(other, 5 * PAGE, 3 * PAGE),
                         data[5 * PAGE:5 * PAGE + 100] + bytes(3 * PAGE - 100))
        # A touch that nobody guards.
        with self.assertRaises(Filer.Lost):
            b.touch(other, 9 * PAGE)
        self.assertEqual(b.process.wait(), 128 + signal.SIGBUS)
        self.assertEqual(a.peek(view, 0, 10), data[:10])
        self.end()

    def test_reading_more_than_there_is_memory(self):
        a, b, c = self.filers
        size = 24 << 20
        fd, data = self.filled(a, "/f", size, 4)
        views = [(filer, filer.map(filer.open("/f"), size)) for filer in self.filers]
        order = random.Random(seed())
        for _ in range(400):
            filer, view = order.choice(views)
            at = order.randrange(size - 50_000)
            self.assertEqual(filer.peek(view, at, 50_000), data[at:at + 50_000], at)
            at = order.randrange(size - 10_000)
            new = order.randbytes(10_000)
            a.pwrite(fd, new, at)
            data = data[:at] + new + data[at + 10_000:]
            for filer, view in views:
                self.assertEqual(filer.peek(view, at, 10_000), new, (filer.cell, at))
        self.end()

    # --- storing -----------------------------------------------------------------------------

    def test_stores_are_seen_and_written_back(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 40 * PAGE, 5, home=1)
        data = bytearray(data)
        views = [a.map(fd, 40 * PAGE, WRITABLE), b.map(b.open("/f", os.O_RDWR), 40 * PAGE, WRITABLE),
                 c.map(c.open("/f"), 40 * PAGE)]
        order = random.Random(seed())
        for i in range(60):
            writer = order.randrange(2)
            at = order.randrange(40 * PAGE - 100)
            new = order.randbytes(100)
            self.filers[writer].poke(views[writer], at, new)
            data[at:at + 100] = new
            for filer, view in zip(self.filers, views):
                self.assertEqual(filer.peek(view, at, 100), new)
            self.assertEqual(c.pread(c.open("/f"), 100, at), new)
            if i % 10 == 5:
                self.filers[writer].msync(views[writer])
        a.msync(views[0])
        # On the disk, and not only in the cache of a cell that is gone.
        self.machine.hive("fault", "kill-cell", 1, "--name", "test")
        self.machine.wait_back(1)
        self.assert_errno(errno.EIO, a.pread, fd, 1, 0)
        self.assertEqual(c.content("/f"), bytes(data))
        self.filers[1].process.communicate()
        self.filers[1] = Filer(self, 1)
        self.end()

    def test_an_unmapped_file_keeps_what_was_stored(self):
        a, b, _ = self.filers
        fd, data = self.filled(a, "/f", 3 * PAGE, 6, home=1)
        generation = b.stat("/f")["generation"]
        view = a.map(fd, 3 * PAGE, WRITABLE)
        a.poke(view, PAGE, b"stored")
        a.unmap(view)
        self.assertEqual(b.content("/f")[PAGE:PAGE + 6], b"stored")
        view = a.map(fd, 3 * PAGE, WRITABLE)
        a.poke(view, 0, b"again!")
        a.end()  # detaches in good order
        self.assertEqual(b.content("/f")[:6], b"again!")
        self.assertEqual(b.stat("/f")["generation"], generation, "nothing was lost")
        self.filers[0] = Filer(self, 0)
        self.end()

    # --- death -------------------------------------------------------------------------------

    def test_a_task_that_dies_loses_the_pages_that_it_could_store_to(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 40 * PAGE, 7, home=1)
        other_fd, other = self.filled(a, "/other", 40 * PAGE, 8, home=1)
        a.fsync(fd)
        reader = b.open("/f")
        reader_of_other = b.open("/other")
        generation = b.stat("/f")["generation"]
        view = c.map(c.open("/f", os.O_RDWR), 40 * PAGE, WRITABLE)
        looked_at = c.map(c.open("/other"), 40 * PAGE)
        self.assertEqual(c.peek(looked_at, 0, 100), other[:100])
        b_view = b.map(reader, 40 * PAGE)
        c.poke(view, 5 * PAGE, b"wild")
        self.assertEqual(b.peek(b_view, 5 * PAGE, 4), b"wild")
        self.kill_task_of(c)
        wait_for(lambda: b.stat("/f")["generation"] > generation, "the generation to go up")
        self.assert_errno(errno.EIO, b.pread, reader, 1, 0)
        self.assert_errno(errno.EIO, b.peek, b_view, 5 * PAGE, 1)
        self.assert_errno(errno.EIO, a.fsync, fd)
        self.assertEqual(a.content("/f"), data)
        self.assertEqual(b.pread(reader_of_other, 40 * PAGE, 0), other)
        # One that only reads loses nothing.
        self.filers[2] = Filer(self, 2)
        view = self.filers[2].map(self.filers[2].open("/other"), 40 * PAGE)
        self.filers[2].peek(view, 0, 40 * PAGE)
        self.kill_task_of(self.filers[2])
        self.assertEqual(b.pread(reader_of_other, 40 * PAGE, 0), other)
        self.filers[2] = Filer(self, 2)
        self.end()

    def test_a_cell_that_dies_loses_the_pages_that_its_tasks_could_store_to(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 40 * PAGE, 9, home=1)
        other_fd, other = self.filled(a, "/other", 40 * PAGE, 10, home=1)
        a.fsync(fd)
        a.fsync(other_fd)
        written = c.map(c.open("/other", os.O_RDWR), 40 * PAGE, WRITABLE)
        c.poke(written, 0, b"synced")
        c.msync(written)
        view = c.map(c.open("/f", os.O_RDWR), 40 * PAGE, WRITABLE)
        c.poke(view, 5 * PAGE, b"wild")
        c.poke(view, 39 * PAGE, b"wild")
        self.machine.hive("fault", "kill-cell", 2, "--name", "test")
        self.machine.wait_back(2)
        self.assert_errno(errno.EIO, a.pread, fd, 1, 0)
        self.assertEqual(b.content("/f"), data)
        # Closed by msync, so nothing of it was open.
        self.assertEqual(a.pread(other_fd, 40 * PAGE, 0), b"synced" + other[6:])
        c.process.communicate()
        self.filers[2] = Filer(self, 2)
        self.end()

    # --- anonymous memory --------------------------------------------------------------------

    def test_a_full_cell_fails_the_one_request(self):
        a, b, _ = self.filers
        fd, data = self.filled(a, "/f", 4 << 20, 11)
        a.fsync(fd)
        memory = a.anonymous(64 << 20)
        at = 0
        with self.assertRaises(OSError) as caught:
            while at < 64 << 20:
                a.poke(memory, at, b"x" * 100)
                at += PAGE
        self.assertEqual(caught.exception.errno, errno.ENOMEM)
        self.assertGreater(at, 12 << 20, "the cache has given up what it could")
        self.assertEqual(a.peek(memory, 0, 100), b"x" * 100)
        # The cell lives, and others of it do.
        beside = Filer(self, 0)
        self.assertEqual(beside.stat("/f")["size"], 4 << 20)
        with self.assertRaises(Filer.Lost):
            a.touch(memory, at, True)
        self.assertEqual(beside.content("/f"), data[:1 << 20])
        beside.end()
        self.filers[0] = Filer(self, 0)
        memory = self.filers[0].anonymous(8 << 20)
        self.assertEqual(self.filers[0].peek(memory, 4 << 20, 100), bytes(100))
        self.end()


class WithoutDiscard(MappingTest):
    """What the tests above would see of a home that keeps what the dead could store to."""
    MORE = ("--sabotage", "discard")

    def test_what_the_dead_has_stored_stays(self):
        a, b, c = self.filers
        fd, data = self.filled(a, "/f", 4 * PAGE, 12, home=1)
        a.fsync(fd)
        view = c.map(c.open("/f", os.O_RDWR), 4 * PAGE, WRITABLE)
        c.poke(view, PAGE, b"wild")
        self.kill_task_of(c)
        self.assertEqual(b.content("/f")[PAGE:PAGE + 4], b"wild")
        self.filers[2] = Filer(self, 2)
        self.end()


if __name__ == "__main__":
    unittest.main()
