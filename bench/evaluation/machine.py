"""A machine of cells for a measurement: booted in a runtime directory of its own through the
command, and shut down with the measurement."""

import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

WAIT_S = 120  # for everything that should take milliseconds, on a machine that is very busy


class Failed(Exception):
    """What was to be measured did not happen."""


def say(text):
    """Progress; what was measured goes elsewhere."""
    print(text, file=sys.stderr, flush=True)


def wait_for(condition, what, seconds=WAIT_S, pause_s=0.01):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause_s)
    return value


def end_in_order():
    """Has signals that end the script leave its `with` blocks, which shut machines down."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda ended_by, _: sys.exit(128 + ended_by))


def host():
    """What the figures were taken on."""
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"processors": len(os.sched_getaffinity(0)), "model": model,
            "kernel": platform.release(), "load": os.getloadavg(),
            "date": time.strftime("%Y-%m-%d %H:%M")}


def processor_times():
    """Of all processors together since they started, in ticks: busy ones, and all."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    times = [int(field) for field in fields[:8]]
    idle = times[3] + times[4]
    return sum(times) - idle, sum(times)


class Machine:
    """Use it with `with`. The name begins with `test`, so that defences can be turned off."""
    NAME = "test-evaluation"

    def __init__(self, build, cells, memory="32M", *options):
        self.build, self.cells = pathlib.Path(build).resolve(), cells
        self.directory = tempfile.mkdtemp(prefix="hive-evaluation-")
        self.env = dict(os.environ, HIVE_RUNTIME_DIR=self.directory, HIVE_MACHINE=self.NAME,
                        XDG_STATE_HOME=self.directory + "/state")
        try:
            self.hive("boot", "--cells", cells, "--memory", memory, *options)
        except Failed:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hive("shutdown", check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def words(self, *arguments):
        return [str(self.build / "hive"), str(arguments[0]), *map(str, arguments[1:])]

    def hive(self, *arguments, check=True):
        """Runs the command to its end, and returns what it printed."""
        words = self.words(*arguments)
        try:
            done = subprocess.run(words, env=self.env, timeout=WAIT_S, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(words[1:])}: no answer in {WAIT_S} s") from None
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(words[1:])}: exit {done.returncode}\n{done.stderr.strip()}")
        return done.stdout

    def start(self, *arguments, **more):
        """`hive run` with these arguments, left running."""
        more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE, "text": True, **more}
        return subprocess.Popen(self.words("run", *arguments), env=self.env, **more)

    def status(self):
        return json.loads(self.hive("status", "--json"))

    def tasks(self):
        return json.loads(self.hive("ps", "--json"))["tasks"]

    def cell(self, number):
        return next(c for c in self.status()["cells"] if c["id"] == number)

    def counters(self, cell):
        return json.loads(self.hive("fault", "counters", cell))

    def patiently(self, ask, *arguments, seconds=WAIT_S):
        """Asks again when the cells are too busy to answer the command in its time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return ask(*arguments)
            except Failed:
                if time.monotonic() > deadline:
                    raise

    def deaths(self):
        return json.loads(self.hive("postmortem", "--json"))["deaths"]

    def kill(self, cell):
        """SIGKILL for the cell's kernel; returns its incarnation and when, in the cells' time."""
        known = self.cell(cell)
        handle = os.pidfd_open(known["pid"])
        try:
            if self.cell(cell)["pid"] != known["pid"]:  # the number may be another's by now
                raise Failed(f"cell {cell} comes and goes")
            at_ns = time.monotonic_ns()
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
        return known["incarnation"], at_ns

    def hang(self, cell):
        """Has the cell's kernel loop for ever; otherwise as kill()."""
        incarnation, at_ns = self.cell(cell)["incarnation"], time.monotonic_ns()
        self.hive("fault", "hang-cell", cell, "--how", "loop")
        return incarnation, at_ns

    def wait_whole(self):
        """Until all cells are up in one live set, as each of them sees it."""
        everybody = list(range(self.cells))

        def whole():
            cells = self.status()["cells"]
            # A clock that has not begun is given more time than one that stops.
            return all(c["state"] == "up" and c["live_set"] == everybody and c["clock"] > 0
                       for c in cells)
        wait_for(whole, "all cells to be up in one live set", pause_s=0.05)
