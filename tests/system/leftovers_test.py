"""kill -9 of everything, at random moments of boot, run and shutdown, leaves nothing that stops the
next boot: no process, no shared memory, no socket in the way."""

import os
import random
import signal
import time
import unittest

from machine import BUILD, MachineTest, WAIT_S, processes_of, seed, shared_memory_kib, wait_for

ROUNDS = int(os.environ.get("HIVE_TEST_ROUNDS", "4"))
MACHINE_KIB = 64 * 1024  # of the machines in this test, by far more than the noise of others


class KillEverything(MachineTest):
    def setUp(self):
        super().setUp()
        self.random = random.Random(seed())
        self.memory_before = shared_memory_kib()

    def assert_clean(self, files=False):
        self.assert_nothing_left(files)
        wait_for(lambda: shared_memory_kib() < self.memory_before + MACHINE_KIB / 2,
                 "the machine's memory to be given back")

    def boots_again(self):
        self.machine.boot(cells=2, memory="32M")
        self.assertEqual(self.machine.states(), ["up", "up"])
        self.machine.hive("shutdown", "--name", self.machine.name)
        self.assert_clean(files=True)

    def test_during_boot(self):
        for _ in range(ROUNDS):
            boot = self.machine.start("boot", "--cells", 2, "--memory", "32M", "--name", "test")
            time.sleep(self.random.uniform(0, 0.15))
            self.machine.kill_everything()
            boot.communicate(timeout=WAIT_S)
            self.assert_clean()
        self.boots_again()

    def test_of_the_monitor_alone_during_boot(self):
        for _ in range(ROUNDS):
            boot = self.machine.start("boot", "--cells", 2, "--memory", "32M", "--name", "test",
                                      "--foreground")
            time.sleep(self.random.uniform(0, 0.1))
            boot.send_signal(signal.SIGKILL)
            boot.communicate(timeout=WAIT_S)
            # Either the boot was through, and the cells go on without their monitor, or all end.
            def settled():
                done = self.machine.hive("status", "--name", "test", check=False)
                return done.returncode == 0 or not processes_of(self.machine.directory)
            wait_for(settled, "the machine to run or to be gone")
            self.machine.shutdown()
            self.assert_clean()
        self.boots_again()

    def test_during_a_run(self):
        for _ in range(ROUNDS):
            self.machine.boot(cells=2, memory="32M")
            run = self.machine.start_run("--span", "all", "--", BUILD / "mixer", "1000000")
            time.sleep(self.random.uniform(0, 0.2))
            self.machine.kill_everything()
            run.communicate(timeout=WAIT_S)
            self.assert_clean()
        self.boots_again()

    def test_during_shutdown(self):
        for _ in range(ROUNDS):
            self.machine.boot(cells=2, memory="32M")
            shutdown = self.machine.start("shutdown", "--name", "test")
            time.sleep(self.random.uniform(0, 0.05))
            self.machine.kill_everything()
            shutdown.communicate(timeout=WAIT_S)
            self.assert_clean()
        self.boots_again()


if __name__ == "__main__":
    unittest.main(verbosity=2)
