"""What the tensor's kernels and calls cost on this machine, beside a plain copy of as many bytes, and torch.

    python benches/tensor.py [--quick] [--threads 2] [--wheel quantray-....whl]

benches/README.md says what the columns mean. Torch has a column where it can be imported, on one thread.
"""

import argparse
import math
import os
import platform
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import quantray as qt
from measure import Call, Timing, compare, compare_statements, cpu_model, import_costs, load, table

try:
    import torch

    torch.set_num_threads(1)  # of OpenMP and MKL too
    warnings.filterwarnings("ignore", module="torch")
    warnings.filterwarnings("ignore", message=".*(quantized|quantize).*")
except ImportError:
    torch = None

SIDE = 4096
N = SIDE * SIDE  # 2^24 elements: 64 MB of float32
SCALE, ZERO = 0.03, 128
MS, US, NS = 1e-3, 1e-6, 1e-9
RNG = np.random.default_rng(0)


def verdict(met: bool) -> str:
    return "yes" if met else "MISSED"


def copy_of(nbytes: int) -> Callable[[], object]:
    """A plain NumPy copy that reads and writes `nbytes` in all."""
    source, target = np.ones(nbytes // 2, np.uint8), np.ones(nbytes // 2, np.uint8)
    return lambda: np.copyto(target, source)


class Arrays:
    """The inputs and outputs of the large works."""

    def __init__(self, n: int = N) -> None:
        self.x = RNG.standard_normal(n, dtype=np.float32)
        self.codes = np.ones(n, np.uint8)
        self.floats = np.ones(n, np.float32)
        self.q = qt.quantize_per_tensor(self.x, SCALE, ZERO, qt.quint8)

    def into_out(self) -> dict[str, tuple[Callable[[], object], int]]:
        """Each work with outputs given, and the bytes that it must read and write for one element."""
        x, codes, floats, q = self.x, self.codes, self.floats, self.q
        return {
            "quantize": (lambda: qt.quantize_per_tensor(x, SCALE, ZERO, qt.quint8, out=codes), 5),
            "dequantize": (lambda: q.dequantize(out=floats), 5),
            "fake_quantize": (
                lambda: qt.fake_quantize_per_tensor_affine(x, SCALE, ZERO, 0, 255, out=floats),
                8,
            ),
            "min_max": (lambda: qt.min_max(x), 4),
        }

    def fresh(self) -> dict[str, tuple[Callable[[], object], int]]:
        """Each work that makes its output, and the bytes of the output for one element."""
        x, q = self.x, self.q
        return {
            "quantize": (lambda: qt.quantize_per_tensor(x, SCALE, ZERO, qt.quint8), 1),
            "dequantize": (lambda: q.dequantize(), 4),
            "fake_quantize": (lambda: qt.fake_quantize_per_tensor_affine(x, SCALE, ZERO, 0, 255), 4),
        }

    def torch(self) -> dict[str, Callable[[], object]]:
        if torch is None:
            return {}
        x = torch.from_numpy(self.x)
        q = torch.quantize_per_tensor(x, SCALE, ZERO, torch.quint8)
        return {
            "quantize": lambda: torch.quantize_per_tensor(x, SCALE, ZERO, torch.quint8),
            "dequantize": lambda: q.dequantize(),
            "fake_quantize": lambda: torch.fake_quantize_per_tensor_affine(x, SCALE, ZERO, 0, 255),
            "min_max": lambda: torch.aminmax(x),
        }


def large(arrays: Arrays, threads: int, rounds: int) -> None:
    """2^24 elements, beside the copy that moves as many bytes and the price of fresh memory."""
    print(f"## 2^24 elements (milliseconds; {rounds} rounds)\n")
    into, fresh, by_torch = arrays.into_out(), arrays.fresh(), arrays.torch()
    rows, results, best = [], [], 0.0
    for name, (work, width) in into.items():
        calls = {"one": Call(work), "many": Call(work, threads)}
        if name == "min_max":
            integers = arrays.x.view(np.int64)
            calls["plain"] = Call(lambda integers=integers: integers.max())
        else:
            calls["plain"] = Call(copy_of(width * N))
            fresh_work, out_width = fresh[name]
            memory = np.ones(out_width * N, np.uint8)
            target = np.ones_like(memory)
            calls |= {"fresh one": Call(fresh_work), "fresh many": Call(fresh_work, threads)}
            calls["a.copy()"] = Call(memory.copy)
            calls["np.copyto"] = Call(lambda m=memory, t=target: np.copyto(t, m))
        if name in by_torch:
            calls["torch"] = Call(by_torch[name])
        t = compare(calls, rounds)
        if name != "min_max":
            best = max(best, width * N / t["plain"].median)
        results.append((name, width, t))
    for name, width, t in results:
        plain = t["plain"].median
        share = 0.9 if name == "min_max" else 0.8
        reference = "NumPy's int64 max" if name == "min_max" else "copy"
        price = t["a.copy()"].median - t["np.copyto"].median if "a.copy()" in t else 0.0
        for kind in ("", "fresh "):
            if f"{kind}one" not in t:
                continue
            goal = plain / share + (price if kind else 0.0)
            ours = t[f"{kind}one"].median
            in_torch = "torch" in t and (kind or "fresh one" not in t)
            rows.append([
                f"{name}, {'fresh' if kind else 'out=' if 'fresh one' in t else 'result'}",
                t[f"{kind}one"].text(MS),
                t[f"{kind}many"].text(MS),
                t["torch"].text(MS) if in_torch else "",
                f"{t['plain'].text(MS)} ({reference})",
                f"{price / MS:.2f}" if kind else "",
                f"{plain / (ours - (price if kind else 0.0)):.2f} of {share}",
                f"{width * N / best / ours:.0%}",
                f"{goal / MS:.2f}",
                verdict(ours <= goal),
            ])  # fmt: skip
    header = ["work", "1 thread", f"{threads} threads", "torch", "plain NumPy", "fresh memory"]
    table([*header, "speed / plain", "of the limit", "target", "met"], rows)
    print(
        f"The limit: {best / 1e9:.1f} GB/s, the fastest plain copy above, bytes read and written together.\n"
    )


def per_channel(arrays: Arrays, threads: int, rounds: int) -> None:
    """4096 x 4096, relative to per tensor in the same rounds."""
    print(f"## Per channel, {SIDE} x {SIDE} (milliseconds; {rounds} rounds)\n")
    x, codes = arrays.x.reshape(SIDE, SIDE), arrays.codes.reshape(SIDE, SIDE)
    scales, zeros = RNG.uniform(0.01, 0.05, SIDE), RNG.integers(100, 156, SIDE)
    rows = []
    for kind, out in (("out=", codes), ("fresh", None)):
        calls = {}
        for count in (1, threads):
            calls[f"tensor {count}"] = Call(
                lambda out=out: qt.quantize_per_tensor(x, SCALE, ZERO, qt.quint8, out=out), count
            )
            for axis in (0, 1):
                calls[f"axis {axis} {count}"] = Call(
                    lambda out=out, a=axis: qt.quantize_per_channel(x, scales, zeros, a, qt.quint8, out=out),
                    count,
                )
        if torch is not None and out is None:
            args = torch.from_numpy(x), torch.from_numpy(scales), torch.from_numpy(zeros)
            for axis in (0, 1):
                calls[f"torch {axis}"] = Call(
                    lambda a=axis, args=args: torch.quantize_per_channel(*args, a, torch.quint8)
                )
        t = compare(calls, rounds)
        for axis in (0, 1):
            ratio = t[f"axis {axis} 1"].median / t["tensor 1"].median
            rows.append([
                f"quantize axis {axis}, {kind}",
                t[f"axis {axis} 1"].text(MS),
                t[f"axis {axis} {threads}"].text(MS),
                t[f"torch {axis}"].text(MS) if f"torch {axis}" in t else "",
                t["tensor 1"].text(MS),
                f"{ratio:.2f} of 1.15",
                verdict(ratio <= 1.15),
            ])  # fmt: skip
    header = ["work", "1 thread", f"{threads} threads", "torch", "per tensor, 1 thread", "time / per tensor"]
    table([*header, "met"], rows)


def scaling(threads: int, rounds: int, pauses: list[float]) -> None:
    """Several threads against one: back to back, and after pauses."""
    print(f"## {threads} threads against one, into out= (microseconds a call; {rounds} rounds)\n")
    ceiling = shared_bandwidth(threads, rounds)
    print(f"Memory: {threads} plain copies of 40 MB at once move {ceiling:.2f} times what one moves.\n")
    rows = []
    for power in (16, 18, 20, 24):
        n = 1 << power
        for name, (work, width) in Arrays(n).into_out().items():
            number = (1 << 27) // n  # some 10 ms: the scheduler takes its time to part threads
            calls = {"one": Call(work), "many": Call(work, threads)}
            t = compare(calls, rounds, number, warm=number)
            gain = t["one"].median / t["many"].median
            goal = (
                0.9 * threads
                if width * n <= qt.cpu_info()["last_level_cache"]
                else min(0.9 * threads, ceiling)
            )
            row = [f"{name} 2^{power}", t["one"].text(US), t["many"].text(US), f"{gain:.2f} of {goal:.2f}"]
            slower = is_slower(t["one"], t["many"])
            for pause in pauses:
                if power == 24:
                    row.append("")
                    continue
                t = compare(calls, rounds, pause=pause)
                gain_after = t["one"].median / t["many"].median
                slower |= is_slower(t["one"], t["many"])
                row.append(f"{t['one'].text(US)} / {t['many'].text(US)} = {gain_after:.2f}")
            rows.append([*row, verdict(gain >= goal), verdict(not slower)])
    header = ["work", "1 thread", f"{threads} threads", "gain", *(f"after {p * 1e3:.0f} ms" for p in pauses)]
    table([*header, "gain met", "never slower"], rows)


def is_slower(one: Timing, many: Timing) -> bool:
    """Whether several threads are slower than one, beyond what the noise explains."""
    return many.median > one.median * (1 + 2 * math.hypot(one.error, many.error))


def shared_bandwidth(threads: int, rounds: int) -> float:
    """How many times the bytes of one copy that many copies at once move in the same time."""
    copies = [copy_of(80 << 20) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        calls = {
            "one": Call(lambda: pool.submit(copies[0]).result()),
            "all": Call(lambda: [done.result() for done in [pool.submit(c) for c in copies]]),
        }
        t = compare(calls, rounds)
    return threads * t["one"].median / t["all"].median


def small_calls(rounds: int) -> None:
    """64 elements: what a call costs."""
    print(f"## 64 elements (nanoseconds a call; {rounds} rounds of 2000)\n")
    x = RNG.standard_normal(64, dtype=np.float32)
    names: dict[str, Any] = {"x": x, "qt": qt, "q": qt.quantize_per_tensor(x, SCALE, ZERO, qt.quint8)}
    works = {
        "quantize": ("{m}.quantize_per_tensor({x}, 0.03, 128, {m}.quint8)", 500),
        "dequantize": ("{q}.dequantize()", 400),
        "int_repr": ("{q}.int_repr()", 150),
        "q[3]": ("{q}[3]", 300),
        "q[3] = 0.44": ("{q}[3] = 0.44", 400),
    }
    statements = {name: s.format(m="qt", x="x", q="q") for name, (s, _) in works.items()}
    if torch is not None:
        tx = torch.from_numpy(x)
        tq = torch.quantize_per_tensor(tx, SCALE, ZERO, torch.quint8)
        names |= {"torch": torch, "tx": tx, "tq": tq}
        statements |= {f"torch {n}": s.format(m="torch", x="tx", q="tq") for n, (s, _) in works.items()}
    t = compare_statements(statements, names, rounds)
    rows = [
        [
            name,
            t[name].text(NS),
            t[f"torch {name}"].text(NS) if f"torch {name}" in t else "",
            str(goal),
            verdict(t[name].median <= goal * NS),
        ]
        for name, (_, goal) in works.items()
    ]
    table(["call", "quantray", "torch", "target", "met"], rows)


def installation(rounds: int, wheel: Path | None) -> None:
    """What importing costs a process that has NumPy, and the size of a wheel."""
    print(f"## Import, on top of `import numpy` ({rounds} rounds)\n")
    costs: Mapping[str, tuple[Timing, float]] = import_costs(
        ["quantray", *(["torch"] if torch is not None else [])], rounds
    )
    rows = []
    for module, (seconds, nbytes) in costs.items():
        met = verdict(seconds.median <= 30 * MS and nbytes <= 15e6) if module == "quantray" else ""
        rows.append([module, f"{seconds.text(MS)} ms", f"{nbytes / 1e6:.1f} MB", "30 ms, 15 MB", met])
    if wheel is not None:
        size = wheel.stat().st_size / 1e6
        rows.append([wheel.name, "", f"{size:.2f} MB", "3 MB", verdict(size <= 3)])
    table(["what", "time", "memory / size", "target", "met"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds: a first impression in half a minute"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of the second column (default: 2)")
    parser.add_argument("--wheel", type=Path, help="a wheel whose size to report")
    args = parser.parse_args()
    info = qt.cpu_info()
    print(f"CPU: {cpu_model()}, {os.cpu_count()} cores, last-level cache {info['last_level_cache'] >> 20} MB")
    print(f"instruction set: {info['isa']} (of {', '.join(info['available'])}); load before: {load()}")
    versions = f"quantray {qt.__version__}, NumPy {np.__version__}, Python {platform.python_version()}"
    print(f"{versions}, torch {torch.__version__ if torch else 'not installed'}; {sys.platform}\n")
    rounds = 7 if args.quick else 41
    arrays = Arrays()
    large(arrays, args.threads, rounds)
    per_channel(arrays, args.threads, rounds)
    scaling(args.threads, rounds, [0.01] if args.quick else [0.01, 0.05, 0.1])
    small_calls(7 if args.quick else 61)
    installation(5 if args.quick else 21, args.wheel)
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
