"""Linear layers of the peers: calls that do what `PackedLinear` does, or as much of it as the peer has."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from peers import onnx, onnxruntime_session, torch


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
    zero = w.dtype.type(128 if w.dtype == np.uint8 else 0)
    session = onnxruntime_session(
        [
            make.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            make.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["i"]),
            make.make_node("Cast", ["i"], ["f"], to=kind.FLOAT),
            make.make_node("Mul", ["s", "ws"], ["t"]),
            make.make_node("Mul", ["f", "t"], ["y"]),
        ],
        [make.make_tensor_value_info("x", kind.FLOAT, ["M", w.shape[1]])],
        [make.make_tensor_value_info("y", kind.FLOAT, ["M", w.shape[0]])],
        [
            onnx.numpy_helper.from_array(w.T.copy(), "w"),
            onnx.numpy_helper.from_array(zero, "wz"),
            onnx.numpy_helper.from_array(np.float32(0.01), "ws"),
        ],
        threads,
    )
    return lambda: session.run(None, {"x": x})


def torch_packed(w: np.ndarray, scale: np.ndarray) -> object:
    zeros = torch.zeros(len(scale), dtype=torch.long)
    weight = torch._make_per_channel_quantized_tensor(torch.tensor(w), torch.tensor(scale), zeros, 0)
    return torch.ops.quantized.linear_prepack(weight, torch.zeros(len(scale)))


def torch_linear(w: np.ndarray, codes: np.ndarray, scale: np.ndarray) -> Callable[[], object]:
    packed = torch_packed(w, scale)
    x = torch._make_per_tensor_quantized_tensor(torch.tensor(codes), 0.02, 7)
    return lambda: torch.ops.quantized.linear(x, packed, 0.5, 128)


def torch_dynamic(w: np.ndarray, x: np.ndarray, scale: np.ndarray) -> Callable[[], object]:
    packed, values = torch_packed(w, scale), torch.tensor(x)
    return lambda: torch.ops.quantized.linear_dynamic(values, packed)


class Rten:
    """rten-gemm's sums, in a program of its own that is built here and times itself when it is its turn."""

    def __init__(self, threads: int) -> None:
        here = Path(__file__).parent
        command = [
            "cargo",
            "run",
            "--quiet",
            "--release",
            "--manifest-path",
            str(here / "rten" / "Cargo.toml"),
        ]
        command += ["--target-dir", str(here.parent / "target" / "rten")]
        env = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        pipe = subprocess.PIPE
        self.program = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env)

    def seconds(self, size: tuple[int, int, int], number: int) -> float:
        """For one of `number` products."""
        self.program.stdin.write(f"{' '.join(map(str, size))} {number}\n")
        self.program.stdin.flush()
        return float(self.program.stdout.readline())
