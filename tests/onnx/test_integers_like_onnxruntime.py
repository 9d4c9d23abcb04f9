"""Quantized operators over random shapes, grids and signs: onnxruntime's integers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from exact_onnxruntime import needs_exact_onnxruntime
from onnx import TensorProto, helper
from single_node import here, in_onnxruntime, single_node

#: Cases of each operator; together more than 2,000.
CASES = 420
BYTES = (np.uint8, np.int8)


def integers(rng, shape, dtype, extreme=False):
    info = np.iinfo(dtype)
    if extreme:
        return rng.choice(np.array([info.min, info.max, info.max - 1], dtype), shape)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def scale(rng, shape=()):
    return np.exp(rng.uniform(-6, 0, shape)).astype(np.float32)


def both(model, inputs, **tolerance):
    for ours, theirs in zip(here(model, inputs), in_onnxruntime(model, inputs), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def geometry(rng, dims, x, w):
    """Settings of a convolution whose windows fit."""
    found = {"strides": rng.integers(1, 4, dims).tolist(), "dilations": rng.integers(1, 3, dims).tolist()}
    if rng.random() < 0.2:
        # SAME with dilations is what onnxruntime refuses.
        return {
            "auto_pad": str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])),
            "strides": found["strides"],
        }
    found["pads"] = rng.integers(0, 3, 2 * dims).tolist()
    return found


def images(rng, groups):
    dims = int(rng.choice([1, 2, 2, 2, 3]))
    kernel = rng.integers(1, 4, dims)
    each, outputs = int(rng.integers(1, 5)), groups * int(rng.integers(1, 4))
    if rng.random() < 0.3:
        each, outputs = 1, groups
    lengths = [int(k * 2 + rng.integers(0, 6)) for k in kernel]
    return dims, (int(rng.integers(1, 3)), each * groups, *lengths), (outputs, each, *map(int, kernel))


@needs_exact_onnxruntime
def test_qlinear_conv():
    rng = np.random.default_rng(1)
    for _ in range(CASES):
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        dims, x, w = images(rng, groups)
        x_type = rng.choice(BYTES)
        w_type = np.int8 if x_type is np.int8 else rng.choice(BYTES)
        per_channel = rng.random() < 0.5
        count = (w[0],) if per_channel else ()
        w_zero = integers(rng, count, w_type)
        if w_type is np.int8 and per_channel:
            # onnxruntime takes only one zero point of signed weights.
            w_zero = np.zeros(count, np.int8)
        inputs = {
            "x": integers(rng, x, x_type, rng.random() < 0.2),
            "x_scale": scale(rng),
            "x_zero": integers(rng, (), x_type),
            "w": integers(rng, w, w_type, rng.random() < 0.2),
            "w_scale": scale(rng, count),
            "w_zero": w_zero,
            "y_scale": scale(rng) * np.float32(np.sqrt(np.prod(w[1:])) * 20),
            "y_zero": integers(rng, (), x_type),
            "bias": rng.integers(-20000, 20000, w[0]).astype(np.int32) if rng.random() < 0.5 else None,
        }
        if inputs["bias"] is None:
            del inputs["bias"]
        held = {name for name in inputs if name != "x"}
        model = single_node(
            "QLinearConv",
            inputs,
            constants=held,
            group=groups,
            kernel_shape=list(w[2:]),
            **geometry(rng, dims, x, w),
        )
        both(model, inputs)


def test_conv_integer():
    rng = np.random.default_rng(2)
    for _ in range(CASES):
        groups = int(rng.choice([1, 1, 2]))
        dims, x, w = images(rng, groups)
        x_type = np.uint8
        inputs = {
            "x": integers(rng, x, x_type),
            "w": integers(rng, w, rng.choice(BYTES)),
            "x_zero": integers(rng, (), x_type) if rng.random() < 0.7 else None,
        }
        if rng.random() < 0.5:
            inputs["w_zero"] = integers(rng, (), inputs["w"].dtype)
        model = single_node(
            "ConvInteger", inputs, group=groups, kernel_shape=list(w[2:]), **geometry(rng, dims, x, w)
        )
        both(model, inputs)


def products(rng):
    """Shapes that NumPy's matmul takes, some of them long, so that sums pass 2 ** 24."""
    k = int(rng.choice([1, 3, 17, 64, 700]))
    m, n = int(rng.integers(1, 9)), int(rng.integers(1, 9))
    kind = rng.integers(0, 3)
    batch = (int(rng.integers(1, 4)),)
    return (
        ((m, k), (k, n))
        if kind == 0
        else ((*batch, m, k), (k, n))
        if kind == 1
        else ((*batch, m, k), (*batch, k, n))
    )


