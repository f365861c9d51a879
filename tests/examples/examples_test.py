"""The examples do what their first lines say."""

import signal
import subprocess
import unittest

from machine import BUILD, MachineTest, WAIT_S, wait_for


class Examples(MachineTest):
    def line(self, process):
        line = process.stdout.readline()
        self.assertTrue(line, "the program ended")
        return line.rstrip("\n")

    def end(self, process):
        output, errors = process.communicate(timeout=WAIT_S)
        return output, errors

    def test_hello_reads_is_told_of_the_failure_and_goes_on(self):
        self.machine.boot(cells=2)
        # Standard input stays open: the writer ends with it.
        writer = subprocess.Popen(
            [BUILD / "hive", "run", "--name", self.machine.name, "--cell", "1", "--",
             BUILD / "example-hello", "write"],
            env=self.machine.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.assertEqual(self.line(writer), "written")
        reader = self.machine.start_run("--cell", "0", "--", BUILD / "example-hello")
        self.assertEqual(self.line(reader), "read: hello from another cell")
        self.machine.hive("fault", "kill-cell", 1, "--name", self.machine.name)
        output, errors = self.end(reader)
        self.assertEqual(reader.returncode, 0, errors)
        lines = output.splitlines()
        self.assertEqual(lines[0], "cell 1 failed (its kernel died), and with it 'hello'")
        self.assertIn("cell_down", lines[1])
        self.assertEqual(lines[2], "going on")
        writer.communicate(timeout=WAIT_S)

    def test_counter_agrees_when_nobody_dies(self):
        self.machine.boot(cells=3)
        done = self.machine.run("--span", "all", "--", BUILD / "example-counter", "200")
        self.assertIn("left 600 right 600", done.stdout)

    def test_counter_is_mended_after_its_owner_died(self):
        self.machine.boot(cells=3)
        done = self.machine.run("--span", "all", "--", BUILD / "example-counter", "200", "die",
                                check=False)
        self.assertEqual(done.returncode, 128 + signal.SIGKILL, done.stdout + done.stderr)
        self.assertIn("mended:", done.stdout)
        # 200 of each that lived, 100 of the one that died, and the one it had half done.
        self.assertIn("left 501 right 501", done.stdout)

    def test_attach_from_an_ordinary_shell(self):
        self.machine.boot(cells=2)
        for visit in (1, 2):
            done = subprocess.run(["sh", "-c", f"{BUILD}/example-attach {self.machine.name}"],
                                  env=self.machine.env, capture_output=True, text=True,
                                  timeout=WAIT_S)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("cell 1 is up", done.stdout)
            self.assertIn(f"visit {visit}\n", done.stdout)

    def test_attach_without_a_machine_is_one_clear_line(self):
        done = subprocess.run([BUILD / "example-attach", "nowhere"], env=self.machine.env,
                              capture_output=True, text=True, timeout=WAIT_S)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn("no machine of this name", done.stderr)

    def test_cache_is_read_in_place_on_every_cell(self):
        self.machine.boot(cells=4, memory="16M")
        done = self.machine.run("--span", "all", "--", BUILD / "example-cache", "20000")
        self.assertEqual(done.stdout.count("found 20000 of 20000"), 4, done.stdout)

    def test_pricer_survives_the_death_of_its_feed(self):
        self.machine.boot(cells=4)
        feed = self.machine.start_run("--cell", "1", "--", BUILD / "example-pricer", "feed")
        self.assertEqual(self.line(feed), "feed: publishing")
        book = self.machine.start_run("--cell", "2", "--", BUILD / "example-pricer", "book", "50000")
        self.assertEqual(self.line(book), "book: following the feed")
        self.machine.hive("fault", "kill-cell", 1, "--name", self.machine.name)
        self.assertIn("the feed is lost", self.line(book))
        feed.communicate(timeout=WAIT_S)
        again = self.machine.start_run("--cell", "3", "--", BUILD / "example-pricer", "feed")
        output, errors = self.end(book)
        self.assertEqual(book.returncode, 0, output + errors)
        self.assertRegex(output, r"book: 5\d{4} trades")
        again.send_signal(signal.SIGTERM)
        again.communicate(timeout=WAIT_S)

    def test_pricer_survives_the_death_of_its_book(self):
        self.machine.boot(cells=3)
        feed = self.machine.start_run("--cell", "1", "--", BUILD / "example-pricer", "feed", "20000")
        self.assertEqual(self.line(feed), "feed: publishing")
        book = self.machine.start_run("--cell", "2", "--", BUILD / "example-pricer", "book")
        self.assertEqual(self.line(book), "book: following the feed")
        self.machine.hive("fault", "kill-cell", 2, "--name", self.machine.name)
        book.communicate(timeout=WAIT_S)
        _, errors = self.end(feed)
        self.assertEqual(feed.returncode, 0, errors)


class Supervised(MachineTest):
    def test_foreground_tells_a_service_manager_and_stops_on_sigterm(self):
        import os
        import socket
        path = os.path.join(self.machine.directory, "notify")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(path)
        listener.settimeout(WAIT_S)
        self.machine.env["NOTIFY_SOCKET"] = path
        boot = self.machine.start("boot", "--foreground", "--cells", 2, "--memory", "1M",
                                  "--name", self.machine.name)
        self.assertEqual(listener.recv(100), b"READY=1")
        self.assertEqual(self.machine.states(), ["up", "up"])
        boot.send_signal(signal.SIGTERM)
        self.assertEqual(listener.recv(100), b"STOPPING=1")
        boot.communicate(timeout=WAIT_S)
        self.assertEqual(boot.returncode, 0)
        listener.close()
        os.unlink(path)


if __name__ == "__main__":
    unittest.main()
