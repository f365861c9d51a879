#!/usr/bin/env python3
"""One schedule of kills for everybody: what Boost.Interprocess, robust pthread mutexes and Hive
make of it when a process that shares memory is killed.

Usage: chaos.py [--build DIR] [--kills N] [--seed S] [--json] [--rows PATTERN]

In each round four processes share something: sixteen records under one mutex, or a stream from
one writer to three readers. When all are at work one of them is killed with SIGKILL, at a moment
of the schedule, which is the same for each peer. Of each survivor it is counted how it ended:
it went on; it was told of the loss; or it was stuck, which is neither of the two for longer than
a second. Then everything of the round is killed, and what is still there is what somebody has to
clean up by hand: files in /dev/shm, processes, segments of the machine.
"""

import argparse
import fnmatch
import json
import mmap
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

WORKERS = 4
WORDS = 5                # of a slot of the board: ready, steps, told, torn, stuck
BOARD = 8 * (1 + 8 * WORDS)
DEADLINE_S = 30          # for everything that should take milliseconds
STUCK_S = 1.5            # longer than what a worker waits for (worker.h)
STEPS_GOING_ON = {"stream": 200}  # more than what may be on the way when the writer dies
STEPS_DEFAULT = 20

ROWS = [
    ("boost.mutex", "chaos-boost", "records"),
    ("boost.message_queue", "chaos-boost", "stream"),
    ("robust.mutex", "chaos-robust", "records"),
    ("robust.mutex.mended", "chaos-robust", "mended"),
    ("plain.ring", "chaos-robust", "stream"),
    ("hive.mutex.window", "chaos-hive", "records"),
    ("hive.mutex.rollback", "chaos-hive", "rollback"),
    ("hive.ring", "chaos-hive", "stream"),
]


class Hung(Exception):
    pass


def wait_for(condition, what, seconds=DEADLINE_S):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Hung(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.0005)
    return value


class Board:
    def __init__(self, path):
        self.path = path
        with open(path, "w+b") as file:
            file.truncate(BOARD)
            self.memory = mmap.mmap(file.fileno(), BOARD)

    def slot(self, number):
        return struct.unpack_from(f"<{WORDS}Q", self.memory, 8 * (1 + number * WORDS))


def schedule(seed, kills):
    """Who dies, how long after all are at work, in seconds, and what the workers are fed with."""
    rng = random.Random(seed)
    return [(rng.randrange(WORKERS), rng.uniform(0.0005, 0.02),
             [rng.getrandbits(60) for _ in range(WORKERS)]) for _ in range(kills)]


class Machine:
    """A machine of Hive in a runtime directory of its own, for the rows that need one."""
    NAME = "chaos-bench"

    def __init__(self, build, directory):
        self.hive = build / "hive"
        self.env = dict(os.environ, HIVE_RUNTIME_DIR=directory, HIVE_MACHINE=self.NAME,
                        XDG_STATE_HOME=directory + "/state")
        self.up = False

    def run(self, *arguments, check=True):
        return subprocess.run([self.hive, *arguments, "--name", self.NAME], env=self.env,
                              check=check, timeout=DEADLINE_S, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)

    def boot(self):
        if not self.up:
            self.run("boot", "--cells", "2", "--memory", "16M")
            self.up = True

    def left_behind(self):
        """Tasks and segments that are still there once the cells have had their time."""
        def count():
            tasks = json.loads(self.run("ps", "--json").stdout)["tasks"]
            cells = json.loads(self.run("status", "--json").stdout)["cells"]
            return len(tasks) + sum(cell["memory"]["segments"] for cell in cells)
        try:
            wait_for(lambda: count() == 0, "the machine to be empty", 2)
        except Hung:
            pass
        return count()

    def shutdown(self):
        if self.up:
            self.run("shutdown", check=False)


