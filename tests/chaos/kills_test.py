"""Tasks that are killed at random moments, and what the others see of it. See victim.h.

Usage: kills_test.py [--kills N] [--seed S] [--progress]

No torn record is read without an error, nobody waits for ever, nothing that was committed is gone,
what is rolled back is whole, and nothing leaks: tasks, windows, descriptors and threads of the
kernels, memory. At the end of each generation of victims a cell is killed, too, and the machine
goes down; the next generation has a new one.
"""

import argparse
import collections
import mmap
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import time

from machine import BUILD, Machine, PATIENCE, WAIT_S, processes_of, wait_for

CELLS = 3
HOME = 0          # of most segments; those that are rolled back have theirs on cell 1
DOOMED_CELL = 2   # holds tasks only, so its end is theirs alone
POOL = 5          # victims that live at a time
GENERATION = 500  # kills on one machine
QUIET_EVERY = 100
STUCK_S = 40 * PATIENCE  # without one operation
KINDS = ("window", "rollback", "put", "mutex", "guarded", "turn", "shared", "ring", "versioned",
         "open")
SLOTS = 32
THREADS_SPARE = 8  # a kernel starts servers when it needs them, up to a bound
ANCHORS = range(SLOTS - CELLS, SLOTS)  # slots of the tasks that nobody kills, one for each cell


class Violation(Exception):
    pass


class Tally:
    """The file that the victims map: tally.h."""
    HEAD = 4
    SIZE = 8 * (HEAD + 2 * SLOTS + 2 * 16 + 2 * 64 + 8 + 64)

    def __init__(self, path):
        self.path = path
        self.file = open(path, "w+b")
        self.file.truncate(self.SIZE)
        self.memory = mmap.mmap(self.file.fileno(), self.SIZE)

    def word(self, index):
        return struct.unpack_from("<Q", self.memory, 8 * index)[0]

    def words(self, first, count):
        return struct.unpack_from(f"<{count}Q", self.memory, 8 * first)

    def stop(self):
        struct.pack_into("<Q", self.memory, 0, 1)

    def doom(self, cell):
        struct.pack_into("<Q", self.memory, 8 * 3, 1 + cell)

    def ready(self, slot):
        return self.word(self.HEAD + slot)

    def operations(self, slot):
        return self.word(self.HEAD + SLOTS + slot)

    def kinds(self):
        first = self.HEAD + 2 * SLOTS
        return self.words(first, len(KINDS)), self.words(first + 16, len(KINDS))

    def check(self):
        if self.word(2) != 0:
            raise Violation(pathlib.Path(self.path + ".violations").read_text())

    def close(self):
        self.memory.close()
        self.file.close()


class Victim:
    def __init__(self, generation, slot, cell, seed, delay_s, from_start, calm=False):
        arguments = [BUILD / "chaos-victim", "work", generation.tally.path, str(HOME), str(slot),
                     str(seed)] + (["calm"] if calm else [])
        self.slot = slot
        self.cell = cell
        self.last_words = generation.last_words.name
        self.delay_s = delay_s
        self.process = subprocess.Popen(arguments, env=generation.environment(cell),
                                        stdin=subprocess.DEVNULL, stderr=generation.last_words)
        self.started = time.monotonic()
        self.due = self.started + delay_s if from_start else None
        self.operations = 0
        self.moved = self.started

    def is_ready(self, tally):
        return tally.ready(self.slot) == self.process.pid

    def check(self, tally, now):
        """It lives, and it moves."""
        if self.process.poll() is not None:
            tally.check()
            raise Violation(f"pid {self.process.pid} ended by itself: {self.process.returncode}\n"
                            + pathlib.Path(self.last_words).read_text()[-2000:])
        operations = tally.operations(self.slot)
        if operations != self.operations:
            self.operations, self.moved = operations, now
        elif now - self.moved > STUCK_S:
            raise Violation(f"pid {self.process.pid} is stuck:\n{stack_of(self.process.pid)}")
        if self.due is None and self.is_ready(tally):
            self.due = now + self.delay_s

    def kill(self):
        self.process.kill()
        self.process.wait()


def stack_of(pid):
    """Where a process is that does not move, as far as this host can tell."""
    told = ""
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        for name in ("syscall", "wchan"):
            try:
                told += f"{task.name} {name}: {(task / name).read_text().strip()}\n"
            except OSError as problem:
                told += f"{task.name} {name}: {problem}\n"
    return told


def figures_of(pid):
    """What a kernel would lose bit by bit if it forgot to give something back."""
    return {"descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": len(os.listdir(f"/proc/{pid}/task"))}


