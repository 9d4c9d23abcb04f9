"""Images of integers that get another size, as in onnxruntime's QOperator files: steps of the program."""

from __future__ import annotations

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal

pytest.importorskip("onnxruntime")

from onnx import TensorProto
from patterns import expected
from quantized_files import MODELS, Draft, quantized, session
from quantray import quantization as tq
from single_node import in_onnxruntime, single_node


@pytest.mark.parametrize("scale", [0.35, 0.7, 1.1, 1 / 49, 1 / 3, 2 / 3])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_lengths_are_products_in_float32(rng, scale, mode):
    """640 times 0.35, which float32 has a little less of, is 224 and not 223, as in onnxruntime."""
    f = Draft(rng)
    scales = f.constant(np.array([1, 1, 1, scale], np.float32))
    y = f("Resize", "x", "", scales, mode=mode, coordinate_transformation_mode="asymmetric")
    file = f.model({"x": ["n", 1, 2, "w"]}, y, 13).SerializeToString()
    loaded, theirs = qt.onnx.load(file), session(file)
    for width in (49, 60, 98, 480, 640):
        x = rng.standard_normal((1, 1, 2, width)).astype(np.float32)
        for _ in range(2):
            assert loaded(x).shape == theirs.run(None, {"x": x})[0].shape


def of_integers(rng, opset):
    """Convolutions at two sizes, one of which becomes the other's."""
    f = Draft(rng)
    x = f("Relu", f("Conv", "x", f.weight(6, 3, 3, 3), f.weight(6, size=0.1), pads=[1] * 4))
    y = f("Conv", x, f.weight(6, 6, 3, 3), f.weight(6, size=0.1), pads=[1] * 4, strides=[2, 2])
    scales = f.constant(np.float32([1, 1, 2, 2]))
    y = f("Resize", y, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    y = f("Conv", f("Concat", x, y, axis=1), f.weight(5, 12, 1, 1), f.weight(5, size=0.1))
    return f.model({"x": ["n", 3, 12, 12]}, y, opset), {"x": (2, 3, 12, 12)}


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_files_of_integers_call_nothing(rng, tmp_path, monkeypatch, kind):
    monkeypatch.setitem(MODELS, "of_integers", of_integers)
    file, batches = quantized(rng, tmp_path, "of_integers", form="qoperator", activations=kind)
    loaded = qt.onnx.load(file)
    found = [loaded(**batch) for batch in batches]
    runner = loaded._runner
    graph = runner.graphs[0]
    made = runner.made(loaded, graph)
    assert "onnx.resize" in [node.kind for node in graph]
    assert made.lowered.called == ()
    assert not any(line.is_call for line in tq.report(loaded).lines)
    for batch, y in zip(batches, found, strict=True):
        # The model that was quantized: some CPUs' onnxruntime saturates sums of products.
        want = expected((tmp_path / "of_integers.onnx").read_bytes(), batch)[0]
        assert np.abs(y - want).max() < 0.05 * np.abs(want).max()


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("transform", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("sizes", [(9, 14), (3, 2), (13, 31), (7, 5)])
def test_means_of_integers_are_the_functions_to_the_bit(rng, kind, transform, sizes):
    limits = np.iinfo(kind)
    x = rng.integers(limits.min, limits.max + 1, (2, 3, 7, 5)).astype(kind)
    inputs = {"x": x, "roi": np.zeros(0, np.float32), "s": np.zeros(0, np.float32)}
    inputs["to"] = np.array([2, 3, *sizes])
    settings = {"mode": "linear", "coordinate_transformation_mode": transform}
    types = {"y": TensorProto.UINT8 if kind is np.uint8 else TensorProto.INT8}
    node = single_node("Resize", inputs, constants={"roi", "s", "to"}, types=types, **settings)
    model = qt.onnx.load(node.SerializeToString())
    want = model.forward(x)
    for _ in range(3):
        assert_array_equal(model(x), want)
    # onnxruntime adds in another order: one less where a mean is a whole number, or nearly one.
    theirs = in_onnxruntime(node, {"x": x})[0]
    assert np.abs(theirs.astype(int) - want).max() <= 1
    assert want.dtype == kind
