"""Products that onnxruntime quantized dynamically become layers of integers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import quantray as qt
from exact_onnxruntime import needs_exact_onnxruntime
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper
from patterns import expected, steps
from quantray import quantization as tq


def model(rng, columns, has_bias, signed):
    """What `onnxruntime.quantization.quantize_dynamic` writes of a product."""
    kind = np.int8 if signed else np.uint8
    codes = rng.integers(*((-127, 128) if signed else (0, 256)), (12, columns)).astype(kind)
    per_column = columns > 1
    scales = rng.uniform(0.005, 0.02, columns if per_column else ()).astype(np.float32)
    zeros = (np.zeros if signed else lambda n, t: rng.integers(100, 150, n).astype(t))(np.shape(scales), kind)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["sums"], "/fc/MatMul_quant"),
        helper.make_node("Cast", ["sums"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["factor"]),
        helper.make_node("Mul", ["floats", "factor"], ["product" if has_bias else "y"]),
    ]
    constants = {"w": codes, "wz": zeros, "ws": scales}
    if has_bias:
        nodes.append(helper.make_node("Add", ["product", "b"], ["y"]))
        constants["b"] = rng.normal(size=columns).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m", 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m", columns])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString(), float(np.max(scales))


@needs_exact_onnxruntime
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
def test_dynamic_product(rng, has_bias, signed):
    file, scale = model(rng, 7, has_bias, signed)
    loaded = qt.onnx.load(file)
    assert steps(loaded) == ["DynamicQuantizedLinear"]
    assert loaded.plan.rows[0].path == "fc"
    for shape in ((2, 3, 12), (1, 5, 12)):
        x = rng.normal(size=shape).astype(np.float32)
        want = expected(file, {"x": x})[0]
        # One step of the input, times a weight, is what another rounding of the range may make.
        step = (max(x.max(), 0) - min(x.min(), 0)) / 255 * scale * 128
        for _ in range(2):
            assert_allclose(loaded(x), want, atol=step)


@needs_exact_onnxruntime
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("op", ["DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_products_that_onnxruntime_has_fused(rng, op, has_bias):
    codes = rng.integers(-127, 128, (12, 7)).astype(np.int8)
    constants = {"w": codes, "ws": rng.uniform(0.005, 0.02, 7).astype(np.float32), "wz": np.zeros(7, np.int8)}
    if has_bias:
        constants["b"] = rng.normal(size=7).astype(np.float32)
    more = ["b"] if has_bias else []
    if op == "DynamicQuantizeMatMul":
        nodes = [helper.make_node(op, ["x", "w", "ws", "wz", *more], ["y"], "/fc/p", domain="com.microsoft")]
    else:
        nodes = [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            helper.make_node(
                op, ["q", "w", "s", "ws", "z", "wz", *more], ["y"], "/fc/p", domain="com.microsoft"
            ),
        ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m", 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m", 7])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    file = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    loaded = qt.onnx.load(file)
    assert steps(loaded) == ["DynamicQuantizedLinear"]
    for _ in range(20):
        x = rng.normal(size=(2, 3, 12)).astype(np.float32)
        want = expected(file, {"x": x})[0]
        for _ in range(2):
            assert_allclose(loaded(x), want, rtol=1e-5, atol=1e-5)


def convolution(rng, dims, signed, *, per_channel, groups=1, has_bias=True, relu=False, sides=1):
    """What `quantize_dynamic` writes of a convolution."""
    kind = np.int8 if signed else np.uint8
    low, high = (-127, 128) if signed else (0, 256)
    codes = rng.integers(low, high, (6, 4 // groups, *[3] * dims)).astype(kind)
    zero = kind(0 if signed else 130)
    wide = (1, 6, *[1] * dims)
    scales = rng.uniform(0.005, 0.02, wide if per_channel else ()).astype(np.float32)
    settings = {"strides": [2] * dims, "group": groups}
    settings |= {"auto_pad": sides} if isinstance(sides, str) else {"pads": [sides] * dims + [1] * dims}
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("ConvInteger", ["q", "w", "z", "wz"], ["sums"], "/conv/Conv_quant", **settings),
        helper.make_node("Cast", ["sums"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["factor"]),
        helper.make_node("Mul", ["floats", "factor"], ["product" if has_bias else "sum"]),
    ]
    constants = {"w": codes, "wz": np.asarray(zero), "ws": scales}
    if has_bias:
        nodes.append(helper.make_node("Add", ["product", "b"], ["sum"]))
        constants["b"] = rng.normal(size=wide).astype(np.float32)
    nodes.append(helper.make_node("Relu" if relu else "Neg", ["sum"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, *[None] * dims])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * (dims + 2))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


@pytest.mark.parametrize("settings", [{}, {"groups": 2}, {"has_bias": False}, {"relu": True}])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("dims", "per_channel"), [(1, False), (2, True), (2, False), (3, True)])
def test_dynamic_convolution(rng, tmp_path, dims, per_channel, signed, settings):
    file = convolution(rng, dims, signed, per_channel=per_channel, **settings)
    loaded = qt.onnx.load(file)
    last = "Relu" if settings.get("relu") else "Neg"
    assert steps(loaded) == [f"DynamicQuantizedConv{dims}d", last]
    assert loaded.plan.rows[0].path == "conv"
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    again = qt.onnx.load(tmp_path / "again.onnx")
    for shape in ((2, 4, *[7] * dims), (1, 4, *[6] * dims)):
        # One range for all images, whose parts differ.
        x = (rng.normal(size=shape) * np.linspace(0.1, 3, shape[0]).reshape(-1, *[1] * (dims + 1))).astype(
            np.float32
        )
        want = expected(file, {"x": x})[0]
        for _ in range(2):
            assert_allclose(loaded(x), want, atol=2e-5, rtol=1e-5)
        assert_allclose(again(x), want, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("sides", [0, "SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_images_that_are_padded_by_side_or_by_length(rng, dims, sides):
    file = convolution(rng, dims, True, per_channel=False, sides=sides)
    loaded = qt.onnx.load(file)
    assert steps(loaded)[-2:] == [f"DynamicQuantizedConv{dims}d", "Neg"]
    for length in (6, 7, 6):
        x = rng.normal(size=(1, 4, *[length] * dims)).astype(np.float32) + 3
        assert_allclose(loaded(x), expected(file, {"x": x})[0], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("per_channel", [True, False])
def test_convolution_whose_bias_is_of_integers(rng, per_channel, order):
    """As onnxruntime wrote it before 1.5: the bias by the scale of the sums, rounded down, in each call."""
    codes = rng.integers(-127, 128, (6, 4, 3, 3)).astype(np.int8)
    scales = rng.uniform(0.005, 0.02, (1, 6, 1, 1) if per_channel else ()).astype(np.float32)
    constants = {
        "w": codes,
        "wz": np.int8(0),
        "ws": scales,
        "b": rng.normal(size=6).astype(np.float32),
        "shape": np.array([1, -1, 1, 1]),
    }
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("Mul", ["s", "ws"][::order], ["step"]),
        helper.make_node("Div", ["b", "step"], ["steps"]),
        helper.make_node("Floor", ["steps"], ["floor"]),
        helper.make_node("Cast", ["floor"], ["whole"], to=TensorProto.INT32),
        helper.make_node("ConvInteger", ["q", "w", "z", "wz"], ["sums"], "conv_quant"),
        helper.make_node("Reshape", ["whole", "shape"], ["bias"]),
        helper.make_node("Add", ["sums", "bias"][::order], ["added"]),
        helper.make_node("Cast", ["added"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["factor"]),
        helper.make_node("Mul", ["floats", "factor"][::order], ["y"]),
    ]
    if per_channel:
        # One bias for each channel wants its scales as flat as itself.
        constants["flat"] = scales.reshape(6)
        nodes[1] = helper.make_node("Mul", ["s", "flat"], ["step"])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, None, None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)
    file = made.SerializeToString()
    loaded = qt.onnx.load(file)
    assert steps(loaded) == ["DynamicQuantizedConv2d"]
    x = rng.normal(size=(2, 4, 7, 7)).astype(np.float32)
    step = (x.max() - x.min()) / 255 * scales.max()
    want = expected(file, {"x": x})[0]
    for _ in range(2):
        assert np.abs(loaded(x) - want).max() < 1.001 * step + 2e-5


def test_numbers_for_each_channel_are_no_layer_that_is_left(rng):
    """A warning that there is no integer version is about layers: a table that is added, and no factor."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Mul", ["product", "factors"], ["scaled"]),
        helper.make_node("Add", ["scaled", "places"], ["y"], "add"),
    ]
    held = {"w": (6, 8), "factors": (1, 1, 8), "places": (1, 5, 8)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(rng.standard_normal(s, np.float32), name) for name, s in held.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    loaded = qt.onnx.load(made.SerializeToString())
    with pytest.warns(UserWarning, match=r"^left in float, without an integer version: add \(Add\)$"):
        tq.quantize_dynamic(loaded)
