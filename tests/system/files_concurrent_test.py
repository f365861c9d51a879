"""Thousands of operations on files from tasks on all cells at once, on a machine whose memory is smaller
than the files, against a model in memory; with cells that are killed, at points of their work and in
between, and disks that fail or are full for a while.

Each worker has directories and files of its own, which it knows byte by byte, on all homes. Where
workers meet, what they see depends on who comes first: there the model accepts what some order of them
gives. Records in files that all write: each worker's own, of a size that puts several on a page. Appends
to one file: each is there once, whole, and each worker's in their order. Names that all make with O_EXCL:
one holder at a time.

What must hold: no byte that nobody wrote there; what fsync has acknowledged outlives the death of its
home; what is acknowledged outlives all other deaths; descriptors of a home that died say EIO; errors
come only from what was made to fail; names are the same from every cell; frames add up on every cell;
and in the end nothing waits to be settled, and what was flushed at shutdown is there after the next boot.

HIVE_TEST_SEED replays what each worker and the one who kills draw (not who comes first);
HIVE_TEST_SECONDS says how long (20). With --long: until every kind of operation has met every kill point."""

import collections
import json
import os
import pathlib
import random
import sys
import threading
import time
import unittest

from file_killer import CELLS, WAYS, Killer
from file_meeting import APPENDED, WORKERS, Shared
from file_worker import KINDS, WEIGHTS, Worker
from filer import Filer
from machine import MachineTest, PATIENCE, seed, wait_for

# What a disk that refuses has nothing to do with, or only when all frames of a cell are dirty.
NEVER_MEET = {(kind, "disk-full") for kind in ("look", "open", "read", "write")} | {
    (kind, "disk-io") for kind in ("look", "open")}
PAIRS = {(kind, way) for kind in KINDS.values() for way in WAYS} - NEVER_MEET
SECONDS = float(os.environ.get("HIVE_TEST_SECONDS", "20"))
LONG = False
MEMORY = "1M"


