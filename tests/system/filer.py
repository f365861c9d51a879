"""A task that does with files what it is told (programs/filer.cpp)."""

import errno
import mmap
import os

LINKS = {1: "file", 2: "directory", 3: "link"}


def to_hex(data):
    data = data if isinstance(data, bytes) else os.fsencode(data)
    return data.hex() or "-"


class Filer:
    """Calls are those of POSIX; errors are OSError with their errno. Lost: the task has ended."""

    class Lost(Exception):
        pass

    def __init__(self, test, cell):
        self.cell = cell
        self.process = test.start_program(cell, "filer")
        self.ids = 0

    def ask(self, *words):
        try:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            answer = line.split() if line.endswith("\n") else []  # it may end in the middle of one
        except OSError:
            answer = []
        if not answer:
            raise Filer.Lost(words[0])
        if answer[0] == "error":
            number = int(answer[1])
            raise OSError(number, f"{errno.errorcode.get(number, number)} from {words[0]}")
        return answer[1:]

    def open(self, path, flags=os.O_RDONLY, mode=0o644, home=-1):
        self.ids += 1
        self.ask("open", self.ids, to_hex(path), flags, mode, home)
        return self.ids

    def close(self, fd):
        self.ask("close", fd)

    def pread(self, fd, count, offset):
        return self.bytes_of(self.ask("pread", fd, offset, count))

    def read(self, fd, count):
        return self.bytes_of(self.ask("read", fd, count))

    def pwrite(self, fd, data, offset):
        return int(self.ask("pwrite", fd, offset, to_hex(data))[0])

    def write(self, fd, data):
        return int(self.ask("write", fd, to_hex(data))[0])

    def lseek(self, fd, offset, whence):
        return int(self.ask("lseek", fd, offset, whence)[0])

    def ftruncate(self, fd, size):
        self.ask("ftruncate", fd, size)

    def fsync(self, fd):
        self.ask("fsync", fd)

    def map(self, fd, size, protection=mmap.PROT_READ, offset=0, flags=mmap.MAP_SHARED):
        self.ids += 1
        self.ask("map", self.ids, fd, size, protection, flags, offset)
        return self.ids

    def anonymous(self, size):
        self.ids += 1
        self.ask("anonymous", self.ids, size)
        return self.ids

    def peek(self, mapping, offset, count):
        return self.bytes_of(self.ask("peek", mapping, offset, count))

    def poke(self, mapping, offset, data):
        self.ask("poke", mapping, offset, to_hex(data))

    def touch(self, mapping, offset, store=False):
        return int(self.ask("touch", mapping, offset, int(store))[0])

    def populate(self, mapping, offset, count):
        self.ask("populate", mapping, offset, count)

    def many(self, mapping, threads):
        """Each changes a byte of its own in every page. How many bytes are wrong after that."""
        return int(self.ask("many", mapping, threads)[0])

    def msync(self, mapping):
        self.ask("msync", mapping)

    def unmap(self, mapping):
        self.ask("unmap", mapping)

    def stat(self, path):
        return self.info(self.ask("stat", to_hex(path)))

    def lstat(self, path):
        return self.info(self.ask("lstat", to_hex(path)))

    def fstat(self, fd):
        return self.info(self.ask("fstat", fd))

    def mkdir(self, path, mode=0o755):
        self.ask("mkdir", to_hex(path), mode)

    def rmdir(self, path):
        self.ask("rmdir", to_hex(path))

    def unlink(self, path):
        self.ask("unlink", to_hex(path))

    def rename(self, old, new):
        self.ask("rename", to_hex(old), to_hex(new))

    def symlink(self, target, path):
        self.ask("symlink", to_hex(target), to_hex(path))

    def readlink(self, path):
        return os.fsdecode(self.bytes_of(self.ask("readlink", to_hex(path))))

    def chmod(self, path, mode):
        self.ask("chmod", to_hex(path), mode)

    def utimens(self, path, accessed, modified):
        self.ask("utimens", to_hex(path), accessed, modified)

    def readdir(self, path):
        """{name: kind}"""
        missing, *entries = self.ask("readdir", to_hex(path))
        if missing != "0":
            raise OSError(errno.EHOSTDOWN, "a part of the root is missing")
        split = (entry.split(":") for entry in entries)
        return {os.fsdecode(bytes.fromhex(name)): LINKS[int(kind)] for kind, name in split}

    def content(self, path):
        fd = self.open(path)
        try:
            return self.pread(fd, 1 << 20, 0)
        finally:
            self.close(fd)

    @staticmethod
    def bytes_of(answer):
        return b"" if answer[0] == "-" else bytes.fromhex(answer[0])

    @staticmethod
    def info(answer):
        names = ("kind", "size", "mode", "home", "number", "generation", "accessed", "modified")
        about = dict(zip(names, map(int, answer)))
        about["kind"] = LINKS[about["kind"]]
        return about

    def end(self):
        self.process.communicate()
