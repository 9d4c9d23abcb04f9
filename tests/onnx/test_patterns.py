"""Formulas that exporters write out, recognized: the same values as onnxruntime's, in one step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_allclose
from patterns import expected, made, steps

F = np.float32
GELU_ERF = [
    ("Div", "x root", "a", {}),
    ("Erf", "a", "b", {}),
    ("Add", "b one", "c", {}),
    ("Mul", "x c", "d", {}),
    ("Mul", "d half", "y", {}),
]
NUMBERS = {
    "root": F(math.sqrt(2)),
    "one": F(1),
    "half": F(0.5),
    "three": F(3),
    "six": F(6),
    "zero": F(0),
    "sixth": F(1 / 6),
}


def only(nodes, names):
    used = {name for _, i, _, _ in nodes for name in i.split()}
    return {name: value for name, value in names.items() if name in used}


@pytest.mark.parametrize(
    ("nodes", "step"),
    [
        (GELU_ERF, "Gelu"),
        (
            [
                ("Mul", "x half", "h", {}),
                ("Div", "x root", "a", {}),
                ("Erf", "a", "b", {}),
                ("Add", "one b", "c", {}),
                ("Mul", "h c", "y", {}),
            ],
            "Gelu",
        ),
        (
            [
                ("Mul", "x x", "s", {}),
                ("Mul", "s x", "t", {}),
                ("Mul", "t small", "u", {}),
                ("Add", "x u", "v", {}),
                ("Mul", "v pi", "w", {}),
                ("Tanh", "w", "b", {}),
                ("Add", "b one", "c", {}),
                ("Mul", "x half", "h", {}),
                ("Mul", "h c", "y", {}),
            ],
            "Gelu",
        ),
        ([("Sigmoid", "x", "a", {}), ("Mul", "a x", "y", {})], "Swish"),
        (
            [
                ("Add", "x three", "a", {}),
                ("Clip", "a zero six", "b", {}),
                ("Mul", "x b", "c", {}),
                ("Div", "c six", "y", {}),
            ],
            "HardSwish",
        ),
        ([("HardSigmoid", "x", "a", {"alpha": 1 / 6, "beta": 0.5}), ("Mul", "x a", "y", {})], "HardSwish"),
        (
            [("Add", "x three", "a", {}), ("Clip", "a zero six", "b", {}), ("Mul", "b sixth", "y", {})],
            "HardSigmoid",
        ),
    ],
    ids=["gelu", "gelu-half-first", "gelu-tanh", "silu", "hardswish", "hardswish-gate", "hardsigmoid"],
)
def test_activation(rng, nodes, step):
    names = {**NUMBERS, "small": F(0.044715), "pi": F(math.sqrt(2 / math.pi))}
    x = (rng.normal(size=(3, 40)) * 3).astype(F)
    model = made(nodes, {"x": x}, ["y"], only(nodes, names))
    loaded = qt.onnx.load(model)
    assert steps(loaded) == [step]
    assert_allclose(loaded(x), expected(model, {"x": x})[0], rtol=2e-6, atol=1e-6)


def test_another_number_is_no_gelu(rng):
    """0.6 in the place of 0.5: a formula of its own, computed as it stands."""
    x = rng.normal(size=(3, 40)).astype(F)
    model = made(GELU_ERF, {"x": x}, ["y"], {**only(GELU_ERF, NUMBERS), "half": F(0.6)})
    loaded = qt.onnx.load(model)
    assert "Gelu" not in steps(loaded)
    assert_allclose(loaded(x), expected(model, {"x": x})[0], rtol=2e-6, atol=1e-6)


def layer_norm(square="Pow", divide="Div"):
    nodes = [("ReduceMean", "x", "m", {"axes": [-1]}), ("Sub", "x m", "d", {})]
    nodes.append(("Pow", "d two", "s", {}) if square == "Pow" else ("Mul", "d d", "s", {}))
    nodes += [("ReduceMean", "s", "v", {"axes": [-1]}), ("Add", "v eps", "e", {}), ("Sqrt", "e", "r", {})]
    if divide == "Div":
        nodes.append(("Div", "d r", "n", {}))
    else:
        nodes += [("Reciprocal", "r", "q", {}), ("Mul", "d q", "n", {})]
    return [*nodes, ("Mul", "n w", "p", {}), ("Add", "p b", "y", {})]


@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("divide", ["Div", "Reciprocal"])
def test_layer_norm(rng, square, divide):
    x = rng.normal(2, 3, size=(2, 5, 24)).astype(F)
    names = {
        "two": F(2),
        "eps": F(1e-5),
        "w": rng.normal(size=24).astype(F),
        "b": rng.normal(size=24).astype(F),
    }
    nodes = layer_norm(square, divide)
    model = made(nodes, {"x": x}, ["y"], only(nodes, names), opset=13)
    loaded = qt.onnx.load(model)
    assert steps(loaded) == ["LayerNorm"]
    wide = x.astype(np.float64)
    want = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5) * names[
        "w"
    ] + names["b"]
    assert_allclose(loaded(x), want, rtol=1e-5, atol=1e-5)


def test_rms_norm(rng):
    x = rng.normal(2, 3, size=(2, 5, 24)).astype(F)
    names = {"two": F(2), "eps": F(1e-6), "one": F(1), "w": rng.normal(size=24).astype(F)}
    nodes = [
        ("Pow", "x two", "s", {}),
        ("ReduceMean", "s", "v", {"axes": [-1]}),
        ("Add", "v eps", "e", {}),
        ("Sqrt", "e", "r", {}),
        ("Div", "one r", "q", {}),
        ("Mul", "x q", "n", {}),
        ("Mul", "w n", "y", {}),
    ]
    model = made(nodes, {"x": x}, ["y"], names, opset=13)
    loaded = qt.onnx.load(model)
    assert steps(loaded) == ["RMSNormalization"]
    wide = x.astype(np.float64)
    assert_allclose(
        loaded(x), wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * names["w"], rtol=1e-5
    )


def attention(scale, masked, fused):
    """Self-attention in the ways that torch and Paddle write it."""
    nodes = []
    if fused:
        nodes += [
            ("MatMul", "x wqkv", "a", {}),
            ("Add", "a bqkv", "c", {}),
            ("Reshape", "c five", "f", {}),
            ("Transpose", "f", "t", {"perm": [2, 0, 3, 1, 4]}),
        ]
        for i, name in enumerate("qkv"):
            nodes.append(("Gather", f"t i{i}", name, {"axis": 0}))
        nodes.append(("Transpose", "k", "kt", {"perm": [0, 1, 3, 2]}))
    else:
        for name in "qkv":
            nodes += [
                ("MatMul", f"x w{name}", f"a{name}", {}),
                ("Add", f"b{name} a{name}", f"c{name}", {}),
                ("Reshape", f"c{name} four", f"r{name}", {}),
                (
                    "Transpose",
                    f"r{name}",
                    "kt" if name == "k" else name,
                    {"perm": [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]},
                ),
            ]
    if scale == "before":
        nodes += [("Mul", "q factor", "qs", {}), ("MatMul", "qs kt", "s", {})]
    else:
        nodes += [("MatMul", "q kt", "m", {}), ("Div", "m root", "s", {})]
    if masked:
        nodes.append(("Add", "s mask", "sm", {}))
    nodes += [
        ("Softmax", "sm" if masked else "s", "p", {"axis": -1}),
        ("MatMul", "p v", "o", {}),
        ("Transpose", "o", "ot", {"perm": [0, 2, 1, 3]}),
        ("Reshape", "ot three", "j", {}),
        ("MatMul", "j wo", "u", {}),
        ("Add", "u bo", "y", {}),
    ]
    return nodes


def parts_of_attention(rng, heads, width):
    """Weights and numbers that `attention` names."""
    names = {
        name: (rng.normal(size=(width, width if name != "wqkv" else 3 * width)) * 0.3).astype(F)
        for name in ("wq", "wk", "wv", "wo", "wqkv")
    }
    names |= {name: rng.normal(size=width).astype(F) for name in ("bq", "bk", "bv", "bo")}
    names |= {
        "bqkv": rng.normal(size=3 * width).astype(F),
        "factor": F(0.3),
        "root": F(2.5),
        "four": np.array([0, 0, heads, width // heads]),
        "five": np.array([0, -1, 3, heads, width // heads]),
        "three": np.array([0, 0, width]),
        **{f"i{i}": np.array(i) for i in range(3)},
    }
    return names


@pytest.mark.parametrize("scale", ["before", "after"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_attention(rng, scale, masked, fused):
    heads, width = 4, 24
    x = rng.normal(size=(2, 7, width)).astype(F)
    mask = np.where(rng.random((2, 1, 1, 7)) < 0.3, F(-1e9), F(0))
    names = parts_of_attention(rng, heads, width)
    nodes = attention(scale, masked, fused)
    inputs = {"x": x, "mask": mask} if masked else {"x": x}
    model = made(nodes, inputs, ["y"], only(nodes, names), free=(0,))
    loaded = qt.onnx.load(model)
    assert steps(loaded) == ["SelfAttention"]
    want = expected(model, inputs)[0]
    for _ in range(2):
        # Node by node the first time, by the program the second.
        assert_allclose(loaded(**inputs), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "lengths", [(1, 4, 7, 7), (4, 7, 7), (7, 7), (1, 1, 7, 7), (2, 1, 1, 7), (2, 4, 7, 7), (7,)]
)
@pytest.mark.parametrize("fused", [False, True])
def test_attention_with_a_mask_that_is_constant(rng, fused, lengths):
    """Of places relative to each other, as Swin has it, or of what may see what."""
    x = rng.normal(size=(2, 7, 24)).astype(F)
    names = parts_of_attention(rng, 4, 24) | {"mask": (3 * rng.normal(size=lengths)).astype(F)}
    nodes = attention("before", True, fused)
    model = made(nodes, {"x": x}, ["y"], only(nodes, names))
    loaded = qt.onnx.load(model)
    assert steps(loaded) == ["SelfAttention"]
    want = expected(model, {"x": x})[0]
    for _ in range(2):
        assert_allclose(loaded(x), want, rtol=1e-4, atol=1e-4)


def test_values_that_others_take_stay(rng):
    """The product is an output too: its bias is not folded into it."""
    x, w = rng.normal(size=(3, 6)).astype(F), rng.normal(size=(6, 5)).astype(F)
    nodes = [("MatMul", "x w", "a", {}), ("Add", "a b", "y", {})]
    model = made(nodes, {"x": x}, ["y", "a"], {"w": w, "b": rng.normal(size=5).astype(F)})
    loaded = qt.onnx.load(model)
    assert steps(loaded) == ["Linear", "Add"]
    for got, want in zip(loaded(x), expected(model, {"x": x}), strict=True):
        assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_names_are_the_exported_models():
    x = np.zeros((1, 6), F)
    model = made(
        [("MatMul", "x w", "fc", {}), ("Add", "fc b", "y", {})],
        {"x": x},
        ["y"],
        {"w": np.eye(6, dtype=F), "b": x[0]},
    )
    assert list(qt.onnx.load(model).state_dict()) == ["block.fc.weight", "block.fc.bias"]


def of_sum(axes, number, keepdims, op="Div"):
    """A sum over some axes, and what it is divided or multiplied by."""
    nodes = [
        ("ReduceSum", "x axes", "sum", {"keepdims": keepdims}),
        (op, "sum number", "y", {}),
    ]
    given = {"x": np.zeros((3, 6, 4, 8), F)}
    return made(nodes, given, ["y"], {"axes": np.array(axes), "number": F(number)}, free=(0,))


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize(
    ("axes", "number", "op"),
    [([2, 3], 32, "Div"), ([-1], 8, "Div"), ([1, 2, 3], 192, "Div"), ([1], 1 / 6, "Mul"), ([2], 0.25, "Mul")],
)
def test_means_that_are_written_out(rng, axes, number, op, keepdims):
    file = of_sum(axes, number, keepdims, op)
    loaded = qt.onnx.load(file)
    assert steps(loaded) == ["ReduceMean"]
    x = rng.standard_normal((3, 6, 4, 8)).astype(F)
    assert_allclose(loaded(x), expected(file, {"x": x})[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("axes", "number", "op"), [([2, 3], 31, "Div"), ([0], 3, "Div"), ([1], 6, "Mul"), ([1], 0.1666, "Mul")]
)
def test_sums_of_other_numbers_stay(rng, axes, number, op):
    file = of_sum(axes, number, 1, op)
    loaded = qt.onnx.load(file)
    assert steps(loaded)[0] == "ReduceSum"
    x = rng.standard_normal((3, 6, 4, 8)).astype(F)
    assert_allclose(loaded(x), expected(file, {"x": x})[0], rtol=1e-5, atol=1e-6)


def of_groups(groups, channels, wanted, lengths=(5, 7), affine=True, scale=None):
    """A normalization of groups as torch writes it before opset 21."""
    nodes = [
        ("Shape", "x", "shape", {}),
        ("Reshape", "x wanted", "parts", {}),
        ("InstanceNormalization", "parts ones zeros", "normal", {"epsilon": 1e-3}),
        ("Reshape", "normal shape", "whole" if affine else "y", {}),
    ]
    held = {
        "wanted": np.array(wanted),
        "ones": np.ones(groups, F) if scale is None else np.full(groups, scale, F),
        "zeros": np.zeros(groups, F),
    }
    if affine:
        nodes += [("Mul", "whole weight", "scaled", {}), ("Add", "scaled bias", "y", {})]
        along = (channels, *[1] * len(lengths))
        held |= {name: np.linspace(-1, 2, channels).astype(F).reshape(along) for name in ("weight", "bias")}
    given = {"x": np.zeros((2, channels, *lengths), F)}
    return made(nodes, given, ["y"], held, free=(0,))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("groups", "lengths", "wanted"),
    [(3, (5, 7), [0, 3, -1]), (1, (5, 7), [0, 1, -1]), (6, (9,), [0, 6, 9]), (3, (2, 3, 4), [0, 3, 48])],
)
def test_group_norm_of_torch(rng, groups, lengths, wanted, affine):
    file = of_groups(groups, 6, wanted, lengths, affine)
    loaded = qt.onnx.load(file)
    assert steps(loaded) == ["GroupNormalization"]
    for rows in (2, 3):
        x = rng.standard_normal((rows, 6, *lengths)).astype(F) * 3 + 1
        assert_allclose(loaded(x), expected(file, {"x": x})[0], rtol=1e-4, atol=1e-5)


def test_group_norm_behind_images_that_are_made_larger(rng):
    nodes = [
        ("Resize", "x none scales", "large", {"mode": "nearest"}),
        ("Concat", "large large", "z", {"axis": 1}),
        ("Shape", "z", "shape", {"start": 0}),
        ("Reshape", "z wanted", "parts", {}),
        ("InstanceNormalization", "parts ones zeros", "normal", {}),
        ("Reshape", "normal shape", "whole", {}),
        ("Mul", "weight whole", "scaled", {}),
        ("Add", "scaled bias", "y", {}),
    ]
    held = {
        "none": np.zeros(0, F),
        "scales": np.array([1, 1, 2, 1.5], F),
        "wanted": np.array([0, 4, -1]),
        "ones": np.ones(4, F),
        "zeros": np.zeros(4, F),
        "weight": rng.random((8, 1, 1), F),
        "bias": rng.random((1, 8, 1, 1), F),
    }
    file = made(nodes, {"x": np.zeros((2, 4, 5, 7), F)}, ["y"], held, free=(0, 2, 3))
    loaded = qt.onnx.load(file)
    assert steps(loaded) == ["Resize", "Concat", "GroupNormalization"]
    for shape in ((2, 4, 5, 7), (1, 4, 6, 6)):
        x = rng.standard_normal(shape).astype(F)
        assert_allclose(loaded(x), expected(file, {"x": x})[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"wanted": [-1, 3, 70]}, {"wanted": [0, 3, -1], "scale": 2}])
def test_other_parts_are_no_group_norm(rng, settings):
    file = of_groups(3, 6, **settings)
    loaded = qt.onnx.load(file)
    assert "InstanceNormalization" in steps(loaded)
    x = rng.standard_normal((2, 6, 5, 7)).astype(F)
    assert_allclose(loaded(x), expected(file, {"x": x})[0], rtol=1e-4, atol=1e-5)
