"""hive drain and hive reboot: one cell at a time, under load."""

import signal
import time
import unittest

from machine import BUILD, MachineTest, WAIT_S, wait_for


class Maintenance(MachineTest):
    def hive(self, *arguments, **more):
        return self.machine.hive(*arguments, "--name", "test", **more)

    def assert_refused(self, done, status, words):
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(words, done.stderr)

    def assert_ends_clean(self):
        self.hive("shutdown")
        self.assert_nothing_left()

    def start_task(self, cell, script):
        run = self.machine.start_run("--cell", cell, "--", "sh", "-c", script)
        self.assertEqual(run.stdout.readline(), "on\n")
        return run

    def test_drain_asks_the_tasks_and_then_ends_them(self):
        machine = self.machine.boot(cells=3)
        polite = self.start_task(1, "trap 'echo bye; exit 3' TERM; echo on; "
                                    "while :; do sleep 0.01; done")
        stubborn = self.start_task(1, "trap '' TERM; echo on; while :; do sleep 0.01; done")
        elsewhere = self.start_task(2, "echo on; exec sleep 600")
        drain = machine.start("drain", 1, "--grace", 1, "--name", "test")
        out, _ = polite.communicate(timeout=WAIT_S)
        self.assertEqual((out, polite.returncode), ("bye\n", 3))
        self.assertEqual(machine.states(), ["up", "draining", "up"])
        self.assertIsNone(stubborn.poll())
        self.assert_refused(machine.run("--cell", 1, "--", "true", check=False), 1, "drained")
        out, err = drain.communicate(timeout=WAIT_S)
        self.assertEqual((out, drain.returncode), ("cell 1 is drained and switched off\n", 0), err)
        self.assertIn(stubborn.wait(WAIT_S), (75, 128 + signal.SIGKILL))
        stubborn.communicate()
        wait_for(lambda: machine.states() == ["up", "out", "up"], "the cell to be out")
        self.assertEqual(machine.cell(1)["reason"], "drained")
        self.assertIsNone(elsewhere.poll())
        self.assert_refused(self.hive("drain", 1, check=False), 1, "not up")
        self.hive("reboot", 1)
        self.assertEqual(machine.states(), ["up"] * 3)
        self.assertEqual(machine.run("--cell", 1, "--", "echo", "on").stdout, "on\n")
        elsewhere.kill()
        elsewhere.communicate()
        self.assert_ends_clean()

    def test_every_cell_is_restarted_under_load(self):
        machine = self.machine.boot(cells=3)
        for cell in range(3):
            load = [self.start_task(other, "echo on; n=0; while [ $n -lt 100 ]; do "
                                           "n=$((n + 1)); sleep 0.005; done; echo done")
                    for other in range(3) if other != cell]
            began = time.monotonic()
            done = self.hive("reboot", cell)
            print(f"rebooted in {1e3 * (time.monotonic() - began):.0f} ms", flush=True)
            self.assertEqual(done.stdout, f"cell {cell} is up again\n")
            self.assertEqual(machine.states(), ["up"] * 3)
            for task in load:
                out, err = task.communicate(timeout=WAIT_S)
                self.assertEqual((out, task.returncode), ("done\n", 0), err)
        self.assertEqual([c["incarnation"] for c in machine.status()["cells"]], [2, 2, 2])
        done = machine.run("--span", "all", "--", BUILD / "mixer", "20")
        self.assertEqual(done.stdout.count("wrong 0"), 3, done.stdout + done.stderr)
        self.assert_ends_clean()

    def test_the_last_cell_is_neither_drained_nor_rebooted(self):
        machine = self.machine.boot(cells=2)
        self.hive("drain", 0, "--grace", 0)
        self.assert_refused(self.hive("drain", 1, check=False), 1, "last one")
        self.assert_refused(self.hive("reboot", 1, check=False), 1, "last one")
        self.assertEqual(machine.states(), ["out", "up"])
        self.assert_ends_clean()

    def test_a_cell_that_does_not_listen_is_switched_off(self):
        machine = self.machine.boot(cells=2)
        self.hive("fault", "hang-cell", 1, "--how", "stop")
        self.hive("reboot", 1, "--grace", 0)
        self.assertEqual(machine.cell(1)["incarnation"], 2)
        self.assert_ends_clean()

    def test_usage(self):
        self.machine.boot(cells=2)
        for command in ("drain", "reboot"):
            self.assert_refused(self.hive(command, 7, check=False), 2, "cells 0 to 1")
            self.assert_refused(self.hive(command, "x", check=False), 2, "CELL")
            self.assert_refused(self.hive(command, 1, "--grace", "-1", check=False), 2, "--grace")
            self.assert_refused(self.machine.hive(command, 1, "--name", "other", check=False), 3,
                                "not running")
        self.assert_ends_clean()


if __name__ == "__main__":
    unittest.main(verbosity=2)
