"""What products of 8-bit matrices cost, beside the peers', and as a share of what the CPU can do.

    python benches/products.py [--quick] [--threads 1] [--isa avx2] [--rten]

Layers of many sizes; matrix-vector products as a share of the read bandwidth; time over the number of rows
(`product_rows.py`); each instruction set; two cores (`product_threads.py`). benches/README.md says what the
columns mean. Peers have columns where they can be imported; `--rten` builds rten-gemm, with Cargo.
"""

import argparse
import os

import numpy as np
import product_rows
import product_threads
import quantray as qt
from linear_peers import (
    Rten,
    onnxruntime_dynamic,
    onnxruntime_integers,
    torch_dynamic,
    torch_linear,
)
from measure import Call, compare, load, table
from peers import begin, onnxruntime, torch

RNG = np.random.default_rng(0)
Size = tuple[int, int, int]
SIZES: list[Size] = [(128, 768, 768), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048)]
SIZES += [(16, 768, 3072), (128, 768, 3072), (1, 768, 768), (1, 768, 3072), (1, 4096, 4096), (1, 64, 64)]
PEERS = ["onnxruntime", "torch", "rten-gemm"]
US = 1e-6


class Layer:
    """Operands of one size, and what does something with them."""

    def __init__(self, size: Size, threads: int, unsigned: bool = False) -> None:
        m, k, n = self.size = size
        self.threads = threads
        low = 0 if unsigned else -128
        self.w = RNG.integers(low + 1, low + 256, (n, k), dtype=np.uint8 if unsigned else np.int8)
        self.codes, self.x = RNG.integers(0, 256, (m, k), np.uint8), RNG.standard_normal((m, k), np.float32)
        self.scale = RNG.uniform(0.001, 0.01, n)
        weight = qt.make_per_channel_quantized_tensor(self.w, self.scale, low + 128, 0)
        self.linear = qt.ops.PackedLinear(weight, np.zeros(n))
        self.number = min(300, max(1, int(1e9 / (m * k * n + 3e6))))

    def integers(self, rten: Rten | None = None) -> dict[str, Call]:
        q = qt.make_per_tensor_quantized_tensor(self.codes, 0.02, 7)
        calls = {"quantray": Call(lambda: self.linear(q, 0.5, 128), self.threads)}
        if onnxruntime:
            calls["onnxruntime"] = Call(onnxruntime_integers(self.w, self.codes, self.threads))
        if torch:
            calls["torch"] = Call(torch_linear(self.w, self.codes, self.scale))
        if rten:
            calls["rten-gemm"] = Call(seconds=lambda number: rten.seconds(self.size, number))
        return calls

    def dynamic(self) -> dict[str, Call]:
        calls = {"quantray": Call(lambda: self.linear.dynamic(self.x), self.threads)}
        if onnxruntime:
            calls["onnxruntime"] = Call(onnxruntime_dynamic(self.w, self.x, self.threads))
        if torch and self.w.dtype == np.int8:
            calls["torch"] = Call(torch_dynamic(self.w, self.x, self.scale))
        return calls

    def row(self, calls: dict[str, Call], rounds: int) -> tuple[list[str], float, float]:
        """A line of a table, our seconds and our GOPS."""
        m, k, n = self.size
        times = compare(calls, rounds, self.number, 1)
        own = times["quantray"].median
        best = min((time.median for name, time in times.items() if name in PEERS), default=float("nan"))
        cells = [times[name].text(US) if name in times else "" for name in ["quantray", *PEERS]]
        gops = 2 * m * k * n / own / 1e9
        return [f"{m} x {k} x {n}", *cells, f"{best / own:.2f}", f"{gops:.0f}"], own, gops


def layers(args: argparse.Namespace, peak: float | None, rten: Rten | None, rounds: int) -> None:
    integers, dynamic, vectors = [], [], []
    for size in SIZES:
        layer = Layer(size, args.threads)
        line, _, gops = layer.row(layer.integers(rten), rounds)
        integers.append([*line, f"{gops / peak / args.threads:.0%}" if peak else ""])
        line, own, _ = layer.row(layer.dynamic(), rounds)
        dynamic.append(line)
        nbytes = size[1] * size[2]
        if size[0] == 1 and args.threads == 1 and nbytes >= 1 << 18:
            limit = qt.ops.read_bandwidth(nbytes)
            speeds = [f"{nbytes / own / 1e9:.0f}", f"{limit / 1e9:.0f}", f"{nbytes / own / limit:.2f}"]
            vectors.append([line[0], f"{nbytes / 2**20:.2g}", *speeds])
    header = ["M x K x N", "quantray", *PEERS, "best peer / ours", "GOPS"]
    print("\n## Quantized layers: u8 in, u8 out (onnxruntime, rten-gemm: the int32 sums), microseconds\n")
    table([*header, "of the peak"], integers)
    print("## Dynamic: float32 in and out, microseconds\n")
    table(header, dynamic)
    if vectors:
        print("## The same matrix-vector products, in 10^9 bytes of weights a second\n")
        table(["M x K x N", "MiB", "ours", "reading alone", "share"], vectors)


def kinds(threads: int, rounds: int) -> None:
    """The other kinds of dynamic layers, each in the same turns as the plain one and onnxruntime."""
    rows = []
    for size in [(16, 768, 3072), (128, 768, 3072), (512, 512, 512)]:
        layer, unsigned = Layer(size, threads), Layer(size, threads, unsigned=True)
        calls = {
            "u8 x s8": layer.dynamic()["quantray"],
            "per row": Call(lambda layer=layer: layer.linear.dynamic(layer.x, per_row=True), threads),
            "u8 x u8": unsigned.dynamic()["quantray"],
        }
        if onnxruntime:
            calls["onnxruntime u8 x s8"] = layer.dynamic()["onnxruntime"]
            calls["onnxruntime u8 x u8"] = unsigned.dynamic()["onnxruntime"]
        times = compare(calls, rounds, layer.number, 1)
        rows.append([" x ".join(map(str, size)), *(time.text(US) for time in times.values())])
    print("## Dynamic, of each kind, microseconds\n")
    table(["M x K x N", *calls], rows)


def instruction_sets(rounds: int) -> None:
    """One size on each instruction set, one thread, as a share of its own exact peak."""
    best, peaks, rows = qt.cpu_info()["isa"], qt.ops.peaks(), []
    for isa in qt.cpu_info()["available"]:
        if isa not in peaks:
            continue
        qt.set_isa(isa)
        layer = Layer((1024, 1024, 1024), 1)
        line, _, gops = layer.row({"quantray": layer.integers()["quantray"]}, rounds)
        rows.append([isa, line[1], f"{gops:.0f}", f"{peaks[isa]:.0f}", f"{gops / peaks[isa]:.2f}"])
    qt.set_isa(best)
    print("## 1024 x 1024 x 1024 on each instruction set, microseconds\n")
    table(["instruction set", "quantray", "GOPS", "its peak", "share"], rows)


def main() -> None:
    args, peak = begin(__doc__, lambda parser: parser.add_argument("--rten", action="store_true"))
    if torch:
        torch.set_num_threads(args.threads)
    rounds = 7 if args.quick else 31
    layers(args, peak, Rten(args.threads) if args.rten else None, rounds)
    kinds(args.threads, rounds)
    product_rows.sweep(args.threads, rounds)
    instruction_sets(5 if args.quick else 15)
    if (os.cpu_count() or 1) > 1:
        product_threads.gains(2, rounds)
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
