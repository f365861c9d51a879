"""Files of a machine, as tasks on several cells see them, and what the death of a cell leaves."""

import errno
import os
import threading
import time
import unittest

from filer import Filer
from machine import MachineTest, wait_for

CREATE = os.O_RDWR | os.O_CREAT


class Files(MachineTest):
    CELLS = 3

    def setUp(self):
        super().setUp()
        self.machine.boot(cells=self.CELLS)
        self.filers = [Filer(self, cell) for cell in range(self.CELLS)]

    def end(self):
        for filer in self.filers:
            filer.end()
        self.machine.shutdown()
        self.assert_nothing_left()

    def assert_errno(self, number, call, *arguments):
        with self.assertRaises(OSError, msg=(call.__name__, *arguments)) as caught:
            call(*arguments)
        self.assertEqual(errno.errorcode.get(caught.exception.errno), errno.errorcode[number],
                         arguments)

    def root_name_on(self, cell, stem="name"):
        """A name in the root that lies on this cell, found by making directories: they lie where
        their names do."""
        for i in range(200):
            name = f"/{stem}{i}"
            self.filers[0].mkdir(name)
            if self.filers[0].stat(name)["home"] == cell:
                self.filers[0].rmdir(name)
                return name
            self.filers[0].rmdir(name)
        raise AssertionError(f"no name lies on cell {cell}")

    def kill(self, cell):
        self.machine.hive("fault", "kill-cell", cell, "--name", "test")

    def test_what_one_writes_all_read(self):
        a, b, c = self.filers
        a.mkdir("/d")
        for filer in self.filers:
            name = f"/d/of{filer.cell}"
            fd = filer.open(name, CREATE, 0o640)
            self.assertEqual(filer.pwrite(fd, b"x" * 100000, 50000), 100000)
            self.assertEqual(filer.pwrite(fd, b"head", 0), 4)
            about = b.stat(name)
            self.assertEqual((about["size"], about["mode"], about["home"], about["kind"]),
                             (150000, 0o640, filer.cell, "file"))
            expected = b"head" + bytes(49996) + b"x" * 100000
            for reader in self.filers:
                self.assertEqual(reader.content(name), expected)
                self.assertEqual(sorted(reader.readdir("/d")), ["of0", "of1", "of2"][:filer.cell + 1])
            filer.close(fd)
        self.assertEqual(c.readdir("/"), {"d": "directory"})
        self.end()

    def test_the_calls_are_those_of_posix(self):
        a, b, _ = self.filers
        a.mkdir("/d")
        fd = a.open("/d/f", CREATE)
        self.assertEqual(a.write(fd, b"hello "), 6)
        self.assertEqual(a.write(fd, b"world"), 5)
        self.assertEqual(a.lseek(fd, -5, os.SEEK_END), 6)
        self.assertEqual(a.read(fd, 100), b"world")
        self.assertEqual(a.read(fd, 100), b"")
        append = b.open("/d/f", os.O_WRONLY | os.O_APPEND)
        b.write(append, b"!")
        self.assertEqual(a.pread(fd, 100, 0), b"hello world!")
        a.ftruncate(fd, 5)
        b.write(append, b"?")
        self.assertEqual(a.pread(fd, 100, 0), b"hello?")
        a.ftruncate(fd, 100)
        self.assertEqual(a.pread(fd, 200, 0), b"hello?" + bytes(94))
        a.utimens("/d/f", 5, 10**18 + 7)
        self.assertEqual((a.fstat(fd)["accessed"], a.stat("/d/f")["modified"]), (5, 10**18 + 7))
        a.chmod("/d/f", 0o004)
        self.assertEqual(b.stat("/d/f")["mode"], 0o004)
        self.assertEqual(a.pread(fd, 5, 0), b"hello")
        a.fsync(fd)

        for number, call, *arguments in [
                (errno.ENOENT, a.stat, ""), (errno.ENOENT, a.open, "/d/none"),
                (errno.ENOENT, a.open, "/none/f", CREATE), (errno.ENOTDIR, a.stat, "/d/f/x"),
                (errno.ENOTDIR, a.stat, "/d/f/"), (errno.ENAMETOOLONG, a.stat, "/" + "x" * 256),
                (errno.ENAMETOOLONG, a.stat, "/x" * 2048), (errno.EINVAL, a.stat, b"/a\0b"),
                (errno.EEXIST, a.open, "/d/f", CREATE | os.O_EXCL), (errno.EEXIST, a.mkdir, "/d"),
                (errno.EEXIST, a.mkdir, "/"), (errno.EISDIR, a.open, "/d", os.O_RDWR),
                (errno.EISDIR, a.unlink, "/d"), (errno.ENOTDIR, a.rmdir, "/d/f"),
                (errno.ENOTEMPTY, a.rmdir, "/d"), (errno.EBUSY, a.rmdir, "/"),
                (errno.EINVAL, a.readlink, "/d/f"), (errno.EBADF, a.write, 9999, b"x"),
                (errno.EBADF, b.read, append, 1),
                (errno.EINVAL, a.pread, fd, 1, -1), (errno.EINVAL, a.lseek, fd, -1, os.SEEK_SET),
                (errno.EINVAL, a.ftruncate, fd, -1), (errno.EFBIG, a.pwrite, fd, b"x", 1 << 60),
                (errno.EFBIG, a.ftruncate, fd, 1 << 60), (errno.EINVAL, a.rename, "/d", "/d/x"),
                (errno.ENOENT, a.symlink, "", "/x"), (errno.EINVAL, a.open, "/x", CREATE, 0o600, 7)]:
            self.assert_errno(number, call, *arguments)
        self.assertEqual(a.pread(fd, 10, 1 << 62), b"")
        a.close(fd)
        self.assert_errno(errno.EBADF, a.read, fd, 1)
        self.end()

    def test_links_and_dots(self):
        a, b, _ = self.filers
        a.mkdir("/d")
        a.mkdir("/d/e")
        a.close(a.open("/d/e/f", CREATE))
        a.symlink("../d/e", "/here")
        a.symlink("f", "/d/e/same")
        a.symlink("/d/e/new", "/made")
        a.symlink("loop", "/loop")
        b.close(b.open("/made", CREATE))
        self.assertEqual(b.readdir("/here/"), {"f": "file", "new": "file", "same": "link"})
        self.assertEqual(b.lstat("/here")["kind"], "link")
        self.assertEqual(b.stat("/here")["kind"], "directory")
        self.assertEqual(b.readlink("/here"), "../d/e")
        number = a.stat("/d/e/f")["number"]
        for path in ("/here/same", "d/e/f", "/../../d//e/./f", "/d/e/../e/f", "/here/../e/f"):
            self.assertEqual(b.stat(path)["number"], number, path)
        self.assert_errno(errno.ELOOP, b.stat, "/loop")
        self.assert_errno(errno.ELOOP, b.open, "/d/e/same", os.O_RDONLY | os.O_NOFOLLOW)
        b.unlink("/here")
        self.assertEqual(a.stat("/d/e/f")["number"], number)
        self.end()

    def test_renames_within_a_home_and_between_homes(self):
        a, b, _ = self.filers
        homes = [self.root_name_on(cell, f"home{cell}-") for cell in range(self.CELLS)]
        for name in homes:
            a.mkdir(name)
        fd = b.open(homes[0] + "/f", CREATE)
        b.write(fd, b"moved")
        at = homes[0] + "/f"
        for to in [homes[0] + "/g", homes[1] + "/g", homes[2] + "/h", self.root_name_on(1, "top")]:
            a.rename(at, to)
            self.assert_errno(errno.ENOENT, b.stat, at)
            self.assertEqual(b.content(to), b"moved")
            at = to
        other = homes[2] + "/old"
        a.close(a.open(other, CREATE))
        b.rename(at, other)
        self.assertEqual(a.content(other), b"moved")
        self.assertEqual(b.pread(fd, 10, 0), b"moved")
        # A directory keeps what is in it, and its home.
        a.mkdir(homes[0] + "/tree")
        a.close(a.open(homes[0] + "/tree/leaf", CREATE))
        a.rename(homes[0] + "/tree", homes[1] + "/tree")
        self.assertEqual(b.readdir(homes[1] + "/tree"), {"leaf": "file"})
        self.assert_errno(errno.ENOTEMPTY, a.rmdir, homes[1] + "/tree")
        a.unlink(homes[1] + "/tree/leaf")
        a.rmdir(homes[1] + "/tree")
        self.assertEqual(b.readdir(homes[1]), {})
        self.end()

    def test_a_file_without_a_name_stays_until_it_is_closed(self):
        a, b, c = self.filers
        fd = a.open("/f", CREATE, 0o600, 1)
        a.write(fd, b"still")
        c.unlink("/f")
        self.assert_errno(errno.ENOENT, b.stat, "/f")
        self.assertEqual(a.pread(fd, 10, 0), b"still")
        self.assertEqual(a.fstat(fd)["size"], 5)
        disk = f"{self.machine.directory}/state/hive/test/disk1/files"
        self.assertEqual(len(os.listdir(disk)), 1)
        a.process.kill()
        wait_for(lambda: not os.listdir(disk), "the file to be removed with the task")
        self.filers.remove(a)
        self.end()

    def test_a_home_that_dies_keeps_what_fsync_said(self):
        a, b, _ = self.filers
        name = self.root_name_on(0)
        fd = a.open(name, CREATE, 0o600, 1)
        keeps = a.open(name + "-other", CREATE, 0o600, 0)
        a.write(keeps, b"untouched")
        a.write(fd, b"acknowledged")
        a.fsync(fd)
        self.kill(1)
        self.assert_errno(errno.EIO, a.pread, fd, 10, 0)
        self.assert_errno(errno.EIO, a.pwrite, fd, b"x", 0)
        self.machine.wait_back(1)
        self.assert_errno(errno.EIO, a.pread, fd, 10, 0)
        self.assert_errno(errno.EIO, a.fsync, fd)
        self.assertEqual(a.content(name), b"acknowledged")
        self.assertEqual(a.pread(keeps, 20, 0), b"untouched")
        a.close(fd)
        self.filers[1] = Filer(self, 1)
        self.assertEqual(self.filers[1].content(name), b"acknowledged")
        self.end()

    def on_disk(self, about):
        """What the disk of its home has of a file."""
        path = f"{self.machine.directory}/state/hive/test/disk{about['home']}/files/{about['number']}"
        with open(path, "rb") as file:
            return file.read()

    def test_what_was_not_synced_may_go_with_its_home_and_nobody_reads_it_as_if_it_had_not(self):
        a, _, c = self.filers
        name = self.root_name_on(0)
        fd = a.open(name, CREATE, 0o600, 1)
        synced = b"s" * 200000
        a.pwrite(fd, synced, 0)
        a.fsync(fd)
        about = a.fstat(fd)
        self.assertEqual(self.on_disk(about), synced)
        reader = c.open(name)
        closed = c.open(name, os.O_RDWR)
        a.pwrite(fd, b"n" * 100000, 150000)
        c.pwrite(closed, b"n" * 5000, 300000)
        c.close(closed)
        self.assertEqual(c.pread(reader, 1 << 20, 0),
                         b"s" * 150000 + b"n" * 100000 + bytes(50000) + b"n" * 5000)
        self.kill(1)
        self.assert_errno(errno.EIO, a.pread, fd, 10, 0)
        self.assert_errno(errno.EIO, a.fsync, fd)
        self.assert_errno(errno.EIO, c.pread, reader, 10, 0)
        self.machine.wait_back(1)
        # A cell that was slow to die has written back some of it.
        left = self.on_disk(about)
        self.assertGreaterEqual(len(left), len(synced))
        self.assertEqual(left[:150000], synced[:150000])
        self.assertLessEqual(set(left[150000:200000]), set(b"sn"))
        self.assertLessEqual(set(left[200000:]), set(b"n\0"))
        for filer in (a, c):
            self.assertEqual(filer.content(name), left)
            self.assertEqual(filer.stat(name)["size"], len(left))
        self.assert_errno(errno.EIO, a.pwrite, fd, b"x", 0)
        self.filers = [a, c]
        self.end()

    def test_what_is_cached_outlives_a_drain_and_a_shutdown(self):
        a, _, c = self.filers
        written = {}
        for home in range(self.CELLS):
            for filer in (a, c):
                name = self.root_name_on((home + 1) % self.CELLS, f"h{home}-{filer.cell}-")
                fd = filer.open(name, CREATE, 0o600, home)
                written[name] = os.urandom(70000 + home)
                filer.pwrite(fd, written[name], 0)
                if filer is c:
                    filer.close(fd)
                else:
                    filer.utimens(name, 5, 10**18 + home)
        self.machine.hive("reboot", 1, "--name", "test")
        self.machine.wait_back(1)
        for name, content in written.items():
            self.assertEqual(c.content(name), content, name)
        self.filers = [a, c]
        self.end()
        self.machine.boot(cells=self.CELLS)
        self.filers = [Filer(self, 1)]
        for name, content in written.items():
            self.assertEqual(self.filers[0].content(name), content, name)
            about = self.filers[0].stat(name)
            if "-0-" in name:
                self.assertEqual(about["modified"], 10**18 + about["home"], name)
        self.end()

    def test_what_a_home_acknowledged_while_it_was_being_drained_is_there(self):
        a, _, c = self.filers
        name = self.root_name_on(0)
        fd = a.open(name, CREATE, 0o600, 1)
        a.pwrite(fd, b"x", 0)
        drain = threading.Thread(target=self.machine.hive, args=("drain", 1, "--name", "test"))
        drain.start()
        acknowledged = 1
        with self.assertRaises(OSError) as ended:
            while True:
                acknowledged += a.pwrite(fd, b"x" * 999, acknowledged)
        self.assertIn(ended.exception.errno, (errno.EIO, errno.EHOSTDOWN))
        drain.join()
        self.machine.hive("reboot", 1, "--name", "test")
        self.machine.wait_back(1)
        content = c.content(name) if acknowledged <= 1 << 20 else self.on_disk(c.stat(name))
        self.assertGreaterEqual(len(content), acknowledged)
        self.assertEqual(content[:acknowledged], b"x" * acknowledged)
        self.filers = [a, c]
        self.end()

    def test_status_knows_what_the_disk_does_not(self):
        a, b, c = self.filers
        fd = a.open("/f", CREATE, 0o600, 1)
        before = time.time_ns()
        a.pwrite(fd, b"x" * 10000, 5000)
        self.assertEqual(b.stat("/f")["size"], 15000)
        a.close(fd)
        about = c.stat("/f")
        self.assertEqual(about["size"], 15000)
        self.assertGreaterEqual(about["modified"], before)
        fd = b.open("/f", os.O_RDWR)
        b.fsync(fd)
        self.assertEqual(c.stat("/f"), about)
        c.utimens("/f", 5, 7)
        b.pwrite(fd, b"y", 0)
        self.assertGreater(c.stat("/f")["modified"], about["modified"])
        c.utimens("/f", 5, 7)
        b.fsync(fd)
        self.assertEqual(c.stat("/f")["modified"], 7)
        self.end()

    def test_a_cell_that_is_down_costs_its_share_of_names(self):
        a, b, c = self.filers
        names = [self.root_name_on(cell, f"n{cell}-") for cell in range(self.CELLS)]
        for name in names:
            a.close(a.open(name, CREATE))
        self.machine.hive("drain", 1, "--name", "test")
        self.assert_errno(errno.EHOSTDOWN, a.stat, names[1])
        self.assertEqual(a.stat(names[2])["kind"], "file")
        self.assert_errno(errno.EHOSTDOWN, a.readdir, "/")
        done = self.machine.hive("fs", "ls", "--name", "test", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cell 1 is down", done.stderr)
        self.assertEqual(sorted(done.stdout.split()), sorted(n[1:] for n in (names[0], names[2])))
        self.machine.hive("reboot", 1, "--name", "test")
        self.machine.wait_back(1)
        self.assertEqual(sorted(a.readdir("/")), sorted(name[1:] for name in names))
        self.filers = [a, c]
        self.end()

    def test_a_name_is_removed_while_its_file_is_down(self):
        a, b, _ = self.filers
        name = self.root_name_on(0)
        a.close(a.open(name, CREATE, 0o600, 1))
        disk = f"{self.machine.directory}/state/hive/test/disk1/files"
        self.assertEqual(len(os.listdir(disk)), 1)
        self.machine.hive("drain", 1, "--name", "test")
        self.assert_errno(errno.EHOSTDOWN, a.open, name)
        a.unlink(name)
        self.assert_errno(errno.ENOENT, a.stat, name)
        self.machine.hive("reboot", 1, "--name", "test")
        wait_for(lambda: not os.listdir(disk), "the file to be removed")
        self.filers.remove(b)
        self.end()

    def test_files_outlive_the_machine(self):
        a = self.filers[0]
        a.mkdir("/d")
        fd = a.open("/d/f", CREATE)
        a.write(fd, b"for later")
        for filer in self.filers:
            filer.end()
        self.machine.shutdown()
        self.machine.boot(cells=self.CELLS)
        self.filers = [Filer(self, 2)]
        self.assertEqual(self.filers[0].content("/d/f"), b"for later")
        self.filers[0].end()
        self.machine.shutdown()
        self.machine.boot(cells=self.CELLS + 1)
        self.filers = [Filer(self, 2)]
        codes = set()
        for path in ("/a", "/b", "/c", "/d", "/e", "/f"):
            with self.assertRaises(OSError) as caught:
                self.filers[0].stat(path)
            codes.add(caught.exception.errno)
        self.assertIn(errno.EMEDIUMTYPE, codes)
        self.end()


if __name__ == "__main__":
    unittest.main(verbosity=2)
