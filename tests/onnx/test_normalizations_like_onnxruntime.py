"""Normalizations of images of every size, which onnxruntime takes as they come."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from quantray import quantization as tq  # noqa: E402
from quantray.onnx import load, save  # noqa: E402
from single_node import here, in_onnxruntime, loaded, single_node  # noqa: E402

SHAPES = [(2, 3, 1, 1), (2, 3, 1), (2, 3, 4, 5), (1, 3, 2, 1, 1), (2, 3, 0, 2), (0, 3, 2, 2)]


def instance_norm(rng, shape, **settings):
    x = rng.standard_normal(shape).astype(np.float32)
    inputs = {"x": x, "scale": rng.random(3, np.float32), "bias": rng.random(3, np.float32)}
    return single_node("InstanceNormalization", inputs, **settings), inputs


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("constants", [set(), {"scale", "bias"}], ids=["inputs", "constants"])
@pytest.mark.parametrize("free", [False, True])
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_instance_normalization(rng, shape, constants, free):
    model, inputs = instance_norm(rng, shape, constants=constants, free=free)
    ours, theirs = here(model, inputs)[0], in_onnxruntime(model, inputs)[0]
    assert ours.shape == theirs.shape
    # A single element less itself is 0, up to how onnxruntime adds up.
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=5e-5)


@pytest.mark.filterwarnings("ignore:nothing of the model computes in integers")
def test_single_elements_are_quantized_and_saved(rng, tmp_path):
    model, inputs = instance_norm(rng, (2, 3, 1, 1), constants={"scale", "bias"})
    int8 = tq.quantize(loaded(model), [inputs["x"]], verbose=False)
    np.testing.assert_allclose(int8(inputs["x"]), in_onnxruntime(model, inputs)[0], atol=0.02)
    path = tmp_path / "model.onnx"
    save(loaded(model), path)
    assert "InstanceNormalization" in [node.op_type for node in onnx.load(path).graph.node]
    np.testing.assert_allclose(load(path)(inputs["x"]), in_onnxruntime(model, inputs)[0], atol=5e-5)


@pytest.mark.parametrize(
    "op", ["LayerNormalization", "InstanceNormalization", "SimplifiedLayerNormalization"]
)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_lengths_and_weights_that_are_known_in_a_call(rng, op, axis):
    """All lengths are free, and what scales is no constant: nothing is known when the graph is made."""
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    shape = x.shape[1:2] if op.startswith("Inst") else x.shape[axis:]
    inputs = {"x": x, "scale": rng.random(shape, np.float32), "bias": rng.random(shape, np.float32)}
    if op.startswith("Simp"):
        del inputs["bias"]
    settings = {} if op.startswith("Inst") else {"axis": axis}
    node = single_node(op, inputs, free=True, **settings)
    model, want = loaded(node), in_onnxruntime(node, inputs)[0]
    for _ in range(3):
        np.testing.assert_allclose(model(*inputs.values()), want, atol=1e-5)
