#!/usr/bin/env python3
"""Writes the tables of docs/evaluation.md and draws its plots, from the files of measure.py.

Usage: plot.py [--data DIR] [--page FILE] [--tables]

Each DATA/WHAT.json becomes DATA/WHAT.svg, and the table between `<!-- table: WHAT -->` and
`<!-- end -->` of the page. Drawing needs python3-matplotlib; the tables do not.
"""

import argparse
import json
import math
import pathlib
import sys

# What a recovery does until each moment (deaths.py), from the bottom up.
PHASES = [("noticed", "first sign"), ("known_off", "known to be off, by all"),
          ("closed", "pages taken back"), ("passed", "barrier 1"),
          ("discarded", "discarded"), ("settled", "barrier 2, settled")]
COLOURS = ["#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860"]
SIZE_INCHES = (7, 4)


def medians(point):
    """How long each phase took, in ms; medians of moments, which only grow."""
    moments = [point["summary"][name]["p50"] for name, _ in PHASES]
    return [max(0, after - before) for before, after in zip([0, *moments], moments)]


def draw_phases(plt, data, label):
    figure, axes = plt.subplots(figsize=SIZE_INCHES)
    names = [str(point["x"]) for point in data["points"]]
    bottom = [0] * len(names)
    for (_, text), colour, heights in zip(PHASES, COLOURS, zip(*map(medians, data["points"]))):
        axes.bar(names, heights, bottom=bottom, color=colour, label=text, width=0.6)
        bottom = [low + height for low, height in zip(bottom, heights)]
    worst = [point["summary"]["settled"]["max"] for point in data["points"]]
    axes.plot(names, worst, "k_", markersize=14, label="worst, settled")
    if max(worst) > 20 * max(bottom):
        axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel(label)
    axes.set_ylabel("ms after the kill (medians, stacked)")
    axes.legend(fontsize=8)
    return figure


def draw_loss(plt, data):
    figure, axes = plt.subplots(figsize=SIZE_INCHES)
    axes.plot([0, 1], [0, 1], "--", color="#888888", label="proportional to the share")
    for point in data["points"]:
        chance = point["lost"] / point["tasks"]
        error = math.sqrt(max(chance * (1 - chance), 0) / point["tasks"])
        axes.errorbar(point["x"], chance, yerr=error, fmt="o", color=COLOURS[0], capsize=3)
    axes.set_xlabel(f"share of the {data['cells']} cells that the task uses")
    axes.set_ylabel("share of the tasks that were lost")
    axes.legend()
    return figure


def exposure_series(data):
    samples = data["samples"]
    return [("open to tasks of other cells", [s["open_to_other_cells"] for s in samples]),
            ("the most of one task", [max(s["by_task"].values(), default=0) for s in samples]),
            ("in use by segments", [round(s["pages_in_use"]) for s in samples])]


def draw_exposure(plt, data):
    figure, axes = plt.subplots(figsize=SIZE_INCHES)
    times = [sample["s"] for sample in data["samples"]]
    for (text, values), colour in zip(exposure_series(data), COLOURS):
        axes.step(times, values, color=colour, label=text, where="post")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel("s")
    axes.set_ylabel("pages of 4 KiB")
    axes.legend()
    return figure


def draw(plt, data):
    if data["what"] == "loss":
        return draw_loss(plt, data)
    if data["what"] == "exposure":
        return draw_exposure(plt, data)
    labels = {"cells": "cells", "pages": "pages open to the failed cell",
              "memory": "MiB of memory of each node, resident"}
    return draw_phases(plt, data, labels[data["what"]]) if data["what"] in labels else None


# --- tables

