"""Faults that a kernel does to itself when told to: it dies at each named point of its work; it
corrupts what it publishes; it stores wildly, sends garbage, accuses others. Each time the others go
on, and the machine is whole again."""

import errno
import json
import os
import signal
import subprocess
import time
import unittest

from filer import Filer
from machine import BUILD, MachineTest, WAIT_S, wait_for


class Injection(MachineTest):
    def fault(self, kind, cell, *arguments):
        done = self.machine.hive("fault", kind, cell, *arguments, "--name", "test")
        return json.loads(done.stdout) if "--json" in arguments else None

    def incarnations(self):
        return [cell["incarnation"] for cell in self.machine.status()["cells"]]

    def start(self, cell, program, *arguments):
        task = subprocess.Popen([BUILD / "hive", "run", "--name", "test", "--cell", str(cell), "--",
                                 BUILD / program, *map(str, arguments)], env=self.machine.env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        self.addCleanup(task.wait)
        self.addCleanup(task.kill)
        return task

    def wait_whole(self, cells):
        def whole():
            for cell in self.machine.status()["cells"]:
                if cell["state"] == "out":  # it has died too often
                    self.machine.hive("reboot", cell["id"], "--name", "test", check=False)
            status = self.machine.status()
            return ([cell["state"] for cell in status["cells"]] == ["up"] * cells and
                    status["live_set"] == list(range(cells)))
        try:
            wait_for(whole, "all cells to be up")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.machine.log()}") from None

    def assert_works(self, cells):
        done = self.machine.run("--span", "all", "--", BUILD / "mixer", "5")
        self.assertEqual(done.stdout.count("wrong 0"), cells, done.stdout + done.stderr)

    def end(self):
        self.machine.hive("shutdown", "--name", "test")
        self.assert_nothing_left()


