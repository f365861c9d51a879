"""What the workers of files_concurrent_test.py do with the same files and names: the model accepts what some
order of them gives. One of these for all of them; a worker uses it through Meeting."""

import errno
import os
import random
import threading

from file_killer import CELLS
from file_own import PAGE

WORKERS = 2 * CELLS
RECORD = 700   # so that several are on a page
RECORDS = 12   # of each worker in each shared file
APPENDED = 64
# The shared files are this long, so that they can be mapped as a whole.
SHARED = (WORKERS * RECORDS * RECORD + PAGE - 1) // PAGE * PAGE


class Shared:
    def __init__(self):
        self.lock = threading.Lock()
        self.holders = {}  # of names
        self.leaving = {}  # who is about to let go
        self.written = {}  # (worker, file, record) -> all that it may have written there

    def take(self, name, worker):
        with self.lock:
            holder = self.holders.get(name)
            if holder not in (None, worker, self.leaving.get(name)):
                raise AssertionError(f"{name} was made by {worker} while {holder} had it")
            self.holders[name] = worker
            self.leaving.pop(name, None)

    def leave(self, name, worker):
        with self.lock:
            self.leaving[name] = worker

    def release(self, name, worker):
        with self.lock:
            if self.holders.get(name) == worker:
                del self.holders[name]
                self.leaving.pop(name, None)

    def wrote(self, key, version):
        self.written.setdefault(key, [0]).append(version)

    def history(self, key):
        return self.written.get(key, [0])


class Meeting:
    @staticmethod
    def record(worker, k, i, version):
        if version == 0:
            return bytes(RECORD)
        return random.Random(f"{worker} {k} {i} {version}").randbytes(RECORD)

    @staticmethod
    def place(worker, i):
        return (i * WORKERS + worker) * RECORD

    def new_record(self):
        k, i = self.random.randrange(CELLS), self.random.randrange(RECORDS)
        self.version += 1
        self.records.setdefault((k, i), [0]).append(self.version)
        self.note(f"{k} {i} {self.version}")
        self.meeting.wrote((self.number, k, i), self.version)
        return k, self.record(self.number, k, i, self.version), self.place(self.number, i)

    def do_record_write(self):
        k, data, at = self.new_record()
        done = self.ask("pwrite", self.shared[k], data, at)
        if done != RECORD:
            self.trouble(f"pwrite: {done} bytes", None)

    def do_record_poke(self):
        k, data, at = self.new_record()
        self.ask("poke", self.shared_maps[k], at, data)

    def do_record_sync(self):
        k = self.random.randrange(CELLS)
        self.note(k)
        if self.random.random() < 0.5:
            self.ask("fsync", self.shared[k])
        else:
            self.ask("msync", self.shared_maps[k])
        for (of, _), versions in self.records.items():
            if of == k:
                del versions[:-1]

    def do_record_read(self):
        """Of anybody: one that its worker has written there, or parts of several."""
        self.look_at_record("pread")

    def do_record_peek(self):
        self.look_at_record("peek")

    def look_at_record(self, how):
        k, i = self.random.randrange(CELLS), self.random.randrange(RECORDS)
        worker = self.random.randrange(WORKERS)
        self.note(f"{k} {i} of {worker}")
        if worker == self.number:
            return self.check_record(worker, k, i, self.records.get((k, i), [0])[-1:], how)
        seen = self.see_record(how, worker, k, i)
        self.check_bytes(seen, worker, k, i, self.meeting.history((worker, k, i)))

    def see_record(self, how, worker, k, i):
        if how == "peek":
            return self.ask("peek", self.shared_maps[k], self.place(worker, i), RECORD)
        return self.ask("pread", self.shared[k], RECORD, self.place(worker, i)).ljust(RECORD, b"\0")

    def check_record(self, worker, k, i, versions, how=None):
        seen = self.see_record(how, worker, k, i)
        if how is not None:
            if seen != self.record(worker, k, i, versions[0]):
                raise AssertionError(f"record {k} {i}: not what was written last, {versions[0]}")
            return
        self.check_bytes(seen, worker, k, i, versions)
        whole = [v for v in versions if self.record(worker, k, i, v) == seen]
        if whole:
            versions.append(whole[-1])
        elif versions:  # parts of several: written anew before anybody asks for it as a whole
            self.version += 1
            versions.append(self.version)
            self.meeting.wrote((self.number, k, i), self.version)
            self.ask("pwrite", self.shared[k], self.record(worker, k, i, self.version), self.place(worker, i))

    def check_bytes(self, seen, worker, k, i, versions):
        left = set(range(len(seen)))
        for version in reversed(versions):
            data = self.record(worker, k, i, version)
            left = {at for at in left if data[at] != seen[at]}
            if not left:
                return
        raise AssertionError(f"record {k} {i} of {worker}: {len(left)} bytes that it never wrote there, "
                             f"the first {min(left)}")

    def do_log(self):
        self.appended += 1
        line = f"{self.number} {self.appended} ".encode().ljust(APPENDED, b"%d" % (self.appended % 10))
        if self.ask("write", self.shared["log"], line) != APPENDED:
            self.trouble("an append in parts", None)
        self.fresh.append(self.appended)

    def do_log_sync(self):
        self.ask("fsync", self.shared["log"])
        self.durable.update(self.fresh)
        self.fresh.clear()

    def do_take(self):
        """Names that all want: made with O_EXCL, so one has it."""
        name = self.random.choice("pqr")
        self.note(name)
        path = f"/common.{name}"
        self.pending = lambda: self.settle(name)
        if name in self.holds:
            self.meeting.leave(name, self.number)
            self.ask("unlink", path)
            self.holds.discard(name)
            return self.meeting.release(name, self.number)
        try:
            # Its mode says who made it.
            fd = self.ask("open", path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600 + self.number, self.cell)
        except OSError as failed:
            self.expect(failed, {errno.EEXIST})
            return
        self.meeting.take(name, self.number)
        self.holds.add(name)
        self.pending = None
        self.ask("close", fd)

    def has(self, name):
        try:
            return self.ask("lstat", f"/common.{name}")["mode"] & 7 == self.number
        except OSError as failed:
            self.expect(failed, {errno.ENOENT})
            return False

    def settle(self, name):
        if self.has(name):
            self.meeting.take(name, self.number)
            self.holds.add(name)
        else:
            self.holds.discard(name)
            self.meeting.release(name, self.number)
