"""Models that become files: onnxruntime gives what they gave, and they are read again."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import quantray as qt
from exact_onnxruntime import needs_exact_onnxruntime
from numpy.testing import assert_allclose
from patterns import expected, session
from patterns import made as made_of
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F


class Residual(nn.Module):
    """Convolutions, a sum, activations of several kinds, pools, a branch that is concatenated."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.deep, self.wide = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        h = F.relu(self.norm(self.stem(x)))
        h = F.relu(self.wide(self.deep(h)) + h)
        a, b = F.max_pool2d(h, 2), F.avg_pool2d(h * F.hardsigmoid(h), 2)
        h = np.concatenate([a, F.gelu(b)], 1)
        return self.head(h.mean((2, 3)))


class Text(nn.Module):
    """An encoder of words with a mask, whose lengths are free."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, activation="gelu")
        self.head = nn.Linear(16, 3)

    def forward(self, ids):
        h = self.layer(self.words(ids))
        return self.head(h).mean(1)


class Speech(nn.Module):
    def __init__(self, bidirectional=False, layers=1):
        super().__init__()
        self.lstm = nn.LSTM(6, 8, layers, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(8 * (1 + bidirectional), 4)

    def forward(self, x):
        h, (last, _) = self.lstm(x)
        return self.head(h[:, -1]), last


def run(path, *arrays):
    found = session(str(path))
    return found.run(None, {i.name: a for i, a in zip(found.get_inputs(), arrays, strict=True)})


def tupled(value):
    return value if isinstance(value, tuple) else (value,)


def example(kind, rng, rows=4):
    if kind is Text:
        return rng.integers(0, 50, (rows, 9))
    shape = (rows, 3, 16, 16) if kind is Residual else (rows, 7, 6)
    return rng.standard_normal(shape, np.float32)


@pytest.mark.parametrize("kind", [Residual, Text, Speech])
def test_floats(kind, rng, tmp_path):
    model, x, path = kind().eval(), example(kind, rng), tmp_path / "model.onnx"
    qt.onnx.save(model, path, x)
    onnx.checker.check_model(str(path), full_check=True)
    # Lengths that were free are free in the file.
    for rows in (4, 1, 6):
        y = example(kind, rng, rows)
        want = tupled(model(y))
        for got, again, value in zip(run(path, y), tupled(qt.onnx.load(path)(y)), want, strict=True):
            assert_allclose(got, value, rtol=1e-4, atol=1e-5)
            assert_allclose(again, value, rtol=1e-4, atol=1e-5)


@needs_exact_onnxruntime
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_recurrent(bidirectional, layers, rng, tmp_path):
    model, x = Speech(bidirectional, layers).eval(), example(Speech, rng)
    for mode in ("float", "dynamic"):
        made = model if mode == "float" else tq.quantize_dynamic(model)
        qt.onnx.save(made, tmp_path / "model.onnx", x)
        for got, want in zip(run(tmp_path / "model.onnx", x), made(x), strict=True):
            # Files have floats between integer weights, and layers of ours integers.
            assert_allclose(got, want, atol=1e-5 if mode == "float" else 0.05)


@needs_exact_onnxruntime
def test_integers(rng, tmp_path):
    """Each value is at most a few steps of its grid away: runtimes add and round in other orders."""
    model, path = Residual(), tmp_path / "model.onnx"
    for _ in range(20):
        model(example(Residual, rng, 16))
    model.eval()
    batches = [example(Residual, rng, 16) for _ in range(4)]
    small = tq.quantize(model, batches, verbose=False)
    qt.onnx.save(small, path)
    onnx.checker.check_model(str(path), full_check=True)
    x = example(Residual, rng, 16)
    want = small(x)
    noise = np.sqrt(np.mean((model(x) - want) ** 2))
    for got in (run(path, x)[0], qt.onnx.load(path)(x)):
        # Nearer to ours than ours is to the floats.
        assert np.sqrt(np.mean((got - want) ** 2)) < 0.5 * noise
    file = onnx.load(path)
    kinds = {node.op_type for node in file.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
    weights = {t.name: t.data_type for t in file.graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in weights.values()) >= 4
    assert sum(kind == onnx.TensorProto.INT32 for kind in weights.values()) >= 4


def test_zero_points_are_even(rng, tmp_path):
    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    small = tq.quantize(model, rng.standard_normal((64, 6), np.float32), verbose=False)
    qt.onnx.save(small, tmp_path / "model.onnx")
    file = onnx.load(tmp_path / "model.onnx")
    values = {t.name: onnx.numpy_helper.to_array(t) for t in file.graph.initializer}
    points = [values[n.input[2]] for n in file.graph.node if n.op_type == "QuantizeLinear"]
    assert len(points) >= 3
    assert all(not np.any(point % 2) for point in points)


@needs_exact_onnxruntime
def test_dynamic_is_nearer_to_floats_than_a_tenth(rng, tmp_path):
    model, x = Text().eval(), example(Text, rng)
    small = tq.quantize_dynamic(model)
    qt.onnx.save(small, tmp_path / "model.onnx", x)
    assert any(n.op_type == "MatMulInteger" for n in onnx.load(tmp_path / "model.onnx").graph.node)
    got, want = run(tmp_path / "model.onnx", x)[0], model(x)
    assert np.abs(got - want).max() < 0.1 * np.abs(want).max()


@needs_exact_onnxruntime
def test_factors_of_dynamic_layers_are_saved(rng, tmp_path):
    model, x = (
        nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4)).eval(),
        np.ones((64, 32), np.float32),
    )
    x[:] = rng.standard_normal(x.shape)
    x[:, 3] *= 100
    model[0].weight[:, 3] /= 100
    small = tq.quantize_dynamic(model, data=x)
    assert small[0].input_factor is not None
    qt.onnx.save(small, tmp_path / "model.onnx", x)
    want = model(x)
    for got in (run(tmp_path / "model.onnx", x)[0], qt.onnx.load(tmp_path / "model.onnx")(x)):
        # Files have one range for all rows.
        assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


def test_what_has_no_operator_is_named(tmp_path):
    class Middle(nn.Module):
        def forward(self, x):
            return np.median(np.partition(x, 2, axis=1), axis=1)

    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match=r"2 nodes have no operator in ONNX:\n.*partition.*\n.*median"):
        qt.onnx.save(Middle(), path, np.zeros((2, 4), np.float32))
    assert not path.exists()


def test_bad_arguments(tmp_path, rng):
    model = nn.Sequential(nn.Linear(4, 2))
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match="example_inputs must be what the model is called with, got None"):
        qt.onnx.save(model, path)
    with pytest.raises(ValueError, match="opset must be from 13 to 28, got 7"):
        qt.onnx.save(model, path, np.zeros((1, 4), np.float32), opset=7)
    with pytest.raises(ValueError, match="input_names must be 1 names"):
        qt.onnx.save(model, path, np.zeros((1, 4), np.float32), input_names=["a", "b"])
    with pytest.raises(ValueError, match="convert it"):
        qt.onnx.save(tq.prepare(model, example_inputs=np.zeros((1, 4), np.float32)), path)
    assert not path.exists()


def test_names(tmp_path, rng):
    x = rng.standard_normal((2, 4), np.float32)
    qt.onnx.save(
        nn.Sequential(nn.Linear(4, 2)), tmp_path / "m.onnx", x, input_names=["image"], output_names=["score"]
    )
    found = qt.onnx.load(tmp_path / "m.onnx")
    assert [v.name for v in found.inputs] == ["image"]
    assert found.run(["score"], {"image": x})[0].shape == (2, 2)


def test_opset_is_the_least_that_has_the_operators(rng, tmp_path):
    class Triangle(nn.Module):
        def forward(self, x):
            return np.tril(x)

    path, x = tmp_path / "model.onnx", rng.standard_normal((3, 4), np.float32)
    with pytest.raises(ValueError, match="opset must be at least 14, which Trilu came with, got 13"):
        qt.onnx.save(Triangle(), path, x, opset=13)
    assert not path.exists()
    for wanted, made in ((None, 14), (18, 18)):
        qt.onnx.save(Triangle(), path, x, opset=wanted)
        assert onnx.load(path).opset_import[0].version == made
        assert_allclose(run(path, x)[0], np.tril(x))


def _with_a_decision(by_length):
    """Two convolutions; between them an `If` of a file, by a length or by a sum of values."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    arrays = {"w": rng.standard_normal((4, 3, 1, 1)), "v": rng.standard_normal((2, 4, 1, 1))}
    held = [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()]
    held += [numpy_helper.from_array(np.int64(2), "two"), numpy_helper.from_array(np.int64(20), "twenty")]
    held += [numpy_helper.from_array(np.float32(0), "zero")]
    if by_length:
        begin = [
            helper.make_node("Shape", ["c"], ["shape"]),
            helper.make_node("Gather", ["shape", "two"], ["length"]),
            helper.make_node("Greater", ["length", "twenty"], ["is"]),
        ]
    else:
        begin = [
            helper.make_node("ReduceSum", ["c"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["is"]),
        ]
    branches = {}
    for name, op in (("then_branch", "Relu"), ("else_branch", "Neg")):
        value = helper.make_tensor_value_info(op, TensorProto.FLOAT, None)
        branches[name] = helper.make_graph([helper.make_node(op, ["c"], [op])], op, [], [value])
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        *begin,
        helper.make_node("If", ["is"], ["d"], **branches),
        helper.make_node("Conv", ["d", "v"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w_"]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, "h", "w_"]),
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], held)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return qt.onnx.load(file.SerializeToString())


def test_lengths_that_were_decided_on_are_said(rng, tmp_path):
    x = rng.standard_normal((2, 3, 32, 32)).astype(np.float32)
    model = _with_a_decision(by_length=True)
    for saved in (model, tq.quantize(model, [{"x": x}], verbose=False)):
        with pytest.warns(UserWarning, match=r"x\.shape\[2\], 20\) is True .*axis 2 of 'x'"):
            qt.onnx.save(saved, tmp_path / "m.onnx", (x,))
        assert_allclose(qt.onnx.load(tmp_path / "m.onnx")(x), saved(x), atol=0.1)


def test_what_a_file_decides_again_is_not_said(rng, tmp_path):
    x = rng.standard_normal((2, 3, 32, 32)).astype(np.float32)
    model = _with_a_decision(by_length=False)
    qt.onnx.save(model, tmp_path / "m.onnx", (x,))
    again = qt.onnx.load(tmp_path / "m.onnx")
    for each in (x, -x):
        assert_allclose(again(each), model(each), atol=1e-6)
    int8 = tq.quantize(model, [{"x": x}], verbose=False)
    qt.onnx.save(int8, tmp_path / "int8.onnx", (x,))
    again = qt.onnx.load(tmp_path / "int8.onnx")
    for each in (x, -x):
        assert_allclose(again(each), int8(each), atol=0.15)


@pytest.mark.parametrize(
    "node",
    [
        ("TopK", "x k", "y places", {}),
        ("TopK", "x k", "other y", {}),
        ("Split", "x parts", "y more rest", {"axis": 1}),
        ("Split", "x parts", "other y rest", {"axis": 1}),
        ("MaxPool", "images", "y places", {"kernel_shape": [2, 2]}),
        ("Dropout", "x", "y mask", {}),
        ("LSTM", "steps w w", "y last cell", {"hidden_size": 2}),
        ("LSTM", "steps w w", "all y cell", {"hidden_size": 2, "activations": ["Relu", "Tanh", "Tanh"]}),
        ("DynamicQuantizeLinear", "x", "codes y zero", {}),
    ],
    ids=lambda node: f"{node[0]}-{node[2].replace(' ', '-')}",
)
def test_nodes_whose_outputs_are_not_all_wanted(node, rng, tmp_path):
    constants = {"k": np.array([3]), "parts": np.array([4, 2, 1]), "w": rng.random((1, 8, 2), np.float32)}
    shapes = {"x": (5, 7), "images": (1, 2, 4, 4), "steps": (3, 2, 2)}
    inputs = {
        name: rng.standard_normal(shapes[name]).astype(np.float32)
        for name in node[1].split()
        if name in shapes
    }
    own = "images" in inputs
    file = made_of([node, ("Cast", "y", "z", {"to": 1})], inputs, ["z"], constants if not own else {})
    saved = tmp_path / "model.onnx"
    qt.onnx.save(qt.onnx.load(file), saved, tuple(inputs.values()))
    np.testing.assert_allclose(
        expected(str(saved), inputs)[0], expected(file, inputs)[0], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike"])
def test_random_numbers_of_a_shape_that_is_worked_out(op, tmp_path):
    """What had the shape is asked for nothing else, and is left out."""
    nodes = [
        ("Shape", "x", "shape", {}),
        ("ConstantOfShape", "shape", "like", {}),
        (op, "like", "noise", {"seed": 3.0}),
        ("Add", "x noise", "y", {}),
    ]
    x = np.zeros((64, 64), np.float32)
    file = made_of(nodes, {"x": x}, ["y"], free=(0, 1))
    qt.onnx.save(qt.onnx.load(file), tmp_path / "m.onnx", (x,))
    for rows in (64, 100):
        (y,) = session(str(tmp_path / "m.onnx")).run(None, {"x": np.zeros((rows, 64), np.float32)})
        assert y.shape == (rows, 64)
        mean, deviation = (0, 1) if op == "RandomNormalLike" else (0.5, 12**-0.5)
        assert abs(y.mean() - mean) < 0.1
        assert abs(y.std() - deviation) < 0.1


class Centred(nn.Module):
    """A gate by means that were taken off before: almost zeros, on a grid much finer than the image's."""

    def __init__(self, keeps):
        super().__init__()
        self.conv, self.gate, self.keeps = nn.Conv2d(4, 8, 3), nn.Linear(8, 8), keeps

    def forward(self, x):
        x = self.conv(x)
        x = x - x.mean(axis=(2, 3), keepdims=True)
        means = F.adaptive_avg_pool2d(x, 1).reshape(len(x), 8) if self.keeps else x.mean(axis=(2, 3))
        return x * F.sigmoid(self.gate(means))[:, :, None, None]


@pytest.mark.parametrize("keeps", [True, False])
def test_means_on_a_very_fine_grid_run_in_onnxruntime(rng, tmp_path, keeps):
    model = Centred(keeps).eval()
    x = rng.standard_normal((8, 4, 9, 8)).astype(np.float32)
    qt.onnx.save(tq.quantize(model, x, verbose=False), tmp_path / "m.onnx", x)
    # With its optimizations it refused; without them its products of bytes are exact on every CPU.
    runner = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert runner.run(None, {"x": x})[0].shape == (8, 8, 7, 6)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(tmp_path / "m.onnx", options, providers=["CPUExecutionProvider"])
    (found,) = plain.run(None, {"x": x})
    assert np.sqrt(((found - model(x)) ** 2).mean()) < 0.03 * model(x).std()
    assert_allclose(qt.onnx.load(tmp_path / "m.onnx")(x), found, atol=0.02)