def row(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def table(head, rows):
    return [row(*head), row(*["---"] * len(head)), *(row(*cells) for cells in rows)]


def table_phases(data):
    head = [data["x"], *(text for _, text in PHASES), "99th percentile", "worst", "KiB torn",
            "processor time, each survivor", "deaths"]
    return table(head, [
        [point["x"], *(f"{point['summary'][name]['p50']:.2f}" for name, _ in PHASES),
         f"{point['summary']['settled']['p99']:.2f}", f"{point['summary']['settled']['max']:.2f}",
         f"{point['summary']['lost_bytes']['p50'] / 1024:.0f}",
         f"{point['summary']['processor_ms_per_survivor']['p50']:.1f}", len(point["figures"])]
        for point in data["points"]])


def table_loss(data):
    head = ["cells used", "share", "tasks", "lost", "lost, share"]
    lines = table(head, [
        [round(point["x"] * data["cells"]), f"{point['x']:.3f}", point["tasks"], point["lost"],
         f"{point['lost'] / point['tasks']:.3f}"] for point in data["points"]])
    return [*lines, "", f"{data['kills']} kills. Lost though it used nothing of the dead cell, or "
            f"alive though it did: {data['not_as_used']}."]


def table_exposure(data):
    def line(text, values):
        values = sorted(values)
        return [text, values[len(values) // 2], values[int(0.99 * (len(values) - 1))], values[-1]]
    return table(["pages", "median", "99th percentile", "most"],
                 [line(text, values) for text, values in exposure_series(data)])


def table_defences(data):
    names = list(data["medians"]["none"])

    def text(figure):
        return "the machine did not survive it" if figure is None else f"{figure:.2f}"
    return table(["turned off", *names],
                 [[defence, *(text(figures[name]) for name in names)]
                  for defence, figures in data["medians"].items()])


def table_postgres(data):
    head = ["log", "kills", "other sessions", "of them dropped", "served again, median", "worst"]
    return table(head, [
        [f"{line['log_mib']:.0f} MiB", line["kills"], line["survivors"], line["dropped"],
         f"{line['served_again_ms']['p50']:.0f} ms", f"{line['served_again_ms']['max']:.0f} ms"]
        for line in data["rows"]])


def table_bench(data):
    """Of `hive bench --json`, whose times are in nanoseconds."""
    def ms(value):
        return "-" if value is None else f"{value / 1e6:.2f} ms"
    return table(["row", "value", "baseline", "spread", "bound", "holds", "against"], [
        [line["name"], ms(line["value"]), ms(line["baseline"]), f"{100 * line['spread']:.0f} %",
         line["bound"] or "-", {None: "-", True: "yes", False: "no"}[line["holds"]],
         line["against"] or "-"] for line in data["rows"]])


DRAWN = {"cells", "pages", "memory", "loss", "exposure"}
TABLES = {"bench": table_bench, "loss": table_loss, "exposure": table_exposure,
          "defences": table_defences, "postgres": table_postgres}


def table_of(data):
    """With a line above that says where the figures come from."""
    host = data["host"]
    seed = f", seed {data['seed']}" if "seed" in data else ""
    date = f"{host['date']}, " if "date" in host else ""
    load = (f"{host['load'][0]:.1f} before and {host['load_after'][0]:.1f} after"
            if "load_after" in host else f"{host['load'][0]:.1f} after")
    where = (f"{date}{host['processors']} processors ({host['model']}), Linux {host['kernel']}, "
             f"load {load}{seed}")
    what = data["what"]
    plot = [f"![{what}](evaluation/{what}.svg)", ""] if what in DRAWN else []
    return [*plot, where, "", *TABLES.get(data["what"], table_phases)(data)]


def write_tables(page, every):
    text = page.read_text()
    for data in every:
        begin, end = f"<!-- table: {data['what']} -->\n", "<!-- end -->"
        before, found, after = text.partition(begin)
        if not found:
            continue
        _, _, after = after.partition(end)
        text = before + begin + "\n".join(table_of(data)) + "\n" + end + after
    page.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("docs/evaluation"))
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path("docs/evaluation.md"))
    parser.add_argument("--tables", action="store_true",
                        help="print the tables, and change nothing")
    given = parser.parse_args()
    every = [{"what": path.stem, **json.loads(path.read_text())}
             for path in sorted(given.data.glob("*.json"))]
    if given.tables:
        for data in every:
            print("\n".join(["", data["what"] + ": " + table_of(data)[0], *table_of(data)[1:]]))
        return 0
    write_tables(given.page, every)
    try:
        import matplotlib
        matplotlib.use("svg")
        matplotlib.rcParams.update({"svg.hashsalt": "hive", "svg.fonttype": "none"})
        import matplotlib.pyplot as plt
    except ImportError:
        print("plot: matplotlib is not installed: apt-get install -y python3-matplotlib",
              file=sys.stderr)
        return 2
    for data in every:
        figure = draw(plt, data)
        if figure is None:
            continue
        figure.tight_layout()
        figure.savefig(given.data / f"{data['what']}.svg", metadata={"Date": None})
        plt.close(figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
