"""What layers cost whose weight alone is quantized, in groups, beside onnxruntime's and NumPy's float32.

    OPENBLAS_NUM_THREADS=1 python benches/weight_only.py [--quick] [--threads 1] [--isa avx2]

benches/README.md says what the columns mean. onnxruntime has columns where it can be imported.
"""

import argparse
from collections.abc import Callable

import numpy as np
import quantray as qt
from measure import Call, compare, load, table
from peers import begin, onnx, onnxruntime, onnxruntime_options

RNG = np.random.default_rng(0)
N = K = 4096
INPUT_BITS = (24, 16, 8)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 512)
# Layers that take turns, so that each one's weight has left the caches when its turn comes.
LAYERS = 24
US = 1e-6


def matmul_nbits(linear: qt.ops.PackedWeightOnlyLinear, threads: int, level: int):
    """MatMulNBits of the same codes; at accuracy level 4 inputs are quantized to 8 bits too."""
    make, kind, codes = onnx.helper, onnx.TensorProto, linear.codes()
    if linear.bits == 4:
        codes = codes[:, ::2] | codes[:, 1::2] << 4
    blocks = codes.reshape(N, K // linear.group_size, -1)
    constants = [
        onnx.numpy_helper.from_array(blocks, "w"),
        onnx.numpy_helper.from_array(linear.scales().ravel(), "s"),
    ]
    attributes = {"K": K, "N": N, "bits": linear.bits, "block_size": linear.group_size}
    node = make.make_node(
        "MatMulNBits", list("xws"), ["y"], domain="com.microsoft", accuracy_level=level, **attributes
    )
    inputs, outputs = (
        make.make_tensor_value_info(n, kind.FLOAT, ["M", size]) for n, size in (("x", K), ("y", N))
    )
    graph = make.make_graph([node], "g", [inputs], [outputs], constants)
    imports = [make.make_opsetid("", 13), make.make_opsetid("com.microsoft", 1)]
    model = make.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
    return onnxruntime.InferenceSession(model, onnxruntime_options(threads), ["CPUExecutionProvider"])


def onnxruntime_call(session, x: np.ndarray) -> Callable[[], object]:
    return lambda: session.run(None, {"x": x})


def with_bits(linear: qt.ops.PackedWeightOnlyLinear, input_bits: int) -> qt.ops.PackedWeightOnlyLinear:
    """The same weight in memory of its own, for inputs that keep so many bits."""
    own = (linear.codes(), linear.scales(), linear.zero_points(), linear.bias())
    return linear.from_codes(*own, linear.bits, linear.group_size, input_bits)


def bandwidth(args: argparse.Namespace, weight: np.ndarray, rounds: int) -> None:
    """One row of inputs: bytes of the packed weight a second, from the caches and from memory."""
    rows, x, out = [], RNG.standard_normal((1, K), dtype=np.float32), np.empty((1, N), np.float32)
    for bits, group in ((4, 32), (4, 64), (4, 128), (8, 32), (8, 128)):
        for input_bits in INPUT_BITS:
            layers = [
                with_bits(qt.ops.PackedWeightOnlyLinear(weight, bits=bits, group_size=group), input_bits)
            ]
            # Unpickled ones have memory of their own.
            layers += [with_bits(layers[0], input_bits) for _ in range(LAYERS - 1)]

            def all_of_them(layers: list = layers) -> None:
                for layer in layers:
                    layer(x, out=out)

            calls = {
                "cached": Call(lambda layer=layers[0]: layer(x, out=out), args.threads),
                "memory": Call(all_of_them, args.threads),
            }
            times = {
                "cached": compare({"cached": calls["cached"]}, rounds, 20, 2)["cached"].median,
                "memory": compare({"memory": calls["memory"]}, max(rounds // 2, 3), 1, 1)["memory"].median
                / LAYERS,
            }
            nbytes = layers[0].nbytes
            cells = [f"int{bits}", str(group), str(input_bits), f"{nbytes / 1e6:.1f}"]
            for where, size in (("cached", nbytes), ("memory", nbytes * LAYERS)):
                limit = qt.ops.read_bandwidth(size)
                speed = nbytes / times[where]
                cells += [
                    f"{times[where] / US:.0f}",
                    f"{speed / 1e9:.0f}",
                    f"{limit / 1e9:.0f}",
                    f"{speed / limit:.2f}",
                ]
            rows.append(cells)
    print(f"\n## 1 x {K} x {N}: microseconds, and 10^9 bytes of packed weights a second\n")
    each = ["us", "GB/s", "reading alone", "share"]
    table(
        [
            "weight",
            "group",
            "input bits",
            "MB",
            *(f"{c}, cached" for c in each),
            *(f"{c}, memory" for c in each),
        ],
        rows,
    )


def sizes(args: argparse.Namespace, weight: np.ndarray, rounds: int, bits: int, group: int) -> None:
    linear = qt.ops.PackedWeightOnlyLinear(weight, bits=bits, group_size=group)
    own = {f"{n} bits": with_bits(linear, n) for n in INPUT_BITS}
    floats = np.ascontiguousarray(linear.weight().T)
    sessions = {}
    if onnxruntime:
        sessions = {
            f"onnxruntime, level {level}": matmul_nbits(linear, args.threads, level) for level in (1, 4)
        }
    lines = []
    for m in ROWS:
        x, out = RNG.standard_normal((m, K), dtype=np.float32), np.empty((m, N), np.float32)
        calls = {
            **{
                name: Call(lambda layer=layer, x=x, out=out: layer(x, out=out), args.threads)
                for name, layer in own.items()
            },
            "NumPy float32": Call(lambda x=x, out=out: np.matmul(x, floats, out=out)),
            **{name: Call(onnxruntime_call(session, x), args.threads) for name, session in sessions.items()},
        }
        times = compare(calls, rounds if m < 64 else 3, 3 if m < 64 else 1, 1)
        peers = [name for name in calls if name not in own]
        best = times["24 bits"].median
        ratios = [f"{times[name].median / best:.2f}" for name in peers]
        if sessions:
            ratios.append(f"{times['onnxruntime, level 4'].median / times['8 bits'].median:.2f}")
        gops = (f"{2 * m * K * N / times[name].median / 1e9:.0f}" for name in ("24 bits", "8 bits"))
        lines.append([str(m), *(t.text(US) for t in times.values()), *ratios, *gops])
    heads = [*calls, *(f"{name} / 24 bits" for name in peers), *(["level 4 / 8 bits"] if sessions else [])]
    print(f"## M x {K} x {N}, int{bits}, groups of {group}, microseconds\n")
    table(["M", *heads, "GOPS, 24 bits", "8 bits"], lines)


def main() -> None:
    args, _ = begin(__doc__)
    weight = RNG.standard_normal((N, K), dtype=np.float32)
    rounds = 5 if args.quick else 21
    bandwidth(args, weight, rounds)
    for bits, group in ((4, 32), (4, 128), (8, 128)):
        sizes(args, weight, rounds, bits, group)
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
