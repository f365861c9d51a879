"""A machine whose kernels are stand-ins (fake_cell.py), in a directory of its own. The monitor, the
power processes and the command are the real ones, from the build directory $HIVE_BUILD."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ.get("HIVE_BUILD", "build")).resolve()
PATIENCE = float(os.environ.get("HIVE_TEST_PATIENCE", "1"))
WAIT_S = 30 * PATIENCE


def wait_for(condition, what, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for: {what}")
        time.sleep(0.005)


def send_signal(pid, number):
    """Through a pidfd, so that a number that was given out anew is not hit."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


class FakeMachine:
    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="hive-cli-"))
        for program in ("hive", "hive-node"):
            shutil.copy(BUILD / program, self.directory / program)
        shutil.copy(pathlib.Path(__file__).parent / "fake_cell.py", self.directory / "hive-cell")
        self.runtime = self.directory / "run"
        self.state = self.directory / "state"
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("HIVE_")}
        self.env.update(HIVE_RUNTIME_DIR=str(self.runtime), XDG_STATE_HOME=str(self.state))
        self.env.setdefault("ASAN_OPTIONS", "detect_leaks=0")

    def start(self, *arguments, fault="", **more):
        options = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, cwd=self.directory)
        options.update(more)
        return subprocess.Popen([self.directory / "hive", *map(str, arguments)],
                                env=dict(self.env, HIVE_FAKE_CELL=fault), **options)

    def hive(self, *arguments, fault="", **more):
        process = self.start(*arguments, fault=fault, **more)
        out, err = process.communicate(timeout=WAIT_S * 2)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def boot(self, *arguments, cells=2):
        done = self.hive("boot", "--cells", cells, "--memory", "1M", *arguments)
        if done.returncode != 0:
            raise AssertionError(f"boot: {done.stderr}{self.log()}")

    def ask(self, name, request):
        """A control request to one of the machine's sockets."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(WAIT_S)
            client.connect(str(self.runtime / "hive" / name))
            client.send(json.dumps(request).encode())
            return json.loads(client.recv(65536))

    def status(self):
        return json.loads(self.hive("status", "--json").stdout)

    def monitor_pid(self, name="hive"):
        return json.loads((self.runtime / name / "machine.json").read_text())["monitor_pid"]

    def cell_pid(self, cell, name="hive"):
        return int((self.runtime / name / f"pid.{cell}").read_text())

    def log(self, name="hive"):
        path = self.state / "hive" / name / "hive.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def processes(self):
        """Pids of all that runs with our runtime directory in its environment."""
        needle = f"HIVE_RUNTIME_DIR={self.runtime}".encode()
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                environment = pathlib.Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if needle in environment:  # a zombie's is empty
                found.append(int(entry))
        return found

    def names(self):
        """What is in the runtime directory."""
        return sorted(p.name for p in self.runtime.iterdir()) if self.runtime.exists() else []

    def kill_everything(self):
        def none_left():
            pids = self.processes()
            for pid in pids:
                send_signal(pid, signal.SIGKILL)
            return not pids
        wait_for(none_left, "all processes of the machine to be gone")

    def close(self):
        self.kill_everything()
        shutil.rmtree(self.directory, ignore_errors=True)


class FakeMachineTest(unittest.TestCase):
    def setUp(self):
        self.machine = FakeMachine()
        self.addCleanup(self.machine.close)
        self.hive = self.machine.hive

    def assert_refused(self, done, status, *words):
        """Refused with this exit status and one clear line on standard error."""
        context = f"hive {' '.join(map(str, done.args))}: {done}"
        self.assertEqual(done.returncode, status, context)
        self.assertEqual(done.stderr.count("\n"), 1, context)
        self.assertTrue(done.stderr.startswith("hive: "), context)
        for word in words:
            self.assertIn(word, done.stderr, context)

    def assert_nothing_left(self):
        wait_for(lambda: not self.machine.processes(), "the machine's processes to be gone")
        self.assertEqual(self.machine.names(), [])
