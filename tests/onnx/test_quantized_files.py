"""Files that were quantized by onnxruntime compute in integers, as onnxruntime does."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("onnxruntime.quantization")

import onnx
import quantray as qt
from exact_onnxruntime import needs_exact_onnxruntime
from numpy.testing import assert_array_equal
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from quantized_files import MODELS, Draft, quantized, session, steps_apart
from quantray import analysis
from quantray import quantization as tq

SETTINGS = {
    "per channel": {"per_channel": True},
    "per tensor, signed": {"activations": "int8"},
    "unsigned weights": {"weights": "uint8"},
    "opset 21": {"per_channel": True, "opset": 21},
}
#: What stays in floats: means, softmax and normalizations of rounded values.
FLOATS = {
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "softmax",
    "layer_norm",
    "div",
    "input",
    "parameter",
    "constant",
}


@needs_exact_onnxruntime
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
@pytest.mark.parametrize("name", MODELS)
def test_each_node_is_a_step_away_at_most(rng, tmp_path, name, form, settings):
    file, batches = quantized(rng, tmp_path, name, form=form, **settings)
    loaded = qt.onnx.load(file)
    found, kinds = steps_apart(loaded, file, batches[0])
    assert len(found) >= 10
    assert max(found.values()) <= 1
    assert sum(found.values()) <= len(found) // 5
    floats = {kind for kind in kinds if not kind.startswith("int.")} - FLOATS
    # onnxruntime has no transposed convolution among its operators on integers.
    assert floats == ({"layer"} if (name, form) == ("resized", "qoperator") else set())
    want, y = session(file).run(None, batches[0])[0], loaded(**batches[0])
    grid = float(np.diff(np.unique(want)).min())
    assert np.abs(y - want).mean() < 0.2 * grid
    # A program of steps, without a call into Python, computes the same again.
    runner = loaded._runner
    graph, _ = runner.find(loaded, loaded.arranged((), batches[0]), {})
    assert runner.made(loaded, graph).lowered.called == ()
    assert_array_equal(loaded(**batches[0]), y)


@needs_exact_onnxruntime
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
@pytest.mark.parametrize("name", MODELS)
def test_other_lengths(rng, tmp_path, name, form):
    file, batches = quantized(rng, tmp_path, name, form=form)
    loaded, runtime = qt.onnx.load(file), session(file)
    for rows in (1, 2, 7):
        inputs = {key: np.resize(x, (rows, *x.shape[1:])) for key, x in batches[1].items()}
        y, want = loaded(**inputs), runtime.run(None, inputs)[0]
        grid = float(np.diff(np.unique(want)).min())
        assert y.shape == want.shape
        assert np.abs(y - want).mean() < 0.2 * grid


@pytest.mark.parametrize("form", ["qdq", "qoperator"])
@pytest.mark.parametrize("name", MODELS)
def test_saved_again_it_computes_the_same(rng, tmp_path, name, form):
    file, batches = quantized(rng, tmp_path, name, form=form, per_channel=True)
    loaded = qt.onnx.load(file)
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    again = qt.onnx.load(tmp_path / "again.onnx")
    for batch in batches:
        y = loaded(**batch)
        assert_array_equal(again(**batch), y)
        assert_array_equal(pickle.loads(pickle.dumps(loaded))(**batch), y)
        assert_array_equal(copy.deepcopy(loaded)(**batch), y)
        theirs = session(tmp_path / "again.onnx").run(None, batch)[0]
        assert np.abs(theirs - y).mean() < 0.2 * float(np.diff(np.unique(y)).min())
    # Zero points are those of the file, odd ones too.
    assert set(map(_grid, loaded._runner.graphs[0])) == set(map(_grid, again._runner.graphs[0]))


def _grid(node):
    grid = node.kwargs.get("grid")
    return None if grid is None else (np.float32(grid.scale), grid.zero_point)


def test_report_and_analysis(rng, tmp_path):
    file, batches = quantized(rng, tmp_path, "images")
    loaded, floats = qt.onnx.load(file), qt.onnx.load(tmp_path / "images.onnx")
    lines = {line.name: line for line in tq.report(loaded).lines}
    convolutions = [line for line in lines.values() if line.kind == "Conv2d"]
    assert len(convolutions) == 5
    assert all((line.weight_bits, line.activation_bits) == (8, 8) for line in convolutions)
    compared = analysis.compare(floats, loaded, [tuple(batch.values()) for batch in batches])
    assert {line.name for line in convolutions} <= {row.name for row in compared}


def test_quantizing_it_again_is_refused(rng, tmp_path):
    file, batches = quantized(rng, tmp_path, "images")
    loaded = qt.onnx.load(file)
    data = [tuple(batch.values()) for batch in batches]
    for call in (
        lambda: tq.quantize(loaded, data),
        lambda: tq.quantize_dynamic(loaded),
        lambda: tq.prepare(loaded),
    ):
        with pytest.raises(ValueError, match="computes in integers already") as caught:
            call()
        assert "\n" not in str(caught.value)


# What is no layer of integers stays as it is


def two_products(rng, scale="s", block=None, weight_axis=None):
    """Two products with weights of integers, the input of the first one rounded in some way."""
    f = Draft(rng)
    codes = rng.integers(-127, 128, (8, 6)).astype(np.int8)
    zero = f.constant(np.uint8(128))
    if scale == "s":
        scale = f.constant(np.float32(0.03))
    elif scale == "channels":
        scale, zero = (
            f.constant(rng.uniform(0.02, 0.04, 8).astype(np.float32)),
            f.constant(np.full(8, 128, np.uint8)),
        )
    elif scale == "computed":
        scale = f("Mul", f("ReduceMax", f("Abs", "x"), keepdims=0), f.constant(np.float32(1 / 128)))
    x = f("DequantizeLinear", f("QuantizeLinear", "x", scale, zero), scale, zero)
    if block:
        scales = f.constant(rng.uniform(0.01, 0.02, (8 // block, 6)).astype(np.float32))
        w = f("DequantizeLinear", f.constant(codes), scales, block_size=block, axis=0)
    elif weight_axis is not None:
        scales = f.constant(rng.uniform(0.01, 0.02, codes.shape[weight_axis]).astype(np.float32))
        w = f("DequantizeLinear", f.constant(codes), scales, axis=weight_axis)
    else:
        w = f("DequantizeLinear", f.constant(codes), f.constant(np.float32(0.02)))
    other, zero = f.constant(np.float32(0.1)), f.constant(np.uint8(100))
    x = f("DequantizeLinear", f("QuantizeLinear", f("MatMul", x, w), other, zero), other, zero)
    w = f(
        "DequantizeLinear",
        f.constant(rng.integers(-127, 128, (6, 3)).astype(np.int8)),
        f.constant(np.float32(0.01)),
    )
    y = f("MatMul", x, w)
    return f.model({"x": ["n", 8]}, y, 21)


@pytest.mark.parametrize(
    ("settings", "integers", "said"),
    [
        ({}, 2, ""),
        ({"weight_axis": 1}, 2, ""),
        ({"scale": "channels"}, 1, "a scale for each channel"),
        ({"scale": "computed"}, 1, "a scale that is computed"),
        ({"block": 4}, 1, "its weight is no integers"),
        ({"weight_axis": 0}, 1, "its weight is no integers"),
    ],
)
def test_what_stays_in_floats_says_why(rng, settings, integers, said):
    file = two_products(rng, **settings).SerializeToString()
    loaded = qt.onnx.load(file)
    x = rng.standard_normal((5, 8)).astype(np.float32)
    want = session(file).run(None, {"x": x})[0]
    for _ in range(2):
        np.testing.assert_allclose(loaded(x), want, atol=0.1 * 0.01 * 130, rtol=1e-5)
    kinds = [node.kind for node in loaded._runner.graphs[0]]
    assert kinds.count("int.layer") == integers
    notes = {line.reason for line in tq.report(loaded).lines if not line.in_integers}
    assert any(said and said in note for note in notes) == bool(said)


def test_inputs_without_a_number_of_axes(rng):
    model = two_products(rng)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.warns(UserWarning, match="node by node: it does not say how many axes"):
        loaded = qt.onnx.load(model.SerializeToString())
    x = rng.standard_normal((5, 8)).astype(np.float32)
    want = session(model.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(loaded(x), want, rtol=1e-5, atol=1e-6)


def test_integers_that_the_model_takes_and_returns(rng):
    """Codes come in, are moved, have their maxima taken, and go out, to other types' sides too."""
    f = Draft(rng)
    scale, zero = f.constant(np.float32(0.02)), f.constant(np.uint8(7))
    x = f("MaxPool", f("QuantizeLinear", "x", scale, zero), kernel_shape=[2, 2], pads=[0, 0, 1, 1])
    codes = f("Transpose", x, perm=[0, 2, 3, 1])
    y = f("Relu", f("DequantizeLinear", codes, scale, zero))
    model = f.model({"x": ["n", 3, 6, 5]}, y, 13)
    model.graph.output.append(helper.make_tensor_value_info(codes, TensorProto.UINT8, None))
    file = model.SerializeToString()
    x = rng.standard_normal((2, 3, 6, 5)).astype(np.float32)
    loaded = qt.onnx.load(file)
    for _ in range(2):
        for ours, theirs in zip(loaded(x), session(file).run(None, {"x": x}), strict=True):
            assert ours.dtype == theirs.dtype
            assert_array_equal(ours, theirs)


