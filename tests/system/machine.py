"""A machine of cells for tests: boots it in a runtime directory of its own, and proves at the end
that nothing of it is left.

The programs under test are found in the build directory, $HIVE_BUILD.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ.get("HIVE_BUILD", "build")).resolve()
# Sanitizer builds run several times slower.
PATIENCE = float(os.environ.get("HIVE_TEST_PATIENCE", "1"))
WAIT_S = 30 * PATIENCE
FIREWALL = os.environ.get("HIVE_TEST_FIREWALL")  # the host's best when it is not set


def wait_for(condition, what, seconds=WAIT_S):
    """Waits until condition() is true and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for: {what}")
        time.sleep(0.005)


def processes_of(runtime_dir):
    """The pids of every process that runs for a machine in this runtime directory."""
    needle = f"HIVE_RUNTIME_DIR={runtime_dir}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = pathlib.Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            state = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if needle in environment and state not in "ZX":
            found.append(int(entry))
    return found


def shared_memory_kib():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Shmem:"):
            return int(line.split()[1])
    raise AssertionError("no Shmem figure")


def seed():
    value = int(os.environ.get("HIVE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {value} (HIVE_TEST_SEED={value} replays)", flush=True)
    return value


class Machine:
    def __init__(self, name="test"):
        self.directory = tempfile.mkdtemp(prefix="hive-test-")
        self.name = name
        self.env = dict(os.environ, HIVE_RUNTIME_DIR=self.directory,
                        XDG_STATE_HOME=self.directory + "/state")
        self.env.setdefault("ASAN_OPTIONS", "detect_leaks=0")

    def hive(self, *arguments, check=True, timeout=WAIT_S * 2, **more):
        """Runs the command to its end."""
        done = subprocess.run([BUILD / "hive", *map(str, arguments)], env=self.env, timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
        if check and done.returncode != 0:
            raise AssertionError(f"hive {' '.join(map(str, arguments))}: exit {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}\n{self.log()}")
        return done

    def start(self, *arguments, **more):
        """Starts the command and leaves it running."""
        return subprocess.Popen([BUILD / "hive", *map(str, arguments)], env=self.env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **more)

    def boot(self, cells=4, memory="16M", *more):
        self.cells = cells
        if FIREWALL:
            more = ("--firewall", FIREWALL, *more)
        self.hive("boot", "--cells", cells, "--memory", memory, "--name", self.name, *more)
        return self

    def run(self, *arguments, **more):
        return self.hive("run", "--name", self.name, *arguments, **more)

    def start_run(self, *arguments, **more):
        return self.start("run", "--name", self.name, *arguments, **more)

    def status(self):
        return json.loads(self.hive("status", "--json", "--name", self.name).stdout)

    def tasks(self):
        return json.loads(self.hive("ps", "--json", "--name", self.name).stdout)["tasks"]

    def cell(self, number):
        return next(c for c in self.status()["cells"] if c["id"] == number)

    def states(self):
        return [cell["state"] for cell in self.status()["cells"]]

    def monitor_pid(self):
        record = pathlib.Path(self.directory) / self.name / "machine.json"
        return json.loads(record.read_text())["monitor_pid"]

    def frames(self, check=True):
        """What each cell says of its frames; without `check` also if not all of them answer."""
        answer = self.hive("status", "--frames", "--json", "--name", self.name, check=check)
        return json.loads(answer.stdout)["frames"]

    def wait_up(self, *incarnations):
        """Waits until every cell is up, in these incarnations."""
        self.wait_all_up(lambda found: not incarnations or found == [*incarnations],
                         f"cells to be up, incarnations {incarnations or 'any'}")

    def wait_back(self, cell, incarnation=2):
        """Waits until every cell is up, and this one in that incarnation."""
        self.wait_all_up(lambda found: found[cell] == incarnation, f"cell {cell} to be back")

    def wait_all_up(self, are_right, what):
        def up():
            cells = self.status()["cells"]
            return (all(c["state"] == "up" for c in cells)
                    and are_right([c["incarnation"] for c in cells]))
        try:
            wait_for(up, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.status()['cells']}\n{self.log()}") from None

    def power_pid(self, number):
        """The power process is the parent of the kernel."""
        kernel = self.cell(number)["pid"]
        stat = pathlib.Path(f"/proc/{kernel}/stat").read_text()
        return int(stat.rsplit(")", 1)[1].split()[1])

    def shutdown(self):
        return self.hive("shutdown", "--name", self.name, check=False)

    def kill_everything(self):
        """SIGKILL to every process of the machine, again and again until none is left."""
        def none_left():
            pids = processes_of(self.directory)
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids
        wait_for(none_left, "every process of the machine to be gone")

    def log(self):
        path = pathlib.Path(self.directory) / "state/hive" / self.name / "hive.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else "(no log)"

    def close(self):
        if processes_of(self.directory):
            self.shutdown()
        self.kill_everything()
        shutil.rmtree(self.directory, ignore_errors=True)


class MachineTest(unittest.TestCase):
    """A test with one machine, which must be gone without a trace afterwards."""

    def setUp(self):
        self.machine = Machine()
        self.addCleanup(self.machine.close)

    def assert_books(self):
        """Each frame is in one state, on all cells, and what is lent is what is borrowed."""
        def agree():
            frames = self.machine.frames(check=False)
            return (len(frames) == self.machine.cells and all("states" in f for f in frames)
                    and sum(f["states"]["lent"] for f in frames)
                    == sum(f["borrowed"] for f in frames))
        wait_for(agree, "lenders and borrowers to agree")
        for about in self.machine.frames(check=False):
            self.assertTrue(about.get("adds_up"), about)

    def start_program(self, cell, program, *arguments):
        """A program of the build as a task of the cell, with pipes to and from it."""
        task = subprocess.Popen(
            [BUILD / "hive", "run", "--name", self.machine.name, "--cell", str(cell), "--",
             BUILD / program, *map(str, arguments)], env=self.machine.env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(task.communicate)
        self.addCleanup(task.kill)
        return task

    def assert_nothing_left(self, files=True):
        """No process, no listening socket; after an orderly end (`files`) no file either. After a
        SIGKILL of everything nobody is left to remove files; the next boot does."""
        directory = self.machine.directory
        wait_for(lambda: not processes_of(directory), "the machine's processes to be gone")
        # A process that is ending has no environment any more, but still its descriptors.
        wait_for(lambda: directory not in pathlib.Path("/proc/net/unix").read_text(),
                 "the machine's sockets to be gone")
        if files:
            left = [str(path) for path in pathlib.Path(directory).iterdir() if path.name != "state"
                    and path.is_dir()]
            self.assertEqual(left, [], "files are left")
