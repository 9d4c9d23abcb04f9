"""Models and single layers in float32, by programs, beside peers' float32: time, and the share of the peak.

    pip install torch onnx onnxruntime openvino          # peers; each has a column where it can be imported
    OPENBLAS_NUM_THREADS=1 python benches/float_models.py [--quick] [--threads 1] [--only layers]

benches/README.md says what the columns mean. The share counts each product and each sum of the definition,
also those with padding, against the fused multiply-adds of one core's registers (`quantray.ops.peaks`).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import quantray as qt
from engines import Engine, of_onnxruntime, of_openvino, of_torch, openvino, ours
from measure import Call, compare, load, table
from minilm import minilm, text
from minilm_peers import export, torch_minilm
from networks import MobileNetV2, resnet18, resnet50, trained_statistics
from onnx_models import as_onnx
from peers import begin, onnx, onnxruntime, torch
from quantray import nn
from quantray.quantization._floating import FloatProgram

MS = 1e-3
COLUMNS = ("quantray", "onnxruntime", "OpenVINO", "torch")
NETWORKS = {"ResNet-18": resnet18, "ResNet-50": resnet50, "MobileNetV2": MobileNetV2}
TEXTS = {"MiniLM 1 x 16": [16], "MiniLM 1 x 128": [128], "MiniLM 8 x 128": [128] * 8}
#: Channels, outputs, kernel, stride, groups, pixels of a side.
LAYERS = [
    (3, 64, 7, 2, 1, 224), (3, 32, 3, 2, 1, 224), (64, 64, 3, 1, 1, 56), (128, 128, 3, 1, 1, 28),
    (256, 256, 3, 1, 1, 14), (512, 512, 3, 1, 1, 7), (64, 128, 3, 2, 1, 56), (64, 256, 1, 1, 1, 56),
    (16, 96, 1, 1, 1, 112), (96, 24, 1, 1, 1, 56), (24, 144, 1, 1, 1, 56), (160, 960, 1, 1, 1, 7),
    (32, 32, 3, 1, 32, 112), (96, 96, 3, 2, 96, 112), (144, 144, 3, 1, 144, 56), (960, 960, 3, 1, 960, 7),
    (128, 128, 3, 1, 32, 28),
]  # fmt: skip
ROWS = [(1, 768, 3072), (16, 768, 3072), (128, 768, 768), (512, 512, 512), (1024, 384, 1536)]


def by_program(model: nn.Module) -> nn.Module:
    """The model, which runs by programs from now on."""
    model.__dict__["_runner"] = FloatProgram()
    return model.eval()


def peers(model: nn.Module, x: np.ndarray, threads: int) -> dict[str, Engine]:
    """The same network in runtimes that read ONNX."""
    found: dict[str, Engine] = {}
    if not onnx:
        return found
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "float.onnx"))
        onnx.save(as_onnx(model, x), path)
        return of_file(path, threads)


def of_file(path: str, threads: int) -> dict[str, Engine]:
    """The runtimes that there are, of an ONNX file."""
    found: dict[str, Engine] = {}
    if onnxruntime:
        found["onnxruntime"] = of_onnxruntime(path, threads)
    if openvino:
        model = openvino.Core().read_model(path)
        found["OpenVINO"] = of_openvino(model, threads, INFERENCE_PRECISION_HINT="f32")
    return found


def measure(
    name: str,
    engines: Mapping[str, Engine],
    arrays: tuple[np.ndarray, ...],
    args: argparse.Namespace,
    work: float = 0.0,
) -> list[str]:
    """One row: times in turns, the greatest difference, and the share of the peak for so many operations."""
    bound = {column: engine(*arrays) for column, engine in engines.items()}
    mine = bound["quantray"].output()
    start = args.clock()
    bound["quantray"].run()
    once = max(args.clock() - start, 1e-6)
    off = max(
        (float(np.abs(mine - b.output()).max()) for c, b in bound.items() if c != "quantray"), default=0.0
    )
    number = max(1, min(200, int(0.02 / once)))
    calls = {column: Call(each.run, args.threads) for column, each in bound.items()}
    times = compare(calls, 9 if args.quick else 31, number, max(1, number // 10), clock=args.clock)
    own = times["quantray"].median
    cells = [times[c].text(MS) if c in times else "" for c in COLUMNS]
    ratios = [f"{times[c].median / own:.2f}" if c in times else "" for c in COLUMNS[1:]]
    share = f"{work / own / 1e9 / args.peak:.0%}" if work and args.peak else ""
    return [name, *cells, *ratios, share, f"{off / max(float(np.abs(mine).max()), 1e-30):.0e}"]


def networks(args: argparse.Namespace) -> list[list[str]]:
    """Networks for images."""
    rows = []
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    for name, make in NETWORKS.items():
        nn.manual_seed(0)
        model = trained_statistics(make())
        engines = peers(model, x, args.threads)
        rows.append(measure(name, {"quantray": ours(by_program(model)), **engines}, (x,), args))
    return rows


def encoders(args: argparse.Namespace) -> list[list[str]]:
    """MiniLM, whose heads are cut by hand in the peers' model."""
    model = minilm()
    engines: dict[str, Engine] = {}
    if torch:
        torch.set_num_threads(args.threads)
        exact = torch_minilm(model.state_dict())
        engines["torch"] = of_torch(exact)
        if onnx:
            with tempfile.TemporaryDirectory() as folder:
                path = str(Path(folder, "float.onnx"))
                export(exact, path)
                engines |= of_file(path, args.threads)
    engines["quantray"] = ours(by_program(model))
    return [measure(name, engines, text(lengths), args) for name, lengths in TEXTS.items()]


def layers(args: argparse.Namespace) -> list[list[str]]:
    """Convolutions with ReLU, and linear layers."""
    rows, random = [], np.random.default_rng(0)
    for inputs, outputs, kernel, stride, groups, side in LAYERS:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
        model = nn.Sequential(conv, nn.ReLU()).eval()
        x = random.standard_normal((1, inputs, side, side), dtype=np.float32)
        made = (side + kernel // 2 * 2 - kernel) // stride + 1
        work = 2.0 * made * made * outputs * (inputs // groups) * kernel**2
        engines = peers(model, x, args.threads)
        name = f"{inputs} -> {outputs}, {kernel}x{kernel}" + f"/{stride}" * (stride > 1) + f" @{side}"
        name += f", {groups} groups" * (groups > 1)
        rows.append(measure(name, {"quantray": ours(by_program(model)), **engines}, (x,), args, work))
    for count, inputs, outputs in ROWS:
        model = nn.Sequential(nn.Linear(inputs, outputs)).eval()
        x = random.standard_normal((count, inputs), dtype=np.float32)
        engines = peers(model, x, args.threads)
        name, work = f"linear {count} x {inputs} x {outputs}", 2.0 * count * inputs * outputs
        rows.append(measure(name, {"quantray": ours(by_program(model)), **engines}, (x,), args, work))
    return rows


PARTS = {"networks": networks, "encoders": encoders, "layers": layers}


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
    args.peak = qt.ops.peaks().get("float32")
    if args.peak:
        print(f"peak of one core's registers in float32: {args.peak:.0f} GFLOPS")
    qt.set_num_threads(args.threads)
    if hasattr(os, "sched_setaffinity"):
        # The last ones: the first has the system's interrupts.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-args.threads :])
    header = ["", *(f"{c}, ms" for c in COLUMNS), *(f"{c} / ours" for c in COLUMNS[1:]), "of peak", "off by"]
    for name, part in PARTS.items():
        if args.only in (None, name):
            print(f"\n## {part.__doc__}\n")
            table(header, part(args))
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
