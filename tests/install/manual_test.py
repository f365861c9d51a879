"""The manual pages: troff takes them without a warning, and they say what a page has to say."""

import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging"
sys.path.insert(0, str(PACKAGING))
import help_model  # noqa: E402

BUILD = pathlib.Path(os.environ.get("HIVE_BUILD", "build")).resolve()
PAGES = sorted((BUILD / "man").glob("*.1.gz"))


def troff(page, *options):
    return subprocess.run(["groff", "-ww", "-man", "-Tutf8", "-rLL=100n", *options],
                          input=gzip.decompress(page.read_bytes()), capture_output=True)


def text_of(page):
    plain = troff(page, "-P-cbou").stdout.decode()
    return " ".join(plain.replace("\u2010", "-").replace("\u2212", "-").split())


@unittest.skipUnless(shutil.which("groff"), "there is no groff")
class Manual(unittest.TestCase):
    def test_there_is_a_page_for_each_command(self):
        texts = sorted(path.stem for path in (PACKAGING / "man").glob("*.txt"))
        self.assertIn("hive-boot", texts)
        self.assertEqual(sorted(page.name.removesuffix(".1.gz") for page in PAGES), texts)

    def test_troff_has_nothing_to_complain_about(self):
        for page in PAGES:
            with self.subTest(page=page.name):
                self.assertEqual(troff(page, "-z").stderr.decode(), "")

    def test_every_page_has_the_sections_that_people_look_for(self):
        for page in PAGES:
            text = text_of(page)
            for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES",
                            "SEE ALSO"):
                self.assertIn(section, text, page.name)

    def test_options_and_defaults_are_those_of_the_command(self):
        boot = text_of(BUILD / "man/hive-boot.1.gz")
        self.assertIn("--memory SIZE Memory of each cell, with suffix K, M or G. The default is 64M.", boot)
        self.assertIn("4 It is running already.", boot)
        self.assertIn("Name of the machine; else $HIVE_MACHINE. The default is hive.", boot)
        fault = text_of(BUILD / "man/hive-fault.1.gz")
        self.assertIn("hive fault hang-cell [--how stop|loop|deadlock] [--name NAME] CELL", fault)


class HelpModel(unittest.TestCase):
    def parse(self, left):
        entry = help_model.parse_entry(left, "")
        return entry.names, entry.argument, entry.choices, entry.default, entry.required

    def test_every_kind_of_line_in_the_help(self):
        self.assertEqual(self.parse("-h,--help"), (["-h", "--help"], "", [], "", False))
        self.assertEqual(self.parse("--memory SIZE=64M"), (["--memory"], "SIZE", [], "64M", False))
        self.assertEqual(self.parse("--span N|all Excludes: --cell"), (["--span"], "N|all", [], "", False))
        self.assertEqual(self.parse("--how TEXT:{stop,loop}=stop"),
                         (["--how"], "stop|loop", ["stop", "loop"], "stop", False))
        self.assertEqual(self.parse("--count UINT:INT in [1 - 9]=4"), (["--count"], "UINT", [], "4", False))
        self.assertEqual(self.parse("--name NAME=hive (Env:HIVE_MACHINE)"),
                         (["--name"], "NAME", [], "hive", False))
        self.assertEqual(self.parse("program PROGRAM ARGS... ..."),
                         (["program"], "PROGRAM ARGS...", [], "", False))
        self.assertEqual(self.parse("cell CELL REQUIRED"), (["cell"], "CELL", [], "", True))


if __name__ == "__main__":
    unittest.main()
