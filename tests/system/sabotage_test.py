"""Machines in which one defence is turned off: each time the damage is there to be seen that the
same steps do not do to a sound machine."""

import contextlib
import json
import os
import pathlib
import signal
import unittest

from filer import Filer
from machine import BUILD, MachineTest, processes_of, wait_for

CELLS = 4
TRIES_MAX = 8
CONTENT = bytes(range(1, 251)) * 256  # 64000
FULL_BYTES = 400 * len(CONTENT)  # one and a half times a node


class Sabotage(MachineTest):
    def boot(self, *defences):
        more = ["--sabotage", ",".join(defences)] if defences else []
        self.machine.boot(CELLS, "16M", "--no-reboot", *more)
        self.assertEqual(self.machine.status()["sabotage"], list(defences))

    def ask(self, task):
        task.stdin.write("\n")
        task.stdin.flush()
        return task.stdout.readline().strip()

    def half_done(self, home, writer_cell, reader_cell):
        """A task in the middle of a change of a segment, and one that has the segment open."""
        writer = self.start_program(writer_cell, "halfway", "half", home)
        self.assertEqual(writer.stdout.readline(), "half done\n")
        reader = self.start_program(reader_cell, "halfway", "half")
        self.assertEqual(reader.stdout.readline(), "ready\n")
        self.assertEqual(self.ask(reader), "asked: read 2")  # as always while a window is open
        return writer, reader

    # --- firewall

    def stray_store(self):
        keeper = self.start_program(0, "keeper", "kept", 4)
        address = int(keeper.stdout.readline(), 16) + 8
        wild = self.machine.run("--cell", 1, "--", BUILD / "wild", "kept", hex(address),
                                check=False)
        return "STORED" in wild.stdout, self.ask(keeper)

    def test_a_firewall_that_stays_open(self):
        self.boot("firewall")
        self.assertEqual(self.stray_store(), (True, "wrong 1"))

    def test_a_firewall(self):
        self.boot()
        self.assertEqual(self.stray_store(), (False, "wrong 0"))

    # --- discard

    def death_of_a_task(self):
        writer, reader = self.half_done(home=1, writer_cell=2, reader_cell=0)
        pid = next(t["pid"] for t in self.machine.tasks()
                   if t["cell"] == 2 and "halfway" in t["program"])
        os.kill(pid, signal.SIGKILL)
        writer.wait()
        memory = wait_for(lambda: self.machine.cell(1)["memory"]["open_to_other_cells_pages"] == 0
                          and self.machine.cell(1)["memory"], "the window to be gone")
        return memory["torn_pages"], self.ask(reader)

    def death_of_a_cell(self):
        _, reader = self.half_done(home=1, writer_cell=2, reader_cell=0)
        self.machine.hive("fault", "kill-cell", 2, "--name", "test")
        return reader.stdout.readline().strip()

    def test_nothing_discarded(self):
        self.boot("discard")
        self.assertEqual(self.death_of_a_cell(), "cell 2 failed: read 2")

    def test_nothing_discarded_of_a_task(self):
        self.boot("discard")
        self.assertEqual(self.death_of_a_task(), (0, "asked: read 2"))

    def test_discard(self):
        self.boot()
        self.assertEqual(self.death_of_a_cell(), "cell 2 failed: lost")

    def test_discard_of_a_task(self):
        self.boot()
        self.assertEqual(self.death_of_a_task(), (4, "asked: lost"))

    # --- careful reference

    def others_live(self):
        """Whether the cells beside one whose memory fails outlive it."""
        pids = [cell["pid"] for cell in self.machine.status()["cells"]]
        self.machine.hive("fault", "fail-memory", 3, "--name", "test")
        wait_for(lambda: not alive(pids[3]), "the cell to die")
        wait_for(lambda: not all(map(alive, pids[:3])) or self.live_set() == [0, 1, 2],
                 "the others to go on, or not")
        return all(map(alive, pids[:3]))

    def live_set(self):
        answer = self.machine.hive("status", "--json", "--name", "test", check=False)
        return json.loads(answer.stdout)["live_set"] if answer.returncode == 0 else None

    def test_careless_reads(self):
        self.boot("careful")
        self.assertFalse(self.others_live())
        self.assertIn("bus error: load from", self.machine.log())

    def test_careful_reads(self):
        self.boot()
        self.assertTrue(self.others_live())

    # --- fence

    def stopped_cell(self):
        """Pids of a kernel that was stopped until it was voted out, and of a task of it."""
        task = self.machine.start_run("--cell", 2, "--", "sh", "-c", "echo $$; exec sleep 600")
        self.addCleanup(task.communicate)
        self.addCleanup(task.kill)
        pids = [self.machine.cell(2)["pid"],
                wait_for(lambda: [t["pid"] for t in self.machine.tasks()
                                  if t["state"] == "running"], "the task to run")[0]]
        # One that lives on has the output of its task open.
        self.addCleanup(lambda: alive(pids[0]) and os.kill(pids[0], signal.SIGKILL))
        self.machine.hive("fault", "hang-cell", 2, "--name", "test")
        wait_for(lambda: self.machine.status()["live_set"] == [0, 1, 3], "the cell to be removed")
        return pids

    def test_a_cell_that_was_voted_out_and_lives(self):
        self.boot("fence")
        self.assertEqual(list(map(alive, self.stopped_cell())), [True, True], self.machine.log())

    def test_a_cell_that_was_voted_out(self):
        self.boot()
        pids = self.stopped_cell()  # switched off, which Linux may still be at
        wait_for(lambda: not any(map(alive, pids)), "the kernel and the task to be gone")

    # --- barriers

    def death_beside_a_stopped_home(self):
        """The home of what a dead cell had open cannot discard it for the time being."""
        _, reader = self.half_done(home=1, writer_cell=2, reader_cell=0)
        home, dying = (self.machine.cell(n)["pid"] for n in (1, 2))
        os.kill(home, signal.SIGSTOP)
        os.kill(dying, signal.SIGKILL)
        said = (reader.stdout.readline().strip() for _ in range(2))
        return next(line for line in said if line.startswith("cell 2"))

    def test_nobody_waits_for_the_others(self):
        # On a busy host the reader may come so late that the stopped home has been voted out.
        for _ in range(TRIES_MAX):
            self.boot("barrier")
            seen = self.death_beside_a_stopped_home()
            self.machine.shutdown()
            if seen == "cell 2 failed: read 2":
                return
        self.fail(seen)

    def test_all_wait_for_the_others(self):
        self.boot()
        self.assertEqual(self.death_beside_a_stopped_home(), "cell 2 failed: cell_down")


    # --- the probe: slow is not dead

    def starve(self, cell):
        """Its threads run only when nobody else wants to; and somebody does, on each processor."""
        pid = self.machine.cell(cell)["pid"]
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))
        group = pathlib.Path(f"/proc/{pid}/autogroup")  # Linux groups by session: a node is one
        if group.exists():
            group.write_text("19")
        for n in range(3 * os.cpu_count()):
            run = self.machine.start_run("--cell", n % 2, "--", "sh", "-c",
                                         "while :; do :; done")
            self.addCleanup(run.communicate)
            self.addCleanup(run.kill)

    def test_slow_is_taken_for_dead(self):
        self.boot("probe")
        self.starve(3)
        # On a busy host others may go the same way.
        wait_for(lambda: 3 not in self.machine.status()["live_set"], "the slow one to be out")

    # --- the monitor

    def kill_monitor(self):
        """What it says that is asked for the monitor's services when that has died."""
        before = self.machine.monitor_pid()
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: not alive(before), "the monitor to be gone")
        wait_for(lambda: all(cell["state"] == "up" for cell in self.machine.status()["cells"]),
                 "the cells to go on")

    def reboot(self, cell):
        return self.machine.hive("reboot", cell, "--name", "test", check=False)

    def test_nobody_starts_another_monitor(self):
        self.boot("takeover")
        self.kill_monitor()
        answer = self.reboot(1)
        self.assertNotEqual(answer.returncode, 0)
        self.assertIn("monitor", answer.stderr)

    def test_another_monitor_is_started(self):
        self.boot()
        self.kill_monitor()
        wait_for(lambda: self.reboot(1).returncode == 0, "another monitor to reboot the cell")

    # --- what ends with its node

    def kill_all_but_a_task(self):
        """Pid of a task of a machine of which everything else was killed at one blow."""
        task = self.machine.start_run("--cell", 2, "--", "sh", "-c", "exec sleep 600")
        self.addCleanup(task.communicate)
        pid = wait_for(lambda: [t["pid"] for t in self.machine.tasks()
                                if t["state"] == "running"], "the task to run")[0]
        self.addCleanup(lambda: alive(pid) and os.kill(pid, signal.SIGKILL))
        killed = set(processes_of(self.machine.directory)) - {pid}
        for signal_number in (signal.SIGSTOP, signal.SIGKILL):
            for process in killed:
                with contextlib.suppress(ProcessLookupError):  # it ended with another
                    os.kill(process, signal_number)
        wait_for(lambda: not any(map(alive, killed)), "the machine to be gone")
        return pid

    def test_a_task_that_nothing_ties_to_its_node(self):
        self.boot("ties")
        self.assertTrue(alive(self.kill_all_but_a_task()))

    def test_a_task_that_is_tied_to_its_node(self):
        self.boot()
        pid = self.kill_all_but_a_task()
        wait_for(lambda: not alive(pid), "the task to be gone")

    # --- content of files that is not on the disk yet

    def after_a_reboot(self):
        """Whether a file that nobody has synced is there when its home was rebooted in order."""
        filer = Filer(self, 0)
        fd = filer.open("/kept", os.O_RDWR | os.O_CREAT, 0o600, 1)
        filer.pwrite(fd, CONTENT, 0)
        self.assertEqual(self.reboot(1).returncode, 0)
        self.machine.wait_back(1)
        return filer.content("/kept") == CONTENT

    def test_a_drain_that_writes_nothing_back(self):
        self.boot("sync")
        self.assertFalse(self.after_a_reboot())

    def test_a_drain(self):
        self.boot()
        self.assertTrue(self.after_a_reboot())

    def through_a_full_disk(self):
        """Writes more than a node holds while its disk takes nothing; how much was taken, and
        whether it is there."""
        filer = Filer(self, 0)
        fd = filer.open("/full", os.O_RDWR | os.O_CREAT, 0o600, 1)
        self.machine.hive("fault", "fail-disk", 1, "--how", "full", "--name", "test")
        taken = 0
        with contextlib.suppress(OSError):
            while taken < FULL_BYTES:
                taken += filer.pwrite(fd, CONTENT, taken)
        self.machine.hive("fault", "fail-disk", 1, "--how", "none", "--name", "test")
        expected = CONTENT * (taken // len(CONTENT)) + CONTENT[:taken % len(CONTENT)]
        there = b"".join(filer.pread(fd, len(CONTENT), at)
                         for at in range(0, taken, len(CONTENT)))
        return taken, there[:taken] == expected

    def test_pages_that_leave_before_the_disk_has_them(self):
        self.boot("write-back")
        taken, is_there = self.through_a_full_disk()
        self.assertEqual(taken, FULL_BYTES)
        self.assertFalse(is_there)

    def test_pages_that_the_disk_does_not_take(self):
        self.boot()
        taken, is_there = self.through_a_full_disk()
        self.assertLess(taken, FULL_BYTES)
        self.assertGreater(taken, 0)
        self.assertTrue(is_there)


class Refused(MachineTest):
    def refuse(self, name, *more):
        done = self.machine.hive("boot", "--cells", 1, "--name", name, *more, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def test_on_a_machine_that_is_no_test_machine(self):
        self.assertIn("test machines only", self.refuse("prices", "--sabotage", "fence"))
        self.assert_nothing_left()

    def test_of_a_defence_that_there_is_not(self):
        self.assertIn("'moat' is no defence", self.refuse("test", "--sabotage", "moat"))

    def test_not_where_the_environment_allows_it(self):
        self.machine.env["HIVE_TEST_MACHINE"] = "1"
        self.machine.name = "prices"
        self.machine.boot(1, "16M", "--sabotage", "fence", "--sabotage", "barrier")
        self.assertEqual(self.machine.status()["sabotage"], ["fence", "barrier"])
        self.assertIn("DEFENCE TURNED OFF", self.machine.hive("status", "--name", "prices").stdout)


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


if __name__ == "__main__":
    unittest.main(verbosity=2)
