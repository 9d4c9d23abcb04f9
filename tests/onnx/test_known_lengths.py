"""Lengths that are known when a file is read, and what hangs on them, which is constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import quantray as qt
from node_cases import CASES
from numpy.testing import assert_allclose
from patterns import expected, made, session, steps
from quantray.onnx._file import read
from quantray.onnx._known_lengths import KnownLengths
from quantray.onnx._shapes import SHAPES
from test_patterns import attention, only, parts_of_attention

F = np.float32
KINDS = {*SHAPES, "Shape", "Size", "Equal", "Where"}
CASES_OF_KINDS = [
    name
    for name, case in CASES.items()
    if {node.op_type for node in case.model.graph.node} <= KINDS and "cpu" not in name
]


@pytest.mark.parametrize("name", CASES_OF_KINDS)
def test_shapes_are_those_of_the_suite(name):
    """Once with inputs' lengths, and integers as constants; once with names in the place of lengths."""
    model = CASES[name].model
    try:
        case = CASES[name].data_sets[0]
    except (TypeError, IndexError):
        pytest.skip("the case has no arrays in this release")
    for free in (False, True):
        found = read(model.SerializeToString())
        constants = {}
        if not free:
            # Shapes and axes are inputs in these cases; in files they are constants.
            arrays = [np.asarray(array) for array in case[0]]
            constants = {
                value.name: array
                for value, array in zip(model.graph.input, arrays, strict=False)
                if array.dtype == np.int64
            }
        known = KnownLengths(constants)
        known.of_inputs(
            [_freed(value) if free else value for value in found.graph.inputs if value.name not in constants]
        )
        for node in found.graph.nodes:
            known.of_node(node)
        for value in found.graph.outputs:
            shape, lengths = known._shapes.get(value.name), value.shape
            if shape is None or lengths is None:
                continue
            assert len(shape) == len(lengths), (shape, lengths)
            pairs = [(ours, n) for ours, n in zip(shape, lengths, strict=True) if isinstance(ours, int)]
            assert all(ours == n for ours, n in pairs if isinstance(n, int)), (shape, lengths)
            # Whoever knows all inputs knows all outputs of most.
            if (
                not free
                and 0 not in lengths
                and node.op not in ("Pad", "Resize", "Upsample", "MaxPool", "AveragePool", "LpPool")
            ):
                assert len(pairs) == len(shape), (shape, lengths)


def _freed(value):
    """The same input with names in the place of its lengths, but for the last."""
    if not value.shape:
        return value
    return replace(value, shape=(*(f"n{i}" for i, _ in enumerate(value.shape[:-1])), value.shape[-1]))


@pytest.mark.parametrize("free", [(0,), (0, 1)])
@pytest.mark.parametrize("fused", [False, True])
def test_scale_from_a_head(rng, fused, free):
    """`scaled_dot_product_attention` as torch exports it: half of the scale on each side, from the shape."""
    heads, width = 4, 24
    names = parts_of_attention(rng, heads, width)
    names |= {"end": np.array([2**63 - 1]), "last": np.array([-1]), "one": F(1)}
    nodes = [node for node in attention("before", False, fused) if node[:2] not in _SCALED]
    at = next(i for i, node in enumerate(nodes) if node[0] == "Softmax")
    nodes[at:at] = [
        ("Shape", "q", "shape", {}),
        ("Slice", "shape last end", "width", {}),
        ("Cast", "width", "number", {"to": 1}),
        ("Sqrt", "number", "root", {}),
        ("Div", "one root", "scale", {}),
        ("Sqrt", "scale", "half", {}),
        ("Mul", "q half", "qs", {}),
        ("Mul", "kt half", "ks", {}),
        ("MatMul", "qs ks", "s", {}),
    ]
    x = rng.normal(size=(2, 7, width)).astype(F)
    model = made(
        nodes, {"x": x}, ["y"], {k: v for k, v in only(nodes, names).items() if k != "root"}, free=free
    )
    loaded = qt.onnx.load(model)
    assert steps(loaded) == ["SelfAttention"]
    for lengths in ((2, 7), (3, 7 if 1 not in free else 5)):
        x = rng.normal(size=(*lengths, width)).astype(F)
        assert_allclose(loaded(x), expected(model, {"x": x})[0], rtol=1e-4, atol=1e-4)


