#!/usr/bin/env python3
"""Runs the models in spin's simulator, from seeds, and replays each run on the code.

model_replay.py MODELS PROGRAM [--runs N] [--seed S]: --runs for each variant; 50 runs to a seed.
Prints the seed of a batch in which model and code differ, and then ends with status 1.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

BATCH = 50

# Model, and what it is built with.
VARIANTS = [
    ("recovery.pml", {"N": 3, "FAILURES": 1}),
    ("recovery.pml", {"N": 3, "FAILURES": 2}),
    ("recovery.pml", {"N": 4, "FAILURES": 3}),
    ("recovery.pml", {"N": 3, "FAILURES": 2, "JOINS": 1}),
    ("recovery.pml", {"N": 4, "FAILURES": 2, "JOINS": 2}),
    ("ballots.pml", {"N": 3, "FAILURES": 1, "WRONG": 2, "UNCHECKED": 1}),
    ("ballots.pml", {"N": 4, "FAILURES": 2, "WRONG": 1, "UNCHECKED": 1}),
    ("ballots.pml", {"N": 3, "FAILURES": 1, "WRONG": 2, "UNCHECKED": 1,
                     "SLOW": 1}),
]


# With these, the model does what the code does not: the replay must see that.
MUTANTS = [
    ("recovery.pml", {"N": 3, "FAILURES": 2, "SKIP_FIRST_BARRIER": 1, "UNCHECKED": 1}),
    ("recovery.pml", {"N": 3, "FAILURES": 2, "NO_RESTART": 1, "UNCHECKED": 1}),
    ("ballots.pml", {"N": 3, "FAILURES": 1, "WRONG": 1, "MINORITY_DECIDES": 1, "UNCHECKED": 1}),
    ("ballots.pml", {"N": 3, "FAILURES": 1, "WRONG": 1, "NO_CONTEST": 1, "UNCHECKED": 1}),
]


def simulate(models, model, defines, seed):
    """The trace, and whether it ended as it should."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["spin", "-T", f"-n{seed}", "-DTRACE", f"-DRUNS_MAX={BATCH}"]
        command += [f"-D{name}={value}" for name, value in defines.items()]
        command.append(str(models / model))
        spin = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    kind = "start" if model == "recovery.pml" else "ballots"
    trace = f"@ {kind} {defines['N']}\n{spin.stdout}{spin.stderr}"
    return trace, spin.returncode == 0 and "Error" not in trace


def replay(program, trace):
    """What the replay says, and whether it saw a difference."""
    result = subprocess.run([program], input=trace, capture_output=True, text=True, check=False)
    text = result.stdout.strip() + result.stderr
    if result.returncode == 0:
        return text, False
    lines = trace.splitlines()
    if not text.startswith("line "):
        return text, True
    at = int(text.split()[1].rstrip(","))
    first = max(i for i in range(at) if " start " in lines[i] or " ballots " in lines[i])
    return "\n".join(lines[first:at] + [text]), True


def check(models, program, model, defines, seeds):
    name = " ".join([model] + [f"{key}={value}" for key, value in defines.items()])
    steps = 0
    for seed in seeds:
        trace, ended = simulate(models, model, defines, seed)
        text, differs = replay(program, trace)
        if differs or not ended or not text.startswith(f"{BATCH} runs"):
            print(f"{name}: seed {seed}:\n{text if ended else trace[-2000:]}")
            return False
        steps += int(text.split(" steps")[0].split()[-1])
    print(f"{name}: {len(seeds) * BATCH} runs, {steps} steps, seeds {seeds[0]} to {seeds[-1]}: "
          "no difference", flush=True)
    return True


def check_mutant(models, program, model, defines, seeds):
    name = " ".join([model] + [f"{key}={value}" for key, value in defines.items()])
    for seed in seeds:
        trace, _ = simulate(models, model, defines, seed)
        text, differs = replay(program, trace)
        if differs and text.splitlines()[-1].startswith("line "):
            print(f"{name}: seed {seed}: differs, as it should")
            return True
    print(f"{name}: the replay does not see the mutation")
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("program")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="0: from the clock")
    options = parser.parse_args()
    seed = options.seed or int(time.time()) % 1_000_000 + 1
    seeds = range(seed, seed + max(1, options.runs // BATCH))
    models = options.models.resolve()
    good = True
    for model, defines in VARIANTS:
        good &= check(models, options.program, model, defines, seeds)
    for model, defines in MUTANTS:
        good &= check_mutant(models, options.program, model, defines, range(seed, seed + 20))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