class Points(Injection):
    def die(self, victim, point, trigger, deaths=1):
        """The victim dies at the point that the trigger makes it pass, and all come back."""
        before = self.incarnations()
        self.fault("kill-at", victim, "--point", point)
        trigger()
        def is_over():
            cell = self.machine.cell(victim)
            return cell["state"] == "up" and cell["incarnation"] == before[victim] + deaths
        try:
            wait_for(is_over, f"cell {victim} to die at {point} and to come back")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.machine.status()['cells']}"
                                 f"\n{self.machine.log()}") from None
        self.wait_whole(len(before))

    def kill(self, cell):
        return lambda: os.kill(self.machine.cell(cell)["pid"], signal.SIGKILL)

    def stop(self, cell):
        return lambda: os.kill(self.machine.cell(cell)["pid"], signal.SIGSTOP)

    def test_of_its_work(self):
        self.machine.boot(5)
        self.die(4, "rpc-serve", lambda: self.start(0, "halfway", "a", 0))
        self.die(3, "firewall-open", lambda: self.start(0, "halfway", "b", 3))
        self.die(2, "firewall-close", lambda: self.start(0, "halfway", "c", 2))
        self.die(1, "window-commit", lambda: self.start(0, "halfway", "d", 1))
        self.die(4, "task-start", lambda: self.start(4, "mixer", 1))
        # One of so many names lies on cell 0.
        names = [f"/{letter}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
        self.die(0, "file-step", lambda: self.machine.hive("fs", "mkdir", "--name", "test", "--cell", 1,
                                                           *names, check=False))
        self.assert_works(5)
        self.end()

    def test_of_files(self):
        """What a file is for that lies on the victim, made, read and flushed from there or elsewhere."""
        self.machine.boot(3, "2M", "--tries", "0")
        other = Filer(self, 0)

        def file(path):
            return other.open(path, os.O_RDWR | os.O_CREAT, 0o644, 1)

        def touch(fd):
            try:
                other.pwrite(fd, bytes(5000), 0)
                other.fsync(fd)
            except OSError as failed:
                self.assertIn(failed.errno, (errno.EHOSTDOWN, errno.EIO, errno.ETIMEDOUT))

        def down(call, *arguments):
            with self.assertRaises(OSError):
                call(*arguments)

        def read_much():
            fd = file("/much")
            with self.assertRaises(OSError):
                other.ftruncate(fd, 64 << 20)
                for at in range(0, 64 << 20, 1 << 16):
                    other.pread(fd, 1 << 16, at)
        self.die(1, "write-back", lambda: touch(file("/a")))
        self.die(1, "file-sync", lambda: touch(file("/b")))
        self.die(1, "file-open", lambda: down(file, "/c"))
        fd = file("/d")
        self.die(1, "file-close", lambda: other.close(fd))
        self.die(1, "reclaim", read_much)
        self.die(1, "flush", lambda: self.machine.hive("reboot", 1, "--name", "test", check=False))
        other.end()
        self.end()

    def test_of_a_name_that_moves_between_homes(self):
        """One of so many names moves to or from the victim."""
        self.machine.boot(3)
        other = Filer(self, 0)
        for letter in "abcdefgh":
            other.close(other.open(f"/{letter}", os.O_RDWR | os.O_CREAT, 0o644, 0))

        def move():
            for letter in "abcdefgh":
                try:
                    other.rename(f"/{letter}", f"/{letter}{letter}")
                except OSError as failed:
                    self.assertIn(failed.errno, (errno.EHOSTDOWN, errno.EIO, errno.ETIMEDOUT, errno.EBUSY))
        self.die(1, "rename-named", move)
        for letter in "abcdefgh":
            def one_name():
                names = other.readdir("/")
                return (letter in names) != (letter + letter in names)
            wait_for(one_name, f"one name of what was or is called {letter}")
        other.end()
        self.end()

    def test_of_agreement(self):
        self.machine.boot(5)
        self.die(4, "alert", self.kill(3))
        self.die(2, "power-off", self.kill(1))
        self.assert_works(5)
        self.end()

    def test_of_a_vote(self):
        """Of three, the two others have to agree: so each shows its vote."""
        self.machine.boot(3)
        self.die(1, "vote", self.stop(2))
        self.die(0, "vote-shown", self.stop(1))
        self.assert_works(3)
        self.end()

    def test_of_the_fence(self):
        """The accused of two takes the lock to say that it lives."""
        self.machine.boot(2)
        self.die(1, "decide", lambda: self.fault("accuse", 0, "--accused", 1))
        self.assert_works(2)
        self.end()

    def test_of_recovery(self):
        self.machine.boot(6)
        self.die(1, "recovery-begin", self.kill(5))
        self.die(2, "recovery-closed", self.kill(4))
        self.die(3, "recovery-discard", self.kill(5))
        self.die(1, "recovery-discarded", self.kill(4))
        self.die(2, "recovery-settled", self.kill(3))
        self.assert_works(6)
        self.end()

    def test_of_a_comeback(self):
        self.machine.boot(5)
        self.die(4, "join-memory-test", self.kill(4), deaths=2)
        self.die(3, "join-attach", self.kill(3), deaths=2)
        self.die(2, "join-announce", self.kill(2), deaths=2)
        self.die(1, "join-taken", self.kill(1), deaths=2)
        self.die(0, "join-admit", self.kill(4))
        self.assert_works(5)
        self.end()

    def test_with_a_skip(self):
        self.machine.boot(2)
        self.fault("kill-at", 1, "--point", "task-start", "--skip", 1)
        self.assertEqual(self.machine.run("--cell", 1, "--", "echo", "on").stdout, "on\n")
        self.start(1, "mixer", 1)
        self.machine.wait_up(1, 2)
        self.end()

    def test_the_list_of_them(self):
        done = self.machine.hive("fault", "points", "--json")
        names = [point["name"] for point in json.loads(done.stdout)["points"]]
        self.assertEqual(len(names), 28)
        people = self.machine.hive("fault", "points").stdout
        self.assertTrue(all(name in people for name in names))


class Corruption(Injection):
    CELLS = 4

    def corrupt_all(self, hows, seed):
        machine = self.machine.boot(self.CELLS)
        victim = 3
        # Something of everything, on every cell.
        def populate():
            for cell in range(self.CELLS):
                self.start(cell, "halfway", f"s{cell}.{time.monotonic_ns()}", victim)
            wait_for(lambda: machine.cell(victim)["memory"]["segments"] >= self.CELLS, "segments")
        populate()
        listed = self.fault("structures", victim, "--json")["structures"]
        others = [c["pid"] for c in machine.status()["cells"] if c["id"] != victim]
        for number, one in enumerate(listed):
            for how in hows:
                if how != "word" and not one["pointers"]:
                    continue
                with self.subTest(structure=one["name"], how=how):
                    drawn = self.corrupt(victim, one["name"], how, seed + number)
                    machine.hive("ps", "--name", "test", check=False)
                    machine.run("--cell", number % victim, "--", "true")
                    before = machine.cell(victim).get("incarnation")
                    self.wait_whole(self.CELLS)
                    now = [c["pid"] for c in machine.status()["cells"] if c["id"] != victim]
                    self.assertEqual(now, others, f"{drawn}\n{machine.log()}")
                    if machine.cell(victim)["incarnation"] != before:
                        populate()
        self.wait_whole(self.CELLS)

    def corrupt(self, cell, structure, how, seed):
        """Nothing, when the cell has none of these just now, or is coming back."""
        done = self.machine.hive("fault", "corrupt", cell, "--structure", structure, "--how", how,
                                 "--seed", seed, "--json", "--name", "test", check=False)
        if done.returncode != 0:
            return done.stderr
        drawn = json.loads(done.stdout)
        self.assertNotEqual(drawn["old"], drawn["new"])
        return drawn

    def test_of_what_leads_to_its_board(self):
        """Nobody can read any more what it says of the live set, while its clock goes on."""
        self.machine.boot(self.CELLS)
        drawn = self.corrupt(3, "header", "word", 1400)
        self.assertEqual(drawn["offset"], 56, "no longer the offset of its root")
        self.machine.wait_up(1, 1, 1, 2)
        self.assertIn("its kernel data is corrupt", self.machine.log())
        self.assert_works(self.CELLS)
        self.end()

    def test_of_its_roots(self):
        """Whoever looks sees that it leads nowhere, and the others do look."""
        machine = self.machine.boot(self.CELLS)
        for number, structure in enumerate(("root", "home"), start=2):
            self.corrupt(3, structure, "self", number)
            machine.wait_up(1, 1, 1, number)
        self.assertIn("its kernel data is corrupt", machine.log())
        self.assert_works(self.CELLS)
        self.end()

    def test_of_words(self):
        self.corrupt_all(["word"], 1)
        self.machine.shutdown()

    def test_of_pointers(self):
        self.corrupt_all(["own", "other", "off-by-one", "self"], 2)
        self.machine.shutdown()


class Others(Injection):
    def test_wild_stores_by_class(self):
        machine = self.machine.boot(4, "16M", "--no-reboot")
        others = [c["pid"] for c in machine.status()["cells"]][:1]
        for cell, sort in ((1, "foreign-kernel"), (2, "foreign-closed"), (3, "unmapped")):
            drawn = self.fault("wild-store", cell, "--class", sort, "--seed", 7, "--json")
            self.assertEqual(drawn["hit"], sort != "unmapped")
            self.assertEqual(drawn["home"] in (-1, cell), sort == "unmapped", drawn)
            wait_for(lambda: machine.states()[cell] == "down", "the culprit to be down")
            self.assertIn(f"{drawn['address']:#x}", machine.cell(cell)["last_words"])
        refused = machine.hive("fault", "wild-store", 0, "--class", "foreign-open", "--name", "test",
                               check=False)
        self.assertIn("class not there", refused.stderr)
        self.assertEqual([c["pid"] for c in machine.status()["cells"]][:1], others)

    def test_wild_stores_to_its_own_memory(self):
        self.machine.boot(3)
        for seed in range(20):
            self.machine.hive("fault", "wild-store", 2, "--class", "own-kernel", "--seed", seed,
                              "--name", "test", check=False)
        self.wait_whole(3)
        self.assertEqual(self.incarnations()[:2], [1, 1])
        before = self.incarnations()[2]
        self.fault("wild-store", 2, "--class", "own-user", "--json")
        wait_for(lambda: self.incarnations()[2] > before, "it to die of it")
        self.wait_whole(3)

    def test_bad_messages(self):
        self.machine.boot(3)
        for how in ("garbage", "replay", "truncate"):
            before = self.fault("counters", 0, "--json")["rejected"]
            sent = self.fault("garbage", 1, "--to", 0, "--how", how, "--count", 300, "--json")
            self.assertEqual(sent["sent"], 300)
            wait_for(lambda: sum(self.fault("counters", 0, "--json")["rejected"].values()) >
                     sum(before.values()) + 100, f"messages to be rejected: {how}")
        self.wait_whole(3)
        self.assertEqual([self.incarnations()[n] for n in (0, 2)], [1, 1])
        self.assert_works(3)
        self.end()

    def test_a_false_accusation(self):
        self.machine.boot(4)
        self.fault("accuse", 1, "--accused", 2)
        # The accuser counts it for certain; others only when they took it up in time.
        wait_for(lambda: self.fault("counters", 1, "--json")["alerts_voted_down"] >= 1,
                 "the others to vote it down")
        self.assertEqual(self.incarnations(), [1, 1, 1, 1])
        self.fault("accuse", 1, "--accused", 2, "--times", 3)
        self.machine.wait_up(1, 2, 1, 1)
        self.assertIn("accused others falsely", self.machine.log())
        self.assert_works(4)
        self.end()


if __name__ == "__main__":
    unittest.main(verbosity=2)
