#!/usr/bin/env python3
"""Measures what docs/evaluation.md shows, and keeps each figure in a file of its own.

Usage: measure.py WHAT... [--build DIR] [--out DIR] [--repeat N] [--seed S]

WHAT is any of
  cells      recovery time against the number of cells, 2 to 64
  pages      against the pages that are open to the failed cell, 1 to 4096
  memory     against the memory of each node, 32 MiB to 2 GiB, all of it resident
  load       on idle processors and beside 8 processor-bound tasks, for a kill and for a hang
  loss       the chance that a task is lost, against the share of the cells that it uses
  exposure   what tasks could destroy, over time, under a load
  defences   what each defence costs: the same with it and without it
or all. Writes OUT/WHAT.json; plot.py draws them. Recovery times are those that the survivors have
noted (`hive postmortem --json`), from the kill on.
"""

import argparse
import json
import pathlib
import random
import sys

import machine as hive
from costs import measure_defences
from deaths import kills, summary
from tasks import holding, measure_exposure, measure_loss, spinning

CELLS = [2, 4, 8, 16, 32, 64]
PAGES = [1, 4, 16, 64, 256, 1024, 2048, 4096]
MEMORY_MIB = [32, 128, 512, 1024, 2048]
BUSY_TASKS = 8
FEW = 4            # cells of a machine where their number is not what is measured
FOR_EVER = ("--tries", "0")  # cells die more often than would be sound


def point(x, figures):
    settled_ms = summary(figures)["settled"]["p50"]
    hive.say(f"  {x}: settled {settled_ms:.2f} ms (median of {len(figures)})")
    return {"x": x, "figures": figures, "summary": summary(figures)}


def measure_cells(given):
    points = []
    for cells in CELLS:
        with hive.Machine(given.build, cells, "32M", *FOR_EVER) as machine:
            points.append(point(cells, kills(machine, given.repeat, given.seed)))
    return {"x": "cells", "memory": "32M", "points": points}


def measure_pages(given):
    """The pages are of one cell, and open to a task of the one that is killed."""
    points = []
    victim = FEW - 1
    with hive.Machine(given.build, FEW, "64M", *FOR_EVER) as machine:
        for pages in PAGES:
            figures = []
            for _ in range(given.repeat):
                with holding(machine, victim, "open", 0, pages):
                    figures += kills(machine, 1, given.seed, victims=[victim])
            points.append(point(pages, figures))
    return {"x": "pages open to the failed cell", "cells": FEW, "points": points}


def measure_memory(given):
    """Memory of a node is populated at boot, so that all of it is resident."""
    points = []
    for mib in MEMORY_MIB:
        with hive.Machine(given.build, FEW, f"{mib}M", *FOR_EVER) as machine:
            points.append(point(mib, kills(machine, given.repeat, given.seed)))
    return {"x": "MiB of each node", "cells": FEW, "points": points}


def measure_load(given):
    points = []
    victim = FEW - 1
    with hive.Machine(given.build, FEW, "64M", *FOR_EVER) as machine:
        for way in ("kill", "hang"):
            for tasks in (0, BUSY_TASKS):
                with spinning(machine, tasks, range(victim)):
                    figures = kills(machine, 3 * given.repeat, given.seed, way, [victim])
                points.append(point(f"{way}, {tasks} busy tasks", figures))
    return {"x": "way and load", "cells": FEW, "points": points}


MEASURES = {"cells": measure_cells, "pages": measure_pages, "memory": measure_memory,
            "load": measure_load, "loss": measure_loss, "exposure": measure_exposure,
            "defences": measure_defences}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", nargs="+", choices=[*MEASURES, "all"])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/evaluation"))
    parser.add_argument("--repeat", type=int, default=10, help="kills for each point")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    given.build = given.build.resolve()
    hive.end_in_order()
    given.out.mkdir(parents=True, exist_ok=True)
    failed = False
    for what in MEASURES if "all" in given.what else given.what:
        hive.say(what)
        host = hive.host()
        try:
            result = {"what": what, "seed": given.seed, "host": host, **MEASURES[what](given)}
        except hive.Failed as problem:
            hive.say(f"measure: {what}: {problem}")
            failed = True
            continue
        host["load_after"] = hive.host()["load"]
        (given.out / f"{what}.json").write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
