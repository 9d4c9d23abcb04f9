"""Boxes, what is in them, and images read between their elements: beside onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from single_node import here, in_onnxruntime, loaded, single_node


def called(model: Any) -> list[str]:
    """Nodes of a model that has run twice which are left to Python."""
    program = model.floats()
    return [name for graph in program.graphs for name in program.made(model, graph).lowered.called]


def check(node: Any, inputs: dict[str, Any], rtol: float = 0, atol: float = 0) -> list[Any]:
    """Node by node, and as a program that leaves nothing to Python, it is what onnxruntime makes."""
    wanted = in_onnxruntime(node, inputs)
    model = loaded(node)
    names = {value.name for value in model.inputs}
    given = {name: array for name, array in inputs.items() if name in names}
    for _ in range(3):
        made = model(**given)
        for one, other in zip(made if isinstance(made, tuple) else (made,), wanted, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)
    assert called(model) == []
    return wanted


def boxes(rng: Any, shape: tuple[int, ...], centred: bool) -> Any:
    """Some of them on each other, turned around, or without an area."""
    corners = rng.integers(0, 24, (*shape, 2)).astype(np.float32)
    sides = rng.integers(0 if not centred else -1, 9, (*shape, 2)).astype(np.float32)
    if centred:
        return np.concatenate([corners, sides], -1)
    ends = corners + sides
    turned = rng.random((*shape, 1)) < 0.2
    made = np.concatenate([np.where(turned, ends, corners), np.where(turned, corners, ends)], -1)
    return made.astype(np.float32)


@pytest.mark.parametrize("centred", [0, 1])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 300])
@pytest.mark.parametrize("limit", [1, 20, 2**62])
def test_non_max_suppression(rng, centred, count, limit):
    inputs = {
        "boxes": boxes(rng, (3, count), bool(centred)),
        # Many of them are equal.
        "scores": (rng.integers(0, 30, (3, 4, count)) / 30).astype(np.float32),
        "limit": np.array([limit], np.int64),
        "overlap": np.array([0.25], np.float32),
        "least": np.array([0.1], np.float32),
    }
    node = single_node(
        "NonMaxSuppression", inputs, constants={"limit", "overlap", "least"}, center_point_box=centred
    )
    found = check(node, inputs)[0]
    assert len(found) > 0
    if count == 300 and limit > 20:
        assert len(found) < (inputs["scores"] > 0.1).sum(), "some are covered"


def test_settings_of_non_max_suppression_that_are_inputs(rng):
    inputs = {
        "boxes": boxes(rng, (1, 40), False),
        "scores": rng.random((1, 2, 40), np.float32),
        "limit": np.array([7], np.int64),
        "overlap": np.array([0.5], np.float32),
    }
    node = single_node("NonMaxSuppression", inputs)
    np.testing.assert_array_equal(here(node, inputs)[0], in_onnxruntime(node, inputs)[0])


def test_without_a_limit_there_are_no_boxes(rng):
    inputs = {"boxes": boxes(rng, (1, 9), False), "scores": rng.random((1, 1, 9), np.float32)}
    assert check(single_node("NonMaxSuppression", inputs), inputs)[0].shape == (0, 3)


def test_as_many_boxes_as_there_are_in_each_call(rng):
    inputs = {
        "boxes": boxes(rng, (1, 30), False),
        "scores": rng.random((1, 1, 30), np.float32),
        "limit": np.array([100], np.int64),
        "overlap": np.array([0.3], np.float32),
        "least": np.array([0.0], np.float32),
    }
    node = single_node("NonMaxSuppression", inputs, constants={"limit", "overlap", "least"}, free=True)
    model, lengths = loaded(node), set()
    for seed in range(6):
        own = np.random.default_rng(seed)
        inputs["boxes"] = boxes(own, (1, 30), False)
        inputs["scores"] = own.random((1, 1, 30), np.float32)
        made = model(boxes=inputs["boxes"], scores=inputs["scores"])
        np.testing.assert_array_equal(made, in_onnxruntime(node, inputs)[0])
        lengths.add(len(made))
    assert len(lengths) > 1
    assert len(model.floats().graphs) == 1


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("transform", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("sampling", [0, 1, 2, 5])
@pytest.mark.parametrize("channels", [1, 5, 32])
def test_roi_align(rng, mode, transform, sampling, channels):
    corners = rng.uniform(-6, 26, (20, 2))
    inputs = {
        "x": rng.standard_normal((2, channels, 13, 17), np.float32),
        # Some reach out of the image, lie beside it, have no area, or are turned around.
        "boxes": np.concatenate([corners, corners + rng.uniform(-3, 20, (20, 2))], 1).astype(np.float32),
        "images": rng.integers(0, 2, 20),
    }
    node = single_node(
        "RoiAlign", inputs, mode=mode, coordinate_transformation_mode=transform, output_height=3,
        output_width=4, sampling_ratio=sampling, spatial_scale=0.6,
    )  # fmt: skip
    check(node, inputs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32", "bool", "uint8"])
@pytest.mark.parametrize("shape", [(7,), (4, 5), (2, 3, 4), (0, 3), (1, 1)])
def test_non_zero(rng, dtype, shape):
    x = (rng.integers(0, 3, shape) - (dtype != "uint8")).astype(dtype)
    if dtype == "float32" and x.size:
        x.ravel()[0] = np.nan
    check(single_node("NonZero", {"x": x}), {"x": x})


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 3, 11), {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}),
        ((2, 3, 9, 8), {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ((1, 2, 9, 8), {"kernel_shape": [3, 2], "strides": [1, 3], "pads": [1, 0, 2, 1]}),
        ((1, 2, 9, 8), {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]}),
        ((1, 2, 5, 6, 4), {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2], "pads": [0, 1, 0, 1, 1, 1]}),
    ],
)
def test_places_of_the_greatest(rng, order, ceil, shape, settings):
    x = rng.integers(-4, 5, shape).astype(np.float32)
    node = single_node("MaxPool", {"x": x}, ["y", "places"], storage_order=order, ceil_mode=ceil, **settings)
    node.graph.output[1].type.tensor_type.elem_type = 7
    check(node, {"x": x})


@pytest.mark.parametrize("mode", ["cubic", "linear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("lengths", [(7, 5), (1, 4)])
def test_grid_sample(rng, mode, padding, corners, lengths):
    inputs = {
        "x": rng.standard_normal((2, 3, *lengths), np.float32),
        "grid": rng.uniform(-2.5, 2.5, (2, 6, 4, 2)).astype(np.float32),
    }
    node = single_node("GridSample", inputs, mode=mode, padding_mode=padding, align_corners=corners)
    check(node, inputs, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scales", [(0.3, 0.6), (0.5, 2.0), (0.11, 0.9), (1.7, 0.25)])
@pytest.mark.parametrize("exclude", [0, 1])
def test_antialiased(rng, mode, scales, exclude):
    if exclude and mode == "linear":
        pytest.skip("for cubic alone")
    inputs = {
        "x": rng.standard_normal((2, 3, 19, 23), np.float32),
        "roi": None,
        "scales": np.array([1, 1, *scales], np.float32),
    }
    node = single_node(
        "Resize", inputs, constants={"scales"}, mode=mode, antialias=1, exclude_outside=exclude
    )
    check(node, inputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("lengths", "block", "settings"),
    [
        ((5, 6), (2, 3), {}),
        ((7, 6), (3, 2), {"strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 3]}),
        ((9,), (3,), {"strides": [2], "pads": [1, 1]}),
        ((4, 5, 3), (2, 2, 2), {"pads": [0, 1, 0, 1, 0, 1]}),
    ],
)
def test_col2im(rng, lengths, block, settings):
    dims = len(lengths)
    strides, pads = settings.get("strides", [1] * dims), settings.get("pads", [0] * 2 * dims)
    gaps = settings.get("dilations", [1] * dims)
    counts = [
        (n + pads[a] + pads[dims + a] - gaps[a] * (block[a] - 1) - 1) // strides[a] + 1
        for a, n in enumerate(lengths)
    ]
    inputs = {
        "x": rng.standard_normal((2, 3 * int(np.prod(block)), int(np.prod(counts))), np.float32),
        "image": np.array(lengths, np.int64),
        "block": np.array(block, np.int64),
    }
    check(
        single_node("Col2Im", inputs, constants={"image", "block"}, **settings), inputs, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("op", "inputs", "settings", "said"),
    [
        ("RoiAlign", {"boxes": np.float32([[0, 0, 1e30, 4]])}, {}, "at most 16384 of them"),
        ("RoiAlign", {"images": np.array([2])}, {}, "from 0 to 1"),
        ("RoiAlign", {"images": np.array([-1])}, {}, "from 0 to 1"),
        ("RoiAlign", {"boxes": np.zeros((1, 5), np.float32)}, {}, r"\(boxes, 4\)"),
        ("RoiAlign", {"images": np.array([0, 1])}, {}, "a number for each box"),
        ("RoiAlign", {"x": np.zeros((1, 2, 0, 3), np.float32)}, {}, "that have elements"),
        ("RoiAlign", {}, {"sampling_ratio": 1 << 40}, "at most"),
        ("RoiAlign", {}, {"output_height": 1 << 40}, "output_size"),
        ("NonMaxSuppression", {"scores": np.zeros((1, 1, 3), np.float32)}, {}, r"\(1, classes, 2\)"),
        ("NonMaxSuppression", {"boxes": np.zeros((1, 2, 3), np.float32)}, {}, r"\(images, boxes, 4\)"),
        ("NonMaxSuppression", {"overlap": np.float32([np.nan])}, {}, "nan"),
    ],
)
def test_what_is_refused(op, inputs, settings, said):
    given = {
        "RoiAlign": {
            "x": np.zeros((2, 3, 4, 5), np.float32),
            "boxes": np.float32([[0, 0, 4, 4]]),
            "images": np.array([1]),
        },
        "NonMaxSuppression": {
            "boxes": np.zeros((1, 2, 4), np.float32),
            "scores": np.zeros((1, 1, 2), np.float32),
            "limit": np.array([3]),
            "overlap": np.float32([0.5]),
        },
    }[op] | inputs
    node = single_node(op, given, constants={"limit", "overlap"} & given.keys(), **settings)
    for _ in range(2):
        with pytest.raises(ValueError, match=said):
            here(node, given)


def test_boxes_that_are_no_numbers_have_nothing_in_them():
    inputs = {
        "x": np.ones((1, 2, 4, 5), np.float32),
        "boxes": np.float32([[np.nan, 0, 4, 4], [0, 0, 3, 3], [np.inf, 0, np.inf, 4]]),
        "images": np.zeros(3, np.int64),
    }
    node = single_node("RoiAlign", inputs, output_height=2, output_width=2, sampling_ratio=2)
    made = here(node, inputs)[0]
    assert (made[0] == 0).all()
    assert (made[1] == 1).all()
    assert (made[2] == 0).all()
