"""A cell whose tasks take all descriptors, processes or memory of the host suffers alone."""

import os
import pathlib
import shutil
import subprocess
import sys
import unittest

from machine import BUILD, MachineTest, wait_for

LIMIT_MIB = 700  # of the memory control group; the machine itself takes about 250


def memory_group():
    """A new memory control group below ours, or None where that is not allowed."""
    for root in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        path = pathlib.Path(root) / f"hive-test-{os.getpid()}"
        limit = "memory.limit_in_bytes" if root.endswith("memory") else "memory.max"
        try:
            path.mkdir()
            (path / limit).write_text(str(LIMIT_MIB << 20))
            return path
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            try:
                path.rmdir()
            except OSError:
                pass
    return None


class Hogs(MachineTest):
    def assert_others_serve(self):
        self.assertEqual(self.machine.states(), ["up"] * 3)
        for cell in range(3):
            self.assertEqual(self.machine.run("--cell", cell, "--", "echo", "fine").stdout, "fine\n")

    def test_of_descriptors(self):
        self.machine.boot(cells=3)
        done = self.machine.run("--cell", 1, "--", sys.executable, "-c",
                                "import os\ntry:\n  while True: os.open('/dev/null', 0)\n"
                                "except OSError as e: print(e.errno)")
        self.assertEqual(done.stdout, "24\n")
        self.assert_others_serve()

    def test_of_processes(self):
        self.machine.boot(3, "16M", "--no-reboot")
        hog = self.machine.start_run(
            "--cell", 1, "--", sys.executable, "-c",
            "import os, time\nn = 0\ntry:\n  while n < 500:\n    if os.fork() == 0: time.sleep(60); "
            "os._exit(0)\n    n += 1\nexcept OSError: pass\nprint('full', flush=True)\ntime.sleep(60)")
        self.assertEqual(hog.stdout.readline(), "full\n")
        self.assert_others_serve()
        # All of them end with the hog's cell.
        self.machine.hive("fault", "kill-cell", 1, "--name", "test")
        wait_for(lambda: self.machine.states() == ["up", "down", "up"], "the hog's cell to be down")
        self.assertEqual(hog.wait(60), 75)
        hog.communicate()

    def test_of_memory(self):
        group = memory_group()
        if group is None:
            self.skipTest("no memory control group can be made here")
        self.addCleanup(lambda: wait_for(lambda: self.remove(group), "the group to be empty"))
        boot = subprocess.run(["sh", "-c", f"echo $$ > {group}/cgroup.procs && exec \"$@\"", "sh",
                               BUILD / "hive", "boot", "--cells", "3", "--memory", "16M", "--name",
                               "test"], env=self.machine.env, capture_output=True, text=True)
        self.assertEqual(boot.returncode, 0, boot.stderr)
        done = self.machine.run("--cell", 1, "--", sys.executable, "-c",
                                "b = []\nwhile True: b.append(bytearray(1 << 24))", check=False)
        self.assertEqual(done.returncode, 128 + 9, "Linux kills the hog")
        self.assert_others_serve()
        self.machine.close()

    @staticmethod
    def remove(group):
        try:
            group.rmdir()
            return True
        except OSError:
            return not group.exists()


if __name__ == "__main__":
    unittest.main(verbosity=2)
