"""The judge by itself, with evidence that is made up: it lets pass what is right, and each wrong
that is planted in it is found."""

import copy
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("HIVE_BUILD", "build")).resolve()


def zero_hash():
    """hash_words() of a page of zeros: campaign/plan/content.h."""
    value = 0xcbf29ce484222325
    for _ in range(512):
        value = (value * 0x100000001b3 + (value >> 47)) & (2 ** 64 - 1)
    return value


class Judge(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="hive-test-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        cells = 3
        self.plan = {"seed": 7, "cells": cells, "components": [
            {"name": f"{name}{cell}", "role": role, "cell": cell, "writes": [cell],
             "shares": [cell], "depends": [(cell + 1) % cells] if role == 2 else []}
            for cell in range(cells) for role, name in enumerate(("worker", "witness", "dependent"))]}
        (self.dir / "plan.json").write_text(json.dumps(self.plan))
        self.logs = {c["name"]: ["100 begin 1 0 1", "200 go 0"] for c in self.plan["components"]}
        pages = (2 * 8 * (cells + 1) + 5) / 256
        # Cell 1 is killed; dependent0 depends on it.
        self.evidence = {
            "fault": {"number": 4, "kind": "kill", "targets": [1], "delay_us": 1, "seed": 1},
            "activated": True, "whole": True, "injected_ns": 1000, "whole_ns": 9000,
            "kernels": [{"cell": c, "incarnation": 1, "died_ns": 1500 if c == 1 else 0}
                        for c in range(cells)],
            "status_after": {"epoch": 3, "cells": [
                {"id": c, "state": "up", "epoch": 3, "live_set": [0, 1, 2],
                 "incarnation": 2 if c == 1 else 1,
                 "memory": {"segments": 3, "segments_mib": pages, "torn_pages": 0}}
                for c in range(cells)]},
            "losses": [], "details": {}}
        self.ended = {"worker1": 75, "witness1": 137, "dependent1": 75, "dependent0": 135}

    def evidence_line(self, lives=None):
        components = []
        for component in self.plan["components"]:
            name = component["name"]
            life = (lives or {}).get(name, 1)
            path = self.dir / f"{name}.{life}.log"
            path.write_text("".join(line + "\n" for line in self.logs[name]))
            components.append({"name": name, "life": life, "log": path.name,
                               "bytes": path.stat().st_size, "ended": name in self.ended,
                               "answered": True, "status": self.ended.get(name, 0)})
        return json.dumps(dict(copy.deepcopy(self.evidence), components=components)) + "\n"

    def judge(self, before="", lives=None):
        """What is wrong with this fault, after those whose evidence came before."""
        done = subprocess.run([BUILD / "hive-campaign-judge", self.dir], text=True,
                              input=before + self.evidence_line(lives), capture_output=True)
        verdict = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(done.returncode, 0 if verdict["verdict"] == "contained" else 1)
        return {escape["what"] for escape in verdict["escapes"]}

    def torn(self, cell, count):
        self.evidence["status_after"]["cells"][cell]["memory"]["torn_pages"] = count

    def test_what_is_right_passes(self):
        self.logs["worker1"] += ["300 opening 0 1 0 2 1 9", "400 opened 0 1 0 2 1 9"]
        self.logs["worker0"] += ["8000 page 4 0 1 0 1 2 !lost", f"8001 page 4 0 1 0 1 3 {zero_hash()}",
                                 "2000 error read 1 1 cell_down 1 1", "8002 page 4 1 1 0 0 0 !cell_down"]
        self.torn(0, 1)
        self.assertEqual(self.judge(), set())

    def test_a_survivor_that_dies(self):
        self.evidence["kernels"][2]["died_ns"] = 1600
        self.assertIn("a cell died that must survive", self.judge())

    def test_a_task_that_ends_without_need(self):
        self.ended["worker2"] = 139
        self.assertIn("a task ended that need not end", self.judge())

    def test_a_task_that_outlives_its_cell(self):
        del self.ended["witness1"]
        self.assertIn("a task still runs that must have ended", self.judge())

    def test_a_dependent_that_says_nothing(self):
        self.ended["dependent0"] = 0
        self.assertIn("a task that lost what it depends on does not say so", self.judge())

    def test_a_cell_that_does_not_come_back(self):
        self.evidence["whole"] = False
        self.assertIn("the machine is not whole again", self.judge())

    def test_a_target_that_lives_on(self):
        self.evidence["kernels"][1]["died_ns"] = 0
        self.assertIn("a cell that failed was not switched off", self.judge())

    def test_an_open_page_that_can_be_read(self):
        self.logs["worker1"] += ["300 opening 0 1 0 2 1 9", "400 opened 0 1 0 2 1 9"]
        self.logs["worker0"] += [f"8000 page 4 0 1 0 1 2 {zero_hash()}"]
        self.assertIn("a page can be read that its dead writer had open", self.judge())

    def test_a_page_that_is_discarded_without_need(self):
        self.logs["worker0"] += ["8000 page 4 0 1 0 1 2 !lost"]
        self.assertIn("a page was discarded that nobody can have stored to", self.judge())

    def test_a_wrong_content(self):
        self.logs["worker0"] += ["8000 page 4 0 1 0 2 2 12345"]
        self.assertIn("a page holds what nobody committed", self.judge())

    def test_survivors_that_see_different_things(self):
        self.logs["worker1"] += ["300 opening 0 1 0 2 1 9"]
        self.logs["worker0"] += ["8000 page 4 0 1 0 1 2 !lost"]
        self.logs["worker2"] += [f"8000 page 4 0 1 0 1 2 {zero_hash()}"]
        self.torn(0, 1)
        self.assertNotEqual(self.judge(), set())

    def test_an_error_that_nobody_caused(self):
        self.logs["worker0"] += ["1200 error put 2 1 timed_out 2 -1"]
        self.assertIn("a call fails that nothing stands in the way of", self.judge())

    def test_what_an_earlier_fault_tore_is_lost_until_its_writer_begins_anew(self):
        self.logs["worker1"] += ["300 opening 0 1 0 2 1 9", "400 opened 0 1 0 2 1 9"]
        self.torn(0, 1)
        first = self.evidence_line()
        self.evidence.update({"fault": {"number": 5, "kind": "task", "targets": [], "delay_us": 1,
                                        "seed": 1}, "kernels": [
            {"cell": c, "incarnation": 2 if c == 1 else 1, "died_ns": 0} for c in range(3)]})
        self.ended = {}
        self.torn(0, 0)
        lives = {"worker1": 2, "witness1": 2, "dependent1": 2, "dependent0": 2}
        self.logs["worker1"] = ["20000 begin 2 1 2", "20100 go 4", "20300 resetting 0 1 0",
                                "20400 reset 0 1 0"]
        self.logs["worker2"] += ["20200 publishing 9", "20450 error read 0 1 lost 0 1"]
        self.assertEqual(self.judge(first, lives), set())
        self.logs["worker2"] += ["20500 publishing 10", "20550 error read 0 1 lost 0 1"]
        self.assertIn("a call fails that nothing stands in the way of", self.judge(first, lives))

    def test_a_mutex_of_the_dead(self):
        self.logs["worker1"] += ["300 locking 0 1", "400 locked 0 1"]
        self.logs["worker0"] += ["2000 locking 0 1", "2100 locked 0 1"]
        self.assertIn("a mutex was given to the next although its holder died", self.judge())

    def test_a_home_that_dies_may_say_that_it_can_do_nothing(self):
        # Its locks are broken while it goes, and mended by whoever comes.
        self.logs["worker1"] += ["300 locking 1 1", "400 locked 1 1"]
        self.logs["worker0"] += ["450 error open 1 1 host 1 0", "460 error read 1 1 lost 1 -1",
                                 "500 locking 1 1", "600 broken 1 1", "700 mended 1 1",
                                 "800 locking 1 1", "900 locked 1 1"]
        self.assertEqual(self.judge(), set())
        self.logs["worker0"] += ["1200 error open 2 1 host 2 0"]
        self.assertIn("a call fails that nothing stands in the way of", self.judge())

    def test_a_task_believes_a_cell_that_is_corrupt(self):
        self.evidence["fault"] = {"number": 4, "kind": "corrupt-live-set", "targets": [1],
                                  "delay_us": 1, "seed": 1}
        self.logs["worker1"] += ["300 locking 0 1", "400 locked 0 1",
                                 "450 error put_pair 0 1 cell_down 0 -1",
                                 "460 taking 2 1", "470 error queue 2 1 cell_down 2 -1"]
        self.logs["worker0"] += ["2000 locking 0 1", "2100 broken 0 1"]
        self.assertEqual(self.judge(), set())
        self.logs["worker2"] += ["300 error open 0 1 cell_down 0 2"]
        self.assertIn("a call fails that nothing stands in the way of", self.judge())

    def test_a_mutex_for_two(self):
        self.logs["worker2"] += ["300 locking 0 1", "400 locked 0 1", "600 unlocking 0 1"]
        self.logs["worker0"] += ["350 locking 0 1", "500 locked 0 1"]
        self.assertIn("a mutex was given to two at once", self.judge())

    def test_a_counter_that_forgets(self):
        self.logs["worker0"] += ["300 adding 0 1", "400 added 0 1", "8000 count 4 0 1 0"]
        self.assertIn("a counter is 0, not 1 to 1", self.judge())

    def test_an_item_for_two(self):
        self.logs["worker0"] += ["300 taking 0 1", "400 took 0 1 5"]
        self.logs["worker2"] += ["500 taking 0 1", "600 took 0 1 5"]
        self.assertIn("an item was handed out to two", self.judge())

    def test_a_task_that_works_on_after_the_verdict(self):
        self.logs["worker0"] += [f"2000 scan 2 0 1 0 1 0 1 {zero_hash()}"]
        self.logs["worker1"] += ["2500 beat"]
        self.assertIn("a task of a cell that was voted out still runs", self.judge())

    def test_a_wild_store(self):
        self.logs["worker0"] += ["300 stored foreign-closed 123"]
        self.assertIn("a wild store went through", self.judge())

    def test_frames_that_do_not_add_up(self):
        self.evidence["status_after"]["cells"][2]["memory"]["segments"] = 4
        self.assertIn("the frames of a cell do not add up", self.judge())

    def test_cells_that_do_not_agree(self):
        self.evidence["status_after"]["cells"][2]["epoch"] = 2
        self.assertIn("the cells do not agree on the live set", self.judge())


class JudgeOfFiles(Judge):
    """Filers on all three cells; the home of the files is cell 1, which dies, or cell 2, which lives."""

    def setUp(self):
        super().setUp()
        self.plan["components"] += [{"name": f"filer{cell}", "role": 3, "cell": cell, "writes": [],
                                     "shares": [], "depends": []} for cell in range(3)]
        (self.dir / "plan.json").write_text(json.dumps(self.plan))
        for cell in range(3):
            self.logs[f"filer{cell}"] = ["100 begin 1 0 1", "200 go 0"]
        self.ended["filer1"] = 75
        self.evidence["frames"] = [{"cell": cell, "adds_up": True} for cell in range(3)]

    def nobody_dies(self, kind="suspend", targets=()):
        self.evidence["fault"] |= {"kind": kind, "targets": list(targets)}
        self.evidence["kernels"][1]["died_ns"] = 0
        self.evidence["status_after"]["cells"][1]["incarnation"] = 1
        self.ended.clear()

    def stored(self, home, *versions):
        log = self.logs["filer0"]
        log += [f"300 f{step} {home} 1 4 {v}" for v in versions for step in ("storing", "stored")]
        return log

    def seen(self, home, least, most, by=0):
        self.logs[f"filer{by}"] += [f"8000 fpage 4 0 {home} 4 {least} {most}"]

    def test_what_is_right_of_files_passes(self):
        self.stored(1, 7, 8).extend(["310 fsyncing 1 1", "320 fsynced 1 1"])
        self.stored(1, 9)
        self.logs["filer0"] += ["330 fstoring 1 1 4 10", "340 ferror write 1 1 112"]
        self.stored(2, 5, 6)
        for by in (0, 2):
            self.seen(1, 8, 10, by)
            self.seen(2, 6, 6, by)
        self.logs["filer0"] += ["8000 fold 4 1 1 5", "8000 fold 4 2 1 0"]
        self.assertEqual(self.judge(), set())

    def test_what_fsync_acknowledged_is_lost(self):
        self.stored(1, 7, 8).extend(["310 fsyncing 1 1", "320 fsynced 1 1"])
        self.seen(1, 7, 8)
        self.assertIn("what fsync has acknowledged is lost", self.judge())

    def test_what_was_stored_while_fsync_ran_may_be_lost(self):
        self.stored(1, 7).append("305 fsyncing 1 1")
        self.stored(1, 8).append("320 fsynced 1 1")
        self.seen(1, 7, 7)
        self.assertEqual(self.judge(), set())

    def test_another_file_is_touched(self):
        self.nobody_dies()
        self.stored(2, 5, 6)
        self.seen(2, 5, 6)
        self.assertIn("a page of a file is not what was stored there, and its home lives", self.judge())

    def test_a_home_that_lives_loses_nothing_with_another(self):
        self.stored(2, 5, 6).extend(["310 fsyncing 2 1", "320 fsynced 2 1"])
        self.stored(2, 7)
        self.seen(2, 6, 6)
        self.assertIn("a page of a file is not what was stored there, and its home lives", self.judge())

    def mapped(self, writer, *versions):
        """Page 6 is one of those that are stored to through a mapping."""
        self.logs[f"filer{writer}"] += [f"300 f{step} 2 1 6 {v}" for v in versions
                                        for step in ("storing", "stored")]

    def test_what_a_writer_had_mapped_may_be_lost_with_it_but_for_what_was_synced(self):
        self.mapped(1, 5, 6)
        self.logs["filer1"] += ["310 fsyncing 2 1", "320 fsynced 2 1"]
        self.mapped(1, 7)
        self.logs["filer0"] += ["2000 ferror look 2 1 5", "8000 fpage 4 1 2 6 6 7"]
        self.assertEqual(self.judge(), set())
        self.logs["filer0"][-1] = "8000 fpage 4 1 2 6 5 6"
        self.assertIn("what fsync has acknowledged is lost", self.judge())

    def test_what_a_writer_that_lives_had_mapped_is_there(self):
        self.mapped(0, 5, 6)
        self.logs["filer0"] += ["8000 fpage 4 0 2 6 6 6"]
        self.assertEqual(self.judge(), set())
        self.logs["filer0"][-1] = "8000 fpage 4 0 2 6 5 5"
        self.assertIn("a page of a file is not what was stored there, and its home lives", self.judge())

    def test_after_a_drain_all_is_there(self):
        self.evidence["fault"]["kind"] = "drain"
        self.stored(1, 7, 8)
        self.seen(1, 7, 7)
        self.assertIn("a page of a file is not what was stored there, and its home lives", self.judge())

    def test_bytes_of_another_page(self):
        self.logs["filer2"] += ["8000 fforeign 0 2 4 17 123"]
        self.assertIn("a file has bytes that nobody stored there", self.judge())

    def test_two_see_different_files(self):
        self.stored(1, 7, 8)
        self.seen(1, 7, 7, 0)
        self.seen(1, 8, 8, 2)
        self.assertIn("survivors see different things in a file", self.judge())

    def test_an_old_descriptor_that_works(self):
        self.logs["filer0"] += ["8000 fold 4 1 1 0"]
        self.assertIn("a descriptor of a file outlives its home", self.judge())

    def test_an_old_descriptor_that_fails_without_need(self):
        self.nobody_dies()
        self.logs["filer0"] += ["8000 fold 4 2 1 5"]
        self.assertIn("a descriptor of a file fails though its home lives", self.judge())

    def test_an_error_of_a_home_that_lives(self):
        self.nobody_dies()
        self.logs["filer0"] += ["2000 ferror fsync 2 1 5"]
        self.assertIn("a call on files fails that nothing stands in the way of", self.judge())

    def test_a_disk_that_was_made_to_fail(self):
        self.nobody_dies("disk-full", [2])
        self.logs["filer0"] += ["2000 ferror fsync 2 1 28", "2000 ferror make -1 0 28"]
        self.assertEqual(self.judge(), set())
        self.logs["filer0"] += ["2000 ferror fsync 0 1 28"]
        self.assertIn("a call on files fails that nothing stands in the way of", self.judge())

    def test_names(self):
        self.logs["filer0"] += ["300 fnaming make 1 1", "301 fnamed make 1 1 done",
                                "302 fnaming make 2 2", "303 fnamed make 2 2 done",
                                "304 fnaming move 2 9", "305 fnamed move 2 9 done",
                                "306 fnaming remove 3 3", "307 ferror remove -1 0 112"]
        self.logs["filer2"] += ["8000 fnames 4 0 0 2", "8000 fnames 4 0 1 2"]
        self.assertEqual(self.judge(), set())
        self.logs["filer2"][-1] = "8000 fnames 4 0 1 0"
        self.assertIn("a name is not there that was made, or is there that was removed", self.judge())
        self.logs["filer0"] += ["8000 fnames 4 0 1 2"]
        self.assertIn("the names are not the same from every cell", self.judge())

    def test_frames_that_do_not_add_up(self):
        self.evidence["frames"][2]["adds_up"] = False
        self.assertIn("the frames of a cell do not add up", self.judge())


if __name__ == "__main__":
    unittest.main(verbosity=2)
