"""Each defence in turn is off, and the campaign finds escapes of the sort that fits: its judge, who
is not told, can fail a machine."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("HIVE_BUILD", "build")).resolve()


class Sabotage(unittest.TestCase):
    def escapes(self, defence, kinds, faults):
        with tempfile.TemporaryDirectory(prefix="hive-test-") as directory:
            done = subprocess.run(
                [BUILD / "hive", "campaign", "--sabotage", defence, "--kinds", kinds, "--faults",
                 str(faults), "--json"], env=dict(os.environ, TMPDIR=directory),
                capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        escapes = json.loads(done.stdout)["escapes"]
        for escape in escapes:
            self.assertIn(f"--sabotage {defence}", escape["replay"])
            self.assertTrue(escape["evidence"])
        return {escape["what"] for escape in escapes}

    def test_without_the_firewall_wild_stores_go_through(self):
        self.assertIn("a wild store went through",
                      self.escapes("firewall", "wild-task-foreign-closed", 3))

    def test_without_discard_half_done_work_is_seen(self):
        found = self.escapes("discard", "task", 5)
        self.assertTrue(found & {"bytes are visible that were never committed",
                                 "a page can be read that its dead writer had open",
                                 "the torn pages of a cell do not add up"}, found)

    def test_without_careful_reference_others_go_down_too(self):
        found = self.escapes("careful", "memory", 2)
        self.assertTrue(found & {"a cell died that must survive",
                                 "the machine is not whole again"}, found)

    def test_without_the_fence_the_condemned_live_on(self):
        found = self.escapes("fence", "hang-stop", 4)
        self.assertTrue(found & {"a cell that was voted out was not switched off",
                                 "a task of a cell that was voted out still runs",
                                 "the machine is not whole again"}, found)

    def test_an_fsync_that_writes_nothing_loses_what_it_acknowledged(self):
        self.assertIn("what fsync has acknowledged is lost", self.escapes("sync", "kill", 4))

    def test_without_barriers_some_go_on_before_others_have_discarded(self):
        # The victim must have a window open at the very home that is slow: about one in twenty.
        found = self.escapes("barrier", "slow", 120)
        self.assertTrue(found & {"a page holds what nobody committed",
                                 "a page can be read that its dead writer had open",
                                 "bytes are visible that were never committed",
                                 "a page was discarded that nobody can have stored to"}, found)


if __name__ == "__main__":
    unittest.main(verbosity=2)
