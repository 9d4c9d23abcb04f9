"""Timing for the benchmarks: whatever is compared runs in turns, so that a slow minute is slow for all."""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import quantray as qt

# A worker of the pool looks for work for this long after a call, which would take a core from the next one.
SETTLE = 300e-6


@dataclass(frozen=True)
class Timing:
    """The median of many runs in seconds; half the middle half's width and the median's error, relative."""

    median: float
    spread: float
    error: float
    best: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Timing":
        low, middle, high = statistics.quantiles(seconds, n=4)
        spread = (high - low) / 2 / middle
        # For a normal distribution; its middle half is 0.674 standard deviations to either side.
        return cls(middle, spread, 1.25 * spread / 0.674 / math.sqrt(len(seconds)), min(seconds))

    def text(self, unit: float) -> str:
        value = self.median / unit
        return f"{value:.3g} ±{self.spread:.0%}" if value < 1000 else f"{value:.0f} ±{self.spread:.0%}"


@dataclass(frozen=True)
class Call:
    """A call to measure, and the threads that quantray may use for it.

    Or something that measures itself: `seconds` for one of so many runs.
    """

    run: Callable[[], object] | None = None
    threads: int = 1
    seconds: Callable[[int], float] | None = None


def run(call: Call, number: int, warm: int, pause: float, clock: Callable[[], float]) -> float:
    """Seconds for one of `number` runs."""
    qt.set_num_threads(call.threads)
    if pause:
        time.sleep(pause)
    else:
        until = time.perf_counter() + SETTLE
        while time.perf_counter() < until:
            pass
    if call.seconds:
        return call.seconds(number)
    for _ in range(warm):
        call.run()
    start = clock()
    for _ in range(number):
        result = call.run()
    elapsed = clock() - start
    del result  # giving memory back is not part of the call
    return elapsed / number


def compare(
    calls: Mapping[str, Call],
    rounds: int,
    number: int = 1,
    warm: int = 0,
    pause: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Measures each call once a round: `number` runs, after `warm` more of them or a `pause`.

    With `time.process_time` as the clock, what other processes take is left out: for calls of one thread.
    """
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):  # the first round only warms up
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            elapsed = run(calls[name], number, warm, pause, clock)
            if turn >= 0:
                seconds[name].append(elapsed)
    return {name: Timing.of(s) for name, s in seconds.items()}


def compare_statements(
    statements: Mapping[str, str], names: dict[str, object], rounds: int
) -> dict[str, Timing]:
    """The same for statements that take nanoseconds, in loops of 2000."""
    timers = {s: timeit.Timer(s, globals=names) for s in statements.values()}
    seconds: dict[str, list[float]] = {name: [] for name in statements}
    for turn in range(-1, rounds):
        for name, statement in statements.items():
            elapsed = timers[statement].timeit(2000) / 2000
            if turn >= 0:
                seconds[name].append(elapsed)
    return {name: Timing.of(s) for name, s in seconds.items()}


IMPORT = """
import json, resource, time
def rss():
    try:
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
import numpy
before, start = rss(), time.perf_counter()
import {module}
print(json.dumps([time.perf_counter() - start, rss() - before]))
"""


def import_costs(modules: Iterable[str], rounds: int) -> dict[str, tuple[Timing, float]]:
    """Seconds and bytes that each import costs a process that has NumPy; processes of its own for each."""
    costs: dict[str, list[tuple[float, float]]] = {module: [] for module in modules}
    for turn in range(-1, rounds):
        for module, measured in costs.items():
            command = [sys.executable, "-W", "ignore", "-c", IMPORT.replace("{module}", module)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            if turn >= 0:
                measured.append(tuple(json.loads(done.stdout)))
    return {
        module: (Timing.of([t for t, _ in measured]), statistics.median(b for _, b in measured))
        for module, measured in costs.items()
    }


def cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.split(":")[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def load() -> str:
    """How busy the machine is with other things, where that is known."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def others() -> float:
    """CPU seconds that other processes and other guests of the machine have used, where that is known."""
    try:
        with open("/proc/stat") as f:
            user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    except (OSError, ValueError):
        return math.nan
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:2])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a Markdown table with aligned columns."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * w for w in widths])
    for line in lines:
        print("| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |")
    print(flush=True)
