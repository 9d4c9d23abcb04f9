"""What two threads gain, and what the machine has to give: as many single-threaded processes side by side.

    OPENBLAS_NUM_THREADS=1 python benches/threads.py [--only mobilenet] [--rounds 9] [--idle]

Two CPUs that are one core's, or that share its caches and memory, are less than two. So each work first runs
in one process on one CPU, then in two processes at once, each on a CPU of its own: what they do together, by
what one does alone, is the limit of any threading. Linux; some two minutes. `--idle`: what a worker burns
after the last call.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from statistics import median

import numpy as np
import quantray as qt
from measure import cpu_model, load, table
from minilm import minilm, text
from networks import MobileNetV2, resnet18, resnet50, trained_statistics
from quantray import nn
from quantray import quantization as tq

MS = 1e-3
#: How long a process works before it says how fast it was.
TURN = 0.1
Work = Callable[[], object]


def product(m: int, k: int, n: int) -> Work:
    """One of 8-bit matrices, results 8-bit codes."""
    random = np.random.default_rng(2)
    w = random.integers(-127, 128, (n, k), dtype=np.int8)
    linear = qt.ops.PackedLinear(qt.make_per_tensor_quantized_tensor(w, 0.01, 0))
    q = qt.make_per_tensor_quantized_tensor(random.integers(0, 256, (m, k), dtype=np.uint8), 0.02, 7)
    return lambda: linear(q, 0.5, 128)


def network(make: Callable[[], nn.Module]) -> Work:
    """A network for one image, static."""
    nn.manual_seed(0)
    x = np.random.default_rng(2).standard_normal((1, 3, 224, 224), np.float32)
    small = tq.quantize(trained_statistics(make()), [x], verbose=False)
    return lambda: small(x)


def sentences() -> Work:
    """MiniLM for eight sentences of 128 words, dynamic."""
    small, arrays = tq.quantize_dynamic(minilm()), text([128] * 8)
    return lambda: small(*arrays)


WORKS: dict[str, Callable[[], Work]] = {
    **{
        f"product {m} x {k} x {n}": lambda m=m, k=k, n=n: product(m, k, n)
        for m, k, n in [(16, 768, 768), (48, 768, 768), (128, 768, 768), (512, 512, 512), (1, 4096, 4096)]
    },
    "MobileNetV2": lambda: network(MobileNetV2),
    "ResNet-18": lambda: network(resnet18),
    "ResNet-50": lambda: network(resnet50),
    "MiniLM 8 x 128": sentences,
}


def seconds(run: Work, turn: float) -> float:
    """A call's, on average over a turn: a call that another thread interrupted counts as what it took."""
    run()
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < turn:
        run()
        count += 1
    return elapsed / count


def serve(works: Mapping[str, Work], cpu: int, orders: Connection) -> None:
    """A process on one CPU that works in turns, as it is told."""
    os.sched_setaffinity(0, {cpu})
    qt.set_num_threads(1)
    while order := orders.recv():
        name, start = order
        while time.time() < start:
            pass
        orders.send(seconds(works[name], TURN))


def processes(works: Mapping[str, Work], cpus: Sequence[int]) -> list[Connection]:
    """One for each CPU. They begin as copies of this one, which has not entered its pool yet."""
    made = []
    for cpu in cpus:
        here, there = Pipe()
        if os.fork() == 0:
            serve(works, cpu, there)
            os._exit(0)
        made.append(here)
    return made


def ask(name: str, some: Sequence[Connection]) -> list[float]:
    start = time.time() + 2e-3
    for each in some:
        each.send((name, start))
    return [each.recv() for each in some]


def single_calls(run: Work, threads: int, turn: float) -> list[float]:
    """Each call's time: where something else took a CPU for a moment, the median does not see it."""
    qt.set_num_threads(threads)
    run()
    found, until = [], time.perf_counter() + turn
    while (start := time.perf_counter()) < until:
        run()
        found.append(time.perf_counter() - start)
    return found


def row(name: str, run: Work, workers: Sequence[Connection], rounds: int) -> list[str]:
    """One work's times, the limit, and what is reached of it."""
    alone: list[float] = []
    limits: list[float] = []
    one: list[float] = []
    more: list[float] = []
    for _ in range(rounds):
        each = [ask(name, [worker])[0] for worker in workers]
        beside = ask(name, workers)
        alone += each
        limits.append(sum(1 / t for t in beside) / (sum(1 / t for t in each) / len(each)))
        one += single_calls(run, 1, TURN)
        more += single_calls(run, len(workers), TURN)
    gain, limit = median(one) / median(more), median(limits)
    times = [f"{median(t) / MS:.3g}" for t in (alone, one, more)]
    return [name, *times, f"{limit:.2f}", f"{gain:.2f}", f"{gain / limit:.0%}"]


def idle(run: Work, threads: int) -> None:
    """CPU time of this process after a call, in which nothing is to be done."""
    qt.set_num_threads(threads)
    run()
    for pause in (1e-3, 1e-2, 1e-1, 1.0):
        run()
        before = time.process_time()
        time.sleep(pause)
        print(f"{pause * 1e3:.0f} ms after a call: {(time.process_time() - before) * 1e3:.2f} ms of CPU time")


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="those with this in their name")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--idle", action="store_true", help="what workers burn after a call, instead")
    args = parser.parse_args()
    qt.set_num_threads(1)
    works = {name: make() for name, make in WORKS.items() if args.only.lower() in name.lower()}
    cpus = sorted(os.sched_getaffinity(0))[-2:]
    print(f"CPU: {cpu_model()}; load before: {load()}")
    if args.idle:
        idle(next(iter(works.values())), len(cpus))
        return
    workers = processes(works, cpus)
    rows = [row(name, run, workers, args.rounds) for name, run in works.items()]
    for worker in workers:
        worker.send(None)
    header = ["milliseconds", "a process alone", "one thread", "two", "limit", "gain", "share of the limit"]
    table(header, rows)
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
