"""onnxruntime's own operators (com.microsoft) as onnxruntime computes them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from exact_onnxruntime import needs_exact_onnxruntime
from single_node import here, in_onnxruntime, single_node

CASES = 25
BYTES = (np.uint8, np.int8)


class Random:
    """Random arrays for cases of one number."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.kind = BYTES[seed % 2]

    def codes(self, *shape, kind=None):
        info = np.iinfo(kind or self.kind)
        return self.rng.integers(info.min, info.max + 1, shape).astype(kind or self.kind)

    def scale(self, *shape):
        return np.asarray(np.exp(self.rng.uniform(-6, 0, shape)), np.float32)

    def floats(self, *shape):
        return self.rng.normal(size=shape).astype(np.float32)

    def whole(self, low, high, *shape):
        return self.rng.integers(low, high, shape).astype(np.int32)


def compare(op, inputs, outputs=None, held=(), exact=True, tolerance=3e-6, **attributes):
    """The same integers; floats that differ by the order of sums alone."""
    inputs = {name: value for name, value in inputs.items() if value is not ...}
    model = single_node(op, inputs, outputs, domain="com.microsoft", constants=set(held), **attributes)
    for ours, theirs in zip(here(model, inputs), in_onnxruntime(model, inputs), strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        if exact:
            np.testing.assert_array_equal(ours, theirs)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1))


GRID = ("x_scale", "x_zero", "y_scale", "y_zero")


def unary(r, x, y_scale=None):
    return {
        "x": x,
        "x_scale": r.scale(),
        "x_zero": r.codes(),
        "y_scale": r.scale() if y_scale is None else y_scale,
        "y_zero": r.codes(),
    }


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("seed", range(CASES))
def test_sums_and_products_of_elements(op, seed):
    r = Random(seed)
    shape = [(3, 5, 7), (40,), (2, 3, 33), (1, 257)][seed % 4]
    inputs = {
        "a": r.codes(*shape),
        "a_scale": r.scale(),
        "a_zero": r.codes(),
        "b": r.codes(*(shape if seed % 3 else shape[-1:])),
        "b_scale": r.scale(),
        "b_zero": r.codes(),
        "y_scale": r.scale() * np.float32(4 if op == "QLinearAdd" else 20),
        "y_zero": r.codes(),
    }
    compare(op, inputs, held=set(inputs) - {"a", "b"})


@pytest.mark.parametrize("seed", range(CASES))
def test_functions_of_elements_and_pools(seed):
    r = Random(seed)
    x = r.codes(2, 3, 8, 9)
    compare("QLinearSigmoid", unary(r, x, np.float32(1 / 256) if seed % 3 == 0 else None), held=GRID)
    compare("QLinearLeakyRelu", unary(r, x), held=GRID, alpha=0.1)
    compare("QLinearGlobalAveragePool", unary(r, x), held=GRID, channels_last=0)
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": seed % 2}
    compare("QLinearAveragePool", unary(r, x), held=GRID, **window)
    # Windows that end beyond the padding, too, in one direction or both.
    window |= {"kernel_shape": [2, 3 + seed % 3], "pads": [1, 0, 0, seed % 2], "ceil_mode": 1}
    compare("QLinearAveragePool", unary(r, x), held=GRID, **window)
    parts = {"y_scale": r.scale(), "y_zero": r.codes()}
    for name, n in (("a", 3), ("b", 4)):
        parts |= {name: r.codes(2, n), f"{name}_scale": r.scale(), f"{name}_zero": r.codes()}
    compare("QLinearConcat", parts, held=set(parts) - {"a", "b"}, axis=1)


@pytest.mark.parametrize("version", [12, 13])
@pytest.mark.parametrize("seed", range(CASES))
def test_softmax(seed, version):
    r = Random(seed)
    inputs = unary(r, r.codes(4, 3, 16), np.float32(1 / 256))
    inputs["x_scale"] = np.float32(r.rng.uniform(0.01, 0.3))
    inputs["y_zero"] = np.asarray(np.iinfo(r.kind).min, r.kind)
    model = single_node(
        "QLinearSoftmax", inputs, domain="com.microsoft", constants=set(GRID), axis=-1 if version > 12 else 1
    )
    from onnx import helper

    model.graph.node[0].attribute.append(helper.make_attribute("opset", version))
    np.testing.assert_array_equal(here(model, inputs)[0], in_onnxruntime(model, inputs)[0])


