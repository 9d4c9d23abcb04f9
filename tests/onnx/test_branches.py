"""Branches of one input that are added up become one convolution; batch norms behind a reshape, a layer."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import quantray as qt
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper
from patterns import expected, steps
from quantray import quantization as tq


class File:
    """A file whose constants are random."""

    def __init__(self, rng):
        self.rng, self.nodes, self.held = rng, [], []

    def constant(self, value):
        self.held.append(numpy_helper.from_array(np.asarray(value), f"c{len(self.held)}"))
        return self.held[-1].name

    def floats(self, *shape):
        return self.constant(self.rng.standard_normal(shape, np.float32))

    def __call__(self, op, *inputs, **settings):
        self.nodes.append(helper.make_node(op, list(inputs), [f"v{len(self.nodes)}"], **settings))
        return self.nodes[-1].output[0]

    def conv(self, x, shape, bias=True, **settings):
        return self("Conv", x, self.floats(*shape), *([self.floats(shape[0])] if bias else []), **settings)

    def norm(self, x, channels):
        variance = self.constant(self.rng.uniform(0.5, 2, channels).astype(np.float32))
        values = [self.floats(channels) for _ in range(3)]
        return self("BatchNormalization", x, *values, variance)

    def finish(self, y, shape):
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)],
            self.held,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return made.SerializeToString()


SAME = {"pads": [1, 1, 1, 1]}
ONE = {
    "3x3 and 1x1": lambda f, x: f("Add", f.conv(x, (6, 6, 3, 3), **SAME), f.conv(x, (6, 6, 1, 1))),
    "1x1 and 3x3": lambda f, x: f("Add", f.conv(x, (6, 6, 1, 1)), f.conv(x, (6, 6, 3, 3), False, **SAME)),
    "strides": lambda f, x: f(
        "Add",
        f.conv(x, (4, 6, 3, 3), strides=[2, 2], **SAME),
        f.conv(x, (4, 6, 1, 1), strides=[2, 2]),
    ),
    "groups": lambda f, x: f(
        "Add", f.conv(x, (6, 2, 3, 3), group=3, **SAME), f.conv(x, (6, 2, 3, 3), group=3, **SAME)
    ),
    "sides that differ": lambda f, x: f(
        "Add", f.conv(x, (4, 6, 3, 4), pads=[0, 2, 1, 1]), f.conv(x, (4, 6, 2, 1))
    ),
    "a normalization": lambda f, x: f("Add", f.norm(x, 6), f.conv(x, (6, 6, 3, 3), **SAME)),
    "a normalization of groups": lambda f, x: f(
        "Add", f.conv(x, (6, 3, 3, 3), group=2, **SAME), f.norm(x, 6)
    ),
    "a normalization of channels": lambda f, x: f(
        "Add", f.conv(x, (6, 1, 3, 3), group=6, **SAME), f.norm(x, 6)
    ),
    "a difference": lambda f, x: f("Sub", f.conv(x, (6, 1, 3, 3), group=6, **SAME), f.norm(x, 6)),
    "a difference from": lambda f, x: f("Sub", f.norm(x, 6), f.conv(x, (6, 6, 3, 3), **SAME)),
    "a scaled difference": lambda f, x: f(
        "Mul",
        f.floats(1, 6, 1, 1),
        f("Sub", f.conv(x, (6, 6, 1, 1)), f.conv(x, (6, 6, 3, 3), **SAME)),
    ),
    "three branches": lambda f, x: f(
        "Add",
        f("Add", f.norm(f.conv(x, (6, 6, 3, 3), **SAME), 6), f.norm(f.conv(x, (6, 6, 1, 1), False), 6)),
        f.norm(x, 6),
    ),
}
SEVERAL = {
    "other inputs": lambda f, x: f("Add", f.conv(x, (6, 6, 1, 1)), f.conv(f("Relu", x), (6, 6, 1, 1))),
    "no room": lambda f, x: f(
        "Add", f.conv(x, (4, 6, 3, 1), pads=[1, 0, 1, 0]), f.conv(x, (4, 6, 1, 3), pads=[0, 1, 0, 1])
    ),
    "dilations": lambda f, x: f(
        "Add",
        f.conv(x, (4, 6, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2]),
        f.conv(x, (4, 6, 3, 3), **SAME),
    ),
    "other groups": lambda f, x: f("Add", f.conv(x, (6, 1, 1, 1), group=6), f.conv(x, (6, 6, 1, 1))),
    "broadcast": lambda f, x: f("Add", f.conv(x, (6, 6, 9, 9)), f.conv(x, (6, 6, 1, 1))),
    "other channels": lambda f, x: f("Add", f.conv(x, (1, 6, 1, 1)), f.norm(x, 6)),
}


def two_outputs(f, x):
    """What is asked for elsewhere, too."""
    inner = f.conv(x, (6, 6, 1, 1))
    return f("Add", f("Add", inner, f.conv(x, (6, 6, 3, 3), **SAME)), f("Relu", inner))


@pytest.mark.parametrize("case", [*ONE, *SEVERAL, "taken twice"])
def test_branches_are_one_convolution(rng, case):
    f = File(rng)
    y = {**ONE, **SEVERAL, "taken twice": two_outputs}[case](f, "x")
    file = f.finish(y, ["n", 6, 9, 9])
    loaded = qt.onnx.load(file)
    assert (len(steps(loaded)) == 1) == (case in ONE), steps(loaded)
    x = rng.standard_normal((2, 6, 9, 9)).astype(np.float32)
    want = expected(file, {"x": x})[0]
    assert_allclose(loaded(x), want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_branches_of_codes_stay_apart(rng):
    """Each has a grid for its weight in a file that is quantized already."""
    f = File(rng)
    grid = f.constant(np.float32(0.02)), f.constant(np.uint8(128))
    x = f("DequantizeLinear", f("QuantizeLinear", "x", *grid), *grid)
    weights = []
    for size in (3, 1):
        codes = f.constant(rng.integers(-127, 128, (6, 6, size, size)).astype(np.int8))
        weights.append(f("DequantizeLinear", codes, f.constant(np.float32(0.01)), f.constant(np.int8(0))))
    y = f("Add", f("Conv", x, weights[0], **SAME), f("Conv", x, weights[1]))
    out = f.constant(np.float32(0.2)), f.constant(np.uint8(128))
    file = f.finish(f("DequantizeLinear", f("QuantizeLinear", y, *out), *out), ["n", 6, 9, 9])
    loaded = qt.onnx.load(file)
    x = rng.standard_normal((2, 6, 9, 9)).astype(np.float32)
    loaded(x)
    lines = [line for line in tq.report(loaded).lines if line.kind.startswith("Conv")]
    assert len(lines) == 2
    assert all(line.in_integers for line in lines)


@pytest.mark.parametrize("rows", [[-1, 5], [24, 5]])
def test_batch_norm_behind_rows_of_a_product(rng, rows):
    f = File(rng)
    product = f("MatMul", "x", f.floats(7, 5))
    flat = f("Reshape", product, f.constant(np.array(rows)))
    y = f("Reshape", f.norm(flat, 5), f.constant(np.array([4, 6, 5])))
    file = f.finish(y, [4, 6, 7])
    loaded = qt.onnx.load(file)
    assert "BatchNorm1d" not in steps(loaded)
    assert steps(loaded)[0] == "Linear"
    x = rng.standard_normal((4, 6, 7)).astype(np.float32)
    assert_allclose(loaded(x), expected(file, {"x": x})[0], rtol=1e-4, atol=1e-4)


def test_batch_norm_of_other_rows_stays(rng):
    """Rows that are no outputs of the product."""
    f = File(rng)
    flat = f("Reshape", f("MatMul", "x", f.floats(7, 6)), f.constant(np.array([-1, 3])))
    file = f.finish(f.norm(flat, 3), [4, 6, 7])
    x = rng.standard_normal((4, 6, 7)).astype(np.float32)
    assert_allclose(qt.onnx.load(file)(x), expected(file, {"x": x})[0], rtol=1e-4, atol=1e-4)
