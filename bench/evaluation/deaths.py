"""What the survivors of a cell's death have noted of it, as times after the kill."""

import os
import random
import statistics

from machine import wait_for

# In this order; each is a moment that a survivor's account has (docs/agreement.md).
MOMENTS = ["noticed", "known_off", "closed", "passed", "discarded", "settled"]


def processor_ms(pids):
    """Processor time that these processes have used so far, by Linux's exact count."""
    total_ns = 0
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    total_ns += int(file.read().split()[0])
        except OSError:  # a thread has ended
            pass
    return total_ns / 1e6


def death_of(machine, cell, incarnation):
    """With the accounts of all survivors, which are written after the recovery."""
    def written():
        for death in machine.deaths():
            if (death["cell"], death["incarnation"]) == (cell, incarnation):
                return death if len(death["accounts"]) >= machine.cells - 1 else None
        return None
    return wait_for(written, f"the accounts of the death of cell {cell}", pause_s=0.1)


def moments_ms(at_ns, accounts):
    """Until the first survivor had noticed, and the last one had come to each other moment."""
    times = [account["times_ns"] for account in accounts]
    ends = {name: max(time[name] for time in times) for name in MOMENTS[1:]}
    # On a busy host somebody may have been suspecting it already, for being slow.
    ends["noticed"] = max(at_ns, min(time["noticed"] for time in times))
    figures = {name: (ends[name] - at_ns) / 1e6 for name in MOMENTS}
    # The last to know is not the one who has the most to take back.
    figures["longest_take_back"] = max(t["closed"] - t["known_off"] for t in times) / 1e6
    figures["longest_discard"] = max(t["discarded"] - t["passed"] for t in times) / 1e6
    return figures


def kill_once(machine, victim, way="kill"):
    """One death of the victim; the machine is whole again afterwards."""
    status = machine.status()
    others = [c["pid"] for c in status["cells"] if c["id"] != victim]
    used = processor_ms(others)
    incarnation, at_ns = machine.kill(victim) if way == "kill" else machine.hang(victim)
    death = death_of(machine, victim, incarnation)
    figures = moments_ms(at_ns, death["accounts"])
    figures["lost_bytes"] = sum(lost["bytes"] for lost in death["lost"]["ranges"])
    machine.wait_whole()
    # With the writing of the accounts and the taking back of the cell.
    figures["processor_ms_per_survivor"] = (processor_ms(others) - used) / len(others)
    return figures


def kills(machine, count, seed, way="kill", victims=None):
    dice = random.Random(seed)
    victims = victims or range(machine.cells)
    return [kill_once(machine, dice.choice(list(victims)), way) for _ in range(count)]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, round(share * (len(values) - 1)))]


def summary(figures):
    """For each moment its median, 99th percentile (of so few: the worst but one) and worst."""
    return {name: {"p50": statistics.median(values), "p99": percentile(values, 0.99),
                   "max": max(values)}
            for name in figures[0] for values in [[figure[name] for figure in figures]]}
