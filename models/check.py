#!/usr/bin/env python3
"""Checks the models exhaustively with spin, one line for each property.

check.py [--cells 3|4] [--only TEXT] [--keep DIR]

A property is good if spin has seen all states and found no error; a mutated model, if spin finds
an error. A search that was cut short (depth, memory) is never good. Status 0 if all are good.
"""
import argparse
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MEMORY_MIB = {3: 1500, 4: 6000}

SAFETY, ENDS, MUTANT = "safety", "ends", "mutant"
# `safety`: assertions, and how runs end. `ends`: there is no run without end. Together: whatever
# fails when, each run comes to rest as it should (see README.md).
PROPERTIES = {
    3: [
        (SAFETY, "recovery", "FAILURES=2"),
        (ENDS, "recovery", "FAILURES=2"),
        (SAFETY, "recovery", "FAILURES=2 LIES"),
        (ENDS, "recovery", "FAILURES=2 LIES"),
        (SAFETY, "recovery", "FAILURES=2 JOINS=1"),
        (ENDS, "recovery", "FAILURES=2 JOINS=1"),
        (SAFETY, "ballots", "FAILURES=2 WRONG=0"),
        (ENDS, "ballots", "FAILURES=2 WRONG=0"),
        (SAFETY, "ballots", "FAILURES=1 WRONG=1"),
        (ENDS, "ballots", "FAILURES=1 WRONG=1"),
        (SAFETY, "ballots", "FAILURES=2 WRONG=1"),
        (MUTANT, "recovery", "FAILURES=2 SKIP_FIRST_BARRIER"),
        (MUTANT, "recovery", "FAILURES=2 SKIP_SECOND_BARRIER"),
        (MUTANT, "recovery", "FAILURES=2 SETTLE_BEFORE_OFF"),
        (MUTANT, "recovery", "FAILURES=2 NO_RESTART"),
        (MUTANT, "recovery", "FAILURES=2 LIES BELIEVE_DEATHS"),
        (MUTANT, "ballots", "FAILURES=0 WRONG=1 MINORITY_DECIDES"),
        (MUTANT, "ballots", "FAILURES=1 WRONG=2 NO_CONTEST CONDEMNED_DECIDES"),
        (MUTANT, "ballots", "FAILURES=1 WRONG=2 SLOW CONDEMNED_DECIDES"),
    ],
    4: [
        (SAFETY, "recovery", "FAILURES=2"),
        (ENDS, "recovery", "FAILURES=2"),
        (SAFETY, "recovery", "FAILURES=3"),
        (ENDS, "recovery", "FAILURES=3"),
        (SAFETY, "recovery", "FAILURES=2 LIES"),
        (ENDS, "recovery", "FAILURES=2 LIES"),
        (SAFETY, "recovery", "FAILURES=2 JOINS=1"),
        (ENDS, "recovery", "FAILURES=1 JOINS=1"),
        (SAFETY, "ballots", "FAILURES=2 WRONG=0"),
        (ENDS, "ballots", "FAILURES=2 WRONG=0"),
        (SAFETY, "ballots", "FAILURES=1 WRONG=1"),
        (ENDS, "ballots", "FAILURES=1 WRONG=1"),
        (SAFETY, "ballots", "FAILURES=2 WRONG=0"),
        (ENDS, "ballots", "FAILURES=2 WRONG=0"),
        (MUTANT, "recovery", "FAILURES=2 SKIP_FIRST_BARRIER"),
        (MUTANT, "recovery", "FAILURES=2 SKIP_SECOND_BARRIER"),
        (MUTANT, "recovery", "FAILURES=2 SETTLE_BEFORE_OFF"),
        (MUTANT, "recovery", "FAILURES=2 NO_RESTART"),
        (MUTANT, "recovery", "FAILURES=2 LIES BELIEVE_DEATHS"),
    ],
}


def run(command, scratch, memory_mib=None):
    def limit():
        if memory_mib:
            resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    return subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False,
                          preexec_fn=limit)


def number(pattern, text):
    found = re.search(pattern, text)
    return found.group(1) if found else "?"


def search(kind, model, defines, cells, scratch):
    """What pan says; raises RuntimeError if it can not be built."""
    spin = ["spin", "-a", f"-DN={cells}"] + [f"-D{each}" for each in defines.split()]
    made = run(spin + [str(HERE / f"{model}.pml")], scratch)
    if made.returncode != 0 or not (pathlib.Path(scratch) / "pan.c").exists():
        raise RuntimeError(f"spin: {made.stdout}{made.stderr}")
    # No partial order reduction: all state is shared, so that it could leave nothing out.
    flags = ["-DNOREDUCE", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MIB[cells]}"]
    flags.append("-DNP" if kind == ENDS else "-DSAFETY")
    # Most searches take less time than to optimize them would.
    optimize = "-O2" if cells == 4 and kind != MUTANT else "-O0"
    made = run(["gcc", optimize, "-w", *flags, "-o", "pan", "pan.c"], scratch)
    if made.returncode != 0:
        raise RuntimeError(f"gcc: {made.stderr}")
    command = ["./pan", "-n", "-m10000", "-w22"] + (["-l"] if kind == ENDS else [])
    return run(command, scratch, MEMORY_MIB[cells] + 500).stdout


def judge(kind, output):
    """Nothing, or what is wrong."""
    errors = number(r"errors: (\d+)", output)
    if "search depth too small" in output:
        return "the search was cut short"
    if kind == MUTANT:
        found = errors not in ("?", "0") and "assertion violated (" in output
        return None if found else "spin does not find the error"
    if errors == "?" or "not completed" in output or "out of memory" in output:
        failure = re.search(r"^pan:.*", output, re.MULTILINE)
        return failure.group(0)[:200] if failure else "the search did not end"
    return None if errors == "0" else number(r"(pan:.*)", output)


def check(kind, model, defines, cells, scratch):
    start = time.monotonic()
    try:
        output = search(kind, model, defines, cells, scratch)
    except RuntimeError as error:
        print(error)
        return False
    wrong = judge(kind, output)
    seconds = time.monotonic() - start
    states = number(r"(\d+) states, stored", output)
    transitions = number(r"(\d+) transitions", output)
    depth = number(r"depth reached (\d+)", output)
    memory = number(r"([\d.]+)\s+total actual memory usage", output).split(".")[0]
    verdict = wrong or ("error found" if kind == MUTANT else "good")
    print(f"{kind:7} {model:9} {defines:32} {states:>9} states {transitions:>10} transitions "
          f"depth {depth:>4} {memory:>5} MiB {seconds:6.1f} s  {verdict}", flush=True)
    return wrong is None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, choices=(3, 4), default=3)
    parser.add_argument("--only", default="", help="lines that contain this text")
    parser.add_argument("--keep", type=pathlib.Path, help="leave pan and its trails there")
    options = parser.parse_args()
    good = True
    for place, (kind, model, defines) in enumerate(PROPERTIES[options.cells]):
        if options.only not in f"{kind} {model} {defines}":
            continue
        if options.keep:
            scratch = options.keep / str(place)
            scratch.mkdir(parents=True, exist_ok=True)
            good &= check(kind, model, defines, options.cells, scratch)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                good &= check(kind, model, defines, options.cells, scratch)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
