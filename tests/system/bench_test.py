"""`hive bench` measures on a machine of its own and leaves nothing of it. No figure is judged here."""

import json
import os
import pathlib
import signal
import unittest

from machine import BUILD, MachineTest, WAIT_S, wait_for

ROWS = ["rpc.null.spin", "rpc.null.sleep", "rpc.queued", "careful.64B", "careful.4KiB",
        "careful.list1000", "firewall.open_close.1", "firewall.open_close.256",
        "firewall.takeback.1", "firewall.takeback.256", "frame.borrow_return.1",
        "frame.borrow_return.256", "firewall.blocked_store",
        "fault.64KiB.local", "fault.64KiB.remote",
        "fault.file.local", "fault.file.remote", "window.own", "window.remote", "segment.open",
        "task.start", "put.64B", "read.64B", "view.load", "versioned.publish", "versioned.read",
        "ring.record", "mutex.free", "barrier.2", "file.read.4MiB.local", "file.read.4MiB.remote",
        "file.write.4MiB.local", "file.write.4MiB.remote", "file.open.local", "file.open.remote",
        "file.pread.4KiB", "file.stat", "raytrace.1", "raytrace.2", "raytrace.4", "idle.cpu",
        "recovery.kill.known_off", "recovery.kill.agreed", "recovery.kill.settled",
        "recovery.kill.back", "recovery.kill.witness", "recovery.kill.witness.loaded",
        "recovery.hang.known_off", "recovery.hang.settled", "recovery.hang.witness"]
ICEORYX = BUILD / "hive-baseline-iceoryx"  # there where iceoryx is installed
ONEWAY = ["ring.oneway", "ring.oneway.sleep"]
MEMBERS = {"name", "value", "unit", "baseline", "ratio", "spread", "bound", "holds"}


def daemons():
    found = set()
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text() == "iox-roudi\n":
                found.add(path.parent.name)
        except OSError:  # it has ended
            pass
    return found


class Bench(MachineTest):
    def take(self, pattern):
        done = self.machine.hive("bench", "--json", "--pairs", 2, "--rows", pattern,
                                 timeout=WAIT_S * 8)
        self.assert_nothing_left()
        report = json.loads(done.stdout)
        self.assertGreaterEqual(report["host"]["processors"], 1)
        for row in report["rows"]:
            self.assertLessEqual(MEMBERS, set(row), row)
            self.assertGreaterEqual(row["value"], 0, row)
            self.assertGreaterEqual(row["spread"], 0, row)
            self.assertEqual(row["holds"] is None, row["bound"] is None, row)
            if row["baseline"] is not None:
                self.assertGreater(row["baseline"], 0, row)
                self.assertGreater(row["ratio"], 0, row)
        return [row["name"] for row in report["rows"]]

    def test_every_row_is_there(self):
        listed = self.machine.hive("bench", "--list").stdout.split()
        with_iceoryx = ROWS[:ROWS.index("raytrace.1")] + ONEWAY + ROWS[ROWS.index("raytrace.1"):]
        self.assertEqual(listed, with_iceoryx if ICEORYX.exists() else ROWS)

    @unittest.skipUnless(ICEORYX.exists(), "there is no iceoryx")
    def test_the_daemon_of_iceoryx_is_ended_again(self):
        before = set(os.listdir("/dev/shm")), daemons()
        taken = self.take("ring.oneway*")
        self.assertIn(taken, (ONEWAY, []))  # nothing on a host with one processor
        self.assertEqual((set(os.listdir("/dev/shm")) - before[0], daemons() - before[1]), (set(), set()))

    def test_rows_that_a_kernel_measures(self):
        for pattern in ("careful.*", "firewall.*.1"):
            wanted = [r for r in ROWS if pathlib.PurePath(r).match(pattern)]
            taken = self.take(pattern)  # fewer on a host with one processor
            self.assertEqual(taken, [r for r in wanted if r in taken])

    def test_rows_that_a_task_measures(self):
        self.assertEqual(self.take("fault.*"), ["fault.64KiB.local", "fault.64KiB.remote",
                                                    "fault.file.local", "fault.file.remote"])
        self.assertEqual(self.take("window.own"), ["window.own"])
        self.assertEqual(self.take("task.start"), ["task.start"])
        self.assertEqual(self.take("file.*"), [row for row in ROWS if row.startswith("file.")])

    def test_the_idle_machine(self):
        self.assertEqual(self.take("idle.cpu"), ["idle.cpu"])

    def test_cells_die_for_the_rows_about_recovery_and_come_back(self):
        for pattern in ("recovery.kill.settled", "recovery.hang.settled", "recovery.hang.witness"):
            self.assertEqual(self.take(pattern), [pattern])

    def test_a_table_for_people(self):
        done = self.machine.hive("bench", "--pairs", 1, "--rows", "segment.open")
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0].split()[:4], ["ROW", "VALUE", "BASELINE", "RATIO"])
        self.assertEqual(lines[1].split()[0], "segment.open")
        self.assertIn("0 of 0 bounds hold", lines[-1])

    def test_wrong_usage_is_one_clear_line(self):
        for wrong in (["--pairs", "0"], ["--pairs", "many"], ["--rows", "no.such.row"],
                      ["--name", "NO"]):
            done = self.machine.hive("bench", *wrong, check=False)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assert_nothing_left()

    def test_an_interrupt_leaves_nothing(self):
        run = self.machine.start("bench", "--rows", "idle.cpu", "--pairs", 1000)
        up = pathlib.Path(self.machine.directory) / "bench/up"
        wait_for(up.exists, "the machine of the bench to be up")
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=WAIT_S)
        self.assertEqual((out, err), ("", "hive: interrupted\n"))
        self.assertEqual(run.returncode, 130)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
