"""hive postmortem: what the survivors say of a death, also when the machine is gone."""

import json
import pathlib
import unittest

from machine import MachineTest, wait_for


class PostMortem(MachineTest):
    def hive(self, *arguments, **more):
        return self.machine.hive(*arguments, "--name", "test", **more)

    def deaths(self):
        return json.loads(self.hive("postmortem", "--json").stdout)["deaths"]

    def one_death(self, accounts):
        """The only death, once all who survived have told of it."""
        return wait_for(lambda: next((d for d in self.deaths()
                                      if len(d["accounts"]) == accounts), None),
                        f"{accounts} accounts")

    def test_a_death_with_all_that_was_lost(self):
        self.machine.boot(4, "16M", "--no-reboot")
        self.assertEqual(self.deaths(), [])
        self.assertIn("no cell of machine 'test' has died", self.hive("postmortem").stdout)
        keeper = self.start_program(2, "keeper", "kept", 4)
        keeper.stdout.readline()
        writer = self.start_program(2, "halfway", "half", 1)
        self.assertEqual(writer.stdout.readline(), "half done\n")
        self.hive("fault", "kill-cell", 2)
        death = self.one_death(accounts=3)
        self.assertEqual((death["number"], death["cell"], death["incarnation"]), (1, 2, 1))
        self.assertEqual({a["by"] for a in death["accounts"]}, {0, 1, 3})
        for account in death["accounts"]:
            times = account["times_ns"]
            order = [times[phase] for phase in
                     ("noticed", "known_off", "closed", "passed", "discarded", "settled")]
            self.assertEqual(order, sorted(order))
            self.assertEqual(account["survivors"], [0, 1, 3])
        lost = death["lost"]
        self.assertEqual({t["program"].rsplit("/", 1)[-1] for t in lost["tasks"]},
                         {"keeper", "halfway"})
        self.assertEqual([(s["name"], s["pages"]) for s in lost["segments"]], [("kept", 4)])
        self.assertEqual([(r["segment"], r["home"], r["offset"], r["bytes"], r["put_back"])
                          for r in lost["ranges"]], [("half", 1, 0, 4 * 4096, False)])
        # All of it outlives the machine.
        self.hive("shutdown")
        self.assertEqual(self.deaths(), [death])
        told = self.hive("postmortem", 1).stdout
        for words in ("cell 2, life 1: ", "BARRIER 1", "segment kept, 4 pages",
                      "bytes 0 to 16384 of segment half at cell 1: torn"):
            self.assertIn(words, told)
        done = self.hive("postmortem", 2, check=False)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        done = self.hive("postmortem", "last", check=False)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
        self.assert_nothing_left()

    def test_last_words_and_votes(self):
        self.machine.boot(3, "16M", "--no-reboot")
        record = pathlib.Path(self.machine.directory) / "test" / "machine.json"
        base = json.loads(record.read_text())["layout"]["base"]
        self.hive("fault", "wild-store", 1, "--address", hex(base + 128), check=False)
        death = self.one_death(accounts=2)
        self.assertEqual(death["cell"], 1)
        self.assertIn(hex(base + 128), death["last_words"])
        self.hive("fault", "hang-cell", 2)
        # Alone with the accused, cell 0 is no majority: the fence lock decides.
        death = wait_for(lambda: next((d for d in self.deaths() if d["cell"] == 2), None),
                         "an account of the hang")
        self.assertIn("hung", death["cause"])
        votes = death["accounts"][0]["votes"]
        self.assertEqual([(v["by"], v["verdict"]) for v in votes],
                         [(0, "guilty, by the fence lock")])
        self.assertEqual(len(self.hive("postmortem").stdout.splitlines()), 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