@pytest.mark.parametrize("untyped", [onnx.ValueInfoProto(), helper.make_value_info("", onnx.TypeProto())])
def test_outputs_without_a_type(rng, untyped):
    """What scripts name as an output to look at it."""
    f = Draft(rng)
    inner = f("Sigmoid", "x")
    model = f.model({"x": ["n", 3]}, f("Neg", inner), 13)
    untyped.name = inner
    model.graph.output.append(untyped)
    loaded, x = qt.onnx.load(model.SerializeToString()), rng.standard_normal((2, 3)).astype(np.float32)
    assert loaded.outputs[1].dtype == "unknown"
    for ours, theirs in zip(loaded(x), session(model.SerializeToString()).run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("scale", [0.1, 0.7, 1 / 255])
def test_values_on_another_grid_are_divided(rng, tmp_path, kind, scale):
    """Half way between two codes a quotient and a product with the inverse part; onnxruntime divides."""
    f = Draft(rng)
    zero = f.constant(kind(100))
    fine, coarse, other = (f.constant(np.float32(s)) for s in (scale / 2, scale, 2 * scale))
    x = f("DequantizeLinear", f("QuantizeLinear", "x", coarse, zero), coarse, zero)
    x = f("MaxPool", x, kernel_shape=[1, 1])
    # From one grid to another, with a table and without one.
    x = f("DequantizeLinear", f("QuantizeLinear", f("Relu", x), fine, zero), fine, zero)
    y = f("DequantizeLinear", f("QuantizeLinear", x, other, zero), other, zero)
    model = f.model({"x": ["n", 3, 8, 8]}, y, 13)
    for name in [node.output[0] for node in f.nodes if node.op_type == "QuantizeLinear"]:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None))
        model.graph.output[-1].CopyFrom(onnx.ValueInfoProto(name=name))
    file = model.SerializeToString()
    x = (rng.integers(-300, 300, (5, 3, 8, 8)) * (scale / 2)).astype(np.float32)
    halves = np.rint(x / np.float32(scale)) != np.rint(x * (1 / np.float32(scale)))
    assert halves.any()
    want = session(file).run(None, {"x": x})
    loaded = qt.onnx.load(file)
    qt.save(loaded, tmp_path / "m")
    again = qt.load(tmp_path / "m")
    for model in (loaded, loaded, again, again):
        for ours, theirs in zip(model(x), want, strict=True):
            assert ours.dtype == theirs.dtype
            assert_array_equal(ours, theirs)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("shape", [(2, 4, 1, 1), (4, 1, 1), (1, 1, 5, 6), (5, 1), (2, 1, 5, 1)])
