"""Tasks that hold something while cells are killed, and what becomes of them."""

import contextlib
import random
import subprocess
import time

import machine as hive

LOSS_CELLS = 8
TASKS_FOR_EACH = 2        # that use so many cells, in each round
ENDED_S = 0.5             # by then a task that is lost with a cell has ended
EXPOSURE_S = 20
EXPOSURE_CELLS = 4
SAMPLE_S = 0.02
PICTURE = ["--size", "960x540", "--samples", "64", "--quiet"]


def start_holding(machine, cell, *what):
    return machine.start("--cell", cell, "--", machine.build / "hive-bench-hold", *what,
                         stdin=subprocess.PIPE)


def wait_ready(task):
    line = task.stdout.readline()
    if line != "ready\n":
        _, errors = task.communicate()
        raise hive.Failed(f"hive-bench-hold: {errors.strip()}")


@contextlib.contextmanager
def holding(machine, cell, *what):
    """A task of the cell that holds what it is told; its cell may die under it."""
    task = start_holding(machine, cell, *what)
    wait_ready(task)
    try:
        yield
    finally:
        task.communicate()  # the end of its input ends it


@contextlib.contextmanager
def spinning(machine, count, cells):
    cells = list(cells)
    tasks = [machine.start("--cell", cells[n % len(cells)], "--",
                           machine.build / "hive-bench-task", "spin", 0, 3600 * 1000)
             for n in range(count)]
    hive.wait_for(lambda: len(machine.tasks()) >= count, "the busy tasks")
    try:
        yield
    finally:
        for task in tasks:
            task.terminate()
        for task in tasks:
            task.communicate()


# --- the chance of a loss

def start_users(machine, dice):
    """Tasks that use one cell, two cells, ... all, each with the cells that it uses."""
    users = []
    for share in range(1, LOSS_CELLS + 1):
        for _ in range(TASKS_FOR_EACH):
            cells = dice.sample(range(LOSS_CELLS), share)
            users.append((cells, start_holding(machine, cells[0], "use", *cells)))
    for _, task in users:
        wait_ready(task)
    return users


def measure_loss(given):
    """A task on a cell of its own goes on loading from segments of k cells, that one among them.
    One cell, drawn at random, is killed: is the task lost?"""
    dice = random.Random(given.seed)
    counts = {share: {"tasks": 0, "lost": 0} for share in range(1, LOSS_CELLS + 1)}
    not_as_used = 0  # lost though it used nothing of the dead, or alive though it did
    rounds = 4 * given.repeat
    with hive.Machine(given.build, LOSS_CELLS, "32M", "--tries", "0") as machine:
        for number in range(rounds):
            users = start_users(machine, dice)
            victim = dice.randrange(LOSS_CELLS)
            machine.kill(victim)
            machine.wait_whole()
            time.sleep(ENDED_S)
            for cells, task in users:
                lost = task.poll() is not None
                counts[len(cells)]["tasks"] += 1
                counts[len(cells)]["lost"] += lost
                not_as_used += lost != (victim in cells)
            for _, task in users:
                task.communicate()
            if (number + 1) % 10 == 0:
                hive.say(f"  {number + 1} of {rounds} kills")
    return {"cells": LOSS_CELLS, "kills": rounds, "not_as_used": not_as_used,
            "points": [{"x": share / LOSS_CELLS, **count} for share, count in counts.items()]}


# --- exposure

def sample(machine, begin):
    status = machine.status()
    by_task = {}
    for window in status["exposure"]:
        by_task[window["task"]] = by_task.get(window["task"], 0) + window["pages"]
    return {"s": time.monotonic() - begin,
            "open_to_other_cells": sum(c.get("memory", {}).get("open_to_other_cells_pages", 0)
                                       for c in status["cells"]),
            "open_to_own_tasks": sum(c.get("memory", {}).get("open_to_own_tasks_pages", 0)
                                     for c in status["cells"]),
            "pages_in_use": sum(c.get("memory", {}).get("segments_mib", 0)
                                for c in status["cells"]) * 256,
            "by_task": by_task}


def measure_exposure(given):
    """Samples of `hive status` while pictures are drawn on all cells, a task on each of two cells
    opens and closes a window of a page at another as fast as it can, and one holds a window of 256
    pages for the middle third."""
    samples = []
    with hive.Machine(given.build, EXPOSURE_CELLS, "64M") as machine:
        writers = [machine.start("--cell", cell, "--", machine.build / "hive-bench-task", "window",
                                 home, 100_000_000) for cell, home in ((0, 1), (2, 3))]
        picture = holder = None
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < EXPOSURE_S:
            if picture is None or picture.poll() is not None:
                picture = machine.start("--span", "all", "--", machine.build / "raytrace",
                                        *PICTURE, "--output", machine.directory + "/picture.png")
            if holder is None and now > EXPOSURE_S / 3:
                holder = start_holding(machine, 1, "open", 2, 256)
            if holder is not None and now > 2 * EXPOSURE_S / 3 and not holder.stdin.closed:
                holder.stdin.close()
            samples.append(sample(machine, begin))
            time.sleep(SAMPLE_S)
        for task in (*writers, picture):
            task.terminate()
            task.communicate()
        holder.wait()
    return {"cells": EXPOSURE_CELLS, "samples": samples}
