"""A worker of files_concurrent_test.py: one task, and what it knows of the files. What fails is believed
only while something was made to fail; then the worker finds out what has happened, and goes on."""

import collections
import errno
import mmap
import os
import random
import threading
import time
import traceback

from file_killer import CELLS
from file_mapped import Mapped
from file_meeting import SHARED, Meeting
from file_own import OwnFiles
from filer import Filer
from machine import PATIENCE, wait_for

WRITABLE = mmap.PROT_READ | mmap.PROT_WRITE
DOWN = {errno.EHOSTDOWN, errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.EAGAIN}
DISK = {errno.EIO, errno.ENOSPC, errno.ENOMEM}

WEIGHTS = {"create": 6, "open": 6, "write": 16, "append": 5, "truncate": 4, "read": 12, "fsync": 5, "close": 5,
           "unlink": 4, "loose": 2, "rename": 6, "stat": 4, "readdir": 3, "record_write": 10, "record_sync": 2,
           "record_read": 8, "record_poke": 8, "record_peek": 6, "log": 5, "log_sync": 1, "take": 6, "map": 7,
           "unmap": 5, "msync": 4, "poke": 16, "peek": 14, "grab": 5}
# Which of them are alike when it comes to what they meet.
KINDS = {"create": "make", "take": "make", "open": "open", "close": "open", "unlink": "name", "rename": "name",
         "stat": "look", "readdir": "look", "write": "write", "append": "write", "truncate": "write",
         "record_write": "write", "log": "write", "read": "read", "record_read": "read", "loose": "read",
         "fsync": "sync", "record_sync": "sync", "log_sync": "sync", "msync": "sync", "map": "map",
         "unmap": "map", "grab": "map", "poke": "poke", "record_poke": "poke", "peek": "peek",
         "record_peek": "peek"}


class Trouble(Exception):
    """An operation did not succeed, and something was made to fail that explains it."""


