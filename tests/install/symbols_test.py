"""libhive.so shows what include/hive declares, all of it and nothing else. The static library is
what there is to show; the headers say what of it is public."""

import os
import pathlib
import re
import subprocess
import unittest

BUILD = pathlib.Path(os.environ.get("HIVE_BUILD", "build")).resolve()
HEADERS = pathlib.Path(__file__).resolve().parents[2] / "include/hive"
ARCHIVES = ("src/lib/libhive_lib.a", "src/base/libhive_base.a")
INTERPOSERS = {"sigaction", "signal"}  # of src/lib/program_signals.h

CLASS = re.compile(r"^(?:class|struct) (?:\[\[\w+\]\] )?(\w+)(?: final)?(?: :.*)?(?: \{|$)")
FUNCTION = re.compile(r"^(?!inline|template|using|static|constexpr|//|#)[\w:<>*& ]*?(\w+)\(")
TABLES = ("vtable for ", "typeinfo for ", "typeinfo name for ", "VTT for ")


def declared():
    """Names of the classes that the headers define, and of functions at namespace scope."""
    classes, functions = set(), set()
    for header in sorted(HEADERS.glob("*.h")):
        space, depth = [], 0
        for line in header.read_text().splitlines():
            line = line.split("//")[0].rstrip()
            if opened := re.match(r"namespace ([\w:]+) \{", line):
                space.append(opened[1])
            elif depth == len(space):
                if found := CLASS.match(line):
                    classes.add("::".join([*space, found[1]]))
                elif space and (found := FUNCTION.match(line)):
                    functions.add("::".join([*space, found[1]]))
            depth += line.count("{") - line.count("}")
            del space[depth:]
    return classes, functions


def symbols(*files, dynamic=False, weak=True):
    """Names of definitions. The weak ones are made wherever they are used, so nobody misses them:
    which there are, such as the destructor of a plain structure, differs between compilers."""
    listing = subprocess.run(["nm", "-C", "--defined-only", *(["-D"] if dynamic else ["-g"]), *files],
                             check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^[0-9a-f]+ ([A-Zu]) (.+)$", listing, re.M)
    return {name for kind, name in found if weak or kind not in "VWu"}


class Symbols(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.classes, cls.functions = declared()

    def is_public(self, name):
        for table in TABLES:
            if name.startswith(table):
                return name.removeprefix(table) in self.classes
        plain = re.sub(r"\[abi:\w+\]", "", name).split("(")[0]
        return plain in self.functions or plain.rpartition("::")[0] in self.classes

    def test_the_headers_are_understood(self):
        for name in ("hive::Session", "hive::Segment", "hive::WriteWindow", "hive::Error"):
            self.assertIn(name, self.classes)
        self.assertIn("hive::code_name", self.functions)

    def test_what_is_shown_is_what_the_headers_declare(self):
        archives = [BUILD / archive for archive in ARCHIVES]
        shown = symbols(BUILD / "src/lib/libhive.so", dynamic=True)
        needed = {name for name in symbols(*archives, weak=False) if self.is_public(name)}
        public = {name for name in symbols(*archives) if self.is_public(name)}
        self.assertGreater(len(needed), 40)
        self.assertEqual(sorted(needed - shown), [], "missing in src/lib/exports.map")
        self.assertEqual(sorted(shown - public - INTERPOSERS), [], "no business of programs")
        self.assertTrue(INTERPOSERS <= shown)


if __name__ == "__main__":
    unittest.main()
