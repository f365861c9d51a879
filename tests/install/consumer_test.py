"""Programs outside of the tree are built with what is installed in a prefix of its own, and run on a
machine that the installed command has booted."""

import os
import shlex
import shutil
import unittest

from prefix_test import CMAKE, CXX, HERE, VERSION, Prefix, run


class Consumers(Prefix):
    def check_program(self, program):
        """Of this prefix, and doing what it should on a machine."""
        libraries = run("ldd", program)
        self.assertIn(str(self.library.parent.resolve()), libraries)
        self.machine.boot(cells=2)
        done = self.machine.run("--cell", 1, "--", program)
        self.assertEqual((done.stdout, done.stderr), ("cell 1: 42 0\n", ""))
        self.machine.shutdown()
        self.assert_nothing_left()

    def test_a_program_that_finds_the_package(self):
        build = self.root / "cmake-build"
        run(CMAKE, "-S", HERE / "consumer", "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
            f"-DCMAKE_CXX_COMPILER={CXX}")
        run(CMAKE, "--build", build)
        self.check_program(build / "consumer")

    @unittest.skipUnless(shutil.which("pkg-config"), "there is no pkg-config")
    def test_a_program_that_asks_pkg_config(self):
        environment = dict(os.environ, PKG_CONFIG_PATH=str(self.library.parent / "pkgconfig"))
        self.assertEqual(run("pkg-config", "--modversion", "hive", env=environment).strip(), VERSION)
        flags = shlex.split(run("pkg-config", "--cflags", "--libs", "hive", env=environment))
        program = self.root / "consumer"
        run(CXX, "-std=c++20", HERE / "consumer/main.cpp", "-o", program, *flags,
            f"-Wl,-rpath,{self.library.parent}")
        self.check_program(program)


if __name__ == "__main__":
    unittest.main()
