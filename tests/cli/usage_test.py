"""Wrong usage, and commands to a machine that is down: one clear line, the right exit status, and
nothing left behind."""

import json
import os
import re
import socket
import subprocess
import unittest

from fake_machine import FakeMachineTest


class Usage(FakeMachineTest):
    def test_wrong_arguments(self):
        long_name = "a" * 33
        wrong = [
            ["boot", "--cells", count] for count in ("0", "-1", "65", "99999999999999999999", "4.5", "x", "")
        ] + [
            ["boot", "--memory", size]
            for size in ("0", "-1", "x", "64Q", "64MX", "M", "1K", "1023K", "", " 64M", "99999999999999999999",
                         "9999999T", "8388608T", "342G", "0x10")
        ] + [
            ["boot", "--name", name] for name in ("", "A", "a/b", "..", ".", long_name, "a b", "\u00e4")
        ] + [
            ["boot", "--firewall", "none"], ["boot", "--cells"], ["boot", "more"], ["boot", "--what"],
            ["run"], ["run", "--"], ["run", ""], ["run", "--cell", "x", "true"], ["run", "--cell", "-1", "true"],
            ["run", "--cell", "64", "true"], ["run", "--span", "0", "true"], ["run", "--span", "some", "true"],
            ["run", "--span", "65", "true"], ["run", "--cell", "1", "--span", "2", "true"],
            ["run", "--what", "true"], ["run", "--name", "A", "true"],
            ["kill"], ["kill", "x"], ["kill", "0"], ["kill", "-5"], ["kill", "1", "--signal", "WHAT"],
            ["kill", "1", "--signal", "0"], ["kill", "1", "--signal", "65"],
            ["fault"], ["fault", "kill-cell"], ["fault", "kill-cell", "x"], ["fault", "kill-cell", "64"],
            ["fault", "hang-cell", "1", "--how", "sleep"], ["fault", "wild-store", "1"],
            ["fault", "wild-store", "1", "--address", "here"], ["fault", "break-cell", "1"],
            ["status", "--name", "A"], ["ps", "--name", long_name], ["shutdown", "--name", "a/b"],
            ["status", "more"], ["what"], [],
        ]
        for arguments in wrong:
            with self.subTest(arguments=arguments):
                self.assert_refused(self.hive(*arguments), 2)
        self.assert_nothing_left()

    def test_each_wrong_size_has_its_own_message(self):
        told = {"0": "without memory", "1K": "at least 1 MiB of memory, not 1 KiB", "64Q": "a size such as 64M",
                "some": "a size such as 64M", "99999999999999999999": r"do not fit .* at most \d+ GiB each",
                "342G": r"2 cells of 342 GiB do not fit .* at most \d+ GiB each"}
        for size, text in told.items():
            done = self.hive("boot", "--cells", 2, "--memory", size)
            self.assert_refused(done, 2)
            self.assertRegex(done.stderr, text)

    def test_the_most_that_fits_is_what_is_said(self):
        said = self.hive("boot", "--cells", 2, "--memory", "340G").stderr
        most = int(re.search(r"at most (\d+) GiB each", said)[1])
        self.assertRegex(self.hive("boot", "--cells", 2, "--memory", f"{most + 1}G").stderr, "addresses")
        self.assertNotIn("addresses", self.hive("boot", "--cells", 2, "--memory", f"{most - 1}G").stderr)

    def test_an_unknown_command_is_named(self):
        for words in (["frob"], ["frob", "--help"], [""]):
            done = self.hive(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertEqual(done.stderr, f"hive: no command '{words[0]}' (see `hive --help`)\n")

    def test_the_environment_names_the_machine_unless_an_option_does(self):
        self.machine.env["HIVE_MACHINE"] = "other"
        for command in (["status"], ["ps"], ["run", "true"], ["kill", "1"], ["fault", "kill-cell", "0"],
                        ["drain", "0"], ["reboot", "0"]):
            self.assert_refused(self.hive(*command), 3, "machine 'other' is not running")
        self.assertEqual(self.hive("shutdown").stdout, "machine 'other' is not running\n")
        self.assert_refused(self.hive("status", "--name", "third"), 3, "machine 'third' is not running")
        self.machine.env["HIVE_MACHINE"] = ""
        self.assert_refused(self.hive("status"), 3, "machine 'hive' is not running")
        self.machine.env["HIVE_MACHINE"] = "No Name"
        self.assert_refused(self.hive("status"), 2, "No Name")
        self.machine.env["HIVE_MACHINE"] = "booted"
        self.machine.boot()
        try:
            self.assertIn("booted", self.hive("status").stdout)
            self.assertTrue((self.machine.runtime / "booted").is_dir())
        finally:
            self.assertEqual(self.hive("shutdown").returncode, 0)
        self.assertIn("(Env:HIVE_MACHINE)", self.hive("status", "--help").stdout)

    def test_more_memory_than_the_machine_has_is_refused_with_the_numbers(self):
        with open("/proc/meminfo") as file:
            total_kib = int(next(line for line in file if line.startswith("MemTotal:")).split()[1])
        each_mib = total_kib // 1024 // 2
        done = self.hive("boot", "--cells", 2, "--memory", f"{each_mib}M")
        if each_mib < 170 * 1024:
            self.assert_refused(done, 1, "2 cells of", "need", "this host has", "at most", "each")
        self.assertNotEqual(done.returncode, 0)
        self.assert_nothing_left()

    def test_a_runtime_directory_of_somebody_else_is_refused(self):
        self.machine.runtime.mkdir(mode=0o700)
        os.chmod(self.machine.runtime, 0o777)
        self.assert_refused(self.hive("boot"), 1, "HIVE_RUNTIME_DIR")
        os.chmod(self.machine.runtime, 0o700)
        (self.machine.runtime / "hive").mkdir(mode=0o755)
        os.chmod(self.machine.runtime / "hive", 0o755)
        self.assert_refused(self.hive("boot"), 1, "0700")
        self.assertEqual(self.hive("status").returncode, 3)

    def test_commands_to_a_machine_that_is_down(self):
        commands = [["status"], ["ps"], ["run", "true"], ["run", "--span", "all", "--", "true"],
                    ["kill", "1"], ["fault", "kill-cell", "0"], ["status", "--json"], ["ps", "--json"]]
        for command in commands:
            with self.subTest(command=command):
                self.assert_refused(self.hive(*command), 3, "machine 'hive' is not running", "hive boot")
        named = self.hive("status", "--name", "other")
        self.assert_refused(named, 3, "machine 'other' is not running", "hive boot --name other")
        for _ in range(2):
            done = self.hive("shutdown")
            self.assertEqual((done.returncode, done.stdout), (0, "machine 'hive' is not running\n"))
        self.assert_nothing_left()

    def test_left_over_files_are_no_machine(self):
        directory = self.machine.runtime / "hive"
        directory.mkdir(parents=True, mode=0o700)
        (directory / "lock").touch()
        (directory / "machine.json").write_text("{half a rec")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
            dead.bind(str(directory / "cell0.sock"))
        self.assert_refused(self.hive("status"), 3, "is not running")
        self.machine.boot()
        self.assertEqual(self.hive("shutdown").returncode, 0)
        self.assert_nothing_left()

    def test_help_and_version(self):
        for command in ([], ["boot"], ["run"], ["ps"], ["status"], ["kill"], ["fault"], ["shutdown"],
                        ["check"], ["fault", "hang-cell"]):
            done = self.hive(*command, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            self.assertIn("Usage:", done.stdout)
        self.assertIn("75", self.hive("--help").stdout)
        self.assertRegex(self.hive("--version").stdout, r"^hive \d+\.\d+\.\d+\n$")


class Check(FakeMachineTest):
    def test_json_and_text_agree(self):
        done = self.hive("check", "--json")
        report = json.loads(done.stdout)
        self.assertIn(report["firewall"], ("mmu", "mmu-windowed", "cooperative"))
        checks = {check["name"]: check for check in report["checks"]}
        for name in ("userfaultfd", "firewall", "futex_waitv", "pidfd", "memfd seals", "seccomp",
                     "namespaces", "memory", "addresses", "descriptors", "processes", "mappings"):
            self.assertIn(name, checks)
        for check in checks.values():
            self.assertTrue(check["ok"] or check["cure"], check)
        good = all(check["ok"] or not check["required"] for check in checks.values())
        self.assertEqual((report["ok"], done.returncode), (good, 0 if good else 1))
        text = self.hive("check")
        self.assertEqual(text.returncode, done.returncode)
        self.assertIn(f"firewall: {report['firewall']}", text.stdout)
        self.assertEqual(text.stdout.count("cure: "), sum(not c["ok"] for c in checks.values()))
        self.assert_nothing_left()

    def test_a_lack_is_found_and_has_a_cure(self):
        # Whatever the host has: with so few descriptors the machine can not be.
        script = "ulimit -n 64; exec ./hive check --json"
        done = subprocess.run(["sh", "-c", script], cwd=self.machine.directory, env=self.machine.env,
                              capture_output=True, text=True)
        report = json.loads(done.stdout)
        lack = next(check for check in report["checks"] if check["name"] == "descriptors")
        self.assertEqual((done.returncode, report["ok"], lack["ok"]), (1, False, False))
        self.assertIn("nofile", lack["cure"])


if __name__ == "__main__":
    unittest.main()
