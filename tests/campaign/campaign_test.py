"""A short campaign on a machine of four cells: every fault is contained.

HIVE_TEST_FAULTS=100 HIVE_TEST_KINDS= is the long one, of all kinds.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ.get("HIVE_BUILD", "build")).resolve()
FAULTS = int(os.environ.get("HIVE_TEST_FAULTS", "8"))
KINDS = os.environ.get("HIVE_TEST_KINDS", "kill,task")
SEED = int(os.environ.get("HIVE_TEST_SEED", random.SystemRandom().randrange(1 << 31)))


class Campaign(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="hive-test-")
        self.addCleanup(self.directory.cleanup)
        self.env = dict(os.environ, TMPDIR=self.directory.name)

    def assert_nothing_left(self):
        self.assertEqual(list(pathlib.Path(self.directory.name).iterdir()), [])
        needle = f"HIVE_RUNTIME_DIR={self.directory.name}".encode()
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                self.assertNotIn(needle, (entry / "environ").read_bytes(), entry)
            except OSError:
                pass

    def test_every_fault_is_contained(self):
        print(f"seed {SEED} (HIVE_TEST_SEED={SEED} replays)", flush=True)
        done = subprocess.run([BUILD / "hive", "campaign", "--faults", str(FAULTS), "--seed",
                               str(SEED), "--json", *(["--kinds", KINDS] if KINDS else [])], env=self.env, capture_output=True, text=True)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual((report["escaped"], done.returncode), (0, 0),
                         json.dumps(report["escapes"], indent=1) + done.stderr[-2000:])
        self.assertEqual(report["seed"], SEED)
        self.assertEqual(report["injected"], FAULTS)
        # What lies where nobody looks takes no effect, and does not count.
        self.assertGreater(report["activated"], FAULTS // 2)
        self.assertEqual(report["contained"], report["activated"])
        for phase in ("recover", "reintegrate"):  # a death may be noticed before its time is taken
            self.assertGreater(report["times_ms"][phase]["p50"], 0, phase)
        self.assert_nothing_left()

    @unittest.skipIf(KINDS, "part of the long campaign")
    def test_an_interrupt_leaves_nothing(self):
        run = subprocess.Popen([BUILD / "hive", "campaign", "--kinds", "kill"], env=self.env,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.assertIn("fault 0", run.stdout.readline())
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
        self.assertEqual(run.returncode, 128 + signal.SIGINT)
        self.assert_nothing_left()

    @unittest.skipIf(KINDS, "part of the long campaign")
    def test_an_interrupt_of_the_boot_leaves_nothing(self):
        run = subprocess.Popen([BUILD / "hive", "campaign", "--kinds", "kill"], env=self.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not list(pathlib.Path(self.directory.name).glob("*/1/run/*")):
            self.assertIsNone(run.poll())
            time.sleep(0.001)
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(timeout=60), 128 + signal.SIGINT)
        self.assert_nothing_left()

    @unittest.skipIf(KINDS, "part of the long campaign")
    def test_what_a_killed_campaign_leaves_goes_with_the_next(self):
        run = subprocess.Popen([BUILD / "hive", "campaign", "--kinds", "kill"], env=self.env,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.assertIn("fault 0", run.stdout.readline())
        run.kill()
        run.communicate(timeout=60)
        self.assertNotEqual(list(pathlib.Path(self.directory.name).iterdir()), [])
        subprocess.run([BUILD / "hive", "campaign", "--kinds", "task", "--faults", "1"],
                       env=self.env, check=True, capture_output=True)
        self.assert_nothing_left()

    def test_wrong_usage(self):
        for wrong in (["--kinds", "nothing-like-that"], ["--faults", "0"], ["--cells", "1"],
                      ["--sabotage", "everything"], ["--seed", "x"]):
            done = subprocess.run([BUILD / "hive", "campaign", *wrong], env=self.env,
                                  capture_output=True, text=True)
            self.assertIn(done.returncode, (1, 2), wrong)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
