"""Segments are found by name on every cell, also while others come and go beside them."""

import subprocess
import unittest

from machine import BUILD, MachineTest, WAIT_S

ROUNDS = 1000


class Names(MachineTest):
    def start_namer(self, cell, *arguments, first_line=None):
        env = dict(self.machine.env, HIVE_MACHINE=self.machine.name, HIVE_CELL=str(cell))
        namer = subprocess.Popen([BUILD / "namer", *arguments], env=env, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: namer.poll() is not None or namer.kill())
        if first_line is not None:
            self.assertEqual(namer.stdout.readline(), first_line + "\n")
        return namer

    def end(self, namer):
        return namer.communicate(timeout=WAIT_S * 2)

    def test_one_that_stays_is_found_while_others_come_and_go(self):
        self.machine.boot(cells=2)
        # The passing ones are made after it, and so come before it in the list of their home.
        keeper = self.start_namer(0, "keep", first_line="kept")
        churners = [self.start_namer(0, "churn", first_line="churning") for _ in range(2)]
        finder = self.start_namer(1, "find", str(ROUNDS))
        out, errors = self.end(finder)
        self.assertEqual((finder.returncode, out), (0, "failures 0\n"), errors)
        for namer in churners + [keeper]:
            self.end(namer)
            self.assertEqual(namer.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
