"""What recurrent layers cost, quantized and in float32, beside onnxruntime's and torch's.

    python benches/recurrent.py [--quick] [--threads 1] [--isa avx2]

benches/README.md says what the columns mean. Peers have columns where they can be imported.
"""

import pathlib
import tempfile
from collections.abc import Callable

import numpy as np
import quantray as qt
from measure import Call, compare, load, table
from peers import begin, onnx, onnxruntime, torch
from quantray import nn

RNG = np.random.default_rng(0)
# Kind, steps, batch, inputs, units, both directions.
SIZES = [("LSTM", 64, batch, 256, 256, False) for batch in (1, 8, 32)]
SIZES += [("GRU", 64, 1, 256, 256, False), ("GRU", 64, 8, 256, 256, False)]
SIZES += [("LSTM", 64, 1, 256, 256, True), ("LSTM", 64, 1, 512, 512, False), ("LSTM", 16, 1, 64, 64, False)]
GATES = {"LSTM": 4, "GRU": 3}
MS = 1e-3
Size = tuple[str, int, int, int, int, bool]


def parameters(size: Size) -> list[dict[str, np.ndarray]]:
    """For each direction, as torch has them."""
    kind, _, _, inputs, units, both = size
    rows, bound = GATES[kind] * units, units**-0.5
    shapes = {"w_ih": (rows, inputs), "w_hh": (rows, units), "b_ih": (rows,), "b_hh": (rows,)}
    one = lambda: {k: RNG.uniform(-bound, bound, s).astype(np.float32) for k, s in shapes.items()}  # noqa: E731
    return [one() for _ in range(1 + both)]


def onnxruntime_models(size: Size, directions: list, x: np.ndarray, threads: int) -> dict[str, Callable]:
    """The operator of floats and, where there is one, what `quantize_dynamic` makes of it."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kind, steps, _, inputs, units, both = size
    # ONNX has the gates in another order: i, o, f, c and z, r, h.
    order = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}[kind]
    sort = lambda w: np.concatenate([np.split(w, len(order))[gate] for gate in order])  # noqa: E731
    make, array = onnx.helper, onnx.numpy_helper.from_array
    constants = [
        array(np.stack([sort(d["w_ih"]) for d in directions]), "W"),
        array(np.stack([sort(d["w_hh"]) for d in directions]), "R"),
        array(np.stack([np.concatenate([sort(d["b_ih"]), sort(d["b_hh"])]) for d in directions]), "B"),
    ]
    how = {"hidden_size": units, "direction": "bidirectional" if both else "forward"}
    how |= {"linear_before_reset": 1} if kind == "GRU" else {}
    value = make.make_tensor_value_info
    graph = make.make_graph(
        [make.make_node(kind, ["x", "W", "R", "B"], ["y"], **how)],
        "g",
        [value("x", onnx.TensorProto.FLOAT, [steps, "batch", inputs])],
        [value("y", onnx.TensorProto.FLOAT, [steps, 1 + both, "batch", units])],
        constants,
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    calls = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: str(pathlib.Path(folder, f"{name}.onnx")) for name in ("float", "int8")}
        onnx.save(model, paths["float"])
        if kind == "LSTM":
            quantize_dynamic(paths["float"], paths["int8"], weight_type=QuantType.QInt8)
        for name, path in paths.items():
            if pathlib.Path(path).exists():
                session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
                calls[name] = lambda session=session: session.run(None, {"x": x})
    return calls


def torch_models(size: Size, directions: list, x: np.ndarray) -> dict[str, Callable]:
    kind, _, _, inputs, units, both = size
    layer = getattr(torch.nn, kind)(inputs, units, bidirectional=both).eval()
    names = {"w_ih": "weight_ih_l0", "w_hh": "weight_hh_l0", "b_ih": "bias_ih_l0", "b_hh": "bias_hh_l0"}
    with torch.no_grad():
        for direction, suffix in zip(directions, ("", "_reverse"), strict=False):
            for name, value in direction.items():
                getattr(layer, names[name] + suffix).copy_(torch.tensor(value))
    kinds = {type(layer)}
    small = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer), kinds, dtype=torch.qint8)[0]
    values = torch.tensor(x)

    def run(model):
        with torch.inference_mode():
            return model(values)

    return {"float": lambda: run(layer), "int8": lambda: run(small)}


def quantray_models(size: Size, directions: list, x: np.ndarray) -> dict[str, Callable]:
    kind, both = size[0], size[-1]
    weights = [(d["w_ih"], d["w_hh"]) for d in directions]
    biases = [(d["b_ih"], d["b_hh"]) for d in directions]
    scale = lambda w: float(np.abs(w).max()) / 127.5  # noqa: E731
    codes = [[qt.quantize_per_tensor(w, scale(w), 0, qt.qint8) for w in pair] for pair in weights]
    packed = getattr(qt.ops, f"Packed{kind}")(codes, biases, bidirectional=both)
    layer = getattr(nn, kind)(size[3], size[4], bidirectional=both).eval()
    names = {"w_ih": "weight_ih_l0", "w_hh": "weight_hh_l0", "b_ih": "bias_ih_l0", "b_hh": "bias_hh_l0"}
    for direction, suffix in zip(directions, ("", "_reverse"), strict=False):
        layer.load_state_dict({names[k] + suffix: v for k, v in direction.items()}, strict=False)
    return {"int8": lambda: packed(x), "float": lambda: layer(x)}


def measure(size: Size, threads: int, rounds: int) -> dict[str, list[str]]:
    """Lines of the tables of quantized and of float layers."""
    kind, steps, batch, inputs, units, both = size
    directions = parameters(size)
    x = RNG.standard_normal((steps, batch, inputs), dtype=np.float32)
    models = {"quantray": quantray_models(size, directions, x)}
    if onnxruntime:
        models["onnxruntime"] = onnxruntime_models(size, directions, x, threads)
    if torch:
        torch.set_num_threads(threads)
        models["torch"] = torch_models(size, directions, x)
    lines = {}
    for name in ("int8", "float"):
        calls = {who: Call(own[name], threads) for who, own in models.items() if name in own}
        work = steps * batch * GATES[kind] * units * (inputs + units) * (1 + both)
        times = compare(calls, rounds, max(1, min(50, int(3e8 / work))), 1)
        own = times["quantray"].median
        best = min((t.median for who, t in times.items() if who != "quantray"), default=float("nan"))
        cells = [times[who].text(MS) if who in times else "" for who in ("quantray", "onnxruntime", "torch")]
        what = f"{kind}{', both ways' if both else ''}, {steps} x {batch} x {inputs} -> {units}"
        lines[name] = [what, *cells, f"{best / own:.2f}", f"{own / steps * 1e6:.1f}"]
    return lines


def main() -> None:
    args, _ = begin(__doc__)
    results = [measure(size, args.threads, 7 if args.quick else 31) for size in SIZES]
    header = ["steps x batch x inputs -> units", "quantray", "onnxruntime", "torch", "best peer / ours"]
    header.append("a step, microseconds")
    for name, title in (("int8", "Dynamic int8"), ("float", "float32")):
        print(f"\n## {title}: milliseconds\n")
        table(header, [lines[name] for lines in results])
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