_SCALED = {("Mul", "q factor"), ("MatMul", "qs kt")}


def test_tokens_for_each_image(rng):
    """`token.expand(n, -1, -1)` before patches, whose number is known then."""
    constants = {"token": rng.normal(size=(1, 1, 6)).astype(F), "k": rng.normal(size=(6, 3, 4, 4)).astype(F)}
    constants |= {"zero": np.array(0), "less": np.array([-1]), "axis": np.array([0]), "three": np.array([3])}
    constants |= {"minus": np.array(-1), "to": np.array([0, 6, -1]), "two": np.array(1)}
    nodes = [
        ("Conv", "x k", "p", {"strides": [4, 4]}),
        ("Reshape", "p to", "flat", {}),
        ("Transpose", "flat", "patches", {"perm": [0, 2, 1]}),
        ("Shape", "x", "s", {}),
        ("Gather", "s zero", "n", {"axis": 0}),
        ("Unsqueeze", "n axis", "n1", {}),
        ("Concat", "n1 less less", "wanted", {"axis": 0}),
        ("Shape", "wanted", "count", {}),
        ("ConstantOfShape", "count", "ones", {"value": onnx.numpy_helper.from_array(np.array([1]))}),
        ("Mul", "ones minus", "minuses", {}),
        ("Equal", "wanted minuses", "kept", {}),
        ("Where", "kept ones wanted", "target", {}),
        ("Expand", "token target", "tokens", {}),
        ("Concat", "tokens patches", "h", {"axis": 1}),
        ("Shape", "h", "sh", {}),
        ("Gather", "sh two", "length", {"axis": 0}),
        ("Cast", "length", "number", {"to": 1}),
        ("Div", "h number", "y", {}),
    ]
    model = made(nodes, {"x": np.zeros((1, 3, 8, 12), F)}, ["y"], constants, free=(0,))
    loaded = qt.onnx.load(model)
    # Of the lengths nothing is left but the number of images.
    assert [step for step in steps(loaded) if step not in ("Conv2d", "Reshape", "Transpose", "Expand")] == [
        *("Shape", "Gather", "Unsqueeze", "Concat", "Where", "Concat", "Div")
    ]
    for rows in (1, 3):
        x = rng.normal(size=(rows, 3, 8, 12)).astype(F)
        assert_allclose(loaded(x), expected(model, {"x": x})[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="12 long along axis 3"):
        loaded(np.zeros((1, 3, 8, 16), F))


def test_loops_may_change_lengths():
    """What a loop hands on grows: the lengths that it begins with are not those of each turn."""
    body = onnx.parser.parse_graph(
        """b (int64 i, bool go, float[k, 2] h) => (bool on, float[m, 2] more) {
            on = Identity(go)
            s = Shape(h)
            zero = Constant<value = int64[1] {0}>()
            rows = Gather(s, zero)
            number = Cast<to = 1>(rows)
            next = Add(h, number)
            more = Concat<axis = 0>(h, next)
        }"""
    )
    loop = onnx.helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body)
    graph = onnx.helper.make_graph(
        [loop],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 2])],
        [onnx.helper.make_tensor_value_info("y", 1, ["k", 2])],
        [onnx.numpy_helper.from_array(np.array(3), "turns")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    x = np.array([[1.0, 2.0]], F)
    want = session(model.SerializeToString()).run(None, {"x": x})[0]
    assert_allclose(qt.onnx.load(model.SerializeToString())(x), want)