@needs_exact_onnxruntime
def test_matmul_integer():
    rng = np.random.default_rng(3)
    for _ in range(CASES):
        a, b = products(rng)
        a_type, b_type = rng.choice(BYTES), rng.choice(BYTES)
        inputs = {
            "a": integers(rng, a, a_type, rng.random() < 0.3),
            "b": integers(rng, b, b_type, rng.random() < 0.3),
            "a_zero": integers(rng, (), a_type) if rng.random() < 0.7 else None,
        }
        if rng.random() < 0.7:
            per_column = rng.random() < 0.5 and len(b) == 2
            inputs["b_zero"] = integers(rng, (b[-1],) if per_column else (), b_type)
        both(single_node("MatMulInteger", inputs), inputs)


@needs_exact_onnxruntime
def test_qlinear_matmul():
    rng = np.random.default_rng(4)
    for _ in range(CASES):
        a, b = products(rng)
        # Signed by unsigned is what onnxruntime does not have.
        a_type = rng.choice(BYTES)
        b_type = np.int8 if a_type is np.int8 else rng.choice(BYTES)
        per_column = rng.random() < 0.4 and len(b) == 2
        count = (b[-1],) if per_column else ()
        inputs = {
            "a": integers(rng, a, a_type, rng.random() < 0.2),
            "a_scale": scale(rng),
            "a_zero": integers(rng, (), a_type),
            "b": integers(rng, b, b_type, rng.random() < 0.2),
            "b_scale": scale(rng, count),
            "b_zero": integers(rng, count, b_type),
            "y_scale": scale(rng) * np.float32(np.sqrt(a[-1]) * 20),
            "y_zero": integers(rng, (), a_type),
        }
        # onnxruntime has the version before opset 21 alone.
        both(single_node("QLinearMatMul", inputs, opset=20), inputs)


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT16", "UINT16", "INT4", "UINT4"])
def test_quantize_and_dequantize(kind):
    rng = np.random.default_rng(5)
    name = kind.lower()
    code = getattr(TensorProto, kind)
    bits = int(name.lstrip("uint"))
    low = 0 if name.startswith("u") else -(1 << bits - 1)
    for _ in range(CASES // 4):
        shape = tuple(rng.integers(1, 7, int(rng.integers(1, 5))).tolist())
        axis, form = int(rng.integers(0, len(shape))), int(rng.integers(0, 3))
        settings = {}
        if form == 0:
            of = ()
        elif form == 1:
            of, settings = (shape[axis],), {"axis": axis}
        else:
            size = int(rng.integers(1, 4)) if len(shape) > 1 else 2
            of = (*shape[:axis], -(-shape[axis] // size), *shape[axis + 1 :])
            # One scale is that of the whole array for onnxruntime, which then refuses blocks.
            settings = {} if np.prod(of) == 1 else {"axis": axis, "block_size": size}
            of = of if settings else ()
        steps = scale(rng, of)
        # Values lie on another grid, so that quotients meet the middle between two codes.
        x = (rng.integers(-60, 60, shape) * np.float32(0.5) * steps.min()).astype(np.float32)
        zeros = rng.integers(low, low + (1 << bits), of)
        inputs = {"x": x, "scale": steps, "zero": np.asarray(zeros)}
        types = {"zero": code, "y": code}
        model = single_node("QuantizeLinear", inputs, constants={"zero"}, types=types, **settings)
        codes = here(model, inputs)[0]
        again = {"q": codes, "scale": steps, "zero": np.asarray(zeros)}
        back = single_node(
            "DequantizeLinear", again, constants={"q", "zero"}, types={"q": code, "zero": code}, **settings
        )
        if bits >= 8:
            np.testing.assert_array_equal(codes, in_onnxruntime(model, inputs)[0])
        else:
            # onnxruntime's Python gives no arrays of 4 bits: its floats show them.
            joined = joined_model(model, back)
            np.testing.assert_array_equal(here(back, again)[0], in_onnxruntime(joined, inputs)[0])
        np.testing.assert_array_equal(here(back, again)[0], in_onnxruntime(back, again)[0])


def joined_model(first, second):
    """Both nodes one after the other."""
    nodes = [
        onnx.NodeProto.FromString(node.SerializeToString()) for m in (first, second) for node in m.graph.node
    ]
    nodes[1].name, nodes[1].input[0] = "second", "y"
    nodes[1].output[0] = "z"
    held = [*first.graph.initializer]
    graph = helper.make_graph(nodes, "two", list(first.graph.input), [onnx.ValueInfoProto(name="z")], held)
    return helper.make_model(graph, opset_imports=list(first.opset_import), ir_version=first.ir_version)


def test_dynamic_quantize():
    rng = np.random.default_rng(6)
    for _ in range(CASES // 2):
        shape = tuple(rng.integers(1, 9, int(rng.integers(1, 4))).tolist())
        x = (rng.normal(size=shape) * rng.choice([1e-3, 1, 50]) + rng.choice([-3, 0, 3])).astype(np.float32)
        both(single_node("DynamicQuantizeLinear", {"x": x}, ["y", "scale", "zero"]), {"x": x})
