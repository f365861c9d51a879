"""Thousands of operations on files from tasks on all cells at once, on a machine whose memory is smaller
than the files, against a model in memory; with cells that are killed, at points of their work and in
between, and disks that fail or are full for a while.

Each worker has directories and files of its own, which it knows byte by byte, on all homes; it reads and
writes them by calls and through mappings, which stay while the file is cut, renamed and removed. Where workers
meet, what they see depends on who comes first: there the model accepts what some order of them
gives. Records in files that all write, and have mapped: each worker's own, of a size that puts several on a
page. Appends to one file: each is there once, whole, and each worker's in their order. Names that all make with
O_EXCL: one holder at a time.

What must hold: no byte that nobody wrote there; what fsync has acknowledged outlives the death of its
home; what is acknowledged outlives all other deaths, but for pages that the dead could store to, which are
as the disk has them; descriptors of a home that died say EIO; errors come only from what was made to fail;
a touch behind the end of a file is SIGBUS; names are the same from every cell; frames add up on every cell,
all the time, and what is lent is what is borrowed; and in the end nothing waits to be settled, and what was
flushed at shutdown is there after the next boot.

HIVE_TEST_SEED replays what each worker and the one who kills draw (not who comes first);
HIVE_TEST_SECONDS says how long at least (20): it goes on until there were enough operations of each type, and
enough kinds of them have met deaths. With --long: until every kind of operation has met every kill point."""

import collections
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
NEVER_MEET = {(kind, "disk-full") for kind in ("look", "open", "read", "write", "map", "poke", "peek")} | {
    (kind, "disk-io") for kind in ("look", "open", "map")}
PAIRS = {(kind, way) for kind in KINDS.values() for way in WAYS} - NEVER_MEET
SECONDS = float(os.environ.get("HIVE_TEST_SECONDS", "20"))
LONG = False
LONGEST = SECONDS + 180  # then something is wrong that keeps operations from being done
LONGEST_LONG = 3600
MEMORY = "1M"
HOMES = [6, 6, 1]  # files of the workers, of 13
# What has to be done. Of a short run:
OPERATIONS = 2000
OF_A_TYPE = 10  # also of a long one
PAIRS_MET = 15
WAYS_DONE = 5
# Of a long one, besides each pair:
OF_A_WAY = 10


