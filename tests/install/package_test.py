"""The Debian packages, where there are the tools to make them: what they hold and depend on."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("HIVE_BUILD", "build")).resolve()
VERSION = os.environ.get("HIVE_VERSION", "0.1.0")
CPACK = pathlib.Path(os.environ.get("HIVE_CMAKE", "cmake")).parent / "cpack"


def run(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


@unittest.skipUnless(shutil.which("dpkg-shlibdeps"), "this is not Debian, or dpkg-dev is missing")
class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="hive-package-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        # Quick rather than small.
        run(CPACK, "--config", BUILD / "CPackConfig.cmake", "-B", cls.root, "-D",
            "CPACK_DEBIAN_COMPRESSION_TYPE=gzip")
        cls.packages = {path.name.split("_")[0]: path for path in cls.root.glob("*.deb")}

    def field(self, package, name):
        return run("dpkg-deb", "-f", self.packages[package], name).strip()

    def files(self, package):
        lines = run("dpkg-deb", "-c", self.packages[package]).splitlines()
        return {line.split()[5].removeprefix("."): line.split()[0] for line in lines}

    def test_there_are_three_that_fit_together(self):
        self.assertEqual(sorted(self.packages), ["hive", "libhive-dev", "libhive0"])
        for package in self.packages:
            self.assertEqual(self.field(package, "Version"), VERSION)
        self.assertIn(f"libhive0 (= {VERSION})", self.field("libhive-dev", "Depends"))
        self.assertIn("libexpected-dev", self.field("libhive-dev", "Depends"))
        self.assertIn("libc6", self.field("libhive0", "Depends"))
        self.assertIn("libspdlog", self.field("hive", "Depends"))

    def test_each_holds_its_part(self):
        hive, library, development = map(self.files, ("hive", "libhive0", "libhive-dev"))
        for path in ("/usr/bin/hive", "/usr/libexec/hive/hive-cell", "/usr/libexec/hive/hive-node"):
            self.assertEqual(hive.get(path), "-rwxr-xr-x", path)
        self.assertIn("/usr/share/man/man1/hive-boot.1.gz", hive)
        self.assertTrue(any(path.endswith("/libhive.so.0") for path in library))
        self.assertTrue(any(path.endswith("/libhive.so") for path in development))
        self.assertIn("/usr/include/hive/hive.h", development)
        for path in ("programming.md", "examples/hello.cpp"):
            self.assertIn(f"/usr/share/doc/libhive-dev/{path}", development)
        for package, files in (("hive", hive), ("libhive0", library), ("libhive-dev", development)):
            self.assertIn(f"/usr/share/doc/{package}/copyright", files)
            self.assertIn(f"/usr/share/doc/{package}/changelog.gz", files)

    @unittest.skipUnless(shutil.which("lintian"), "there is no lintian")
    def test_lintian_finds_no_error(self):
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", *self.packages.values()],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
