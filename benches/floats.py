"""What functions of floats cost beside NumPy's, onnxruntime's and torch's, and as a share of a copy's speed.

    python benches/floats.py [--quick] [--threads 1] [--isa avx2]

benches/README.md says what the columns mean. Peers have columns where they can be imported. Pin NumPy's BLAS
(OPENBLAS_NUM_THREADS=1), whose threads would take a core.
"""

import argparse
import math
import warnings
from collections.abc import Callable

import numpy as np
import quantray as qt
from measure import Call, compare, cpu_model, load, table

try:
    import onnx
    import onnxruntime
except ImportError:
    onnxruntime = None
try:
    import torch

    warnings.filterwarnings("ignore")
except ImportError:
    torch = None

RNG = np.random.default_rng(0)
US = 1e-6
Function = Callable[[np.ndarray], object]


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """NumPy has no erf: the approximation, for both."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def layer_norm(x: np.ndarray) -> np.ndarray:
    off = x - x.mean(-1, keepdims=True)
    return off / np.sqrt((off * off).mean(-1, keepdims=True) + 1e-5)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# The shape; quantray's, NumPy's and torch's function; onnxruntime's nodes from x to y.
Work = tuple[str, tuple[int, ...], Callable[..., object], Function, str, list[tuple]]
WORKS: list[Work] = [
    ("gelu", (1024, 384), qt.ops.gelu, gelu_tanh, "gelu", [("Gelu", {})]),
    ("gelu", (1024, 1536), qt.ops.gelu, gelu_tanh, "gelu", [("Gelu", {})]),
    (
        "gelu, tanh",
        (1024, 1536),
        lambda x, out: qt.ops.gelu(x, approximate="tanh", out=out),
        gelu_tanh,
        "gelu_tanh",
        [("Gelu", {"approximate": "tanh"})],
    ),
    ("silu", (1024, 1536), qt.ops.silu, lambda x: x * sigmoid(x), "silu", []),
    ("sigmoid", (1024, 1536), qt.ops.sigmoid, sigmoid, "sigmoid", [("Sigmoid", {})]),
    ("tanh", (1024, 1536), qt.ops.tanh, np.tanh, "tanh", [("Tanh", {})]),
    ("softmax", (96, 128, 128), qt.ops.softmax, softmax, "softmax", [("Softmax", {"axis": -1})]),
    ("softmax", (1024, 1000), qt.ops.softmax, softmax, "softmax", [("Softmax", {"axis": -1})]),
    *(
        (
            "layer_norm",
            (1024, n),
            lambda x, out: qt.ops.layer_norm(x, x.shape[-1], out=out),
            layer_norm,
            "layer_norm",
            [("LayerNormalization", {})],
        )
        for n in (384, 1536)
    ),
]


def onnxruntime_call(nodes: list[tuple], x: np.ndarray, threads: int) -> Callable[[], object]:
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    [(name, attributes)] = nodes
    ones = onnx.numpy_helper.from_array(np.ones(x.shape[-1], np.float32), "w")
    constants = [ones] if name == "LayerNormalization" else []
    node = make.make_node(name, ["x", *(c.name for c in constants)], ["y"], **attributes)
    values = [make.make_tensor_value_info(n, kind, x.shape) for n in "xy"]
    graph = make.make_graph([node], "g", values[:1], values[1:], constants)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 20)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def torch_call(name: str, x: np.ndarray) -> Callable[[], object]:
    functional, t = torch.nn.functional, torch.tensor(x)
    calls = {
        "gelu_tanh": lambda: functional.gelu(t, approximate="tanh"),
        "softmax": lambda: torch.softmax(t, -1),
        "layer_norm": lambda: functional.layer_norm(t, t.shape[-1:]),
        "sigmoid": lambda: torch.sigmoid(t),
        "tanh": lambda: torch.tanh(t),
    }
    return calls.get(name) or (lambda: getattr(functional, name)(t))


def measure(work: Work, threads: int, rounds: int) -> list[str]:
    name, shape, own, plain, in_torch, nodes = work
    x = RNG.standard_normal(shape, dtype=np.float32)
    out = np.empty_like(x)
    calls = {
        "quantray": Call(lambda: own(x, out=out), threads),
        "fresh": Call(lambda: own(x, out=None), threads),
        "copy": Call(lambda: np.copyto(out, x)),
        "NumPy": Call(lambda: plain(x)),
    }
    if onnxruntime and nodes:
        calls["onnxruntime"] = Call(onnxruntime_call(nodes, x, threads), threads)
    if torch:
        torch.set_num_threads(threads)
        calls["torch"] = Call(torch_call(in_torch, x), threads)
    times = compare(calls, rounds, 3, 1)
    mine = times["quantray"].median
    cells = [times[n].text(US) if n in times else "" for n in ("onnxruntime", "torch")]
    ratios = [
        f"{times[n].median / mine:.2f}" if n in times else "" for n in ("NumPy", "onnxruntime", "torch")
    ]
    return [
        f"{name} {' x '.join(map(str, shape))}",
        times["quantray"].text(US),
        times["fresh"].text(US),
        times["NumPy"].text(US),
        *cells,
        *ratios,
        f"{times['copy'].median / mine:.0%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--threads", type=int, default=1, help="of all that are compared (default 1)")
    parser.add_argument("--isa", help="quantray's instruction set, lower than the best")
    args = parser.parse_args()
    if args.isa:
        qt.set_isa(args.isa)
    info = qt.cpu_info()
    print(f"CPU: {cpu_model()}; instruction set: {info['isa']} (of {', '.join(info['available'])})")
    names = {"NumPy": np, "onnxruntime": onnxruntime, "torch": torch}
    print(f"quantray {qt.__version__}, {', '.join(f'{n} {m.__version__}' for n, m in names.items() if m)}")
    print(f"{args.threads} thread(s); load before: {load()}; microseconds\n")
    header = ["work", "out=", "fresh", "NumPy", "onnxruntime", "torch"]
    header += ["NumPy / ours", "onnxruntime / ours", "torch / ours", "of a copy"]
    table(header, [measure(work, args.threads, 15 if args.quick else 61) for work in WORKS])
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
