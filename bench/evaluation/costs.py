"""What each defence costs: the same figures on a machine that has them all, and on test machines
where one is turned off, in turns."""

import statistics
import time

import machine as hive
from deaths import kills

DEFENCES = ["firewall", "discard", "careful", "fence", "barrier"]
WINDOWS = 6000
PUTS = 6000
CAREFUL_LOOKS = 20
CELLS = 4
PICTURE = ["--size", "480x270", "--samples", "32", "--quiet"]


def task_ns(machine, what, home, count):
    task = machine.start("--cell", 0, "--", machine.build / "hive-bench-task", what, home, count)
    output, errors = task.communicate(timeout=hive.WAIT_S)
    if task.returncode != 0:
        raise hive.Failed(f"hive-bench-task {what}: {errors.strip()}")
    return float(output.split()[0])


def picture_ms(machine):
    begin = time.monotonic()
    run = machine.start("--span", "all", "--", machine.build / "raytrace", *PICTURE,
                        "--output", machine.directory + "/picture.png")
    _, errors = run.communicate(timeout=hive.WAIT_S)
    if run.returncode != 0:
        raise hive.Failed(f"raytrace: {errors.strip()}")
    return (time.monotonic() - begin) * 1e3


def status_ms(machine):
    """A walk over what all cells publish, by careful reference."""
    times = []
    for _ in range(CAREFUL_LOOKS):
        begin = time.monotonic()
        machine.status()
        times.append((time.monotonic() - begin) * 1e3)
    return statistics.median(times)


def figures_of(machine, seed):
    figures = {"window_own_us": task_ns(machine, "window", 0, WINDOWS) / 1e3,
               "window_remote_us": task_ns(machine, "window", 1, WINDOWS) / 1e3,
               "put_us": task_ns(machine, "put", 1, PUTS) / 1e3,
               "status_ms": status_ms(machine),
               "picture_ms": picture_ms(machine)}
    try:
        figures["settled_ms"] = min(figure["settled"] for figure in kills(machine, 2, seed))
    except hive.Failed as problem:
        # What a defence is for: without it the others may not survive the death of one.
        hive.say(f"  after a kill: {str(problem).splitlines()[-1]}")
        figures["settled_ms"] = None
    return figures


def median(values):
    """None when there is none, or a defence was missed in any of them."""
    return None if None in values else statistics.median(values)


def measure_defences(given):
    taken = {name: [] for name in ["none", *DEFENCES]}
    for number in range(given.repeat):
        for name, figures in taken.items():
            off = () if name == "none" else ("--sabotage", name)
            with hive.Machine(given.build, CELLS, "32M", "--tries", "0", *off) as machine:
                figures.append(figures_of(machine, given.seed + number))
        hive.say(f"  {number + 1} of {given.repeat} rounds")
    medians = {name: {what: median([figure[what] for figure in figures])
                      for what in figures[0]} for name, figures in taken.items()}
    return {"cells": CELLS, "figures": taken, "medians": medians}
