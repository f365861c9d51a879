"""A machine boots, runs programs, loses cells, and leaves nothing behind."""

import os
import pathlib
import re
import signal
import struct
import time
import unittest

from machine import BUILD, MachineTest, WAIT_S, wait_for


class BootAndRun(MachineTest):
    def test_boot_brings_all_cells_up_and_shutdown_leaves_nothing(self):
        self.machine.boot(cells=4)
        status = self.machine.status()
        self.assertEqual([c["state"] for c in status["cells"]], ["up"] * 4)
        self.assertEqual(status["live_set"], [0, 1, 2, 3])
        self.machine.hive("shutdown", "--name", self.machine.name)
        self.assert_nothing_left()

    def test_run_passes_streams_and_exit_status_through(self):
        self.machine.boot(cells=2)
        done = self.machine.run("--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("out\n", "err\n", 7))

    def test_run_passes_signals_through(self):
        self.machine.boot(cells=1)
        run = self.machine.start_run("--", "sh", "-c", "trap 'exit 9' TERM; echo on; "
                                     "while :; do sleep 0.01; done")
        self.assertEqual(run.stdout.readline(), "on\n")
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(WAIT_S), 9)
        run.communicate()

    def test_a_program_that_does_not_exist_is_one_clear_line(self):
        self.machine.boot(cells=1)
        done = self.machine.run("--", "/does/not/exist", check=False)
        self.assertEqual(done.returncode, 127)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_a_spanning_run_has_a_component_on_each_cell(self):
        self.machine.boot(cells=3)
        done = self.machine.run("--span", "all", "--", "sh", "-c", "echo cell=$HIVE_CELL")
        self.assertEqual(sorted(done.stdout.split()), ["cell=0", "cell=1", "cell=2"])

    def test_tasks_share_segments_across_cells(self):
        self.machine.boot(cells=4)
        done = self.machine.run("--span", "all", "--", BUILD / "mixer", "50")
        self.assertEqual(done.stdout.count("wrong 0"), 4, done.stdout + done.stderr)
        self.assertEqual(self.machine.tasks(), [])

    def test_the_frames_of_each_cell_add_up_while_they_are_used(self):
        self.machine.boot(cells=3, memory="16M")
        keeper = self.start_program(1, "keeper", "kept", 100)
        self.assertTrue(keeper.stdout.readline())
        self.assertEqual([f["states"]["segment"] for f in self.frames()], [0, 100, 0])
        mixer = self.machine.start_run("--span", "all", "--", BUILD / "mixer", "200")
        while mixer.poll() is None:
            self.frames()
        self.assertEqual(mixer.returncode, 0)
        mixer.communicate()
        keeper.communicate()
        wait_for(lambda: all(f["states"]["free"] == f["frames"] for f in self.frames()),
                 "every frame to be free again")

    def frames(self):
        cells = self.machine.frames()
        self.assertEqual([f["cell"] for f in cells], [0, 1, 2])
        for f in cells:
            self.assertEqual((f["frames"], f["adds_up"]), (16 * 256, True), f)
        return cells

    def test_a_program_started_by_a_shell_takes_the_place_of_the_task(self):
        self.machine.boot(cells=3)
        done = self.machine.run("--span", "all", "--", "sh", "-c", f"{BUILD}/mixer 20; exit $?")
        self.assertEqual(done.stdout.count("wrong 0"), 3, done.stdout + done.stderr)

    def test_a_terminals_signal_reaches_what_a_task_has_started(self):
        self.machine.boot(cells=1)
        # The inner shell speaks, so that both are past their fork, in which dash drops signals.
        run = self.machine.start_run("--", "sh", "-c", "sh -c 'echo on; exec sleep 60'; true")
        self.assertEqual(run.stdout.readline(), "on\n")
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(WAIT_S), 128 + signal.SIGINT)
        run.communicate()


