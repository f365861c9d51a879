"""Booting: what goes wrong gives one clear line and leaves nothing; what is left of a machine that
was killed does not stand in the way; whoever is still alive does."""

import os
import random
import signal
import time
import unittest

from fake_machine import WAIT_S, FakeMachineTest, send_signal, wait_for

SEED = int(os.environ.get("HIVE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
ROUNDS = int(os.environ.get("HIVE_TEST_ROUNDS", "6"))


class Names(FakeMachineTest):
    def test_a_name_in_use(self):
        self.machine.boot()
        before = self.machine.cell_pid(0)
        self.assert_refused(self.hive("boot"), 4, "machine 'hive' is running already")
        self.assert_refused(self.hive("boot", "--foreground", "--cells", 64), 4, "running already")
        self.assertEqual(self.machine.cell_pid(0), before)
        self.assertEqual(self.machine.status()["live_set"], [0, 1])

    def test_machines_with_different_names_live_side_by_side(self):
        self.machine.boot("--name", "one", cells=1)
        self.machine.boot("--name", "two", cells=3)
        self.assertEqual(self.hive("run", "--name", "two", "--cell", 2, "echo", "x").stdout, "x\n")
        self.assertEqual(self.hive("shutdown", "--name", "one").returncode, 0)
        self.assertEqual(self.machine.names(), ["two"])
        self.assertEqual(self.hive("status", "--name", "two").returncode, 0)
        self.assertEqual(self.hive("shutdown", "--name", "two").returncode, 0)
        self.assert_nothing_left()

    def test_the_log_of_the_machine_before_is_kept(self):
        for _ in range(2):
            self.machine.boot(cells=1)
            self.assertEqual(self.hive("shutdown").returncode, 0)
        directory = self.machine.state / "hive/hive"
        self.assertEqual(sorted(p.name for p in directory.iterdir()), ["disk0", "hive.log", "hive.log.1"])
        self.assertIn("all cells are up", (directory / "hive.log.1").read_text())


class CellsThatDoNotStart(FakeMachineTest):
    def refused_boot(self, fault, *words):
        self.assert_refused(self.hive("boot", "--cells", 3, "--memory", "1M", fault=fault), 1, *words)
        self.assert_nothing_left()
        self.machine.boot(cells=1)
        self.assertEqual(self.hive("shutdown").returncode, 0)

    def test_a_cell_that_says_why(self):
        self.refused_boot("1:fail", "cell 1 can not start: told to by a test")

    def test_a_cell_that_ends(self):
        self.refused_boot("2:exit", "cell 2 ended while it started", "hive.log")

    def test_a_cell_that_ends_at_the_last_step(self):
        self.refused_boot("0:exit-go", "cell 0 ended while it started")

    def test_a_cell_that_never_gets_ready(self):
        self.refused_boot("1:silent", "cell 1 did not get ready within 10 s")

    def test_cells_that_talk_nonsense_beside(self):
        done = self.hive("boot", "--cells", 2, "--memory", "1M", fault="*:garbage")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("messages that make no sense", self.machine.log())

    def test_programs_that_are_missing(self):
        (self.machine.directory / "hive-cell").unlink()
        self.assert_refused(self.hive("boot"), 1, "hive-cell")
        self.assert_nothing_left()


class Foreground(FakeMachineTest):
    def test_a_signal_shuts_down_in_good_order(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            boot = self.machine.start("boot", "--foreground", "--cells", 2, "--memory", "1M")
            self.assertIn("is up: 2 cells", boot.stdout.readline())
            self.assertEqual(self.hive("run", "echo", "x").stdout, "x\n")
            boot.send_signal(number)
            err = boot.communicate(timeout=WAIT_S)[1]
            self.assertEqual(boot.returncode, 0, err)
            self.assertIn("the machine is down", err)
            self.assert_nothing_left()


class Interrupted(FakeMachineTest):
    """kill -9 of the command or of the monitor at random moments of a boot."""

    def setUp(self):
        super().setUp()
        print(f"seed {SEED} (HIVE_TEST_SEED={SEED} replays)", flush=True)
        self.random = random.Random(SEED)

    def nothing_or_a_whole_machine(self):
        """What is left after a while: no process, or a machine that was up in time."""
        def settled():
            done = self.hive("status", "--json")
            return done.returncode == 0 or not self.machine.processes()
        wait_for(settled, "the boot to end one way or the other")
        again = self.hive("boot", "--cells", 2, "--memory", "1M")
        self.assertIn(again.returncode, (0, 4), again.stderr)
        self.assertEqual(self.machine.status()["live_set"], [0, 1])
        self.assertEqual(self.hive("shutdown").returncode, 0)
        self.assert_nothing_left()

    def test_kill_of_the_command(self):
        for number in (signal.SIGKILL, signal.SIGINT):
            for _ in range(ROUNDS):
                boot = self.machine.start("boot", "--cells", 2, "--memory", "1M")
                time.sleep(self.random.uniform(0, 0.4))
                boot.send_signal(number)
                boot.communicate()
                self.nothing_or_a_whole_machine()

    def test_kill_of_the_monitor(self):
        for _ in range(ROUNDS):
            boot = self.machine.start("boot", "--cells", 2, "--memory", "1M")
            record = self.machine.runtime / "hive/machine.json"
            wait_for(lambda: record.exists() or boot.poll() is not None, "the boot to begin")
            monitor = self.machine.monitor_pid()
            time.sleep(self.random.uniform(0, 0.3))
            send_signal(monitor, signal.SIGKILL)
            out, err = boot.communicate(timeout=WAIT_S)
            if boot.returncode != 0:
                self.assertIn("the monitor ended while the machine started", err)
                self.assertEqual((err.count("\n"), self.machine.names()), (1, []))
            else:
                self.assertIn("is up", out)
            self.nothing_or_a_whole_machine()


class WithoutAMonitor(FakeMachineTest):
    def setUp(self):
        super().setUp()
        self.machine.boot(cells=2)
        send_signal(self.machine.monitor_pid(), signal.SIGKILL)

    def test_the_machine_goes_on_and_can_be_shut_down(self):
        self.assertEqual(self.hive("run", "echo", "x").stdout, "x\n")
        self.assert_refused(self.hive("boot"), 4, "running already")
        done = self.hive("shutdown")
        self.assertEqual((done.returncode, done.stdout), (0, "machine 'hive' is down\n"), done.stderr)
        self.assert_nothing_left()

    def test_cells_that_do_not_listen_are_killed_at_last(self):
        for cell in (0, 1):
            send_signal(self.machine.cell_pid(cell), signal.SIGSTOP)
        done = self.hive("shutdown")
        self.assertEqual((done.returncode, done.stdout), (0, "machine 'hive' is down\n"))
        self.assertIn("did not end in good order", done.stderr)
        self.assert_nothing_left()

    def test_kill_of_everything_does_not_stop_the_next_boot(self):
        self.machine.kill_everything()
        self.assertIn("hive", self.machine.names())
        self.machine.boot(cells=3)
        self.assertEqual(self.machine.status()["live_set"], [0, 1, 2])
        self.assertEqual(self.hive("shutdown").returncode, 0)
        self.assert_nothing_left()


class Shutdown(FakeMachineTest):
    def test_a_hung_cell_is_switched_off(self):
        self.machine.boot(cells=2)
        send_signal(self.machine.cell_pid(1), signal.SIGSTOP)
        done = self.hive("shutdown")
        self.assertEqual((done.returncode, done.stdout), (0, "machine 'hive' is down\n"), done.stderr)
        self.assertIn("switching them off", self.machine.log())
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
