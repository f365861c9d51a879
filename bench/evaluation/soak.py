#!/usr/bin/env python3
"""Runs a machine under full processor load for an hour, with no fault injected, and sees whether
any cell is taken for dead that is not.

Usage: soak.py [--build DIR] [--cells N] [--seconds S] [--every S] [--memory SIZE]
               [--picture WxH] [--keep DIR]

Two pictures at a time are drawn on all cells, each by a component on every cell, over and over:
twice as many processor-bound tasks as cells, whatever the number of processors. Each picture is
compared with what the threaded program without Hive draws. A line each minute tells what there is
to see. A program that is told of a timeout by the library, and gives its picture up, is counted
and shown; it is no verdict. At the first verdict (a cell that was voted out, died, or came back)
the post-mortem is shown.

Exit status: 0 when there was no verdict; 1 on a verdict, on a picture that is wrong, or when none
was drawn; 2 when the soak could not be run.
"""

import argparse
import filecmp
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import machine as hive

PICTURES_AT_ONCE = 2
PICTURE = ["--samples", "64", "--quiet"]
LOOK_S = 2            # between two looks at the live set
STOPPED_S = 90        # longer than any look takes: the whole soak was stopped meanwhile
DEATHS_SHOWN = 3
END_S = 600           # for the last pictures, which are begun when the time is nearly over


class Pictures:
    """Draws one picture after the other; what goes wrong is kept for the soak's own thread."""

    def __init__(self, machine, number, words, reference):
        self.machine, self.words, self.reference = machine, words, reference
        self.path = pathlib.Path(machine.directory) / f"soak-{number}.png"
        self.done, self.given_up, self.problem = 0, 0, None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.draw, daemon=True)
        self.thread.start()

    def draw(self):
        while not self.is_over.is_set() and self.problem is None:
            run = self.machine.start("--span", "all", "--", self.machine.build / "raytrace",
                                     *self.words, "--output", self.path)
            _, errors = run.communicate()
            if run.returncode != 0:
                self.given_up += 1
                say(f"          a picture was given up: {errors.strip()}")
            elif not filecmp.cmp(self.path, self.reference, shallow=False):
                self.problem = "a picture differs from what is drawn without Hive"
            else:
                self.done += 1


def say(text):
    print(text, flush=True)


def verdict(machine):
    """What has changed in the live set, or None."""
    status = machine.patiently(machine.status)
    if status["epoch"] == 1 and len(status["live_set"]) == machine.cells and not status["losses"]:
        return None
    return f"epoch {status['epoch']}, live cells {status['live_set']}"


class Meter:
    """The figures of a progress line."""

    def __init__(self, machine, pictures):
        self.machine, self.pictures = machine, pictures
        self.begin = time.monotonic()
        self.times = hive.processor_times()

    @staticmethod
    def head():
        say(f"{'TIME':>8}  {'EPOCH':>5}  {'CELLS UP':>8}  {'BUSY':>5}  {'LOAD':>6}  {'TASKS':>5}  "
            f"{'PICTURES':>8}  {'GIVEN UP':>8}  {'ALERTS':>6}  {'VOTED DOWN':>10}  "
            f"{'REJECTED':>8}")

    def line(self):
        ask = self.machine.patiently
        status = ask(self.machine.status)
        counted = [ask(self.machine.counters, cell) for cell in status["live_set"]]
        busy, every = hive.processor_times()
        share = 100 * (busy - self.times[0]) / max(1, every - self.times[1])
        self.times = busy, every
        seconds = int(time.monotonic() - self.begin)
        up = sum(cell["state"] == "up" for cell in status["cells"])
        say(f"{seconds // 60:5}:{seconds % 60:02}  {status['epoch']:5}  {up:8}  {share:4.0f}%  "
            f"{os.getloadavg()[0]:6.1f}  {sum(c.get('tasks', 0) for c in status['cells']):5}  "
            f"{sum(p.done for p in self.pictures):8}  "
            f"{sum(p.given_up for p in self.pictures):8}  {sum(c['alerts'] for c in counted):6}  "
            f"{sum(c['alerts_voted_down'] for c in counted):10}  "
            f"{sum(sum(c['rejected'].values()) for c in counted):8}")


def watch(machine, pictures, given):
    """Until the time is over, or something has happened, which it returns."""
    meter = Meter(machine, pictures)
    meter.head()
    next_line = meter.begin + given.every
    end, last = meter.begin + given.seconds, meter.begin
    while (now := time.monotonic()) < end:
        if now - last > STOPPED_S:
            say(f"          stopped for {now - last:.0f} s, which do not count")
            end += now - last
        last = now
        time.sleep(LOOK_S)
        happened = verdict(machine)
        if happened is not None:
            return happened
        for picture in pictures:
            if picture.problem is not None:
                return picture.problem
        if time.monotonic() >= next_line:
            meter.line()
            next_line += given.every
    for picture in pictures:
        picture.is_over.set()
    for picture in pictures:
        picture.thread.join(timeout=END_S)
        if picture.thread.is_alive():
            return "the last picture does not come to its end"
        if picture.problem is not None:
            return picture.problem
    meter.line()
    return verdict(machine)


def soak(given):
    with tempfile.TemporaryDirectory(prefix="hive-soak-") as directory:
        reference = pathlib.Path(directory) / "reference.png"
        words = [*PICTURE, "--size", given.picture]
        subprocess.run([given.build / "raytrace-threads", *words, "--output", reference],
                       check=True, stdin=subprocess.DEVNULL)
        with hive.Machine(given.build, given.cells, given.memory) as machine:
            return soak_machine(given, machine, words, reference)


def soak_machine(given, machine, words, reference):
    host = hive.host()
    say(f"{given.cells} cells of {given.memory}, firewall {machine.status()['firewall']}, "
        f"{given.seconds:g} s from {host['date']}; {host['processors']} processors "
        f"({host['model']}), Linux {host['kernel']}; {PICTURES_AT_ONCE} pictures at a time, "
        f"a component of each on every cell")
    pictures = [Pictures(machine, n, words, reference) for n in range(PICTURES_AT_ONCE)]
    happened = watch(machine, pictures, given)
    drawn, given_up = (sum(getattr(p, what) for p in pictures) for what in ("done", "given_up"))
    if happened is None and drawn != 0:
        say(f"no verdict; {drawn} pictures, all as drawn without Hive; {given_up} given up")
        return 0
    say(f"NOT AS IT SHOULD BE: {happened or 'no picture was drawn'}")
    if given.keep:
        # With the log and the post-mortems of all cells, before more of them come.
        shutil.copytree(pathlib.Path(machine.directory, "state/hive", machine.NAME), given.keep)
    for number in range(1, min(len(machine.deaths()), DEATHS_SHOWN) + 1):
        say(machine.hive("postmortem", number))
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--every", type=float, default=60, help="seconds between two lines")
    parser.add_argument("--memory", default="32M", help="of each cell")
    parser.add_argument("--picture", default="960x540", help="pixels of each picture")
    parser.add_argument("--keep", type=pathlib.Path,
                        help="on a verdict: log and post-mortems go to this new directory")
    given = parser.parse_args()
    given.build = given.build.resolve()
    hive.end_in_order()
    try:
        return soak(given)
    except (hive.Failed, OSError, subprocess.CalledProcessError) as problem:
        print(f"soak: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
