"""A cell that dies comes back while the others run on, whatever else dies meanwhile."""

import json
import os
import pathlib
import random
import signal
import time
import unittest

from machine import BUILD, MachineTest, WAIT_S, seed, wait_for

ROUNDS = int(os.environ.get("HIVE_TEST_ROUNDS", "4"))


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Reintegration(MachineTest):
    def record(self, node):
        path = pathlib.Path(self.machine.directory) / "test" / f"node{node}.json"
        return json.loads(path.read_text()) if path.exists() else {"incarnation": 1, "state": "up"}

    def kernel_pid(self, cell, incarnation):
        """The kernel of just that incarnation, also while it is not up yet; or None."""
        wanted = [b"--machine-dir", f"{self.machine.directory}/test".encode(), b"--cell",
                  str(cell).encode(), b"--incarnation", str(incarnation).encode()]
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
            except OSError:
                continue
            if words[1:] == wanted and b"hive-cell" in words[0]:
                return int(entry.name)
        return None

    def start_of(self, cell, incarnation):
        return wait_for(lambda: self.kernel_pid(cell, incarnation), "the node to be started anew")

    def assert_works(self, cells):
        for cell in range(cells):
            self.assertEqual(self.machine.run("--cell", cell, "--", "echo", "on").stdout, "on\n")
        done = self.machine.run("--span", "all", "--", BUILD / "mixer", "20")
        self.assertEqual(done.stdout.count("wrong 0"), cells, done.stdout + done.stderr)

    def assert_ends_clean(self):
        self.machine.hive("shutdown", "--name", "test")
        self.assert_nothing_left()


class OneCell(Reintegration):
    def lose(self, cell, fault):
        machine = self.machine.boot(cells=4)
        others = machine.start_run("--cell", (cell + 1) % 4, "--", "sh", "-c",
                                   "echo on; exec sleep 600")
        self.assertEqual(others.stdout.readline(), "on\n")
        fault()
        died = time.monotonic()
        incarnations = [2 if n == cell else 1 for n in range(4)]
        machine.wait_up(*incarnations)
        print(f"back {1e3 * (time.monotonic() - died):.0f} ms after the fault", flush=True)
        self.assertEqual(machine.status()["live_set"], [0, 1, 2, 3])
        self.assertIsNone(others.poll())
        self.assert_works(4)
        others.kill()
        others.communicate()
        self.assert_ends_clean()

    def test_whose_kernel_is_killed(self):
        self.lose(2, lambda: kill(self.machine.cell(2)["pid"]))

    def test_whose_power_process_is_killed(self):
        self.lose(1, lambda: kill(self.machine.power_pid(1)))

    def test_that_is_the_recovery_master(self):
        self.lose(0, lambda: kill(self.machine.cell(0)["pid"]))

    def test_whose_memory_fails(self):
        self.lose(3, lambda: self.machine.hive("fault", "fail-memory", 3, "--name", "test"))

    def test_of_two_when_the_other_is_the_only_survivor(self):
        machine = self.machine.boot(cells=2)
        incarnations = [1, 1]
        for victim in (0, 1, 0):
            kill(machine.cell(victim)["pid"])
            incarnations[victim] += 1
            machine.wait_up(*incarnations)
        self.assert_works(2)
        self.assert_ends_clean()

    def test_that_fails_its_memory_test_stays_out(self):
        machine = self.machine.boot(cells=3)
        machine.hive("fault", "bad-frame", 1, "--name", "test")
        machine.hive("fault", "kill-cell", 1, "--name", "test")
        wait_for(lambda: machine.states()[1] == "out", "the node to stay out")
        self.assertIn("memory", machine.cell(1)["reason"])
        self.assertIn("memory of the node", machine.hive("status", "--name", "test").stdout)
        # Another death does not bring it back; somebody who says so does.
        machine.hive("fault", "kill-cell", 2, "--name", "test")
        wait_for(lambda: machine.states() == ["up", "out", "up"] and
                 machine.cell(2)["incarnation"] == 2, "the other one to come back")
        machine.hive("reboot", 1, "--name", "test")
        machine.wait_up(1, 3, 2)
        self.assert_works(3)
        self.assert_ends_clean()

    def test_that_dies_again_and_again_stays_out(self):
        machine = self.machine.boot(cells=2)
        for incarnation in range(1, 5):
            machine.wait_up(1, incarnation)
            kill(machine.cell(1)["pid"])
        wait_for(lambda: machine.states() == ["up", "out"], "the node to stay out")
        self.assertIn("died 3 times", machine.cell(1)["reason"])
        machine.hive("reboot", 1, "--name", "test")
        self.assert_works(2)
        self.assert_ends_clean()

    def test_without_reboot_stays_down(self):
        machine = self.machine.boot(3, "16M", "--no-reboot")
        kill(machine.cell(1)["pid"])
        wait_for(lambda: machine.states() == ["up", "down", "up"], "the cell to be down")
        kill(machine.cell(2)["pid"])
        wait_for(lambda: machine.states() == ["up", "down", "down"], "the cell to be down")
        machine.hive("reboot", 2, "--name", "test")
        self.assertEqual(machine.states(), ["up", "down", "up"])
        self.assertEqual(machine.run("--cell", 2, "--", "echo", "on").stdout, "on\n")
        self.assert_ends_clean()