class FilesConcurrent(MachineTest):
    weights = WEIGHTS
    ways = WAYS
    calm_s = 0.5  # between two things that fail

    def setUp(self):
        super().setUp()
        self.random = random.Random(seed())
        self.failed = threading.Event()
        self.stopping = threading.Event()
        self.meeting = Shared()
        # One has frames to lend, most of the time; the others have not enough.
        self.homes = self.random.sample(HOMES, CELLS)
        self.borrowed = 0  # seen to come, and to go
        self.returned = 0
        self.borrowed_by = {}
        self.bad_frames = None

    def boot(self, *more):
        self.machine.boot(CELLS, MEMORY, *more)

    def run_all(self, seconds, longest):
        """For so many seconds at least, and until there was enough of everything."""
        self.killer = Killer(self, self.random.randrange(1 << 32))
        self.workers = [Worker(self, n, self.random.randrange(1 << 32)) for n in range(WORKERS)]
        for worker in self.workers:
            worker.start()
        self.killer.start()
        begun = time.monotonic()
        while not self.failed.is_set() and time.monotonic() < begun + longest:
            if time.monotonic() >= begun + seconds and self.is_enough():
                break
            self.failed.wait(1)
            self.check_frames_in_calm()
        self.killer.stopping.set()
        self.killer.join(200 * PATIENCE)
        self.stopping.set()
        for worker in self.workers:
            worker.join(200 * PATIENCE)
        alive = [worker.number for worker in self.workers if worker.is_alive()]
        failures = [(f"worker {w.number} on {w.cell}", w.failure, list(w.log)) for w in self.workers if w.failure]
        if self.killer.failure:
            failures.append(("who kills", self.killer.failure, []))
        if self.bad_frames:
            failures.append(("who counts", self.bad_frames, []))
        for who, failed, log in failures:
            print(f"{who}: {failed!r}\n  " + "\n  ".join(log), flush=True)
        if failures or alive:
            print(self.machine.log(), flush=True)
            raise AssertionError(f"{failures[0][0]}: {failures[0][1]!r}" if failures else f"{alive} hang")

    def is_enough(self):
        return not self.too_few()

    def too_few(self):
        """What was not done as often as it has to be."""
        counts = sum((worker.counts for worker in self.workers), collections.Counter())
        pairs = self.pairs()
        few = [f"{name} {counts[name]}" for name in WEIGHTS if counts[name] < OF_A_TYPE]
        few += [] if self.borrowed and self.returned else ["frames that are borrowed, and given back"]
        if LONG:
            few += [f"{kind} at {way}" for kind, way in PAIRS if not pairs[kind, way]]
            few += [f"{way} {self.killer.done[way]}" for way in WAYS if self.killer.done[way] < OF_A_WAY]
            return few
        if sum(counts.values()) < OPERATIONS:
            few.append(f"{sum(counts.values())} operations")
        if len(pairs) < PAIRS_MET:
            few.append(f"{len(pairs)} pairs of kind and kill point")
        if len(self.killer.done) < WAYS_DONE:
            few.append(f"{len(self.killer.done)} kill points")
        return few

    def pairs(self):
        pairs = collections.Counter()
        for worker in self.workers:
            for (name, way), count in list(worker.pairs.items()):
                pairs[KINDS[name], way] += count
        return pairs

    def check_frames_in_calm(self):
        """Under load, while no cell is dying."""
        troubles = self.killer.troubles
        if self.killer.over < troubles or self.failed.is_set():
            return
        frames = self.machine.frames(check=False)
        if self.killer.troubles == troubles:
            for cell in frames:
                before = self.borrowed_by.get(cell["cell"], 0)
                now = self.borrowed_by[cell["cell"]] = cell.get("borrowed", 0)
                self.borrowed += max(0, now - before)
                self.returned += max(0, before - now)
                if not cell.get("adds_up"):
                    self.bad_frames = f"frames do not add up: {cell}"
                    self.failed.set()

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
        if LONG:
            self.run_all(0, LONGEST_LONG * PATIENCE)
        else:
            self.run_all(SECONDS * PATIENCE, LONGEST * PATIENCE)
        self.assert_books()
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
        self.assert_books()
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
        print(f"{sum(counts.values())} operations {dict(counts)}, {self.borrowed} frames borrowed\n"
              f"failed {dict(self.killer.done)}\n"
              f"{len(pairs)} pairs {({f'{kind} {way}': n for (kind, way), n in sorted(pairs.items())})}",
              flush=True)
        self.assertEqual(self.too_few(), [])


class Sabotaged(FilesConcurrent):
    """The same with a rule broken: each time it is found. What is done, and what fails, is what the rule is
    for."""

    test_what_all_do_at_once_is_what_some_order_does = None

    def is_enough(self):
        return False

    def find(self, name, complaint, ways=(), **weights):
        self.weights = weights or WEIGHTS
        self.ways = ways
        self.calm_s = 1
        self.boot("--sabotage", name)
        begun = time.monotonic()
        with self.assertRaises(AssertionError) as found:
            self.run_all(0, 120 * PATIENCE)
            self.assert_books()
        print(f"{name}: {time.monotonic() - begun:.1f} s, {found.exception}", flush=True)
        self.assertRegex(str(found.exception), complaint)

    def test_pages_that_leave_as_if_they_were_clean(self):
        self.find("write-back", "bytes|record|content", WAYS)

    def test_an_fsync_that_writes_nothing(self):
        self.find("sync", "bytes|record|content", WAYS)

    def test_a_loss_without_a_new_generation(self):
        self.find("generation", "not what was written last|never wrote there|nobody wrote there", ["kill"],
                  create=5, map=5, poke=10, record_write=10, record_poke=20, record_read=10, record_peek=10)

    def test_pages_that_stay_open(self):
        self.find("close", "bytes|record|content", create=5, open=5, write=5, map=10, poke=20, peek=20, read=10,
                  fsync=5, record_poke=10, record_read=5)

    def test_pages_that_the_dead_could_store_to_stay(self):
        self.find("discard", "are those of a task that died", ["kill"], create=10, open=5, write=2, map=10, poke=20,
                  peek=2, fsync=2)

    def test_readers_who_do_not_look_at_the_frame(self):
        self.find("sequence", "bytes|record|content", create=10, open=5, write=10, append=5, truncate=3,
                  read=40, record_read=10)

    def test_frames_that_are_used_again_under_mappings(self):
        self.find("punch", "bytes|record|content", create=10, open=5, write=10, append=5, truncate=3, map=10, peek=40,
                  poke=10, record_peek=10)


if __name__ == "__main__":
    if "--long" in sys.argv:
        sys.argv.remove("--long")
        LONG = True
    unittest.main(verbosity=2)
