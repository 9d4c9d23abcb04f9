"""What a program's steps cost beside NumPy's functions and onnxruntime's operators, at sizes of models.

    python benches/steps.py [--quick] [--only WORD] [--threads 1]

Each row is a program of the steps that it names, and an ONNX model of the same nodes. A peer has a column
where it can be imported. Pin NumPy's BLAS (OPENBLAS_NUM_THREADS=1), whose threads would take a core.
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import quantray as qt
from measure import Call, compare, cpu_model, load, table

try:
    import onnx
    import onnxruntime
except ImportError:
    onnxruntime = None

RNG = np.random.default_rng(0)
US = 1e-6


class Work(NamedTuple):
    """A row: arrays, steps of a program from them on, NumPy's function, and ONNX's nodes.

    A node is (operator, inputs, attributes); inputs "x0", "x1" are the arrays, "n0" is what the first node
    makes, an array is a constant.
    """

    name: str
    arrays: list[np.ndarray]
    steps: list[tuple]
    plain: Callable[..., Any]
    nodes: list[tuple]


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, dtype=np.float32)


def one(op: str, arrays: list[np.ndarray], params: dict, plain: Any, node: str, **attributes: Any) -> Work:
    """A single step beside a single node."""
    n = len(arrays)
    inputs = [f"x{i}" for i in range(n)]
    name = f"{op} {' x '.join(map(str, arrays[0].shape))}"
    more = attributes.pop("more", [])
    steps = [(op, tuple(range(n)), n, params)]
    return Work(name, arrays, steps, plain, [(node, [*inputs, *more], attributes)])


def unary(op: str, node: str, plain: Any, *shape: int, params: dict | None = None, **attributes: Any) -> Work:
    return one(op, [np.abs(normal(*shape)) + 0.1], params or {}, plain, node, **attributes)


def hardswish(x: np.ndarray) -> np.ndarray:
    return x * np.clip(x + 3, 0, 6) / 6


def chain() -> Work:
    """A hard swish as PaddleOCR's exports write it: four nodes."""
    steps = [
        ("constant", (), 1, {"value": np.float32(3)}),
        ("add", (0, 1), 2, {}),
        ("clip", (2,), 3, {"low": 0, "high": 6}),
        ("mul", (0, 3), 4, {}),
        ("constant", (), 5, {"value": np.float32(6)}),
        ("div", (4, 5), 6, {}),
    ]
    nodes = [
        ("Add", ["x0", np.float32(3)], {}),
        ("Clip", ["n0", np.float32(0), np.float32(6)], {}),
        ("Mul", ["x0", "n1"], {}),
        ("Div", ["n2", np.float32(6)], {}),
    ]
    return Work("hard swish of four nodes 1 x 96 x 80 x 80", [normal(1, 96, 80, 80)], steps, hardswish, nodes)


def squeeze_and_scale() -> Work:
    """What a squeeze-and-excitation block does with its image: mean, and product by channel."""
    x = normal(1, 128, 40, 40)
    steps = [("mean", (0,), 1, {"axes": (2, 3), "keepdims": True}), ("mul", (0, 1), 2, {})]
    nodes = [("ReduceMean", ["x0", np.array([2, 3])], {"keepdims": 1}), ("Mul", ["x0", "n0"], {})]
    plain = lambda x: x * x.mean((2, 3), keepdims=True)  # noqa: E731
    return Work("mean, mul 1 x 128 x 40 x 40", [x], steps, plain, nodes)


def lstm(steps: int, batch: int, inputs: int, units: int) -> Work:
    x, w, r = normal(steps, batch, inputs), normal(4 * units, inputs) / 8, normal(4 * units, units) / 8
    layer = qt.nn.LSTM(inputs, units, bias=False)
    layer.weight_ih_l0, layer.weight_hh_l0 = w, r
    order = [block for i in (0, 3, 1, 2) for block in range(i * units, (i + 1) * units)]
    made = [("lstm", (0,), 1, {"weights": [(w, r)]})]
    nodes = [("LSTM", ["x0", w[order][None], r[order][None]], {"hidden_size": units})]
    return Work(f"lstm {steps} x {batch} x {inputs}, {units} units", [x], made, layer, nodes)