@needs_exact_onnxruntime
@pytest.mark.parametrize("seed", range(CASES))
def test_products(seed):
    r = Random(seed)
    columns = (6,) if seed % 3 else ()
    bias = r.floats(6) if seed % 4 else ...
    weight = {"b": r.codes(20, 6), "b_scale": r.scale(*columns), "b_zero": r.codes(*columns)}
    given = {"a": r.floats(4, 20), **weight, "bias": bias}
    compare("DynamicQuantizeMatMul", given, held=("b", "b_scale", "b_zero", "bias"), exact=False)
    own = np.uint8
    given = {
        "a": r.codes(4, 20, kind=own),
        "b": weight["b"],
        "a_scale": r.scale(),
        "b_scale": weight["b_scale"],
        "a_zero": r.codes(kind=own),
        "b_zero": weight["b_zero"],
        "bias": bias,
    }
    compare("MatMulIntegerToFloat", given, exact=False)
    kind = np.int8 if r.kind is np.int8 else BYTES[(seed // 2) % 2]
    given = {
        "a": r.codes(4, 20),
        "a_scale": r.scale(),
        "a_zero": r.codes(),
        "b": r.codes(20, 6, kind=kind),
        "b_scale": weight["b_scale"],
        "b_zero": r.codes(*columns, kind=kind),
        "c": r.whole(-9999, 9999, 6),
        "y_scale": r.scale() * np.float32(90) if seed % 5 else ...,
        "y_zero": r.codes() if seed % 5 else ...,
    }
    compare("QGemm", given, exact=bool(seed % 5), alpha=0.7)


@pytest.mark.parametrize("seed", range(CASES))
def test_weights_in_blocks(seed):
    r = Random(seed)
    size, bits = (16, 32, 64)[seed % 3], (4, 8)[seed % 2]
    k, n = 70, 5
    blocks = -(-k // size)
    given = {
        "a": r.floats(3, k),
        "b": r.codes(n, blocks, size * bits // 8, kind=np.uint8),
        "scales": r.scale(n * blocks),
        "zeros": r.codes(n * -(-blocks * bits // 8), kind=np.uint8) if seed % 4 > 1 else ...,
    }
    held = ("b", "scales", "zeros")
    compare("MatMulNBits", given, held=held, exact=False, K=k, N=n, bits=bits, block_size=size)


@needs_exact_onnxruntime
@pytest.mark.parametrize("seed", range(CASES))
def test_attention(seed):
    r = Random(seed)
    mask = [r.whole(1, 7, 2), r.whole(0, 2, 2, 6), None, None][seed % 4]
    if mask is not None and mask.ndim == 2:
        mask[:, 0] = 1
    settings = {"num_heads": 2, "unidirectional": int(seed % 4 == 3)}
    given = {"x": r.floats(2, 6, 8), "w": r.floats(8, 24), "b": r.floats(24), "mask": mask}
    compare("Attention", given, exact=False, **settings)
    own = np.uint8
    given = {
        "x": r.codes(2, 6, 8, kind=own),
        "w": r.codes(8, 24),
        "b": r.floats(24),
        "x_scale": r.scale() * np.float32(0.1),
        "w_scale": r.scale(),
        "mask": mask,
        "x_zero": r.codes(kind=own),
        "w_zero": r.codes(),
    }
    compare("QAttention", given, exact=False, **settings)
    given = {name: r.floats(2, 6, 8) for name in "qkv"}
    compare("MultiHeadAttention", {**given, "b": r.floats(24)}, exact=False, num_heads=2)
    given = {
        "x": r.floats(2, 6, 8),
        "p": np.tile(np.arange(6), (2, 1)),
        "cos": r.floats(9, 2),
        "sin": r.floats(9, 2),
    }
    compare("RotaryEmbedding", given, exact=False, interleaved=seed % 2)


@pytest.mark.parametrize("seed", range(CASES))
def test_norms(seed):
    r = Random(seed)
    given = {"x": r.floats(2, 4, 8), "skip": r.floats(2, 4, 8), "g": r.floats(8)}
    outputs = ["y", "m", "v", "t"] if seed % 3 == 0 else ["y", "", "", "t"]
    shift = {"shift": r.floats(8) if seed % 2 else None, "bias": r.floats(8)}
    compare("SkipLayerNormalization", {**given, **shift}, outputs, exact=False, epsilon=1e-5)
    compare("SkipSimplifiedLayerNormalization", given, ["y", "", "", "t"], exact=False, epsilon=1e-5)
    given = {
        "ids": r.whole(0, 9, 2, 6),
        "segments": r.whole(0, 2, 2, 6),
        "words": r.floats(9, 8),
        "places": r.floats(7, 8),
        "kinds": r.floats(2, 8),
        "g": r.floats(8),
        "b": r.floats(8),
        "mask": r.whole(0, 2, 2, 6) if seed % 2 else None,
    }
    compare("EmbedLayerNormalization", given, ["y", "lengths"], exact=False, epsilon=1e-5)
    # Of models without segments, as DistilBERT is.
    given |= {"segments": None, "kinds": None}
    compare("EmbedLayerNormalization", given, ["y", "lengths"], exact=False, epsilon=1e-5)


@pytest.mark.parametrize("seed", range(CASES))
def test_fused_layers(seed):
    r = Random(seed)
    activations = [
        ("Relu", None),
        ("Tanh", None),
        ("LeakyRelu", [0.1]),
        ("HardSigmoid", [0.2, 0.5]),
        ("Clip", [-0.5, 0.5]),
    ]
    name, numbers = activations[seed % 5]
    settings = {"activation": name} | ({"activation_params": numbers} if numbers else {})
    given = {"x": r.floats(1, 3, 8, 8), "w": r.floats(4, 3, 3, 3), "b": r.floats(4)}
    compare("FusedConv", given, exact=False, tolerance=1e-5, **settings)
    compare("FusedMatMul", {"a": r.floats(2, 4, 3), "b": r.floats(2, 4, 5)}, exact=False, transA=1, alpha=0.3)
    compare("BiasGelu", {"x": r.floats(3, 8), "b": r.floats(8)}, exact=False)
    compare("FastGelu", {"x": r.floats(3, 8), "b": r.floats(8)}, exact=False)
    compare("Gelu", {"x": r.floats(3, 8)}, exact=False)
    compare("QuickGelu", {"x": r.floats(3, 8)}, exact=False, alpha=1.3)


@needs_exact_onnxruntime
@pytest.mark.parametrize("seed", range(CASES))
def test_lstm_of_integers(seed):
    """A state on the border between two codes may fall on either side, which moves results by a step."""
    r = Random(seed)
    units, ways = 6, 2 if seed % 5 == 4 else 1
    columns = (ways, 4 * units) if seed % 2 else (ways,)
    zeros = (lambda: r.codes(*columns)) if r.kind is np.uint8 else (lambda: np.zeros(columns, np.int8))
    given = {
        "x": r.floats(4, 2, 5),
        "w": r.codes(ways, 5, 4 * units),
        "r": r.codes(ways, units, 4 * units),
        "b": r.floats(ways, 8 * units),
        "lengths": np.array([[4, 2], [3, 4]][seed % 2], np.int32) if seed % 3 == 1 else None,
        "h": r.floats(ways, 2, units) if seed % 4 == 1 else None,
        "c": r.floats(ways, 2, units) if seed % 4 == 1 else None,
        "p": None,
        "w_scale": r.scale(*columns) * np.float32(0.1),
        "w_zero": zeros(),
        "r_scale": r.scale(*columns) * np.float32(0.1),
        "r_zero": zeros(),
    }
    settings = {"hidden_size": units, "direction": "bidirectional" if ways == 2 else "forward"}
    held = ("w", "r", "b", "w_scale", "w_zero", "r_scale", "r_zero")
    compare(
        "DynamicQuantizeLSTM", given, ["y", "h_last", "c_last"], held, exact=False, tolerance=1e-2, **settings
    )


@pytest.mark.parametrize("seed", range(CASES))
def test_quantize(seed):
    r = Random(seed)
    compare("QuantizeLinear", {"x": r.floats(3, 4) * 9, "s": r.scale(), "z": r.codes()})
    compare("DequantizeLinear", {"x": r.codes(3, 4), "s": r.scale(), "z": r.codes()})


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("seed", range(8))
def test_distances_of_rows(metric, seed):
    r = Random(seed)
    n, m, k = (int(r.rng.integers(1, 9)) for _ in range(3))
    inputs = {"a": r.floats(n, k), "b": r.floats(m, k)}
    compare("CDist", inputs, exact=False, tolerance=3e-5, metric=metric)
    compare("CDist", inputs, held=("b",), exact=False, tolerance=3e-5, metric=metric)


@pytest.mark.parametrize(("axis", "inner"), [(1, 0), (3, 0), (3, 1), (2, 1), (-1, 0)])
def test_softmax_of_biased_scores(rng, axis, inner):
    """Its kernel is for GPUs alone: the formula, over all axes from one on."""
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    bias = rng.standard_normal((2, 1, 1, 5) if inner else (4, 5)).astype(np.float32)
    total = (x.astype(np.float64) + bias).reshape(*x.shape[: axis % 4], -1)
    e = np.exp(total - total.max(-1, keepdims=True))
    wanted = (e / e.sum(-1, keepdims=True)).reshape(x.shape)
    model = single_node(
        "BiasSoftmax", {"x": x, "bias": bias}, domain="com.microsoft", axis=axis, is_inner_broadcast=inner
    )
    np.testing.assert_allclose(here(model, {"x": x, "bias": bias})[0], wanted, rtol=1e-5)


def test_whole_generators_say_what_can_be_read():
    model = single_node("GreedySearch", {"x": np.zeros((1, 4), np.int32)}, domain="com.microsoft")
    with pytest.raises(ValueError, match=r"GreedySearch.*a decoder alone"):
        here(model, {"x": np.zeros((1, 4), np.int32)})
