"""Does the same thing very many times, and prints what that does to the memory of the process.

    python benches/long_runs.py [--quick]

Memory over 100,000 calibration batches, 10,000 conversions, 1,000,000 small calls. Some minutes; --quick: a
tenth. What grows with the count is a leak: the last column is what each step kept in the second half, in
bytes.
"""

import argparse
import gc
import itertools
import resource
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import quantray as qt
from measure import cpu_model, load, table
from quantray import nn
from quantray import quantization as tq

#: How often memory is looked at in a run.
LOOKS = 20
#: Bytes from half of a run to its end from which on memory grows: allocators keep some by themselves.
MOST = 4 << 20


def memory() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def small_model() -> nn.Module:
    nn.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)).eval()


def calibration() -> Iterator[object]:
    """Batches through all observers that keep something."""
    batch = np.random.default_rng(0).standard_normal((4, 16), dtype=np.float32)
    observers = [
        tq.MinMaxObserver(),
        tq.MovingAverageMinMaxObserver(),
        tq.HistogramObserver(),
        tq.MSEObserver(),
    ]
    for i in itertools.count():
        # Ranges grow now and then, which is when histograms change.
        x = batch * np.float32(1 + (i % 97) / 97)
        yield [observer(x) for observer in observers]


def conversion() -> Iterator[object]:
    """A model captured, calibrated and converted, and called once."""
    x = np.random.default_rng(0).standard_normal((8, 16), dtype=np.float32)
    while True:
        yield tq.quantize(small_model(), x, verbose=False)(x)


def small_calls() -> Iterator[object]:
    """A tensor made, looked at, and multiplied."""
    x = np.random.default_rng(0).standard_normal((4, 16), dtype=np.float32)
    w = qt.quantize_per_tensor(x, 0.02, 0, qt.qint8)
    linear = qt.ops.PackedLinear(w)
    while True:
        q = qt.quantize_per_tensor(x, 0.02, 128, qt.quint8)
        yield q[1:].int_repr(), linear(q, scale=0.1, zero_point=0)


def shapes() -> Iterator[object]:
    """A converted model called with ever new batches: plans are made and must be let go."""
    x = np.random.default_rng(0).standard_normal((400, 16), dtype=np.float32)
    model = tq.quantize(small_model(), x, verbose=False)
    for i in itertools.count():
        yield model(x[: 1 + i % 400])


def measured(steps: Callable[[], Iterator[object]], count: int) -> list[str]:
    """A row: memory at a tenth, at half and at the end, and what a step keeps in the second half."""
    run, seen = steps(), []
    start = time.perf_counter()
    for _ in range(LOOKS):
        for _ in range(count // LOOKS):
            next(run)
        gc.collect()
        seen.append(memory())
    elapsed = time.perf_counter() - start
    half = seen[LOOKS // 2 :]
    # The median of the last quarter less that of the third: single looks move by what the allocator keeps.
    quarter = len(half) // 2
    grown = statistics.median(half[quarter:]) - statistics.median(half[:quarter])
    kept = grown / (count / LOOKS * quarter)
    text = [f"{b / 2**20:.1f}" for b in (seen[1], seen[LOOKS // 2], seen[-1])]
    grows = statistics.median(half[quarter:]) - half[0] > MOST
    return [*text, f"{elapsed:.0f}", f"{kept:.2f}", "GROWS" if grows else "no"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the counts")
    quick = parser.parse_args().quick
    print(f"{cpu_model()}, {qt.cpu_info()['isa']}, load {load()}\n")
    runs = {
        "small calls": (small_calls, 1_000_000),
        "calibration batches": (calibration, 100_000),
        "new shapes": (shapes, 100_000),
        "conversions": (conversion, 10_000),
    }
    rows = []
    for name, (steps, count) in runs.items():
        count //= 10 if quick else 1
        rows.append([name, f"{count:,}", *measured(steps, count)])
    header = ["what", "times", "MB at 1/10", "at half", "at the end", "seconds", "bytes kept a time", "grows"]
    table(header, rows)
    print(f"load {load()}")


if __name__ == "__main__":
    main()