def detection(image: np.ndarray) -> list[Work]:
    """What detectors do beside convolutions; NumPy has none of it but places."""
    corners = RNG.uniform(0, 300, (1, 1000, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + RNG.uniform(10, 60, (1, 1000, 2)).astype(np.float32)], -1)
    scores = RNG.random((1, 1, 1000), np.float32)
    some = RNG.random(20_000) < 0.2
    height, width = image.shape[2:]
    grid = RNG.uniform(-1, 1, (1, height, width, 2)).astype(np.float32)
    columns = normal(1, 64 * 9, 56 * 56)
    ids = np.zeros(200, np.int64)
    suppression = {"limit": 1000, "overlap": 0.5, "least": 0.05}
    return [
        one("non_max_suppression", [boxes, scores], suppression, lambda boxes, scores: boxes,
            "NonMaxSuppression", more=[np.array([1000]), np.float32([0.5]), np.float32([0.05])]),
        one("nonzero", [some], {}, np.nonzero, "NonZero"),
        one("roi_align", [normal(1, 256, 40, 40), boxes[0, :200] / 8, ids],
            {"output_size": (7, 7), "sampling": 2}, lambda x, boxes, ids: x, "RoiAlign",
            output_height=7, output_width=7, sampling_ratio=2),
        one("grid_sample", [image[:1], grid], {"mode": "bicubic"}, lambda x, grid: x, "GridSample",
            mode="bicubic"),
        one("max_pool_places", [image], {"kernel_size": (2, 2), "stride": (2, 2)}, lambda x: x, "MaxPool",
            kernel_shape=[2, 2], strides=[2, 2]),
        one("col2im", [columns], {"shape": (56, 56), "kernel_size": (3, 3), "pads": (1, 1, 1, 1)},
            lambda x: x, "Col2Im", more=[np.array([56, 56]), np.array([3, 3])], pads=[1, 1, 1, 1]),
    ]  # fmt: skip