class FilesConcurrent(MachineTest):
    def setUp(self):
        super().setUp()
        self.random = random.Random(seed())
        self.failed = threading.Event()
        self.stopping = threading.Event()
        self.meeting = Shared()

    def boot(self, *more):
        self.machine.boot(CELLS, MEMORY, *more)

    def run_all(self, seconds):
        self.killer = Killer(self, self.random.randrange(1 << 32))
        self.workers = [Worker(self, n, self.random.randrange(1 << 32)) for n in range(WORKERS)]
        for worker in self.workers:
            worker.start()
        self.killer.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.failed.is_set() and not self.is_enough():
            time.sleep(0.1)
        self.killer.stopping.set()
        self.killer.join(200 * PATIENCE)
        self.stopping.set()
        for worker in self.workers:
            worker.join(200 * PATIENCE)
        alive = [worker.number for worker in self.workers if worker.is_alive()]
        failures = [(f"worker {w.number} on {w.cell}", w.failure, list(w.log)) for w in self.workers if w.failure]
        if self.killer.failure:
            failures.append(("who kills", self.killer.failure, []))
        for who, failed, log in failures:
            print(f"{who}: {failed!r}\n  " + "\n  ".join(log), flush=True)
        if failures or alive:
            print(self.machine.log(), flush=True)
            raise AssertionError(f"{failures[0][0]}: {failures[0][1]!r}" if failures else f"{alive} hang")

    def is_enough(self):
        if not LONG:
            return False
        pairs = self.pairs()
        return (all(pairs[pair] for pair in PAIRS)
                and min(self.killer.done[way] for way in WAYS) >= 10)

    def pairs(self):
        pairs = collections.Counter()
        for worker in self.workers:
            for (name, way), count in list(worker.pairs.items()):
                pairs[KINDS[name], way] += count
        return pairs

    def check_frames(self):
        frames = json.loads(self.machine.hive("status", "--frames", "--json", "--name", "test").stdout)["frames"]
        self.assertEqual(len(frames), CELLS)
        for cell in frames:
            self.assertTrue(cell.get("adds_up"), frames)

    def tree(self, filer, path="/"):
        found = {}
        for name, kind in filer.readdir(path).items():
            below = f"{path.rstrip('/')}/{name}"
            about = filer.lstat(below)
            found[below] = kind, about["home"], about["number"], about["size"] if kind == "file" else 0
            if kind == "directory":
                found.update(self.tree(filer, below))
        return found

    def check_log(self, data):
        self.assertEqual(len(data) % APPENDED, 0)
        last = [0] * WORKERS
        there = collections.defaultdict(set)
        for at in range(0, len(data), APPENDED):
            line = data[at:at + APPENDED]
            if not line.strip(b"\0"):
                self.assertGreater(self.killer.deaths[0], 0, "a hole in the log")
                continue
            worker, number, rest = line.split(b" ", 2)
            worker, number = int(worker), int(number)
            self.assertEqual(set(rest), {ord(b"%d" % (number % 10))}, line)
            self.assertGreater(number, last[worker], "appends out of order, or twice")
            last[worker] = number
            there[worker].add(number)
        for worker in self.workers:
            self.assertLessEqual(worker.durable, there[worker.number], f"appends of {worker.number}")

    def test_what_all_do_at_once_is_what_some_order_does(self):
        self.boot()
        self.run_all(3600 if LONG else SECONDS * PATIENCE)
        self.check_frames()
        filers = [Filer(self, cell) for cell in range(CELLS)]
        trees = [self.tree(filer) for filer in filers]
        self.assertEqual(trees[0], trees[1])
        self.assertEqual(trees[0], trees[2])
        self.check_log(filers[1].content("/log"))
        for worker in self.workers:
            if worker.filer is not None:
                worker.filer.end()
        self.check_disks(trees[0])
        for filer in filers:
            filer.end()
        self.machine.shutdown()
        self.assert_nothing_left()
        # What was flushed at the end is there.
        self.boot()
        filer = Filer(self, 1)
        for worker in self.workers:
            for path, file in worker.files.items():
                fd = filer.open(path)
                self.assertEqual(filer.pread(fd, 1 << 20, 0), file.data, f"{path} after the next boot")
                filer.close(fd)
        filer.end()
        self.check_frames()
        self.machine.shutdown()
        self.check_counts()

    def check_disks(self, tree):
        """Nothing waits to be settled, and no file is without a name."""
        disks = pathlib.Path(self.machine.directory) / "state/hive/test"
        named = sum(about[0] != "directory" for about in tree.values())
        def left():
            return [len(list(disks.glob(f"disk*/{folder}/*"))) for folder in ("pending", "files")]
        wait_for(lambda: self.machine.run("--cell", "0", "--", "true") and left() == [0, named],
                 f"nothing but {named} files to be left on the disks; pending, files: {left()}")

    def check_counts(self):
        counts = sum((worker.counts for worker in self.workers), collections.Counter())
        pairs = self.pairs()
        print(f"{sum(counts.values())} operations {dict(counts)}\nfailed {dict(self.killer.done)}\n"
              f"{len(pairs)} pairs {({f'{kind} {way}': n for (kind, way), n in sorted(pairs.items())})}",
              flush=True)
        self.assertGreater(min(counts[name] for name in WEIGHTS), 0)
        self.assertGreater(sum(self.killer.done.values()), 2)
        if LONG:
            for way in WAYS:
                self.assertGreaterEqual(self.killer.done[way], 10, way)
            self.assertEqual({pair for pair in PAIRS if not pairs[pair]}, set(), "that never met")


class Sabotaged(FilesConcurrent):
    """The same with a rule broken: each time it is found."""

    test_what_all_do_at_once_is_what_some_order_does = None

    def find(self, name):
        self.boot("--sabotage", name)
        with self.assertRaises(AssertionError) as found:
            self.run_all(120 * PATIENCE)
            self.check_frames()
        self.assertRegex(str(found.exception), "bytes|record|content")

    def test_pages_that_leave_as_if_they_were_clean(self):
        self.find("write-back")

    def test_an_fsync_that_writes_nothing(self):
        self.find("sync")


if __name__ == "__main__":
    if "--long" in sys.argv:
        sys.argv.remove("--long")
        LONG = True
    unittest.main(verbosity=2)
