"""What tests of cells that lend each other frames have in common: four small cells, of which one needs
more memory than it has."""

from machine import MachineTest, wait_for

CELLS = 4
FRAMES = 2048  # of a cell: 8 MiB
PAGE = 4096
HOME = 1  # the cell that needs more
LENDERS = [c for c in range(CELLS) if c != HOME]
PAGES = FRAMES * 3 // 2


class LendingTest(MachineTest):
    def setUp(self):
        super().setUp()
        self.machine.boot(CELLS, "8M")

    def end(self):
        self.machine.shutdown()
        self.assert_nothing_left()

    def frames(self):
        return {cell["cell"]: cell for cell in self.machine.frames(check=False)}

    def lent(self):
        return {cell: about["states"]["lent"] for cell, about in self.frames().items()
                if "states" in about}

    def lender(self):
        """That has lent most."""
        lent = self.lent()
        return max(LENDERS, key=lambda cell: lent.get(cell, 0))

    def wait_all_back(self):
        wait_for(lambda: sum(self.lent().values()) == 0, "the lenders to have their frames")