def descriptors_of(pid):
    """What its descriptors are, by kind: socket, memfd:..., anon_inode:[pidfd], ..."""
    kinds = collections.Counter()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds[os.readlink(entry).rstrip("0123456789[]")] += 1
        except OSError:
            pass
    return dict(kinds)


def memory_of(pid):
    """The inodes of the node memory that a process has mapped."""
    try:
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    return {line.split()[4] for line in maps if "/memfd:hive-" in line}


def holders_of(memory):
    """Who keeps memory from being given back: it goes with the last who has it mapped or open. The
    figure of the whole host would be about the machines of others, too."""
    holders = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            held = memory_of(entry.name) | {
                str(os.stat(fd).st_ino) for fd in (entry / "fd").iterdir()
                if "/memfd:hive-" in os.readlink(fd)}
        except OSError:
            continue
        if held & memory:
            holders.append(entry.name)
    return holders


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


class Generation:
    def __init__(self, rng):
        self.random = rng
        self.machine = Machine("chaos")
        self.tally = Tally(self.machine.directory + "/tally")
        self.last_words = open(self.machine.directory + "/last-words", "w+")
        self.victims = []
        self.maker = None
        self.anchors = []
        self.kills = 0

    def environment(self, cell):
        return dict(self.machine.env, HIVE_MACHINE=self.machine.name, HIVE_CELL=str(cell))

    def start(self):
        self.machine.boot(CELLS, "16M")
        self.kernels = {cell["id"]: cell["pid"] for cell in self.machine.status()["cells"]}
        self.memory = set().union(*map(memory_of, self.kernels.values()))
        self.maker = subprocess.Popen(
            [BUILD / "chaos-victim", "make", self.tally.path, str(HOME)],
            env=self.environment(HOME), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            text=True)
        if self.maker.stdout.readline() != "made\n":
            self.tally.check()
            raise Violation("the segments could not be made")
        for cell, slot in enumerate(ANCHORS):
            self.anchors.append(Victim(self, slot, cell, self.random.getrandbits(60), 0,
                                       from_start=False, calm=True))
        wait_for(lambda: all(a.is_ready(self.tally) for a in self.anchors), "the anchors")
        self.settle()
        self.figures = {cell: figures_of(pid) for cell, pid in self.kernels.items()}
        self.threads = {cell: figures["threads"] for cell, figures in self.figures.items()}
        self.resident = {cell: resident_kib(pid) for cell, pid in self.kernels.items()}

    def fill(self):
        used = {victim.slot for victim in self.victims}
        for slot in range(POOL):
            if slot in used:
                continue
            # Most are killed at work; every tenth while it attaches, opens what it needs, begins.
            from_start = self.random.random() < 0.1
            delay_s = self.random.uniform(0, 0.03 if from_start else 0.06)
            self.victims.append(Victim(self, slot, self.random.randrange(CELLS),
                                       self.random.getrandbits(60), delay_s, from_start))

    def look(self):
        now = time.monotonic()
        for victim in self.victims + self.anchors:
            victim.check(self.tally, now)
        self.tally.check()
        return now

    def kill_one(self):
        """The next that is due; now and then two at once."""
        self.fill()
        while True:
            now = self.look()
            due = [v for v in self.victims if v.due is not None and v.due <= now]
            if due:
                break
            time.sleep(0.0005)
        for victim in due:
            victim.process.kill()
        for victim in due:
            victim.kill()
            self.victims.remove(victim)
        self.kills += len(due)

    def kill_all(self):
        for victim in self.victims:
            victim.process.kill()
        for victim in self.victims:
            victim.kill()
        self.kills += len(self.victims)
        self.victims = []

    def settle(self, cells=CELLS):
        """Only the anchors and the maker are left, and what is open is theirs."""
        pids = {a.process.pid for a in self.anchors if a.process.poll() is None}
        pids.add(self.maker.pid)

        def settled():
            self.look()
            tasks = self.machine.tasks()
            ids = {task["id"] for task in tasks}
            open_to = {window["task"] for window in self.machine.status()["exposure"]}
            return {task["pid"] for task in tasks} == pids and open_to <= ids
        wait_for(settled, "what the dead had to be given back")

    def quiet(self):
        """Nothing has leaked so far."""
        self.kill_all()
        self.settle()
        for cell, pid in self.kernels.items():
            def as_before():
                now = figures_of(pid)
                before = self.figures[cell]
                return (now["descriptors"] <= before["descriptors"]
                        and now["threads"] <= self.threads[cell] + THREADS_SPARE and now)
            try:
                # At the start something may have been under way; it has not been since.
                self.figures[cell] = wait_for(as_before, "the figures")
            except AssertionError:
                raise Violation(f"cell {cell} has leaked: {self.figures[cell]} before, "
                                f"{figures_of(pid)} now: {descriptors_of(pid)}") from None

    def lose_a_cell(self):
        """A whole cell, with the victims that are at work; the others go on."""
        self.fill()
        wait_for(lambda: self.look() and all(
            v.is_ready(self.tally) or v.due for v in self.victims), "victims at work")
        doomed = [v for v in self.victims + self.anchors if v.cell == DOOMED_CELL]
        self.victims = [v for v in self.victims if v not in doomed]
        self.anchors = [v for v in self.anchors if v not in doomed]
        self.tally.doom(DOOMED_CELL)
        self.machine.hive("fault", "kill-cell", DOOMED_CELL, "--name", self.machine.name)
        for victim in doomed:
            victim.process.wait(timeout=WAIT_S)
        before = {a.slot: self.tally.operations(a.slot) for a in self.anchors}
        wait_for(lambda: self.look() and all(
            self.tally.operations(slot) > count + 20 for slot, count in before.items()),
            "the others to go on after the loss of a cell")
        self.kernels.pop(DOOMED_CELL)
        self.kill_all()
        self.settle()
        return len(doomed)

    def finish(self):
        """All end in good order, and nothing is left: of the segments, of the machine."""
        self.tally.stop()
        for process in [a.process for a in self.anchors] + [self.maker]:
            if process.wait(timeout=WAIT_S) != 0:
                self.tally.check()
                raise Violation(f"pid {process.pid} ended with {process.returncode}")
        self.tally.check()

        def empty():
            status = self.machine.status()
            memory = [cell["memory"] for cell in status["cells"] if cell["state"] == "up"]
            return not self.machine.tasks() and not status["exposure"] and all(
                m["segments"] == 0 and m["segments_mib"] == 0 and m["torn_pages"] == 0
                for m in memory)
        wait_for(empty, "the segments to be gone")
        # Of cells that have come back, too.
        pids = [cell["pid"] for cell in self.machine.status()["cells"] if cell["state"] == "up"]
        self.memory = self.memory.union(*map(memory_of, pids))
        grown = {cell: resident_kib(pid) - self.resident[cell]
                 for cell, pid in self.kernels.items()}
        self.machine.hive("shutdown", "--name", self.machine.name)
        wait_for(lambda: not processes_of(self.machine.directory), "the processes to be gone")
        wait_for(lambda: not holders_of(self.memory), "the machine's memory to be given back")
        return grown

    def close(self):
        for victim in self.victims + self.anchors:
            victim.kill()
        if self.maker is not None:
            self.maker.kill()
            self.maker.communicate()
        self.tally.close()
        self.last_words.close()
        self.machine.close()


