"""A program that is killed after the n-th instruction of a window, a put, a lock, an unlock: its
readers see old or new content or an error, never a mixture, and nobody is stuck. See stepper.cpp.

HIVE_STEPS_STRIDE=1 kills after every single instruction; by default it is after some of them, and
after fewer where a sanitizer makes each of these operations many times as long.
"""

import os
import random
import subprocess
import unittest

from machine import BUILD, MachineTest, PATIENCE, seed

STRIDE = int(os.environ.get("HIVE_STEPS_STRIDE", 0)) or round(151 * PATIENCE)
SWEEP_S = 100 * PATIENCE + 60_000 / STRIDE


class Steps(MachineTest):
    def setUp(self):
        super().setUp()
        self.random = random.Random(seed())

    def sweep(self, operation):
        self.machine.boot(cells=2)
        first = self.random.randrange(STRIDE)
        env = dict(self.machine.env, HIVE_MACHINE=self.machine.name)
        done = subprocess.run(
            [BUILD / "chaos-stepper", operation, str(first), str(STRIDE)], env=env,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SWEEP_S)
        self.assertEqual(done.returncode, 0, f"{done.stdout}{done.stderr}{self.machine.log()}")
        print(done.stdout, end="", flush=True)

    def test_window(self):
        self.sweep("window")

    def test_window_that_is_rolled_back(self):
        self.sweep("rollback")

    def test_put(self):
        self.sweep("put")

    def test_lock(self):
        self.sweep("lock")

    def test_unlock(self):
        self.sweep("unlock")


if __name__ == "__main__":
    unittest.main(verbosity=2)
