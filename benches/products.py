"""What products of 8-bit matrices cost, beside onnxruntime's and torch's, and as a share of the peak.

    python benches/products.py [--quick] [--threads 1] [--isa avx2]

benches/README.md says what the columns mean. Peers have columns where they can be imported.
"""

from collections.abc import Callable

import numpy as np
import quantray as qt
from measure import Call, compare, load, table
from peers import begin, onnx, onnxruntime, onnxruntime_session, torch

RNG = np.random.default_rng(0)
SIZES = [(128, 768, 768), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (16, 768, 3072)]
SIZES += [(128, 768, 3072), (1, 768, 768), (1, 768, 3072), (1, 4096, 4096), (1, 64, 64)]
US = 1e-6


def onnxruntime_integers(w: np.ndarray, codes: np.ndarray, threads: int) -> Callable[[], object]:
    """MatMulInteger: the sums, nothing fused."""
    make, kind = onnx.helper, onnx.TensorProto
    session = onnxruntime_session(
        [make.make_node("MatMulInteger", ["x", "w", "z"], ["y"])],
        [make.make_tensor_value_info("x", kind.UINT8, ["M", w.shape[1]])],
        [make.make_tensor_value_info("y", kind.INT32, ["M", w.shape[0]])],
        [onnx.numpy_helper.from_array(w.T.copy(), "w"), onnx.numpy_helper.from_array(np.uint8(7), "z")],
        threads,
    )
    return lambda: session.run(None, {"x": codes})


def onnxruntime_dynamic(w: np.ndarray, x: np.ndarray, threads: int) -> Callable[[], object]:
    """DynamicQuantizeLinear, MatMulInteger, Cast, Mul: fused into DynamicQuantizeMatMul."""
    make, kind = onnx.helper, onnx.TensorProto
    session = onnxruntime_session(
        [
            make.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            make.make_node("MatMulInteger", ["q", "w", "z"], ["i"]),
            make.make_node("Cast", ["i"], ["f"], to=kind.FLOAT),
            make.make_node("Mul", ["s", "ws"], ["t"]),
            make.make_node("Mul", ["f", "t"], ["y"]),
        ],
        [make.make_tensor_value_info("x", kind.FLOAT, ["M", w.shape[1]])],
        [make.make_tensor_value_info("y", kind.FLOAT, ["M", w.shape[0]])],
        [onnx.numpy_helper.from_array(w.T.copy(), "w"), onnx.numpy_helper.from_array(np.float32(0.01), "ws")],
        threads,
    )
    return lambda: session.run(None, {"x": x})


def torch_linear(w: np.ndarray, codes: np.ndarray, scale: np.ndarray) -> Callable[[], object]:
    zeros = torch.zeros(len(scale), dtype=torch.long)
    weight = torch._make_per_channel_quantized_tensor(torch.tensor(w), torch.tensor(scale), zeros, 0)
    packed = torch.ops.quantized.linear_prepack(weight, torch.zeros(len(scale)))
    x = torch._make_per_tensor_quantized_tensor(torch.tensor(codes), 0.02, 7)
    return lambda: torch.ops.quantized.linear(x, packed, 0.5, 128)


def torch_dynamic(w: np.ndarray, x: np.ndarray, scale: np.ndarray) -> Callable[[], object]:
    zeros = torch.zeros(len(scale), dtype=torch.long)
    weight = torch._make_per_channel_quantized_tensor(torch.tensor(w), torch.tensor(scale), zeros, 0)
    packed, values = torch.ops.quantized.linear_prepack(weight, torch.zeros(len(scale))), torch.tensor(x)
    return lambda: torch.ops.quantized.linear_dynamic(values, packed)


def measure(size: tuple[int, int, int], threads: int, rounds: int) -> tuple[list[str], list[str], float]:
    """Lines of the tables of quantized and of dynamic layers, and our GOPS in the first."""
    m, k, n = size
    w = RNG.integers(-127, 128, (n, k), dtype=np.int8)
    codes, x = RNG.integers(0, 256, (m, k), dtype=np.uint8), RNG.standard_normal((m, k), dtype=np.float32)
    scale = RNG.uniform(0.001, 0.01, n)
    linear = qt.ops.PackedLinear(qt.make_per_channel_quantized_tensor(w, scale, 0, 0), np.zeros(n))
    q = qt.make_per_tensor_quantized_tensor(codes, 0.02, 7)
    integers = {"quantray": Call(lambda: linear(q, 0.5, 128), threads)}
    dynamic = {"quantray": Call(lambda: linear.dynamic(x), threads)}
    if onnxruntime:
        integers["onnxruntime"] = Call(onnxruntime_integers(w, codes, threads), threads)
        dynamic["onnxruntime"] = Call(onnxruntime_dynamic(w, x, threads), threads)
    if torch:
        torch.set_num_threads(threads)
        integers["torch"] = Call(torch_linear(w, codes, scale), threads)
        dynamic["torch"] = Call(torch_dynamic(w, x, scale), threads)
    number = max(1, int(3e9 / (m * k * n + 3e6) / 3))
    lines, gops = [], 0.0
    for calls in (integers, dynamic):
        times = compare(calls, rounds, min(number, 300), 1)
        own = times["quantray"].median
        rate = 2 * m * k * n / own / 1e9
        gops = gops or rate
        peers = [name for name in ("onnxruntime", "torch") if name in times]
        best = min((times[name].median for name in peers), default=float("nan"))
        cells = [times[name].text(US) if name in times else "" for name in ("onnxruntime", "torch")]
        lines.append(
            [f"{m} x {k} x {n}", times["quantray"].text(US), *cells, f"{best / own:.2f}", f"{rate:.0f}"]
        )
    return lines[0], lines[1], gops


def main() -> None:
    args, peak = begin(__doc__)
    results = [measure(size, args.threads, 7 if args.quick else 31) for size in SIZES]
    header = ["M x K x N", "quantray", "onnxruntime", "torch", "best peer / ours", "GOPS"]
    share = [f"{gops / peak / args.threads:.0%}" if peak else "" for _, _, gops in results]
    print("\n## Quantized layers: u8 in, u8 out (onnxruntime: the int32 sums), microseconds\n")
    table([*header, "of the peak"], [[*line, s] for (line, _, _), s in zip(results, share, strict=True)])
    print("## Dynamic: float32 in and out, microseconds\n")
    table(header, [line for _, line, _ in results])
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