def run(kills, seed, progress):
    print(f"seed {seed} (--seed {seed} replays)", flush=True)
    start = time.monotonic()
    done = 0
    cells = 0
    totals = [[0, 0] for _ in KINDS]
    grown_max = 0
    while done < kills:
        # Each generation has a seed of its own: the last one alone can be replayed.
        generation = Generation(random.Random(f"{seed}/{cells}"))
        try:
            generation.start()
            wanted = min(GENERATION, kills - done)
            next_quiet = QUIET_EVERY
            while generation.kills < wanted:
                generation.kill_one()
                if generation.kills >= next_quiet:
                    generation.quiet()
                    next_quiet = generation.kills + QUIET_EVERY
            generation.quiet()
            generation.kills += generation.lose_a_cell()
            grown = generation.finish()
            grown_max = max(grown_max, *grown.values())
            for total, count, lost in zip(totals, *generation.tally.kinds()):
                total[0] += count
                total[1] += lost
        except (Violation, AssertionError, subprocess.TimeoutExpired) as problem:
            print(f"after {done + generation.kills} kills, in generation {cells}: {problem}\n"
                  f"{generation.machine.log()}", file=sys.stderr)
            return 1
        finally:
            generation.close()
        done += generation.kills
        cells += 1
        if progress:
            print(f"{done} kills, {cells} cells, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{done} kills in {time.monotonic() - start:.0f} s, {cells} of them with a cell; "
          f"kernels grew by {grown_max} KiB at most")
    for kind, (count, lost) in zip(KINDS, totals):
        print(f"  {kind:10} {count:8} operations, {lost:5} met what a dead task had left")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--progress", action="store_true")
    given = parser.parse_args()
    seed = given.seed
    if seed is None:
        seed = int(os.environ.get("HIVE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    return run(given.kills, seed, given.progress)


if __name__ == "__main__":
    sys.exit(main())