def test_terms_that_are_broadcast(rng, op, shape):
    f = Draft(rng)
    grids = [
        (f.constant(np.float32(s)), f.constant(np.uint8(z)))
        for s, z in ((0.0313, 120), (0.0207, 31), (0.0591, 99))
    ]
    a, b = (
        f("DequantizeLinear", f("QuantizeLinear", x, *grid), *grid)
        for x, grid in zip("xz", grids, strict=False)
    )
    y = f("DequantizeLinear", f("QuantizeLinear", f(op, a, b), *grids[2]), *grids[2])
    z = rng.standard_normal(shape).astype(np.float32)
    file = f.model({"x": [2, 4, 5, 6], "z": list(shape)}, y, 13).SerializeToString()
    x = rng.standard_normal((2, 4, 5, 6)).astype(np.float32)
    loaded = qt.onnx.load(file)
    assert f"int.{op.lower()}" in {node.kind for node in loaded._runner.graphs[0]}
    want = session(file).run(None, {"x": x, "z": z})[0]
    for _ in range(2):
        assert_array_equal(loaded(x, z), want)


# Dynamic


@needs_exact_onnxruntime
def test_dynamic_products_have_onnxruntimes_ranges(rng, tmp_path):
    """Where the contract's own ranges and codes differ in a step, layers of a file have those of ONNX."""
    f = Draft(rng)
    x = f("MatMul", "x", f.weight(64, 48))
    y = f("MatMul", f("Relu", x), f.weight(48, 32))
    onnx.save(f.model({"x": ["n", 64]}, y, 13), tmp_path / "float.onnx")
    file = tmp_path / "dynamic.onnx"
    quantize_dynamic(tmp_path / "float.onnx", file, weight_type=QuantType.QInt8, per_channel=True)
    loaded, runtime = qt.onnx.load(file), session(file)
    assert [type(each).__name__ for each in loaded._modules.values()].count("Linear") == 2
    for _ in range(30):
        x = (rng.standard_normal((3, 64)) * rng.uniform(0.1, 10)).astype(np.float32)
        want = runtime.run(None, {"x": x})[0]
        for _ in range(2):
            np.testing.assert_allclose(loaded(x), want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def test_ranges_of_onnx_in_a_layer(rng):
    """The layer's own quantization, against DynamicQuantizeLinear's formula in NumPy."""
    weight = qt.make_per_tensor_quantized_tensor(rng.integers(-127, 128, (5, 16)).astype(np.int8), 0.02, 0)
    layer = qt.nn.quantized.dynamic.Linear(16, 5, False, per_row=False, onnx=True)
    layer.set_weight_bias(weight)
    for _ in range(200):
        x = (rng.standard_normal((4, 16)) * 10 ** rng.uniform(-8, 8)).astype(np.float32)
        low, high = min(x.min(), np.float32(0)), max(x.max(), np.float32(0))
        scale = np.float32(high - low) / np.float32(255)
        zero = np.rint(np.clip(np.float32(0) - low / scale, 0, 255))
        codes = np.clip(np.rint(x / scale) + zero, 0, 255) - zero
        want = (codes @ weight.int_repr().T.astype(np.float64)) * np.float64(scale * np.float32(0.02))
        np.testing.assert_allclose(layer(x), want, rtol=1e-5, atol=1e-6 * float(scale))
    with pytest.raises(ValueError, match="reduce_range must be False with onnx=True"):
        qt.nn.quantized.dynamic.Linear(16, 5, per_row=False, reduce_range=True, onnx=True)


def test_codes_that_an_operator_takes_are_saved_as_codes(rng, tmp_path):
    """onnxruntime interpolates codes themselves, which no grid says: the operator stays as it is."""
    f = Draft(rng)
    grid = f.constant(np.float32(0.02)), f.constant(np.uint8(131))
    out = f.constant(np.float32(0.03)), f.constant(np.uint8(110))
    weight = f.constant(rng.integers(0, 256, (4, 3, 1, 1)).astype(np.uint8))
    of_weight = f.constant(np.float32(0.01)), f.constant(np.uint8(126))
    x = f("QLinearConv", f("QuantizeLinear", "x", *grid), *grid, weight, *of_weight, *out)
    x = f("Reshape", x, f.constant(np.array([0, 4, 3, 20])))
    scales = f.constant(np.float32([1, 1, 2, 2]))
    y = f("DequantizeLinear", f("Resize", x, "", scales, mode="linear"), *out)
    file = f.model({"x": ["n", 3, 6, 10]}, y, 17)
    loaded = qt.onnx.load(file.SerializeToString())
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    again, theirs = qt.onnx.load(tmp_path / "again.onnx"), session(tmp_path / "again.onnx")
    runtime = session(file.SerializeToString())
    for rows in (1, 3):
        x = rng.standard_normal((rows, 3, 6, 10)).astype(np.float32)
        want = runtime.run(None, {"x": x})[0]
        assert_array_equal(loaded(x), want)
        assert_array_equal(again(x), want)
        assert_array_equal(theirs.run(None, {"x": x})[0], want)


def test_a_float_layer_before_integers_is_saved_and_loaded(rng, tmp_path):
    """Its weights are those of a module inside of the one that quantizes what it gives."""
    f = Draft(rng)
    grid = f.constant(np.float32(0.02)), f.constant(np.uint8(120))
    y = f("InstanceNormalization", "x", f.weight(4, size=1.0), f.weight(4, size=0.1))
    y = f("DequantizeLinear", f("QuantizeLinear", y, *grid), *grid)
    y = f("Conv", y, f.weight(3, 4, 1, 1))
    made = f.model({"x": ["n", 4, 5, 5]}, y, 17)
    x = rng.standard_normal((2, 4, 5, 5)).astype(np.float32)
    (want,) = session(made.SerializeToString()).run(None, {"x": x})
    model = qt.onnx.load(made.SerializeToString())
    np.testing.assert_allclose(model(x), want, atol=1e-4)
    qt.save(model, tmp_path / "model.qt")
    np.testing.assert_allclose(qt.load(tmp_path / "model.qt")(x), want, atol=1e-4)
