"""Values that no number stands for, on the way: NumPy's warnings of them name lines of quantray's own."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import quantray as qt
from quantized_files import Draft, session
from quantray import quantization as tq


def relative_positions(rng):
    """As T5 has them: buckets by the logarithm of a distance, of which the first is 0."""
    f = Draft(rng)
    zero, one, seven = (f.constant(np.int64(i)) for i in (0, 1, 7))
    eight = f.constant(np.float32(8))
    length = f("Gather", f("Shape", "x"), one)
    distance = f("Div", f("Cast", f("Range", zero, length, one), to=1), eight)
    bucket = f("Cast", f("Mul", f("Log", distance), eight), to=7)
    bias = f("Gather", f.weight(8, 32), f("Min", f("Max", bucket, zero), seven))
    y = f("Relu", f("Add", f("MatMul", "x", f.weight(16, 32)), bias))
    return f.model({"x": ["n", "length", 16]}, f("MatMul", y, f.weight(32, 4)), 17)


def test_buckets_of_logarithms(rng, tmp_path):
    file = relative_positions(rng).SerializeToString()
    x = rng.standard_normal((4, 12, 16)).astype(np.float32)
    wanted = session(file).run(None, {"x": x})[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = qt.onnx.load(file)
        np.testing.assert_allclose(model(x), wanted, rtol=1e-5, atol=1e-5)
        for made in (tq.quantize(model, x, verbose=False), tq.quantize_dynamic(model)):
            assert 0 < np.abs(made(x) - wanted).max() < 0.05 * np.abs(wanted).max()
            qt.onnx.save(made, tmp_path / "small.onnx", x)
            again = qt.onnx.load(tmp_path / "small.onnx")(x)
            assert np.abs(again - wanted).max() < 0.05 * np.abs(wanted).max()
