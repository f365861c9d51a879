"""The completion for bash, sourced in a shell without anything else, and the one for zsh parsed."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("HIVE_BUILD", "build")).resolve()
# $1 is the script, the others are the words of the line; the last one is being written.
COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
compopt() { :; }  # it works during a completion only
_hive
printf '%s\\n' "${COMPREPLY[@]}"
"""


class Bash(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="hive-completion-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        for machine, cells in (("hive", 2), ("second", 3)):
            (self.root / machine).mkdir()
            (self.root / machine / "machine.json").touch()
            for cell in range(cells):
                (self.root / machine / f"cell{cell}.sock").touch()
        (self.root / "no-machine").mkdir()

    def complete(self, *words, **environment):
        env = {"PATH": os.environ["PATH"], "HIVE_RUNTIME_DIR": str(self.root), **environment}
        done = subprocess.run(["bash", "--norc", "-uc", COMPLETE, "bash",
                               BUILD / "completion/hive.bash", "hive", *words],
                              env=env, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return sorted(done.stdout.split())

    def test_commands_and_options(self):
        self.assertEqual(self.complete("s"), ["shutdown", "status"])
        self.assertEqual(self.complete(""), ["--help", "--version", "bench", "boot", "campaign", "check", "drain",
                                             "fault", "fs", "kill", "postmortem", "ps", "reboot", "run", "shutdown",
                                             "status"])
        self.assertEqual(self.complete("boot", "--f"), ["--firewall", "--foreground"])
        self.assertEqual(self.complete("fault", "h"), ["hang-cell"])
        self.assertEqual(self.complete("fault", "hang-cell", "--ho"), ["--how"])
        self.assertEqual(self.complete("nonsense", "s"), ["shutdown", "status"])

    def test_values_of_options(self):
        self.assertEqual(self.complete("boot", "--firewall", "mm"), ["mmu", "mmu-windowed"])
        self.assertEqual(self.complete("fault", "hang-cell", "1", "--how", ""), ["deadlock", "loop", "stop"])
        self.assertEqual(self.complete("run", "--span", ""), ["all"])
        self.assertEqual(self.complete("boot", "--cells", ""), [])
        self.assertEqual(self.complete("kill", "7", "--signal", "KI"), ["KILL"])
        self.assertIn("SIGKILL", self.complete("kill", "7", "--signal", "SIGKI"))

    def test_machines_that_run_and_their_cells(self):
        self.assertEqual(self.complete("status", "--name", ""), ["hive", "second"])
        self.assertEqual(self.complete("status", "--name", "=", "s"), ["second"])
        self.assertEqual(self.complete("status", "--name", "="), ["hive", "second"])
        self.assertEqual(self.complete("run", "--cell", ""), ["0", "1"])
        self.assertEqual(self.complete("run", "--name", "second", "--cell", ""), ["0", "1", "2"])
        self.assertEqual(self.complete("fault", "kill-cell", "--name", "=", "second", ""), ["0", "1", "2"])
        self.assertEqual(self.complete("fault", "kill-cell", ""), ["0", "1"])
        self.assertEqual(self.complete("status", "--name", "", HIVE_RUNTIME_DIR=str(self.root / "none")), [])

    def test_the_program_of_run(self):
        self.assertIn("true", self.complete("run", "tru"))
        self.assertIn("true", self.complete("run", "--cell", "1", "--", "tru"))
        self.assertEqual(self.complete("run", "--c"), ["--cell"])
        self.assertEqual(self.complete("run", "true", "--c"), [])  # the business of another program


class Zsh(unittest.TestCase):
    @unittest.skipUnless(shutil.which("zsh"), "there is no zsh")
    def test_it_parses(self):
        done = subprocess.run(["zsh", "-nf", BUILD / "completion/hive.zsh"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