class Programs(Reintegration):
    def test_open_what_was_there_anew(self):
        machine = self.machine.boot(cells=3)
        run = machine.start_run("--cell", 0, "--", BUILD / "returner", 2)
        self.assertEqual(run.stdout.readline(), "ready\n")
        kill(machine.cell(2)["pid"])
        out, err = run.communicate(timeout=2 * WAIT_S)
        self.assertEqual(run.returncode, 0, out + err + machine.log())
        self.assertNotIn("WRONG", out)
        self.assert_works(3)
        self.assert_ends_clean()

    def test_run_on_the_new_incarnation_at_once(self):
        machine = self.machine.boot(cells=2)
        kill(machine.cell(1)["pid"])
        wait_for(lambda: machine.run("--cell", 1, "--", "echo", "on", check=False).stdout == "on\n",
                 "a task to run on the cell")
        # Cell 1 may have settled a moment before cell 0, whose view this is.
        wait_for(lambda: machine.cell(1)["incarnation"] == 2, "cell 0 to have settled, too")
        self.assert_ends_clean()


class InTheMiddle(Reintegration):
    """What may die while a node comes back. The moments are random, over all of the start."""

    def setUp(self):
        super().setUp()
        self.random = random.Random(seed())

    def a_moment(self):
        time.sleep(self.random.uniform(0, 0.3))

    def test_two_cells_at_once(self):
        machine = self.machine.boot(cells=4)
        for pid in [machine.cell(n)["pid"] for n in (1, 2)]:
            kill(pid)
        machine.wait_up(1, 2, 2, 1)
        self.assert_works(4)
        self.assert_ends_clean()

    def test_the_joiner(self):
        machine = self.machine.boot(3, "64M")
        for _ in range(ROUNDS):
            before = self.record(1)["incarnation"]
            kill(machine.cell(1)["pid"])
            joiner = self.start_of(1, before + 1)
            self.a_moment()
            kill(joiner)
            machine.wait_up(1, before + 2, 1)
            # Not a third time within a minute.
            machine.hive("reboot", 1, "--name", "test")
            machine.wait_up(1, before + 3, 1)
        self.assert_works(3)
        self.assert_ends_clean()

    def test_another_cell(self):
        machine = self.machine.boot(4, "64M")
        for victim in (2, 3, 0, 2)[:ROUNDS]:
            before = [self.record(n)["incarnation"] for n in range(4)]
            kill(machine.cell(1)["pid"])
            self.start_of(1, before[1] + 1)
            self.a_moment()
            kill(machine.cell(victim)["pid"])
            wait_for(lambda: [self.record(n)["incarnation"] > before[n] for n in (1, victim)] ==
                     [True, True], "both to be started anew")
            machine.wait_up()
            self.assert_works(4)
            for cell in (1, victim):
                machine.hive("reboot", cell, "--name", "test")
        self.assert_ends_clean()

    def test_the_last_other_cell(self):
        machine = self.machine.boot(2, "64M")
        kill(machine.cell(1)["pid"])
        joiner = self.start_of(1, 2)
        kill(machine.cell(0)["pid"])
        # Nobody is left whom it could join: the machine has ended, unless it was in time.
        wait_for(lambda: machine.hive("status", "--name", "test", check=False).returncode == 3 or
                 machine.states() == ["up", "up"], "the machine to end or to be whole")
        del joiner
        machine.shutdown()
        self.assert_nothing_left()

    def test_a_shutdown(self):
        for _ in range(ROUNDS):
            machine = self.machine.boot(3, "64M")
            kill(machine.cell(1)["pid"])
            self.start_of(1, 2)
            self.a_moment()
            self.assert_ends_clean()


if __name__ == "__main__":
    unittest.main(verbosity=2)