def works() -> list[Work]:
    a, b, bias = normal(1, 64, 80, 80), normal(1, 64, 80, 80), normal(64, 1, 1)
    rows, row = normal(8, 128, 384), normal(8, 128, 1)
    ids, table_ = RNG.integers(0, 3000, (8, 128)), normal(3000, 384)
    mask = rows > 0
    image = normal(1, 32, 40, 40)
    up = np.float32([1, 1, 2, 2])
    return [
        one("add", [a, b], {}, np.add, "Add"),
        one("mul", [a, bias], {}, np.multiply, "Mul"),
        one("sub", [rows, row], {}, np.subtract, "Sub"),
        one("div", [rows, row], {}, np.divide, "Div"),
        one("maximum", [a, b], {}, np.maximum, "Max"),
        one("less", [a, b], {}, np.less, "Less"),
        one("where", [mask, rows, row], {}, np.where, "Where"),
        one("pow", [np.abs(rows), np.full((1,), 1.7, np.float32)], {}, np.power, "Pow"),
        one("cast", [rows], {"dtype": "int64"}, lambda x: x.astype(np.int64), "Cast", to=7),
        unary("exp", "Exp", np.exp, 8, 128, 384),
        unary("log", "Log", np.log, 8, 128, 384),
        unary("sqrt", "Sqrt", np.sqrt, 8, 128, 384),
        unary("erf", "Erf", lambda x: x, 8, 128, 384),
        unary("sin", "Sin", np.sin, 8, 128, 384),
        unary("tanh", "Tanh", np.tanh, 8, 128, 384),
        unary("sigmoid", "Sigmoid", lambda x: 1 / (1 + np.exp(-x)), 1, 64, 80, 80),
        unary("hardswish", "HardSwish", hardswish, 1, 64, 80, 80),
        unary("leaky_relu", "LeakyRelu", lambda x: np.where(x < 0, x * np.float32(0.01), x), 1, 64, 80, 80),
        unary("elu", "Elu", np.expm1, 1, 64, 80, 80),
        unary("softplus", "Softplus", lambda x: np.log1p(np.exp(x)), 8, 128, 384),
        unary("floor", "Floor", np.floor, 8, 128, 384),
        one("mean", [rows], {"axes": -1}, lambda x: x.mean(-1), "ReduceMean", more=[np.array([-1])],
            keepdims=0),
        one("sum", [a], {"axes": (2, 3)}, lambda x: x.sum((2, 3)), "ReduceSum", more=[np.array([2, 3])],
            keepdims=0),
        one("sum", [a], {"axes": 1}, lambda x: x.sum(1), "ReduceSum", more=[np.array([1])], keepdims=0),
        one("max", [rows], {"axes": -1}, lambda x: x.max(-1), "ReduceMax", more=[np.array([-1])], keepdims=0),
        one("l2", [rows], {"axes": -1}, lambda x: np.sqrt((x * x).sum(-1)), "ReduceL2", more=[np.array([-1])],
            keepdims=0),
        one("logsumexp", [rows], {"axes": -1}, lambda x: np.log(np.exp(x).sum(-1)), "ReduceLogSumExp",
            more=[np.array([-1])], keepdims=0),
        one("argmax", [rows], {"axes": -1}, lambda x: x.argmax(-1), "ArgMax", axis=-1, keepdims=0),
        one("cumsum", [rows], {"axis": 1}, lambda x: x.cumsum(1), "CumSum", more=[np.array(1)]),
        one("softmax", [rows], {"axis": -1}, lambda x: x, "Softmax", axis=-1),
        one("softmax", [a], {"axis": 1}, lambda x: x, "Softmax", axis=1),
        one("log_softmax", [rows], {"axis": -1}, lambda x: x, "LogSoftmax", axis=-1),
        one("cat", [a, b], {"axis": 1}, lambda a, b: np.concatenate([a, b], 1), "Concat", axis=1),
        one("cat", [rows, rows], {"axis": -1}, lambda a, b: np.concatenate([a, b], -1), "Concat", axis=-1),
        one("transpose", [rows.reshape(8, 128, 12, 32)], {"axes": (0, 2, 1, 3)},
            lambda x: np.ascontiguousarray(x.transpose(0, 2, 1, 3)), "Transpose", perm=[0, 2, 1, 3]),
        one("transpose", [rows], {"axes": (0, 2, 1)}, lambda x: np.ascontiguousarray(x.transpose(0, 2, 1)),
            "Transpose", perm=[0, 2, 1]),
        one("take", [table_, ids], {"axis": 0}, lambda x, i: x[i], "Gather"),
        one("take_along_axis", [rows, np.argsort(rows, -1)], {"axis": -1},
            lambda x, i: np.take_along_axis(x, i, -1), "GatherElements", axis=-1),
        one("pad", [image], {"pairs": [(0, 0), (0, 0), (1, 1), (1, 1)]},
            lambda x: np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)]), "Pad",
            more=[np.array([0, 0, 1, 1, 0, 0, 1, 1])]),
        one("pad", [image], {"pairs": [(0, 0), (0, 0), (1, 1), (1, 1)], "mode": "reflect"},
            lambda x: np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], "reflect"), "Pad",
            more=[np.array([0, 0, 1, 1, 0, 0, 1, 1])], mode="reflect"),
        one("tile", [image], {"reps": (1, 1, 2, 2)}, lambda x: np.tile(x, (1, 1, 2, 2)), "Tile",
            more=[np.array([1, 1, 2, 2])]),
        one("topk", [rows], {"k": 10}, lambda x: np.sort(x, -1)[..., :10], "TopK", more=[np.array([10])]),
        one("resize", [image], {"axes": (2, 3), "scale": (2.0, 2.0), "coordinates": "asymmetric"},
            lambda x: x.repeat(2, 2).repeat(2, 3), "Resize", more=["", up],
            coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        one("resize", [image], {"axes": (2, 3), "scale": (2.0, 2.0), "mode": "linear"}, lambda x: x, "Resize",
            more=["", up], mode="linear"),
        one("resize", [image], {"axes": (2, 3), "scale": (2.0, 2.0), "mode": "cubic"}, lambda x: x, "Resize",
            more=["", up], mode="cubic"),
        one("resize", [image], {"axes": (2, 3), "scale": (0.4, 0.4), "mode": "linear", "antialias": True},
            lambda x: x, "Resize", more=["", np.float32([1, 1, 0.4, 0.4])], mode="linear", antialias=1),
        *detection(image),
        chain(),
        squeeze_and_scale(),
        lstm(40, 1, 96, 96),
        lstm(160, 8, 40, 256),
    ]  # fmt: skip


