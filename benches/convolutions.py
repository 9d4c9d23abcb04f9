"""What convolutions of 8-bit images cost, beside onnxruntime's and torch's, and as a share of the peak.

    python benches/convolutions.py [--quick] [--threads 1] [--isa avx2]

benches/README.md says what the columns mean. Peers have columns where they can be imported.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import quantray as qt
from measure import Call, compare, load, table
from peers import begin, onnx, onnxruntime, onnxruntime_session, torch

RNG = np.random.default_rng(0)
MS = 1e-3


class Shape(NamedTuple):
    """A convolution of square images."""

    inputs: int
    outputs: int
    kernel: int
    length: int
    stride: int = 1
    groups: int = 1
    images: int = 1

    def __str__(self) -> str:
        kind = "depthwise " if self.groups > 1 else ""
        step = f" step {self.stride}" if self.stride > 1 else ""
        many = f", {self.images} images" if self.images > 1 else ""
        return (
            f"{kind}{self.inputs}->{self.outputs} {self.kernel}x{self.kernel} at {self.length}^2{step}{many}"
        )


SHAPES = [
    Shape(64, 64, 3, 56),
    Shape(256, 256, 3, 14),
    Shape(64, 256, 1, 56),
    Shape(3, 64, 7, 224, 2),
    Shape(1, 16, 3, 8, images=256),
    Shape(128, 128, 3, 28, 1, 128),
    Shape(144, 144, 3, 56, 2, 144),
]


def onnxruntime_quantized(shape: Shape, w: np.ndarray, x: np.ndarray, threads: int) -> Callable[[], object]:
    """QLinearConv, weights per channel."""
    make, kind, constant = onnx.helper, onnx.TensorProto, onnx.numpy_helper.from_array
    pad = shape.kernel // 2
    session = onnxruntime_session(
        [
            make.make_node(
                "QLinearConv",
                ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"],
                ["y"],
                pads=[pad] * 4,
                strides=[shape.stride] * 2,
                group=shape.groups,
            )
        ],
        [make.make_tensor_value_info("x", kind.UINT8, list(x.shape))],
        [make.make_tensor_value_info("y", kind.UINT8, None)],
        [
            constant(np.float32(0.02), "xs"),
            constant(np.uint8(7), "xz"),
            constant(w, "w"),
            constant(np.full(len(w), 0.01, np.float32), "ws"),
            constant(np.zeros(len(w), np.int8), "wz"),
            constant(np.float32(0.5), "ys"),
            constant(np.uint8(128), "yz"),
        ],
        threads,
    )
    return lambda: session.run(None, {"x": x})


def onnxruntime_float(shape: Shape, w: np.ndarray, x: np.ndarray, threads: int) -> Callable[[], object]:
    make, kind = onnx.helper, onnx.TensorProto
    pad = shape.kernel // 2
    step, groups = [shape.stride] * 2, shape.groups
    session = onnxruntime_session(
        [make.make_node("Conv", ["x", "w"], ["y"], pads=[pad] * 4, strides=step, group=groups)],
        [make.make_tensor_value_info("x", kind.FLOAT, list(x.shape))],
        [make.make_tensor_value_info("y", kind.FLOAT, None)],
        [onnx.numpy_helper.from_array(w.astype(np.float32), "w")],
        threads,
    )
    return lambda: session.run(None, {"x": x})


def torch_quantized(shape: Shape, w: np.ndarray, x: np.ndarray, scale: np.ndarray) -> Callable[[], object]:
    zeros, pad = torch.zeros(len(scale), dtype=torch.long), [shape.kernel // 2] * 2
    weight = torch._make_per_channel_quantized_tensor(torch.tensor(w), torch.tensor(scale), zeros, 0)
    settings = [shape.stride] * 2, pad, [1, 1], shape.groups
    packed = torch.ops.quantized.conv2d_prepack(weight, None, *settings)
    q = torch._make_per_tensor_quantized_tensor(torch.tensor(x), 0.02, 7)
    q = q.contiguous(memory_format=torch.channels_last)
    return lambda: torch.ops.quantized.conv2d(q, packed, 0.5, 128)


def measure(shape: Shape, threads: int, rounds: int) -> tuple[list[str], float]:
    """A line of the table, and our GOPS."""
    k, length = shape.kernel, shape.length
    w = RNG.integers(-127, 128, (shape.outputs, shape.inputs // shape.groups, k, k), dtype=np.int8)
    x = RNG.integers(0, 256, (shape.images, shape.inputs, length, length), dtype=np.uint8)
    scale = np.full(shape.outputs, 0.01)
    weight = qt.make_per_channel_quantized_tensor(w, scale, 0, 0)
    conv = qt.ops.PackedConv2d(weight, None, shape.stride, k // 2, 1, shape.groups)
    first = qt.make_per_tensor_quantized_tensor(x, 0.02, 7)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    last = qt.make_per_tensor_quantized_tensor(last, 0.02, 7)
    calls = {
        "channels last": Call(lambda: conv(last, 0.5, 128), threads),
        "channels first": Call(lambda: conv(first, 0.5, 128), threads),
    }
    if onnxruntime:
        calls["onnxruntime"] = Call(onnxruntime_quantized(shape, w, x, threads), threads)
        real = x.astype(np.float32)
        calls["onnxruntime float"] = Call(onnxruntime_float(shape, w, real, threads), threads)
    if torch:
        torch.set_num_threads(threads)
        calls["torch"] = Call(torch_quantized(shape, w, x, scale), threads)
    macs = conv(first, 0.5, 128).numel() * (shape.inputs // shape.groups) * k * k
    # A sleeping thread takes a while to wake up: with several, calls come back to back.
    times = compare(calls, rounds, max(1, int(1e9 / (macs + 1e7))), 1 if threads == 1 else 20)
    own = times["channels last"].median
    peers = [times[name].median for name in ("onnxruntime", "torch") if name in times]
    names = ["channels last", "channels first", "onnxruntime", "torch", "onnxruntime float"]
    cells = [times[name].text(MS) if name in times else "" for name in names]
    ratio = f"{min(peers) / own:.2f}" if peers else ""
    return [str(shape), *cells, ratio, f"{2 * macs / own / 1e9:.0f}"], 2 * macs / own / 1e9


def main() -> None:
    args, peak = begin(__doc__)
    results = [measure(shape, args.threads, 7 if args.quick else 31) for shape in SHAPES]
    share = [f"{gops / peak / args.threads:.0%}" if peak else "" for _, gops in results]
    print("\n## Convolutions: u8 in, u8 out, milliseconds\n")
    header = ["convolution", "quantray", "channels first", "onnxruntime", "torch", "onnxruntime float"]
    header += ["best int8 peer / ours", "GOPS", "of the peak"]
    table(header, [[*line, s] for (line, _), s in zip(results, share, strict=True)])
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
