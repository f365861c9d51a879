"""The command against a machine that runs: what is passed through, what is said, what is left."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import unittest

from fake_machine import WAIT_S, FakeMachineTest, send_signal, wait_for


class Run(FakeMachineTest):
    def setUp(self):
        super().setUp()
        self.machine.boot(cells=3)

    def test_exit_status_streams_and_working_directory(self):
        text = self.machine.directory / "text"
        text.write_text("standard input\n")
        with text.open() as file:
            done = self.hive("run", "sh", "-c", "cat; pwd; echo $MINE; echo err >&2; exit 7", stdin=file)
        self.assertEqual((done.stdout, done.stderr, done.returncode),
                         (f"standard input\n{self.machine.directory}\n\n", "err\n", 7))
        self.machine.env["MINE"] = "with = and spaces"
        self.assertEqual(self.hive("run", "--", "sh", "-c", "echo $MINE").stdout, "with = and spaces\n")

    def test_options_of_the_program_are_its_own(self):
        done = self.hive("run", "--cell", "1", "printf", "%s|", "--cell", "9", "--", "-x", "--help")
        self.assertEqual(done.stdout, "--cell|9|--|-x|--help|")
        self.assertEqual(self.hive("run", "--cell=2", "--", "sh", "-c", "echo $HIVE_CELL").stdout, "2\n")

    def test_closed_standard_streams(self):
        done = subprocess.run(["sh", "-c", "./hive run sh -c 'cat; exit 4' <&-"], cwd=self.machine.directory,
                              env=self.machine.env, capture_output=True, timeout=WAIT_S)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (4, b"", b""))

    def test_programs_that_can_not_be_run(self):
        directory = self.machine.directory
        (directory / "text").write_text("no program\n")
        for program in ("/does/not/exist", "./nothing", "not-in-path"):
            self.assert_refused(self.hive("run", program), 127, program)
        for program in ("./text", "/", "."):
            self.assert_refused(self.hive("run", program), 126, program)
        self.assert_refused(self.hive("run", "echo", "x" * 70000), 126, "too long")
        self.assert_refused(self.hive("run", "--cell", "3", "true"), 2, "0 to 2")
        self.assert_refused(self.hive("run", "--span", "4", "true"), 2, "3 cells")

    def test_ended_by_a_signal(self):
        self.assertEqual(self.hive("run", "sh", "-c", "kill -9 $$").returncode, 128 + 9)

    def test_signals_are_passed_on(self):
        script = ("for s in INT TERM HUP QUIT USR1 USR2 WINCH CONT; do trap \"echo $s\" $s; done; "
                  "trap 'exit 9' ABRT; echo on; while :; do sleep 0.01; done")
        run = self.machine.start("run", "sh", "-c", script)
        self.assertEqual(run.stdout.readline(), "on\n")
        for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "CONT"):
            run.send_signal(getattr(signal, f"SIG{name}"))
            self.assertEqual(run.stdout.readline(), f"{name}\n")
        task = json.loads(self.hive("ps", "--json").stdout)["tasks"][0]
        self.assertEqual(self.hive("kill", task["id"], "--signal", "SIGABRT").returncode, 0)
        self.assertEqual(run.wait(WAIT_S), 9)
        run.communicate()

    def test_stop_stops_both_and_continue_continues_both(self):
        run = self.machine.start("run", "sh", "-c", "trap 'echo stopped' TSTP; trap 'echo goes on' CONT; "
                                 "echo on; while :; do sleep 0.01; done")
        self.assertEqual(run.stdout.readline(), "on\n")
        run.send_signal(signal.SIGTSTP)
        self.assertEqual(run.stdout.readline(), "stopped\n")
        stat = pathlib.Path(f"/proc/{run.pid}/stat")
        wait_for(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", "hive run to be stopped")
        run.send_signal(signal.SIGCONT)
        self.assertEqual(run.stdout.readline(), "goes on\n")
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(WAIT_S), 128 + 15)
        run.communicate()

    def test_death_of_hive_run_hangs_its_task_up(self):
        file = self.machine.directory / "hung-up"
        run = self.machine.start("run", "sh", "-c", f"trap 'echo x > {file}; exit' HUP; echo on; "
                                 "while :; do sleep 0.01; done")
        self.assertEqual(run.stdout.readline(), "on\n")
        run.kill()
        run.communicate()
        wait_for(file.exists, "the task to be hung up")

    def test_span_status_is_that_of_the_first_to_fail(self):
        done = self.hive("run", "--span", "all", "--", "sh", "-c", "echo $HIVE_CELL")
        self.assertEqual((sorted(done.stdout.split()), done.returncode), (["0", "1", "2"], 0))
        script = "case $HIVE_CELL in 0) sleep 0.5; exit 3;; 1) exit 5;; esac"
        self.assertEqual(self.hive("run", "--span", "3", "sh", "-c", script).returncode, 5)

    def lose(self, script, cell, *options):
        run = self.machine.start("run", *options, "sh", "-c", f"echo on; {script}")
        for _ in range(3 if "--span" in options else 1):
            self.assertEqual(run.stdout.readline(), "on\n")
        self.machine.ask(f"cell{cell}.sock", {"op": "ps"})  # by now it has told that the task runs
        send_signal(self.machine.cell_pid(cell), signal.SIGKILL)
        err = run.communicate(timeout=WAIT_S)[1]
        self.assertEqual(err.count("\n"), 1, err)
        # The task may speak before the answer that names it has come.
        self.assertRegex(err, rf"^hive: cell {cell} failed(; its task \({cell}00000\d sh\) was lost|"
                              r" while it started the task)\n$")
        return run.returncode

    def test_a_task_that_is_lost_with_its_cell(self):
        self.assertEqual(self.lose("sleep 60", 2, "--cell", "2"), 75)

    def test_a_span_that_loses_a_component(self):
        wait = "while [ -e {0}/pid.1 ] && kill -0 $(cat {0}/pid.1) 2>/dev/null; do sleep 0.01; done;"
        wait = wait.format(self.machine.runtime / "hive")
        self.assertEqual(self.lose(f"{wait} exit 0", 1, "--span", "all"), 0)

    def test_a_span_whose_survivors_fail_too(self):
        wait = "while kill -0 $(cat {0}/pid.1) 2>/dev/null; do sleep 0.01; done;"
        wait = wait.format(self.machine.runtime / "hive")
        self.assertEqual(self.lose(f"{wait} exit 3", 1, "--span", "all"), 75)

    def test_the_least_loaded_cell_is_taken(self):
        first = self.machine.start("run", "sh", "-c", "echo $HIVE_CELL; exec sleep 60")
        self.assertEqual(first.stdout.readline(), "0\n")
        self.assertEqual(self.hive("run", "sh", "-c", "echo $HIVE_CELL").stdout, "1\n")
        first.terminate()
        first.communicate()

    def test_a_cell_that_is_down(self):
        send_signal(self.machine.cell_pid(1), signal.SIGKILL)
        os.unlink(self.machine.runtime / "hive/cell1.sock")
        self.assert_refused(self.hive("run", "--cell", "1", "true"), 1, "cell 1 is down")
        self.assert_refused(self.hive("run", "--span", "3", "true"), 1, "only 2 of the 3 cells")
        self.assertEqual(self.hive("run", "--span", "all", "--", "echo", "x").stdout, "x\nx\n")


class Reports(FakeMachineTest):
    def test_status_and_ps(self):
        self.machine.boot(cells=2)
        status = self.machine.status()
        self.assertEqual((status["machine"], status["epoch"], status["live_set"]), ("hive", 1, [0, 1]))
        self.assertIn(status["firewall"], ("mmu", "mmu-windowed"))
        self.assertEqual([cell["state"] for cell in status["cells"]], ["up", "up"])
        run = self.machine.start("run", "--cell", "1", "sh", "-c", "echo on; exec sleep 60")
        self.assertEqual(run.stdout.readline(), "on\n")
        self.assertIn("machine 'hive': live cells 0 1, epoch 1", self.hive("status").stdout)
        # A stand-in knows its own tasks only: cell 1 is the one to ask.
        send_signal(self.machine.cell_pid(0), signal.SIGSTOP)
        task = json.loads(self.hive("ps", "--json").stdout)["tasks"][0]
        self.assertEqual((task["cell"], task["state"], task["program"]), (1, "running", "sh"))
        self.assertRegex(self.hive("ps").stdout, rf"TASK .*\n{task['id']} +1 +{task['pid']} +running")
        run.terminate()
        run.communicate()

    def test_a_hung_cell_is_passed_over(self):
        self.machine.boot(cells=2)
        self.assertEqual(self.hive("fault", "hang-cell", "0").returncode, 0)
        begin = time.monotonic()
        done = self.hive("status", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(time.monotonic() - begin, 0.29)
        send_signal(self.machine.cell_pid(1), signal.SIGSTOP)
        self.assert_refused(self.hive("status"), 1, "no cell of machine 'hive' answers")

    def test_no_cell_is_left(self):
        self.machine.boot(cells=2)
        self.assertEqual(self.hive("fault", "kill-cell", "1").returncode, 0)
        send_signal(self.machine.cell_pid(0), signal.SIGKILL)
        done = wait_for(lambda: (d := self.hive("status")).returncode and d, "status to fail")
        self.assert_refused(done, 3)
        self.assert_nothing_left()
        self.assertIn("the last cell has failed", self.machine.log())

    def test_garbage_on_the_sockets(self):
        self.machine.boot(cells=1)
        for data in (b"\xff\xfe\x00", b"{", b"[]", b'{"op":7}', b'{"op":"reboot"}', b"{" * 30000, b"null"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect(str(self.machine.runtime / "hive/monitor.sock"))
                client.send(data)
        answer = self.machine.ask("monitor.sock", {"op": "ping"})
        self.assertEqual(answer, {"ok": True, "garbage": 7})
        self.assertEqual(self.hive("shutdown").returncode, 0)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