def onnxruntime_call(work: Work, threads: int) -> Callable[[], object]:
    make = onnx.helper
    constants, nodes = [], []
    for i, (op, inputs, attributes) in enumerate(work.nodes):
        names = []
        for k, value in enumerate(inputs):
            if isinstance(value, str):
                names.append(value)
                continue
            constants.append(onnx.numpy_helper.from_array(np.asarray(value), f"c{i}_{k}"))
            names.append(f"c{i}_{k}")
        # What gives places beside values is asked for these, too.
        outputs = [f"n{i}", f"m{i}"] if op in ("TopK", "MaxPool") else [f"n{i}"]
        nodes.append(make.make_node(op, names, outputs, **attributes))
    last = f"n{len(nodes) - 1}"
    of = {np.dtype(np.float32): 1, np.dtype(np.int64): 7, np.dtype(np.bool_): 9}
    inputs = [make.make_tensor_value_info(f"x{i}", of[x.dtype], x.shape) for i, x in enumerate(work.arrays)]
    output = onnx.ValueInfoProto(name=last)
    graph = make.make_graph(nodes, "g", inputs, [output], constants)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)])
    model.ir_version = 9
    model = onnx.shape_inference.infer_shapes(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    given = {f"x{i}": x for i, x in enumerate(work.arrays)}
    return lambda: session.run([last], given)


def program_call(work: Work) -> Callable[[], object]:
    made = work.steps[-1][2]
    program = qt.ops.Program([str(x.dtype) for x in work.arrays], work.steps, [made])
    return lambda: program(*work.arrays)


def measure(work: Work, threads: int, rounds: int) -> list[str]:
    calls = {
        "program": Call(program_call(work), threads),
        "NumPy": Call(lambda: work.plain(*work.arrays)),
    }
    if onnxruntime:
        calls["onnxruntime"] = Call(onnxruntime_call(work, threads), threads)
    times = compare(calls, rounds, 3, 1)
    mine = times["program"].median
    names = ("program", "NumPy", "onnxruntime")
    cells = [times[name].text(US) if name in times else "" for name in names]
    peer = times.get("onnxruntime")
    return [
        work.name,
        *cells,
        f"{times['NumPy'].median / mine:.2f}",
        f"{mine / peer.median:.2f}" if peer else "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", default="", help="rows whose name has this word")
    parser.add_argument("--threads", type=int, default=1, help="of all that are compared (default 1)")
    args = parser.parse_args()
    names = {"NumPy": np, "onnxruntime": onnxruntime}
    print(f"CPU: {cpu_model()}; instruction set: {qt.cpu_info()['isa']}")
    print(f"quantray {qt.__version__}, {', '.join(f'{n} {m.__version__}' for n, m in names.items() if m)}")
    print(f"{args.threads} thread(s); load before: {load()}; microseconds\n")
    header = ["steps", "program", "NumPy", "onnxruntime", "NumPy / ours", "ours / onnxruntime"]
    rounds = 15 if args.quick else 61
    table(header, [measure(work, args.threads, rounds) for work in works() if args.only in work.name])
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
