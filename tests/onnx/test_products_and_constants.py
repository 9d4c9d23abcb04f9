"""What is added to products with weights, and what multiplies them: one layer, onnxruntime's values."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import quantray as qt
from quantized_files import Draft, session
from quantray import quantization as tq


def kinds(model):
    return [type(model.get_submodule(row.path)).__name__ for row in model.plan.rows]


def both(file, x):
    """Here and in onnxruntime."""
    wanted = session(file.SerializeToString()).run(None, {"x": x})[0]
    model = qt.onnx.load(file.SerializeToString())
    np.testing.assert_allclose(model(x), wanted, rtol=1e-5, atol=1e-5)
    return model


@pytest.mark.parametrize("shape", [(16,), (1, 16)])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_bias_of_one_row(rng, shape, swapped):
    """As skl2onnx writes multilayer perceptrons: (1, N)."""
    f = Draft(rng)
    terms = [f("MatMul", "x", f.weight(8, 16)), f.weight(*shape)]
    y = f("Relu", f("Add", *(terms[::-1] if swapped else terms)))
    y = f("Add", f("MatMul", y, f.weight(16, 3)), f.weight(*shape[:-1], 3))
    x = rng.standard_normal((20, 8)).astype(np.float32)
    model = both(f.model({"x": ["n", 8]}, y, 17), x)
    assert kinds(model) == ["Linear", "Step", "Linear"]
    lines = tq.report(tq.quantize(model, x, verbose=False)).counted
    assert all(line.in_integers for line in lines)


def test_a_row_that_adds_an_axis_is_no_bias(rng):
    """`(8,) @ (8, 16) + (1, 16)` has two axes."""
    f = Draft(rng)
    y = f("Add", f("MatMul", "x", f.weight(8, 16)), f.weight(1, 16))
    model = both(f.model({"x": [8]}, y, 17), rng.standard_normal(8).astype(np.float32))
    assert kinds(model) == ["Linear", "Step"]


@pytest.mark.parametrize("op", ["Mul", "Div"])
@pytest.mark.parametrize("where", ["product", "bias", "both", "gemm"])
def test_a_factor_for_each_output(rng, op, where):
    f = Draft(rng)
    factor = f.constant((rng.uniform(0.2, 3, 16) * rng.choice([-1, 1], 16)).astype(np.float32))
    if where == "gemm":
        y = f("Gemm", "x", f.weight(16, 8), f.weight(16), transB=1)
    else:
        y = f("MatMul", "x", f.weight(8, 16))
    if where in ("product", "both"):
        y = f(op, y, factor)
    if where in ("bias", "both"):
        y = f("Add", y, f.weight(16))
    if where != "product":
        y = f(op, y, factor)
    x = rng.standard_normal((20, 8)).astype(np.float32)
    assert kinds(both(f.model({"x": ["n", 8]}, y, 17), x)) == ["Linear"]


def test_a_factor_of_a_product_that_others_take_stays(rng):
    f = Draft(rng)
    factor, weight = f.weight(8), f.weight(8, 8)
    product = f("MatMul", "x", weight)
    y = f("Add", f("Mul", product, factor), product)
    x = rng.standard_normal((20, 8)).astype(np.float32)
    assert kinds(both(f.model({"x": ["n", 8]}, y, 17), x)).count("Step") == 2
    # A weight that two layers share stays one.
    f = Draft(rng)
    factor, weight = f.weight(8), f.weight(8, 8)
    y = f("Mul", f("MatMul", f("MatMul", "x", weight), weight), factor)
    assert kinds(both(f.model({"x": ["n", 8]}, y, 17), x)) == ["Linear", "Linear", "Step"]


def test_codes_stay_codes(rng):
    """A factor of a weight that the file holds as integers does not make floats of them."""
    f = Draft(rng)
    names = [f.constant(rng.integers(-128, 128, (8, 16)).astype(np.int8)), f.constant(np.float32(0.01))]
    y = f("Mul", f("MatMul", "x", f("DequantizeLinear", *names)), f.weight(16))
    x = rng.standard_normal((20, 8)).astype(np.float32)
    assert kinds(both(f.model({"x": ["n", 8]}, y, 17), x)) == ["WeightOnlyLinear", "Step"]
