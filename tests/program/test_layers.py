"""Normalizations, images of other sizes, and recurrent layers, as steps of a program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program.lowered import check, run
from quantray import graph, nn, ops
from quantray import quantization as tq
from quantray.nn import functional as F
from quantray.quantization._lowering import lower


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 6, 5, 4), (1, 6, 3), (3, 6)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_groups(shape: tuple[int, ...], groups: int) -> None:
    x, w, b = normal(*shape) * 3 + 1, normal(6, seed=1), normal(6, seed=2)
    if len(shape) == 2 and groups == 6:
        return
    check(lambda x: (F.group_norm(x, groups, w, b), F.group_norm(x, groups)), x, ulp=64, atol=1e-5)
    if len(shape) > 2:
        check(lambda x: (F.instance_norm(x, weight=w, bias=b), F.instance_norm(x)), x, ulp=64, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_logarithms_of_softmax(axis: int) -> None:
    x = normal(3, 40, 17) * 20
    check(lambda x: (F.log_softmax(x, axis), F.softmax(x, axis)), x, ulp=16, atol=1e-5)
    exact = x.astype(np.float64)
    exact = exact - exact.max(axis, keepdims=True)
    exact = exact - np.log(np.exp(exact).sum(axis, keepdims=True))
    np.testing.assert_allclose(run(lambda x: F.log_softmax(x, axis), x), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("columns", [1, 7, 8, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("batch", [(), (1,), (9,)])
@pytest.mark.usefixtures("kernels")
def test_products_of_one_row_have_the_bits_of_many(columns: int, batch: tuple[int, ...]) -> None:
    """Few rows meet the other matrix where it lies, many once it is laid out."""
    for depth in (0, 1, 5, 600):
        x, y = normal(*batch, 8, depth), normal(*batch, depth, columns, seed=1)
        many = run(lambda x, y: x @ y, x, y)
        np.testing.assert_allclose(many, x.astype(np.float64) @ y, rtol=1e-4, atol=1e-4)
        for count in (1, 2, 3):
            few = run(lambda x, y: x @ y, np.ascontiguousarray(x[..., :count, :]), y)
            np.testing.assert_array_equal(few, many[..., :count, :])


@pytest.mark.parametrize("n", [1, 3, 31, 32, 33, 56, 64, 65, 128, 129, 1000])
@pytest.mark.usefixtures("kernels")
def test_logarithms_of_softmax_of_every_length(n: int) -> None:
    x = normal(40, n) * 20
    x[3, -1], x[5, 0], x[7] = np.nan, np.inf, -np.inf
    with np.errstate(all="ignore"):
        exact = x.astype(np.float64) - x.max(1, keepdims=True)
        exact = exact - np.log(np.exp(exact).sum(1, keepdims=True))
    found = run(lambda x: F.log_softmax(x, 1), x)
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=2e-6)


def test_layer_norm_of_a_weight_that_is_computed() -> None:
    check(lambda x, w: F.layer_norm(x, (5,), w * 2, w), normal(3, 5), normal(5, seed=1), ulp=64, atol=1e-5)
    check(lambda x, w: F.rms_norm(x, (5,), w), normal(3, 5), normal(5, seed=1), ulp=64, atol=1e-5)


# Images


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.sampled_from(["nearest", "nearest-exact", "linear", "corners"]),
    st.data(),
)
@settings(deadline=None)
def test_sizes(lengths: list[int], mode: str, data: st.DataObject) -> None:
    x = normal(2, 3, *lengths)
    if data.draw(st.booleans()):
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    how: dict[str, Any] = {"mode": mode}
    if mode in ("linear", "corners"):
        how = {
            "mode": ("linear", "bilinear", "trilinear")[len(lengths) - 1],
            "align_corners": mode == "corners",
        }
    sizes = tuple(data.draw(st.integers(1, 9)) for _ in lengths)
    check(lambda x: F.interpolate(x, sizes, **how), x, ulp=4, atol=1e-6)
    check(lambda x: F.interpolate(x, scale_factor=2.5, **how), x, ulp=4, atol=1e-6)


def resized(x: np.ndarray, **params: Any) -> np.ndarray:
    return ops.Program([str(x.dtype)], [("resize", (0,), 1, params)], [1])(x)[0]


def test_sizes_by_the_rules_of_files() -> None:
    # onnxruntime 1.32's results for these.
    x = np.float32([[[[1, 2, 3, 4]]]])
    wide = {"axes": (3,), "size": (7,)}
    ceil = resized(x, mode="nearest", nearest_mode="ceil", coordinates="asymmetric", **wide)
    assert ceil.ravel().tolist() == [1, 2, 3, 3, 4, 4, 4]
    linear = resized(x, mode="linear", coordinates="align_corners", **wide).ravel()
    np.testing.assert_allclose(linear, [1, 1.5, 2, 2.5, 3, 3.5, 4], rtol=1e-6)
    half = resized(x, mode="linear", coordinates="half_pixel", axes=(3,), scale=(2.0,)).ravel()
    np.testing.assert_allclose(half, [1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4], rtol=1e-6)
    one = resized(x, mode="linear", coordinates="pytorch_half_pixel", axes=(3,), size=(1,)).ravel()
    assert one.tolist() == [1]
    # Keys' kernel gives a line back where it has all four neighbours.
    cubic = resized(
        np.arange(8, dtype=np.float32), mode="cubic", coordinates="half_pixel", axes=(0,), scale=(2.0,)
    )
    np.testing.assert_allclose(cubic[4:-4], np.arange(1.75, 5.5, 0.5), atol=0.05)
    # What is outside counts nothing: weights still sum up to 1.
    ones = np.ones((1, 1, 3, 3), np.float32)
    made = resized(ones, mode="cubic", axes=(2, 3), size=(7, 8), exclude_outside=True)
    np.testing.assert_allclose(made, 1, rtol=1e-6)
    with pytest.raises(ValueError, match="coordinates must be"):
        resized(ones, axes=(2,), size=(2,), coordinates="middle")


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [False, True])
def test_places_in_images(mode: Any, padding: Any, corners: bool) -> None:
    x, grid = normal(2, 3, 5, 7), normal(2, 4, 6, 2, seed=1) * 1.3
    check(lambda x, g: F.grid_sample(x, g, mode, padding, corners), x, grid)


def test_pixels_and_channels() -> None:
    x = normal(2, 8, 4, 6)
    check(lambda x: (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2), F.channel_shuffle(x, 4)), x)


# Recurrent layers


class Whole(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any, *states: Any) -> Any:
        if not states:
            return self.layer(x)
        return self.layer(x, states if isinstance(self.layer, nn.LSTM) else states[0])


LAYERS = [
    (nn.LSTM, {}),
    (nn.LSTM, {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    (nn.LSTM, {"proj_size": 3, "bias": False}),
    (nn.GRU, {"bidirectional": True}),
    (nn.GRU, {"num_layers": 3, "batch_first": True}),
    (nn.RNN, {"nonlinearity": "relu"}),
    (nn.RNN, {"num_layers": 2}),
]


@pytest.mark.parametrize(("kind", "how"), LAYERS)
@pytest.mark.parametrize("shape", [(5, 2, 4), (1, 1, 4), (6, 4)])
@pytest.mark.parametrize("with_states", [False, True])
def test_recurrent_layers(kind: Any, how: dict[str, Any], shape: tuple[int, ...], with_states: bool) -> None:
    layer = kind(4, 8, **how)
    model = Whole(layer).eval()
    x = normal(*shape)
    arrays = [x]
    if with_states:
        count = layer.num_layers * (1 + layer.bidirectional)
        batch = (
            shape[:-1][int(not layer.batch_first) : int(not layer.batch_first) + 1] if len(shape) == 3 else ()
        )
        sizes = (layer.proj_size or 8, 8)[: 1 + (kind is nn.LSTM)]
        arrays += [normal(count, *batch, size, seed=i) for i, size in enumerate(sizes)]
    expected = model(*arrays)
    made = lower(graph.normalize(graph.capture(model, tuple(arrays))), model, {}, is_near=True)
    assert not made.called
    found = made(arrays)

    def flat(tree: Any) -> list[Any]:
        return [leaf for each in tree for leaf in flat(each)] if isinstance(tree, tuple) else [tree]

    for one, other in zip(flat(found), flat(expected), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_recurrent_layers_of_other_lengths() -> None:
    model = Whole(nn.LSTM(4, 8)).eval()
    made = lower(graph.normalize(graph.capture(model, (normal(5, 2, 4),))), model, {}, is_near=True)
    for steps, batch in ((1, 1), (9, 3), (2, 0)):
        x = normal(steps, batch, 4)
        output, (h, c) = made([x])
        expected, (last, cells) = model(x)
        for one, other in ((output, expected), (h, last), (c, cells)):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    step = ("gru", (0,), 1, {"name": "layer", "weights": [(normal(6, 4), normal(6, 2))]})
    program = ops.Program(["float32"], [step], [1])
    with pytest.raises(ValueError, match=r"layer: input must be of shape \(steps, batch, 4\)"):
        program(normal(2, 3, 5))


# Functions before layers that quantize floats: their floats are made row by row


class Between(nn.Module):
    """Two layers, and functions of single elements between them."""

    def __init__(self, how: str, width: int) -> None:
        super().__init__()
        self.first, self.second, self.how = nn.Linear(24, width), nn.Linear(width, 9), how

    def between(self, y: Any) -> Any:
        if self.how == "one":
            return F.gelu(y)
        if self.how == "two sources":
            return F.silu(y) * y[:, :1]
        return (F.relu(y) * 0.5 + np.float32(1)).reshape(2, -1, y.shape[-1])

    def forward(self, x: Any) -> Any:
        y = self.first(x)
        z = self.between(y)
        return (self.second(z), z) if self.how == "seen" else self.second(z)


@pytest.mark.parametrize("per_row", [True, False])
@pytest.mark.parametrize("width", [1, 65, 1536, 17000])
@pytest.mark.parametrize("how", ["one", "two sources", "many", "seen"])
def test_functions_before_dynamic_layers(how: str, width: int, per_row: bool) -> None:
    nn.manual_seed(0)
    model: Any = tq.quantize_dynamic(Between(how, width).eval(), per_row=per_row)
    for rows in (2, 14):
        x = normal(rows, 24, seed=rows) * 3
        y = model.first(x)
        expected = model.second(model.between(y))
        for _ in range(3):
            found = model(x)
            found, seen = found if how == "seen" else (found, None)
            np.testing.assert_array_equal(found, expected)
            assert seen is None or np.array_equal(seen, model.between(y))
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model(x)
