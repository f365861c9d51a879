"""Stores by a real task and by a real kernel to every region of every other cell: each is a bus
error in the one that stored, named in `hive status`, and nothing changes."""

import json
import pathlib
import unittest

from machine import BUILD, MachineTest, WAIT_S, wait_for

PAGES = 64


class WildStores(MachineTest):
    def setUp(self):
        super().setUp()
        self.machine.boot(4, "16M", "--no-reboot")
        record = pathlib.Path(self.machine.directory) / self.machine.name / "machine.json"
        self.layout = json.loads(record.read_text())["layout"]
        self.keepers = [self.start_keeper(cell) for cell in range(4)]

    def start_keeper(self, cell):
        keeper = self.start_program(cell, "keeper", f"kept-{cell}", PAGES)
        keeper.segment = int(keeper.stdout.readline(), 16)
        return keeper

    def assert_kept(self, cells):
        for cell in cells:
            keeper = self.keepers[cell]
            keeper.stdin.write("\n")
            keeper.stdin.flush()
            self.assertEqual(keeper.stdout.readline(), "wrong 0\n", f"cell {cell}")

    def regions(self, cell):
        """An address in each kind of memory of a cell."""
        begin = self.layout["base"] + cell * self.layout["stride"]
        user = begin + self.layout["kernel_bytes"]
        end = user + self.layout["user_bytes"]
        segment = self.keepers[cell].segment
        return {"header": begin + 128, "rings": begin + 8192, "heap": user - 64,
                "segment": segment + 5 * 4096 + 8, "user": end - 4096 + 8, "gap": end + 4096}

    def test_of_a_task_to_every_region_of_every_cell(self):
        for home in range(4):
            addresses = [hex(a) for cell in range(4) for a in self.regions(cell).values()]
            # With a segment of that home open and given for reading, and everything else not.
            done = self.machine.run("--cell", 1, "--", BUILD / "wild", f"kept-{home}", *addresses,
                                    check=False)
            self.assertNotIn("STORED", done.stdout, done.stderr)
            self.assertEqual(done.stdout.count("blocked"), len(addresses), done.stderr)
            self.assertEqual(done.returncode, 0)
        self.assert_kept(range(4))
        self.assertEqual(self.machine.states(), ["up"] * 4)

    def test_a_blocked_store_names_its_culprit(self):
        address = self.regions(2)["segment"]
        self.machine.run("--cell", 3, "--", BUILD / "wild", "kept-2", hex(address))
        blocked = self.machine.status()["blocked_stores"]
        self.assertTrue(any(b["home"] == 2 and b["cell"] == 3 and b["program"] == "wild" and
                            b["address"] == address and b["instruction"] > 0 for b in blocked), blocked)
        people = self.machine.hive("status", "--name", "test").stdout
        self.assertIn("wild", people)

    def test_of_a_kernel_to_every_region_of_another(self):
        for culprit, region in ((1, "header"), (2, "segment"), (3, "user")):
            self.machine.hive("fault", "wild-store", culprit, "--address",
                              hex(self.regions(0)[region]), "--name", "test")
            wait_for(lambda: self.machine.states()[culprit] == "down", "the culprit to be down")
            cell = self.machine.cell(culprit)
            self.assertIn("store to", cell["last_words"])
            self.assertIn("of cell 0", cell["last_words"])
            self.assert_kept([0])
        self.assertEqual(self.machine.states(), ["up", "down", "down", "down"])

    def test_of_a_kernel_to_rings_heap_and_gap_of_another(self):
        for culprit, region in ((1, "rings"), (2, "heap"), (3, "gap")):
            self.machine.hive("fault", "wild-store", culprit, "--address",
                              hex(self.regions(0)[region]), "--name", "test")
            wait_for(lambda: self.machine.states()[culprit] == "down", "the culprit to be down")
            self.assert_kept([0])
        self.assertEqual(self.machine.states(), ["up", "down", "down", "down"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