class Worker(OwnFiles, Mapped, Meeting, threading.Thread):
    def __init__(self, test, number, draws):
        super().__init__(daemon=True)
        self.test = test
        self.meeting = test.meeting
        self.killer = test.killer
        self.number = number
        self.cell = number % CELLS
        self.random = random.Random(draws)
        self.filer = None
        self.files = {}         # path -> File
        self.loose = []         # without a name, but open
        self.canaries = {}      # home -> fd: says whether the home is still the one it was
        self.shared = {}        # k -> fd
        self.shared_maps = {}   # k -> mapping of all of it
        self.grabbed = []       # (mapping, content): anonymous memory
        self.records = {}       # (k, i) -> versions that may be there, as numbers
        self.version = 0
        self.appended = 0       # acknowledged
        self.fresh = []         # of these, what no fsync has acknowledged
        self.durable = set()
        self.incarnations = None  # of the homes, when it last knew all
        self.task_died = False    # and it has not found out yet what that has cost
        self.holds = set()
        self.pending = None
        self.undecided_file = None  # whose content is one of several
        self.counts = collections.Counter()
        self.pairs = collections.Counter()
        self.seen = 0           # troubles
        self.failure = None
        self.log = collections.deque(["begins"], maxlen=40)
        self.directories = [f"/w{number}", f"/x{number}"]

    # --- around the operations

    def run(self):
        try:
            try:
                self.incarnations = self.connect()
            except Trouble:
                self.recover()
            while not self.test.stopping.is_set() and not self.test.failed.is_set():
                self.step()
            self.check_all()
        except BaseException as failed:
            # Once another one has failed, they stop in the middle of things.
            if not self.test.failed.is_set():
                self.failure = failed
                self.log.append(traceback.format_exc())
                self.test.failed.set()

    def step(self):
        name = self.random.choices(*zip(*self.test.weights.items()))[0]
        self.pending = None
        self.undecided_file = None
        self.log.append(f"{time.monotonic():.3f} {name}")
        try:
            if getattr(self, f"do_{name}")() is not False:
                self.counts[name] += 1
        except Trouble:
            self.pairs[name, self.killer.way] += 1
            self.recover()

    def note(self, text):
        self.log[-1] += f" {text}"

    def ask(self, call, *arguments, told=()):
        """A call of the filer; Trouble where it fails and may. `told`: errors that are the caller's."""
        deadline = time.monotonic() + 30 * PATIENCE
        while True:
            if self.test.failed.is_set():
                raise Trouble
            try:
                return getattr(self.filer, call)(*arguments)
            except Filer.Lost:
                return self.trouble(f"{call}: the task has ended", None)
            except OSError as failed:
                if failed.errno in told:
                    raise
                # A name may be on its way from one home to another after a death.
                if failed.errno == errno.EBUSY and time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                if failed.errno in DOWN | DISK | {errno.EBUSY}:
                    return self.trouble(f"{call} {arguments[:1]}: {failed}", failed.errno)
                raise

    def trouble(self, what, number):
        self.note(what)
        # It dies, and is not known to have died: the one who kills knows best.
        if self.seen == self.killer.troubles:
            raise AssertionError(f"nothing stands in the way of it: {what}")
        if number == errno.ENOSPC and self.killer.done["disk-full"] == 0 and self.killer.way != "disk-full":
            raise AssertionError(f"no disk was full: {what}")
        raise Trouble

    def same_homes(self, home):
        """Trouble if it is not the home any more that it was: then its files may be what they were."""
        self.ask("pread", self.canaries[home], 1, 0)

    def connect(self):
        if self.filer is None:
            self.filer = Filer(self.test, self.cell)
        for path in self.directories:
            try:
                self.ask("mkdir", path)
            except OSError as failed:
                if failed.errno != errno.EEXIST:
                    raise
        flags = os.O_RDWR | os.O_CREAT
        for home in range(CELLS):
            self.canaries[home] = self.ask("open", f"{self.directories[0]}/canary{home}", flags, 0o644, home)
        for k in range(CELLS):
            self.shared[k] = self.ask("open", f"/shared{k}", flags, 0o644, k)
            self.ask("pwrite", self.shared[k], bytes(1), SHARED)
            self.shared_maps[k] = self.ask("map", self.shared[k], SHARED, WRITABLE)
        self.shared["log"] = self.ask("open", "/log", flags | os.O_APPEND, 0o644, 0)
        # Of the homes that have the canaries open: if they should die now, those say so.
        return [cell["incarnation"] for cell in self.test.machine.status()["cells"]]

    def recover(self):
        """Something has failed: finds out what has happened, once all is well again."""
        while True:
            if self.test.failed.is_set():
                return
            troubles = self.killer.troubles
            wait_for(lambda: self.killer.over >= troubles or self.test.failed.is_set(),
                     "all to be well again", 180 * PATIENCE)
            if self.test.failed.is_set():
                return
            try:
                self.come_back()
            except Trouble:
                continue  # and again
            self.seen = troubles
            return

    def come_back(self):
        self.close_all()
        self.fresh.clear()
        incarnations = self.connect()
        if any(way.startswith("disk-") for way in self.killer.ways[self.seen:]):
            self.hear_of_failures()
        if self.pending is not None:
            self.pending()  # whether it has happened
        self.pending = None
        for path, file in self.files.items():
            is_same = self.incarnations is not None and self.incarnations[file.home] == incarnations[file.home]
            self.look_again(path, file, not is_same)
        self.undecided_file = None
        self.incarnations = incarnations
        self.task_died = False
        for key, versions in self.records.items():
            self.check_record(self.number, *key, versions)
        for name in list(self.holds):
            if not self.has(name):
                raise AssertionError(f"{name} was taken away from who held it")

    def hear_of_failures(self):
        """Each file tells of write-backs that have failed once, with the next fsync."""
        for path in [*self.files, *(f"/shared{k}" for k in range(CELLS)), "/log"]:
            try:
                fd = self.filer.open(path, os.O_RDWR)
                for _ in range(2):
                    try:
                        self.filer.fsync(fd)
                    except OSError as failed:
                        self.note(f"fsync of {path}: {failed}")
                self.filer.close(fd)
            except (OSError, Filer.Lost):
                pass

    def close_all(self):
        files = [*self.files.values(), *self.loose]
        mappings = [*self.shared_maps.values(), *(mapping for mapping, _ in self.grabbed),
                    *(mapping.id for file in files for mapping in file.maps)]
        fds = [*self.canaries.values(), *self.shared.values(), *(fd for file in files for fd in file.fds)]
        try:
            if self.filer is not None:
                for number in mappings:
                    self.filer.unmap(number)
                for number in fds:
                    self.filer.close(number)
                self.filer.ask("cell")
        except Filer.Lost:
            self.filer.process.kill()
            self.filer = None
            self.task_died = True
        for file in files:
            file.fds.clear()
            file.maps.clear()
        for known in (self.shared_maps, self.canaries, self.shared, self.loose, self.grabbed):
            known.clear()

    def look_again(self, path, file, home_died):
        data = self.content(path)
        self.same_homes(file.home)
        if not file.allows(data):
            raise AssertionError(f"{path}: {len(data)} bytes, which may not be there; versions of "
                                 f"{[len(version) for version in file.versions]}: {self.differences(file, data)}")
        if not home_died and file is not self.undecided_file:
            self.check_kept(path, file, data, self.task_died)
        if not home_died and self.task_died:
            self.check_dropped(path, file, data)
        file.stores.clear()
        # After a death it is what is on the disk. Else only the next fsync says whether it is there.
        file.versions = [data] if home_died else [*file.versions, data]

    @staticmethod
    def differences(file, data):
        wrong = [i for i in range(len(data))
                 if all(version.ljust(i + 1, b"\0")[i] != data[i] for version in file.versions)]
        return f"bytes {wrong[:5]} of {len(wrong)} that nobody wrote there"

    def content(self, path):
        fd = self.ask("open", path)
        try:
            data = bytearray()
            while part := self.ask("pread", fd, 1 << 18, len(data)):
                data += part
            return bytes(data)
        finally:
            try:
                self.filer.close(fd)
            except (Filer.Lost, OSError):
                pass

    def kind(self, path):
        try:
            about = self.ask("lstat", path)
        except OSError as failed:
            if failed.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise
        return about["home"], about["number"]

    # --- the end

    def check_all(self):
        while not self.test.failed.is_set():
            try:
                self.do_log_sync()
                for path, file in self.files.items():
                    data = self.content(path)
                    if data != file.data:
                        raise AssertionError(f"{path}: {len(data)} bytes, not the {len(file.data)} that were "
                                             f"acknowledged: {self.differences(file, data)}")
                for directory in self.directories:
                    seen = {name for name in self.ask("readdir", directory) if not name.startswith("canary")}
                    assert seen == {p.rpartition("/")[2] for p in self.files if p.startswith(directory + "/")}
                return
            except Trouble:
                self.recover()
