"""bench/evaluation/soak.py sees a death that nobody has ordered, and nothing where nothing is."""

import os
import pathlib
import subprocess
import sys
import unittest

from machine import BUILD, MachineTest, WAIT_S, wait_for

SOAK = pathlib.Path(__file__).resolve().parents[2] / "bench/evaluation/soak.py"


class Soak(MachineTest):
    def start_soak(self, seconds):
        """Its machine is made in a directory of its own, below the one of this test."""
        return subprocess.Popen(
            [sys.executable, "-B", SOAK, "--build", BUILD, "--cells", "3", "--memory", "16M",
             "--seconds", str(seconds), "--every", "1", "--picture", "96x54"],
            env=dict(os.environ, TMPDIR=self.machine.directory), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_nothing_happens(self):
        soak = self.start_soak(4)
        output, errors = soak.communicate(timeout=WAIT_S * 4)
        self.assertEqual(soak.returncode, 0, output + errors)
        self.assertIn("no verdict; ", output.splitlines()[-1])

    def test_a_cell_dies(self):
        soak = self.start_soak(3600)
        directory = pathlib.Path(self.machine.directory)
        (up,) = wait_for(lambda: [*directory.glob("hive-evaluation-*/*/up")],
                         "the machine of the soak to be up")
        place = up.parent
        env = dict(os.environ, HIVE_RUNTIME_DIR=str(place.parent))
        subprocess.run([BUILD / "hive", "fault", "kill-cell", "1", "--name", place.name], env=env,
                       check=True, timeout=WAIT_S)
        output, errors = soak.communicate(timeout=WAIT_S * 4)
        self.assertEqual(soak.returncode, 1, output + errors)
        self.assertIn("NOT AS IT SHOULD BE", output)
        self.assertIn("cell 1, life 1", output)  # its post-mortem


if __name__ == "__main__":
    unittest.main(verbosity=2)
