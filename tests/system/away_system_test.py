"""A task whose memory does not fit its cell: what does not lies in memory that other cells lend,
and what is left when these are full, want it back, and die, and when the task and its own cell end."""

import errno
import os
import signal
import unittest

from lending import FRAMES, HOME, LENDERS, PAGE, PAGES, LendingTest


class Away(LendingTest):
    def grower(self, pages=PAGES):
        task = self.start_program(HOME, "grower", pages * PAGE)
        self.assertEqual(task.stdout.readline().strip(), "ready")
        return task

    def ask(self, task, line):
        task.stdin.write(line + "\n")
        task.stdin.flush()
        return task.stdout.readline().strip()

    def fill_cells(self, cells):
        keepers = []
        for cell in cells:
            keeper = self.start_program(cell, "keeper", f"full{cell}", FRAMES - FRAMES // 8)
            self.assertTrue(keeper.stdout.readline().strip(), "there is no segment")
            keepers.append(keeper)
        return keepers

    def assert_kept(self, keepers):
        for keeper in keepers:
            self.assertEqual(self.ask(keeper, ""), "wrong 0")

    def test_a_task_with_more_memory_than_its_cell(self):
        task = self.grower()
        for salt in (1, 2):
            self.assertEqual(self.ask(task, f"fill {salt}"), f"filled {PAGES}")
            self.assert_books()
            for _ in range(2):
                self.assertEqual(self.ask(task, f"check {salt}"),
                                 f"right {PAGES} wrong 0 lost 0 with -1")
        self.assertGreaterEqual(sum(self.lent().values()), PAGES - FRAMES)
        self.assertEqual(self.ask(task, "populate"), "ok")
        self.assert_books()
        self.assertEqual(self.ask(task, "unmap"), "ok")
        self.wait_all_back()
        self.assertEqual(self.ask(task, "fill 3"), f"filled {PAGES}")
        task.communicate()
        self.wait_all_back()
        self.assert_books()
        self.end()

    def test_where_all_cells_are_full_the_one_request_fails(self):
        keepers = self.fill_cells(LENDERS)
        task = self.grower()
        beside = self.grower(16)
        self.assertEqual(self.ask(beside, "fill 9"), "filled 16")
        failed = self.ask(task, "fill 1").split(" ", 4)
        self.assertEqual((failed[0], int(failed[2]), int(failed[3])),
                         ("failed", errno.ENOMEM, HOME))
        self.assertGreater(int(failed[1]), FRAMES // 2)
        self.assertIn("no memory left", failed[4])
        self.assertEqual(self.ask(beside, "check 9"), "right 16 wrong 0 lost 0 with -1")
        self.assert_kept(keepers)
        self.assert_books()
        # A touch that nobody guards ends the task, and nobody else.
        task.stdin.write(f"touch {PAGES - 1}\n")
        task.stdin.flush()
        self.assertEqual(task.wait(), 128 + signal.SIGBUS)
        self.assertEqual(set(self.machine.states()), {"up"})
        self.assertEqual(self.ask(beside, "check 9"), "right 16 wrong 0 lost 0 with -1")
        again = self.grower(FRAMES // 2)
        self.assertEqual(self.ask(again, "fill 4"), f"filled {FRAMES // 2}")
        self.assert_kept(keepers)
        self.end()

    def test_a_lender_that_dies_costs_what_lay_there(self):
        task = self.grower()
        self.assertEqual(self.ask(task, "fill 1"), f"filled {PAGES}")
        cell = self.lender()
        lent = self.lent()[cell]
        self.machine.hive("fault", "kill-cell", cell, "--name", "test")
        said = self.ask(task, "check 1").split()
        right, wrong, lost, culprit = (int(said[i]) for i in (1, 3, 5, 7))
        self.assertEqual((wrong, right + lost, culprit), (0, PAGES, cell))
        self.assertTrue(0 < lost <= lent, said)
        self.assertIn("error", self.ask(task, "populate"))
        self.machine.wait_up()
        self.assertEqual(self.ask(task, "check 1").split()[5], str(lost), "they stay lost")
        self.assert_books()
        self.assertEqual(self.ask(task, "unmap"), "ok")
        self.assertEqual(self.ask(task, "fill 2"), f"filled {PAGES}")
        self.assertEqual(self.ask(task, "check 2"), f"right {PAGES} wrong 0 lost 0 with -1")
        self.end()

    def test_a_lender_that_wants_its_memory_gets_it(self):
        task = self.grower()
        self.assertEqual(self.ask(task, "fill 1"), f"filled {PAGES}")
        cell = self.lender()
        keeper = self.start_program(cell, "keeper", "kept", FRAMES)
        self.assertTrue(keeper.stdout.readline().strip(), "there is no segment")
        self.assertEqual(self.lent()[cell], 0)
        self.assertEqual(self.ask(task, "check 1"), f"right {PAGES} wrong 0 lost 0 with -1")
        self.assert_kept([keeper])
        self.assert_books()
        self.machine.hive("drain", next(c for c in LENDERS if c != cell), "--name", "test")
        self.assertEqual(self.ask(task, "check 1").split()[3], "0")
        self.end()

    def test_a_task_that_is_killed_and_a_cell_that_dies_leave_nothing_lent(self):
        task = self.grower()
        self.assertEqual(self.ask(task, "fill 1"), f"filled {PAGES}")
        self.assertGreater(sum(self.lent().values()), 0)
        about = next(t for t in self.machine.tasks() if t["cell"] == HOME)
        os.kill(about["pid"], signal.SIGKILL)
        self.wait_all_back()
        self.assert_books()
        task = self.grower()
        self.assertEqual(self.ask(task, "fill 1"), f"filled {PAGES}")
        self.machine.hive("fault", "kill-cell", HOME, "--name", "test")
        self.wait_all_back()
        self.machine.wait_up()
        task = self.grower()
        self.assertEqual(self.ask(task, "fill 2"), f"filled {PAGES}")
        self.assertEqual(self.ask(task, "check 2"), f"right {PAGES} wrong 0 lost 0 with -1")
        self.assert_books()
        self.end()


if __name__ == "__main__":
    unittest.main()
