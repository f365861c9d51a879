"""When the monitor dies, the machine goes on, and another takes over."""

import os
import random
import signal
import time
import unittest

from machine import BUILD, MachineTest, seed, wait_for
from reintegration_test import ROUNDS, Reintegration, kill


class Takeover(Reintegration):
    def setUp(self):
        super().setUp()
        self.random = random.Random(seed())

    def kill_monitor(self):
        before = self.machine.monitor_pid()
        kill(before)
        return before

    def new_monitor(self, before):
        wait_for(lambda: self.machine.monitor_pid() != before, "another monitor")

    def test_a_cell_comes_back_and_the_machine_ends_in_good_order(self):
        machine = self.machine.boot(cells=3)
        before = self.kill_monitor()
        kill(machine.cell(1)["pid"])
        machine.wait_up(1, 2, 1)
        self.new_monitor(before)
        self.assert_works(3)
        self.assert_ends_clean()

    def test_of_monitor_after_monitor(self):
        machine = self.machine.boot(cells=2)
        for round_number in range(ROUNDS):
            before = self.kill_monitor()
            self.new_monitor(before)
            if round_number % 2 == 0:
                self.kill_monitor()
        machine.hive("reboot", 1, "--name", "test")
        self.assert_works(2)
        self.assert_ends_clean()

    def test_with_the_cell_that_would_start_the_next(self):
        machine = self.machine.boot(cells=3)
        pid = machine.cell(0)["pid"]
        self.kill_monitor()
        kill(pid)
        machine.wait_up(2, 1, 1)
        self.assert_works(3)
        self.assert_ends_clean()

    def test_in_the_middle_of_a_reboot(self):
        machine = self.machine.boot(3, "64M")
        for _ in range(ROUNDS):
            before = self.record(1)["incarnation"]
            kill(machine.cell(1)["pid"])
            self.start_of(1, before + 1)
            time.sleep(self.random.uniform(0, 0.3))
            old = self.kill_monitor()
            self.new_monitor(old)
            machine.wait_up()
            self.assert_works(3)
            machine.hive("reboot", 1, "--name", "test")
        self.assert_ends_clean()

    def test_in_the_middle_of_a_drain(self):
        machine = self.machine.boot(cells=2)
        run = machine.start_run("--cell", 1, "--", "sh", "-c", "trap '' TERM; echo on; "
                                "while :; do sleep 0.01; done")
        self.assertEqual(run.stdout.readline(), "on\n")
        drain = machine.start("drain", 1, "--grace", 2, "--name", "test")
        wait_for(lambda: machine.states() == ["up", "draining"], "the cell to be draining")
        self.kill_monitor()
        drain.communicate()
        wait_for(lambda: machine.states() == ["up", "out"], "the cell to be drained")
        self.assertEqual(machine.cell(1)["reason"], "drained")
        self.assertEqual(run.wait(30), 75)
        run.communicate()
        machine.hive("reboot", 1, "--name", "test")
        self.assert_works(2)
        self.assert_ends_clean()

    def test_while_a_cell_is_stopped(self):
        machine = self.machine.boot(cells=3)
        pid = machine.cell(2)["pid"]
        os.kill(pid, signal.SIGSTOP)
        before = self.kill_monitor()
        self.new_monitor(before)
        os.kill(pid, signal.SIGCONT)
        # It answers the new monitor when it runs again.
        wait_for(lambda: machine.hive("reboot", 2, "--name", "test", check=False).returncode == 0,
                 "the cell to have a monitor again")
        self.assert_works(3)
        self.assert_ends_clean()

    def test_when_all_die_leaves_nothing_in_the_way(self):
        machine = self.machine.boot(cells=2)
        pids = [cell["pid"] for cell in machine.status()["cells"]]
        self.kill_monitor()
        for pid in pids:
            kill(pid)
        self.assert_nothing_left(files=False)
        machine.boot(cells=2)
        machine.run("--span", "all", "--", BUILD / "mixer", "20")
        self.assert_ends_clean()


if __name__ == "__main__":
    unittest.main(verbosity=2)
