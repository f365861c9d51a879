"""The manual pages: troff takes them without a warning, and they say what a page has to say."""

import os
import pathlib
import gzip
import shutil
import subprocess
import unittest

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
        self.assertEqual(len(PAGES), 10)

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
        fault = text_of(BUILD / "man/hive-fault.1.gz")
        self.assertIn("hive fault wild-store --address A [--name NAME] CELL", fault)


if __name__ == "__main__":
    unittest.main()
