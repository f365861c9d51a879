"""Makes one thing of a machine fail at a time: kernels die, at points of what they do with files and in
between, and disks fail or are full for a while."""

import collections
import os
import random
import signal
import threading
import time

from machine import PATIENCE, wait_for

CELLS = 3
POINTS = ["file-step", "write-back", "reclaim", "file-sync", "file-open", "file-close", "rename-named",
          "firewall-open", "firewall-close"]
WAYS = os.environ.get("HIVE_TEST_WAYS", ",".join([*POINTS, "kill", "disk-full", "disk-io"])).split(",")
ARMED_S_MAX = 4 * PATIENCE


class Killer(threading.Thread):
    """Makes one thing fail at a time, and waits until all is well again."""

    def __init__(self, test, number):
        super().__init__(daemon=True)
        self.test = test
        self.random = random.Random(number)
        self.troubles = 0          # begun so far
        self.over = 0              # of these, what has ended; equal: all is well
        self.way = None            # of the last
        self.ways = []
        self.cell = None
        self.done = collections.Counter()
        self.deaths = [0] * CELLS
        self.stopping = threading.Event()
        self.failure = None
        self.turn = []

    def run(self):
        try:
            while self.test.ways and not self.stopping.wait(self.test.calm_s * PATIENCE):
                self.once()
        except BaseException as failed:
            self.failure = failed
            self.test.failed.set()

    def once(self):
        if not self.turn:
            self.turn = self.random.sample(self.test.ways, len(self.test.ways))
        self.way, self.cell = self.turn.pop(), self.random.randrange(CELLS)
        self.ways.append(self.way)
        incarnation = self.test.machine.cell(self.cell)["incarnation"]
        self.troubles += 1
        if self.way.startswith("disk-"):
            self.fault("fail-disk", "--how", self.way[5:])
            time.sleep(self.random.uniform(0.05, 0.4) * PATIENCE)
            self.fault("fail-disk", "--how", "none")
            self.done[self.way] += 1
        elif self.way == "kill":
            os.kill(self.test.machine.cell(self.cell)["pid"], signal.SIGKILL)
            self.await_death(incarnation)
        else:
            skip = self.random.randrange(25)
            self.fault("kill-at", "--point", self.way, "--skip", skip)
            deadline = time.monotonic() + ARMED_S_MAX
            while not self.has_died(incarnation) and time.monotonic() < deadline:
                time.sleep(0.02)
            disarmed = not self.has_died(incarnation) and self.fault("kill-at", "--point", "none", check=False)
            # Else it has died, perhaps only just.
            if not disarmed or disarmed.returncode != 0:
                self.await_death(incarnation)
        self.over += 1

    def fault(self, kind, *more, check=True):
        return self.test.machine.hive("fault", kind, self.cell, *more, "--name", "test", check=check)

    def has_died(self, incarnation):
        cell = self.test.machine.cell(self.cell)
        return cell["state"] != "up" or cell["incarnation"] != incarnation

    def await_death(self, incarnation):
        machine = self.test.machine
        self.deaths[self.cell] += 1
        self.done[self.way] += 1

        def back():
            cell = machine.cell(self.cell)
            if cell["state"] == "out":  # it died too often
                machine.hive("reboot", self.cell, "--name", "test", check=False)
            cells = machine.status()["cells"]
            return (cells[self.cell].get("incarnation", 0) > incarnation
                    and all(c["state"] == "up" and c.get("live_set") == list(range(CELLS))
                            for c in cells))
        wait_for(back, f"cell {self.cell} to be back", 120 * PATIENCE)