class LosingCells(MachineTest):
    def lose(self, kill, cell):
        """Runs the mixer on four cells, kills `cell` by `kill(machine)`, and looks."""
        machine = self.machine.boot(4, "16M", "--no-reboot")
        run = machine.start_run("--span", "all", "--", BUILD / "mixer", "3000")
        for _ in range(4):
            self.assertEqual(run.stdout.readline(), "mixing\n")
        kill()
        killed_at = time.monotonic()
        states = wait_for(lambda: (s := machine.states())[cell] == "down" and s, "the cell to be down")
        noticed_ms = (time.monotonic() - killed_at) * 1e3
        print(f"down {noticed_ms:.0f} ms after the kill (with the time of `hive status`)", flush=True)
        self.assertEqual([s for i, s in enumerate(states) if i != cell], ["up"] * 3)
        out, err = run.communicate(timeout=WAIT_S * 2)
        # A component that was just storing to the lost cell's memory ends with a line that names it.
        named = re.compile(rf"(page of|memory of the failed) cell {cell} ")
        ended = sum(bool(named.search(line)) and f"(cell {cell})" not in line
                    for line in err.splitlines())
        self.assertEqual(out.count("wrong 0") + ended, 3, out + err + machine.log())
        # The survivors serve on.
        again = machine.run("--cell", (cell + 1) % 4, "--", "echo", "alive")
        self.assertEqual(again.stdout, "alive\n")
        machine.hive("shutdown", "--name", machine.name)
        self.assert_nothing_left()

    def test_kill_of_a_kernel_leaves_the_others_serving(self):
        self.lose(lambda: os.kill(self.machine.cell(2)["pid"], signal.SIGKILL), 2)

    def test_kill_of_a_power_process_leaves_the_others_serving(self):
        self.lose(lambda: os.kill(self.machine.power_pid(1), signal.SIGKILL), 1)

    def test_fault_kill_cell(self):
        self.lose(lambda: self.machine.hive("fault", "kill-cell", 3, "--name", "test"), 3)

    def test_fault_fail_memory(self):
        self.lose(lambda: self.machine.hive("fault", "fail-memory", 0, "--name", "test"), 0)

    def test_no_task_of_a_dead_cell_stores_anything_later(self):
        machine = self.machine.boot(4, "16M", "--no-reboot")
        file = pathlib.Path(machine.directory) / "stamp"
        run = machine.start_run("--cell", 1, "--", BUILD / "stamper", file)
        self.assertEqual(run.stdout.readline(), "stamping\n")
        pid = machine.cell(1)["pid"]
        killed_ns = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(run.wait(WAIT_S), 75)
        wait_for(lambda: machine.states()[1] == "down", "the cell to be down")
        last_ns = struct.unpack("q", file.read_bytes()[:8])[0]
        late_ms = (last_ns - killed_ns) / 1e6
        print(f"the task stored last {late_ms:.2f} ms after the kill of its kernel", flush=True)
        run.communicate()
        # What matters here is that it is over when the cell is known to be down.
        again_ns = struct.unpack("q", file.read_bytes()[:8])[0]
        self.assertEqual(last_ns, again_ns)

    def test_all_but_one(self):
        machine = self.machine.boot(4, "16M", "--no-reboot")
        for cell in (0, 2, 3):
            os.kill(machine.cell(cell)["pid"], signal.SIGKILL)
        wait_for(lambda: machine.states() == ["down", "up", "down", "down"], "one survivor")
        self.assertEqual(machine.run("--", "echo", "alone").stdout, "alone\n")

    def test_status_says_so_when_no_cell_is_left(self):
        machine = self.machine.boot(cells=2)
        for pid in [cell["pid"] for cell in machine.status()["cells"]]:
            os.kill(pid, signal.SIGKILL)
        done = wait_for(lambda: (d := machine.hive("status", "--name", "test", check=False)
                                 ).returncode != 0 and d, "status to fail")
        self.assertEqual(done.returncode, 3)
        self.machine.boot(cells=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
