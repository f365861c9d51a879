#!/usr/bin/env python3
"""Campaign after campaign, each from a seed of its own, until enough faults have taken effect; then
more of the sorts of which there were too few. Adds them up, and writes the sums as JSON.

Usage: long_campaign.py [--build DIR] [--activated N] [--seeds N] [--first SEED] [--cells N]
                        [--of-a-kind N] [--of-a-point N] [--add FILE]... [--out FILE]

--add counts what an earlier `hive campaign --json` has said, as one seed. Kinds with the same first
word count as one: wild stores, corruptions, hogs, hangs; each `at-` is a named point of its own.

Exit status 1 when a fault escaped, or too few took effect.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import time

FAULTS = 100      # of one campaign
ROUNDS_MAX = 20   # of more faults of the sorts that are short
PHASES = ("detect", "agree", "recover", "reintegrate")
COUNTS = ("injected", "activated", "contained", "escaped")


def sort_of(kind):
    """What is to be activated so often: a named point, or a family of kinds."""
    return kind if kind.startswith("at-") else kind.split("-")[0]


class Sums:
    def __init__(self):
        self.seeds = set()
        self.kinds = collections.defaultdict(lambda: dict.fromkeys(COUNTS, 0))
        self.worst_ms = dict.fromkeys(PHASES, 0.0)
        self.escapes = []

    def add(self, said):
        self.seeds.add(said["seed"])
        self.escapes += said["escapes"]
        for name, kind in said["kinds"].items():
            for count in COUNTS:
                self.kinds[name][count] += kind[count]
        for phase in PHASES:
            self.worst_ms[phase] = max(self.worst_ms[phase], said["times_ms"][phase]["max"])

    def total(self, count):
        return sum(kind[count] for kind in self.kinds.values())

    def short(self, of_a_kind, of_a_point):
        """The kinds of sorts that have been activated too seldom."""
        activated = collections.Counter()
        for name, kind in self.kinds.items():
            activated[sort_of(name)] += kind["activated"]
        return [name for name in self.kinds if activated[sort_of(name)] <
                (of_a_point if name.startswith("at-") else of_a_kind)]

    def as_json(self):
        return {"seeds": sorted(self.seeds), **{count: self.total(count) for count in COUNTS},
                "kinds": dict(sorted(self.kinds.items())), "worst_ms": self.worst_ms,
                "escapes": self.escapes}


def campaign(given, seed, faults, kinds=None):
    words = [given.build / "hive", "campaign", "--json", "--seed", str(seed), "--faults",
             str(faults), "--cells", str(given.cells)]
    if kinds:
        words += ["--kinds", ",".join(kinds)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"seed {seed}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--activated", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=int(time.time()))
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--of-a-kind", type=int, default=50)
    parser.add_argument("--of-a-point", type=int, default=10)
    parser.add_argument("--add", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--out", type=pathlib.Path)
    given = parser.parse_args()

    sums = Sums()
    seed = given.first

    def note(said):
        sums.add(said)
        print(f"seed {said['seed']}: {said['activated']} of {said['injected']} activated, "
              f"{said['escaped']} escaped; {sums.total('activated')} in all", flush=True)
        for escape in said["escapes"]:
            print(f"  {escape['what']}: {escape['evidence']}\n  {escape['replay']}", flush=True)

    for path in given.add:
        note(json.loads(path.read_text()))
    while sums.total("activated") < given.activated or len(sums.seeds) < given.seeds:
        note(campaign(given, seed, FAULTS))
        seed += 1
    for _ in range(ROUNDS_MAX):
        short = sums.short(given.of_a_kind, given.of_a_point)
        if not short:
            break
        note(campaign(given, seed, max(FAULTS // 2, len(short)), short))
        seed += 1
    if given.out:
        given.out.write_text(json.dumps(sums.as_json(), indent=1) + "\n")
    short = sums.short(given.of_a_kind, given.of_a_point)
    print(f"{sums.total('activated')} of {sums.total('injected')} faults activated, from "
          f"{len(sums.seeds)} seeds, {sums.total('escaped')} escaped"
          + (f"; too few of {', '.join(short)}" if short else ""))
    return 1 if sums.total("escaped") or short else 0


if __name__ == "__main__":
    sys.exit(main())
