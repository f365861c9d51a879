"""A cell that hangs is voted out by the others, switched off and taken back in; one that is only
slow, or stopped for a moment, is not."""

import os
import signal
import time
import unittest

from machine import BUILD, MachineTest, wait_for


class Hanging(MachineTest):
    def hang(self, how, cells=4, victim=2):
        machine = self.machine.boot(cells)
        machine.hive("fault", "hang-cell", victim, "--how", how, "--name", "test")
        wait_for(lambda: machine.cell(victim).get("incarnation") == 2 and
                 machine.cell(victim)["state"] == "up", "the cell to be voted out and come back")
        self.assertIn("hung", machine.log())
        self.assertEqual(machine.status()["live_set"], list(range(cells)))
        others = [machine.cell(n)["incarnation"] for n in range(cells) if n != victim]
        self.assertEqual(others, [1] * (cells - 1))
        self.assertEqual(machine.run("--cell", victim, "--", "echo", "on").stdout, "on\n")
        machine.hive("shutdown", "--name", "test")
        self.assert_nothing_left()

    def test_it_is_stopped(self):
        self.hang("stop")

    def test_it_loops(self):
        self.hang("loop")

    def test_it_is_deadlocked(self):
        self.hang("deadlock")

    def test_the_recovery_master(self):
        self.hang("loop", cells=3, victim=0)

    def test_one_of_two(self):
        """No majority can be had: the fence lock decides."""
        self.hang("stop", cells=2, victim=1)

    def test_two_of_three_at_once(self):
        machine = self.machine.boot(3)
        for victim in (1, 2):
            os.kill(machine.cell(victim)["pid"], signal.SIGSTOP)
        machine.wait_up(1, 2, 2)
        machine.hive("shutdown", "--name", "test")
        self.assert_nothing_left()


class NotHanging(MachineTest):
    def test_cells_that_wait_for_a_processor(self):
        """Twelve processor-bound tasks: ticks come late, and nobody is voted out."""
        machine = self.machine.boot(4)
        load = [machine.start_run("--cell", n % 4, "--", "sh", "-c",
                                  "while :; do :; done") for n in range(12)]
        wait_for(lambda: len(machine.tasks()) == 12, "the tasks to run")
        # Not for a condition: what is waited for is that nothing happens.
        time.sleep(3)
        self.assertEqual(machine.status()["epoch"], 1, machine.log())
        machine.hive("shutdown", "--name", "test")
        for task in load:
            task.communicate()
        self.assert_nothing_left()

    def test_the_whole_machine_is_stopped(self):
        """As when the host is suspended: all stand still, and so nobody is late."""
        machine = self.machine.boot(3)
        pids = [cell["pid"] for cell in machine.status()["cells"]]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
        self.assertEqual(machine.status()["epoch"], 1, machine.log())
        machine.hive("shutdown", "--name", "test")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
