"""Hive in a prefix of its own, as `cmake --install` puts it there."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import machine  # noqa: E402

BUILD = machine.BUILD
CMAKE = os.environ.get("HIVE_CMAKE", "cmake")
CXX = os.environ.get("CXX", "c++")
VERSION = os.environ.get("HIVE_VERSION", "0.1.0")


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, **more)
    if done.returncode != 0:
        raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Prefix(machine.MachineTest):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="hive-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        # Installed to one place and moved to another: nothing in it may know where it was.
        run(CMAKE, "--install", BUILD, "--prefix", cls.root / "first")
        cls.prefix = cls.root / "prefix"
        (cls.root / "first").rename(cls.prefix)
        cls.library = next(cls.prefix.glob("lib*/**/libhive.so.0"))
        build = machine.BUILD
        cls.addClassCleanup(setattr, machine, "BUILD", build)
        machine.BUILD = cls.prefix / "bin"

    def setUp(self):
        self.machine = machine.Machine(f"install-{os.getpid()}")
        self.addCleanup(self.machine.close)


class Installed(Prefix):
    def test_another_minor_version_of_the_package_is_refused(self):
        source = self.root / "future"
        source.mkdir()
        (source / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(future LANGUAGES CXX)\n"
            "find_package(Hive 0.2 REQUIRED)\n")
        done = subprocess.run([CMAKE, "-S", source, "-B", source / "build",
                               f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_CXX_COMPILER={CXX}"],
                              capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"version: {VERSION}", done.stderr)

    def test_the_bench_finds_its_programs(self):
        self.machine.hive("bench", "--rows", "fault.64KiB.local", "--pairs", 1, "--name", self.machine.name)
        picture = pathlib.Path(self.machine.directory) / "teapot.png"
        run(self.prefix / "libexec/hive/raytrace-threads", "--quiet", "--size", "16x16", "--samples", 1,
            "--output", picture)
        self.assertTrue(picture.exists())
        self.assert_nothing_left()

    def test_every_command_has_its_page_and_its_completion(self):
        for place in ("share/man/man1/hive.1.gz", "share/man/man1/hive-run.1.gz",
                      "share/bash-completion/completions/hive", "share/zsh/site-functions/_hive"):
            self.assertTrue((self.prefix / place).is_file(), place)


if __name__ == "__main__":
    unittest.main()
