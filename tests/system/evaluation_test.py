"""The scripts that docs/evaluation.md is made with do what they say. No figure is judged here,
but for one: a task is lost with a cell that it uses, and only then."""

import json
import pathlib
import subprocess
import sys
import unittest

from machine import BUILD, MachineTest, WAIT_S

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"


class Evaluation(MachineTest):
    def script(self, path, *arguments):
        return subprocess.run(
            [sys.executable, "-B", BENCH / path, *arguments], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=WAIT_S * 8, check=False)

    def test_tasks_are_lost_with_the_cells_that_they_use(self):
        out = pathlib.Path(self.machine.directory) / "out"
        done = self.script("evaluation/measure.py", "loss", "--build", BUILD, "--repeat", "1",
                           "--out", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads((out / "loss.json").read_text())
        self.assertEqual(result["not_as_used"], 0)
        self.assertEqual(result["kills"], 4)
        everywhere = result["points"][-1]
        self.assertEqual(everywhere["lost"], everywhere["tasks"])
        tables = self.script("evaluation/plot.py", "--data", out, "--tables")
        self.assertIn("| cells used |", tables.stdout, tables.stderr)

    def test_postgres(self):
        done = self.script("chaos/postgres.py", "--kills", "1", "--log-mib", "0", "--json")
        if done.returncode == 2:
            self.assertIn("apt-get install", done.stderr)
            return
        self.assertEqual(done.returncode, 0, done.stderr)
        (row,) = json.loads(done.stdout)["rows"]
        self.assertEqual(row["dropped"], row["survivors"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
