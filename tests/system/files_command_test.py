"""hive fs, from outside."""

import json
import os
import pathlib
import stat
import tempfile
import unittest

from machine import MachineTest


class FilesCommand(MachineTest):
    def setUp(self):
        super().setUp()
        self.machine.boot(cells=2)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.host = pathlib.Path(directory.name)

    def fs(self, *arguments, **more):
        return self.machine.hive("fs", arguments[0], "--name", "test", *arguments[1:], **more)

    def json(self, *arguments):
        return json.loads(self.fs(*arguments, "--json").stdout)

    def refused(self, words, *arguments):
        done = self.fs(*arguments, check=False)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        self.assertIn(words, done.stderr)

    def tree(self, root):
        """What a tree holds: kinds, contents, modes and times."""
        found = {}
        for path in sorted(root.rglob("*")):
            about = path.lstat()
            if path.is_symlink():
                what = os.readlink(path)
            else:
                content = path.read_bytes() if path.is_file() else None
                what = (content, stat.S_IMODE(about.st_mode), about.st_mtime_ns)
            found[str(path.relative_to(root))] = what
        return found

    def test_a_tree_goes_in_and_comes_out_the_same(self):
        source = self.host / "source"
        (source / "deep/er").mkdir(parents=True)
        (source / "empty").write_bytes(b"")
        (source / "big").write_bytes(os.urandom(1 << 20) + b"end")
        (source / "deep/er/name with spaces").write_text("text")
        (source / "deep/link").symlink_to("../big")
        (source / "big").chmod(0o604)
        (source / "deep").chmod(0o511)
        os.utime(source / "big", ns=(10**18, 10**18 + 1))
        before = self.tree(source)
        counted = self.json("put", source, "/copy")
        self.assertEqual(counted, {"files": 3, "directories": 3, "links": 1, "failed": 0,
                                   "bytes": (1 << 20) + 7})
        self.assertIn("3 files, 3 directories, 1 links", self.fs("get", "/copy", self.host / "out").stdout)
        self.assertEqual(self.tree(self.host / "out"), before)
        # Into what is there, and over it.
        self.fs("put", source / "big", "/copy/deep")
        self.fs("cp", "--recursive", "/copy", "/again")
        self.fs("get", "/again/deep/big", self.host)
        self.assertEqual((self.host / "big").read_bytes(), (source / "big").read_bytes())
        self.fs("rm", "-r", "/copy", "/again")
        self.assertEqual(self.fs("ls").stdout, "")
        (source / "deep").chmod(0o755)

    def test_looking(self):
        (self.host / "f").write_text("hello\n")
        self.fs("put", "--cell", 1, self.host / "f", "/f")
        self.fs("mkdir", "--parents", "/a/b/c")
        self.fs("mkdir", "-p", "/a/b/c")
        self.assertEqual(self.fs("ls").stdout, "a\nf\n")
        self.assertEqual(self.fs("ls", "/a", "/f").stdout, "/a:\nb\n\n/f:\n/f\n")
        self.assertEqual(self.fs("cat", "/f", "f").stdout, "hello\nhello\n")
        long = self.fs("ls", "-l").stdout
        self.assertRegex(long, r"MODE +HOME +SIZE +MODIFIED +NAME\ndrwxr-xr-x .* a\n-rw.* 1 +6 .* f\n")
        listed = self.json("ls", "--long")["paths"]["/"]
        self.assertEqual([(f["name"], f["kind"], f["size"]) for f in listed],
                         [("a", "directory", 0), ("f", "file", 6)])
        about = self.json("stat", "/f")["paths"]["/f"]
        self.assertEqual((about["home"], about["size"], about["generation"]), (1, 6, 0))
        self.assertIn("6 bytes", self.fs("stat", "/f").stdout)
        disks = self.json("df")["disks"]
        self.assertEqual([disk["cell"] for disk in disks], [0, 1])
        self.assertTrue(all(0 < disk["free"] <= disk["total"] for disk in disks))
        self.assertRegex(self.fs("df").stdout, r"CELL +SIZE +FREE\n0 ")

    def test_changing(self):
        self.fs("mkdir", "/d", "/e")
        self.fs("mv", "/d", "/e")
        self.fs("mv", "/e/d", "/f")
        self.assertEqual(self.fs("ls").stdout, "e\nf\n")
        self.refused("/f: Is a directory", "rm", "/f")
        self.fs("rm", "-r", "/e", "/f")
        self.assertEqual(self.fs("ls").stdout, "")

    def test_complaints(self):
        (self.host / "d").mkdir()
        self.refused("/none: No such file or directory", "cat", "/none")
        self.refused("/none: No such file or directory", "ls", "/none")
        self.refused("/none/x: No such file or directory", "mkdir", "/none/x")
        self.refused("/none: No such file or directory", "mv", "/none", "/x")
        self.refused("none: No such file or directory", "put", self.host / "none", "/x")
        self.refused("/none: No such file or directory", "get", "/none", self.host / "x")
        os.mkfifo(self.host / "d/fifo")
        self.refused("neither file", "put", self.host / "d", "/x")
        self.refused("Is a directory", "cp", "/x", "/y")
        self.refused("File exists", "mkdir", "/x")
        done = self.fs("ls", "--cell", 7, check=False)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
        done = self.machine.hive("fs", "ls", "--name", "nobody", check=False)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (3, 1), done.stderr)
        self.assertEqual(self.machine.hive("fs", check=False).returncode, 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