class Row:
    def __init__(self, name, program, kind, build, machine, directory):
        self.name, self.kind = name, kind
        self.program = build / program
        self.machine = machine if program == "chaos-hive" else None
        self.directory = directory
        self.env = machine.env if self.machine else os.environ
        self.result = {"peer": name, "kills": 0, "survivors": 0, "went_on": 0, "told": 0,
                       "stuck": 0, "torn_read": 0, "left_behind": 0}

    def start(self, *arguments, **more):
        # The workers of Hive are tasks of both cells in turn.
        slot = int(arguments[4]) if arguments[0] == "work" else 0
        env = dict(self.env, HIVE_CELL=str(slot % 2)) if self.machine else self.env
        return subprocess.Popen([self.program, *arguments], env=env, stdin=subprocess.DEVNULL,
                                **more)

    def round(self, number, victim, delay_s, seeds):
        name = f"chaos-{os.getpid()}-{number}"
        before = set(os.listdir("/dev/shm"))
        board = Board(f"{self.directory}/board-{self.name}-{number}")
        processes = []
        try:
            keeper = self.start("keep", self.kind, name, board.path, stdout=subprocess.PIPE)
            processes.append(keeper)
            if keeper.stdout.readline() != b"made\n":
                raise Hung(f"{self.name}: what is shared could not be made")
            workers = [self.start("work", self.kind, name, board.path, str(slot), str(seeds[slot]))
                       for slot in range(WORKERS)]
            processes += workers
            wait_for(lambda: all(board.slot(i)[0] for i in range(WORKERS)),
                     f"{self.name}: the workers")
            time.sleep(delay_s)
            workers[victim].kill()
            self.judge(board, victim)
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait(timeout=DEADLINE_S)
            keeper.stdout.close()
        self.count_what_is_left(before)
        board.memory.close()
        os.unlink(board.path)

    def judge(self, board, victim):
        survivors = [i for i in range(WORKERS) if i != victim]
        start = {i: board.slot(i) for i in survivors}
        began = {i: time.monotonic() for i in survivors}  # when it was last seen to move
        last = dict(start)
        outcome = {}
        enough = STEPS_GOING_ON.get(self.kind, STEPS_DEFAULT)

        def settled():
            for i in survivors:
                now = board.slot(i)
                if now[1] != last[i][1]:
                    last[i], began[i] = now, time.monotonic()
                if i in outcome:
                    continue
                if now[1] >= start[i][1] + enough:
                    outcome[i] = "went_on"
                elif now[2] > start[i][2] and self.kind == "stream":
                    outcome[i] = "told"  # there is nothing to go on with
                elif time.monotonic() - began[i] > STUCK_S:
                    outcome[i] = "stuck"
            return len(outcome) == len(survivors)
        wait_for(settled, f"{self.name}: the survivors")
        self.result["kills"] += 1
        self.result["survivors"] += len(survivors)
        for how in outcome.values():
            self.result[how] += 1
        self.result["torn_read"] += sum(board.slot(i)[3] for i in survivors)

    def count_what_is_left(self, before):
        left = [name for name in os.listdir("/dev/shm")
                if name not in before and name.startswith("chaos-")]
        self.result["left_behind"] += len(left)
        for name in left:
            os.unlink("/dev/shm/" + name)
        if self.machine:
            self.result["left_behind"] += self.machine.left_behind()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--kills", type=int, default=100, help="for each peer")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", default="*", help="pattern of the rows to run")
    given = parser.parse_args()
    build = given.build.resolve()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    kills = schedule(seed, given.kills)
    directory = tempfile.mkdtemp(prefix="hive-chaos-")
    machine = Machine(build, directory)
    results = []
    try:
        for name, program, kind in ROWS:
            if not fnmatch.fnmatch(name, given.rows):
                continue
            if not (build / program).exists():
                results.append({"peer": name, "skipped": "not built: libboost-dev is not installed"
                                if "boost" in program else "not built"})
                continue
            row = Row(name, program, kind, build, machine, directory)
            if row.machine:
                machine.boot()
            for number, (victim, delay_s, seeds) in enumerate(kills):
                row.round(number, victim, delay_s, seeds)
            results.append(row.result)
            print(f"{name}: done", file=sys.stderr, flush=True)
    except Hung as problem:
        print(f"chaos: {problem}", file=sys.stderr)
        return 1
    finally:
        machine.shutdown()
        shutil.rmtree(directory, ignore_errors=True)
    report(seed, results, given.json)
    return 0


def report(seed, results, as_json):
    if as_json:
        print(json.dumps({"seed": seed, "rows": results}, indent=2))
        return
    columns = ("kills", "survivors", "went_on", "told", "stuck", "torn_read", "left_behind")
    print(f"seed {seed} (--seed {seed} replays)")
    print(f"{'PEER':22}" + "".join(f"{c.replace('_', ' ').upper():>13}" for c in columns))
    for row in results:
        if "skipped" in row:
            print(f"{row['peer']:22} {row['skipped']}")
        else:
            print(f"{row['peer']:22}" + "".join(f"{row[c]:13}" for c in columns))


if __name__ == "__main__":
    sys.exit(main())
