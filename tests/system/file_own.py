"""What a worker of files_concurrent_test.py does with files and directories of its own, and what it knows
of them."""

import errno
import os

from file_killer import CELLS
from machine import PATIENCE, wait_for

PAGE = 4096
BYTES_MAX = 150_000
FILES_MAX = 10  # of a worker


class File:
    """One that a worker knows. `versions`: what may be in it if its home dies now: that of the last fsync
    first, the newest last."""

    def __init__(self, home):
        self.home = home
        self.versions = [b""]
        self.fds = []
        self.maps = []    # see file_mapped.py
        self.stores = {}  # page -> Stores: those that a mapping may have open

    @property
    def data(self):
        return self.versions[-1]

    def synced(self):
        del self.versions[:-1]
        self.stores.clear()

    def wrote(self, offset, count):
        """Not through a mapping: the home has it, whatever becomes of who has the page open."""
        for page in range(offset // PAGE, (offset + count - 1) // PAGE + 1):
            if page in self.stores:
                self.stores[page].are_last = False

    def allows(self, data):
        """Whether this is its content after a death: pages get to the disk in any order, so each byte is
        one of some version, and the size lies between theirs."""
        if data in self.versions:
            return True
        lengths = [len(version) for version in self.versions]
        if not min(lengths) <= len(data) <= max(lengths):
            return False
        ones = int.from_bytes(b"\1" * len(data))
        wanted = int.from_bytes(data)
        wrong = ones  # a one for each byte that is of no version so far
        for version in reversed(self.versions):
            differs = int.from_bytes(version[:len(data)].ljust(len(data), b"\0")) ^ wanted
            for shift in (4, 2, 1):
                differs |= differs >> shift
            wrong &= differs & ones
            if not wrong:
                return True
        return False


class OwnFiles:
    def path(self):
        return f"{self.random.choice(self.directories)}/{self.random.choice('abcdefgh')}"

    def a_file(self, is_open=True):
        files = [(path, file) for path, file in self.files.items() if file.fds or not is_open]
        return self.random.choice(files) if files else (None, None)

    def do_create(self):
        path, home = self.path(), self.random.choices(range(CELLS), self.test.homes)[0]
        if path not in self.files and len(self.files) >= FILES_MAX:
            return False
        self.note(f"{path} on {home}")
        existed = path in self.files

        def undecided():
            if not existed and self.kind(path) is not None:
                self.files[path] = File(home)
        self.pending = undecided
        try:
            fd = self.ask("open", path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644, home)
        except OSError as failed:
            self.expect(failed, {errno.EEXIST} if existed else set())
            return True
        self.expect(None, {errno.EEXIST} if existed else set())
        self.files[path] = File(home)
        self.pending = None
        self.same_homes(home)  # else nobody knows of which one the descriptor is
        self.files[path].fds.append(fd)

    def expect(self, failed, numbers):
        if failed is None and numbers:
            raise AssertionError(f"not refused with {numbers}: {self.log[-1]}")
        if failed is not None and failed.errno not in numbers:
            raise failed

    def do_open(self):
        path, file = self.a_file(is_open=False)
        if path is None or len(file.fds) >= 2:
            return False
        self.note(path)
        fd = self.ask("open", path, os.O_RDWR)
        self.same_homes(file.home)
        file.fds.append(fd)

    def do_write(self):
        path, file = self.a_file()
        if path is None:
            return False
        offset = self.random.randrange(len(file.data) + 20_000)
        offset = min(offset, BYTES_MAX)
        data = self.random.randbytes(self.random.choice((1, 100, 4096, 8192, self.random.randrange(60_000))))
        if not data:
            return False
        self.note(f"{path} {offset} {len(data)}")
        old = file.data
        new = old.ljust(offset, b"\0")[:offset] + data + old[offset + len(data):]
        file.wrote(offset, len(data))
        self.stored(file, new, "pwrite", file.fds[0], data, offset)

    def stored(self, file, new, call, *arguments):
        """A change of content, of which a part may be there after an error."""
        file.versions.append(new)
        old = file.versions[-2]

        def undecided():
            file.versions.append(old)
        self.pending = undecided
        self.undecided_file = file
        done = self.ask(call, *arguments)
        self.pending = None
        if isinstance(done, int) and done != len(arguments[1]):
            # The rest had no room: why, the next one says. What is there, who looks.
            file.versions.append(old)
            self.trouble(f"{call}: {done} bytes", None)

    def do_append(self):
        path, file = self.a_file(is_open=False)
        if path is None or len(file.data) > BYTES_MAX:
            return False
        data = self.random.randbytes(self.random.randrange(1, 9000))
        self.note(f"{path} {len(data)}")
        fd = self.ask("open", path, os.O_RDWR | os.O_APPEND)
        self.same_homes(file.home)
        file.wrote(len(file.data), len(data))
        self.stored(file, file.data + data, "write", fd, data)
        self.ask("close", fd)

    def do_truncate(self):
        path, file = self.a_file()
        if path is None:
            return False
        size = self.random.choice((0, len(file.data), self.random.randrange(BYTES_MAX)))
        self.note(f"{path} {size}")
        self.stored(file, file.data[:size].ljust(size, b"\0"), "ftruncate", file.fds[0], size)

    def do_read(self):
        path, file = self.a_file()
        if path is None:
            return False
        offset = self.random.randrange(len(file.data) + 100)
        count = self.random.randrange(1, 100_000)
        self.note(f"{path} {offset} {count}")
        self.read_at(path, file, offset, count)

    def read_at(self, path, file, offset, count):
        seen = b""
        while len(seen) < count:
            part = self.ask("pread", self.random.choice(file.fds), count - len(seen), offset + len(seen))
            if not part:
                break
            seen += part
        self.compare(path, offset, seen, file.data[offset:offset + count])

    @staticmethod
    def compare(path, offset, seen, wanted):
        if seen != wanted:
            first = next((i for i, (a, b) in enumerate(zip(seen, wanted)) if a != b), min(len(seen), len(wanted)))
            raise AssertionError(f"{path} at {offset + first}: {seen[first:first + 8].hex()}, not "
                                 f"{wanted[first:first + 8].hex()}; {len(seen)} and {len(wanted)} bytes")

    def do_fsync(self):
        path, file = self.a_file()
        if path is None:
            return False
        self.note(path)
        self.ask("fsync", file.fds[0])
        file.synced()

    def do_close(self):
        path, file = self.a_file()
        is_loose = bool(self.loose) and self.random.random() < 0.5
        if is_loose:
            file = self.loose.pop()
        if file is None:
            return False
        if is_loose:
            for mapping in file.maps:
                self.ask("unmap", mapping.id)
        fds = file.fds if is_loose else [file.fds.pop()]
        self.note(fds)
        for fd in fds:
            self.ask("close", fd)

    def do_unlink(self):
        path = self.path()
        file = self.files.get(path)
        self.note(path)

        def undecided():
            if file is not None and self.kind(path) is None:
                del self.files[path]
        self.pending = undecided
        try:
            self.ask("unlink", path)
        except OSError as failed:
            return self.expect(failed, {errno.ENOENT} if file is None else set())
        self.expect(None, {errno.ENOENT} if file is None else set())
        del self.files[path]
        self.has_lost_its_name(file)

    def has_lost_its_name(self, file):
        if file.fds or file.maps:
            self.loose.append(file)

    def do_loose(self):
        """One that has no name any more can still be used."""
        if not self.loose:
            return False
        file = self.random.choice(self.loose)
        if not file.fds:
            return self.peek_at("without a name", file, file.maps[0])
        self.read_at("without a name", file, 0, 70_000)

    def do_rename(self):
        old, new = self.path(), self.path()
        file, replaced = self.files.get(old), self.files.get(new)
        self.note(f"{old} {new}")
        before = None if file is None else self.kind(old)

        def undecided():
            if file is None or old == new:
                return
            # In between both lead to it.
            wait_for(lambda: not (self.kind(old) == self.kind(new) == before), "one of the names to go",
                     60 * PATIENCE)
            if self.kind(old) is None:
                self.moved(old, new, replaced)
        self.pending = undecided
        try:
            self.ask("rename", old, new)
        except OSError as failed:
            return self.expect(failed, {errno.ENOENT} if file is None else set())
        self.expect(None, {errno.ENOENT} if file is None else set())
        if old != new:
            self.moved(old, new, replaced)

    def moved(self, old, new, replaced):
        self.files[new] = self.files.pop(old)
        if replaced is not None:
            self.has_lost_its_name(replaced)

    def do_stat(self):
        path = self.path()
        file = self.files.get(path)
        self.note(path)
        try:
            about = self.ask("lstat", path)
        except OSError as failed:
            return self.expect(failed, {errno.ENOENT} if file is None else set())
        self.expect(None, {errno.ENOENT} if file is None else set())
        self.same_homes(file.home)
        if (about["home"], about["size"]) != (file.home, len(file.data)):
            raise AssertionError(f"{path}: {about}, not {len(file.data)} bytes on {file.home}")

    def do_readdir(self):
        directory = self.random.choice(self.directories)
        seen = {name for name in self.ask("readdir", directory) if not name.startswith("canary")}
        wanted = {path.rpartition("/")[2] for path in self.files if path.startswith(directory + "/")}
        if seen != wanted:
            raise AssertionError(f"{directory}: {seen}, not {wanted}")
