"""Passes over a file's graph: functions inlined, batch norms folded, what computes nothing left out."""

from __future__ import annotations

import numpy as np
import pytest
from quantray.onnx._file import FunctionFile, GraphFile, ModelFile, NodeFile, Reference, Tensor, ValueInfo
from quantray.onnx._load import build
from quantray.onnx._passes import clean, fold_batch_norm, inline_functions


def model(nodes, initializers=None, inputs=(("x", ("n", 3, 8, 8)),), outputs=("y",), functions=(), opset=17):
    graph = GraphFile(
        "g",
        tuple(nodes),
        {name: Tensor.of(name, np.asarray(a)) for name, a in (initializers or {}).items()},
        tuple(ValueInfo(name, "float32", shape) for name, shape in inputs),
        tuple(ValueInfo(name, "float32") for name in outputs),
    )
    return ModelFile(8, {"": opset, "mine": 1}, graph, functions)


def node(op, inputs, outputs, name="", domain="", **attributes):
    return NodeFile(name or op.lower(), op, domain, tuple(inputs.split()), tuple(outputs.split()), attributes)


def batch_norm(rng, channels):
    return {
        "scale": rng.normal(size=channels).astype(np.float32),
        "shift": rng.normal(size=channels).astype(np.float32),
        "mean": rng.normal(size=channels).astype(np.float32),
        "var": rng.uniform(0.5, 2, channels).astype(np.float32),
    }


def by_formula(x, values, epsilon=1e-5):
    """A batch norm in float64."""
    scale, shift, mean, var = (values[k].astype(np.float64).reshape(-1, 1, 1) for k in ("scale", "shift", "mean", "var"))
    return (x - mean) / np.sqrt(var + epsilon) * scale + shift


NORM = "BatchNormalization"


@pytest.mark.parametrize(("op", "group", "shape"), [
    ("Conv", 1, (6, 3, 3, 3)),
    ("Conv", 3, (6, 1, 3, 3)),
    ("ConvTranspose", 1, (3, 5, 2, 2)),
    ("ConvTranspose", 3, (3, 2, 2, 2)),
])  # fmt: skip
@pytest.mark.parametrize("has_bias", [False, True])
def test_batch_norm_is_folded(rng, op, group, shape, has_bias):
    channels = shape[1] * group if op == "ConvTranspose" else shape[0]
    values = batch_norm(rng, channels)
    values["w"] = rng.normal(size=shape).astype(np.float32)
    inputs = "x w"
    if has_bias:
        values["b"], inputs = rng.normal(size=channels).astype(np.float32), "x w b"
    conv = node(op, inputs, "c", group=group)
    whole = model([conv, node(NORM, "c scale shift mean var", "y")], values)
    folded = fold_batch_norm(whole.graph)
    assert [n.op for n in folded.nodes] == [op]
    assert not {"scale", "shift", "mean", "var", "w"} & set(folded.initializers)
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    alone = build(model([conv], values, outputs=("c",)))(x)
    np.testing.assert_allclose(build(whole)(x), by_formula(alone, values), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", ["taken twice", "an output", "in training", "statistics are computed", "spatial"])
def test_batch_norm_stays(rng, case):
    values = {**batch_norm(rng, 4), "w": rng.normal(size=(4, 3, 1, 1)).astype(np.float32)}
    nodes = [node("Conv", "x w", "c"), node(NORM, "c scale shift mean var", "y")]
    outputs = ["y"]
    if case == "taken twice":
        nodes.append(node("Relu", "c", "z"))
        outputs.append("z")
    elif case == "an output":
        outputs.append("c")
    elif case == "in training":
        nodes[1] = node(NORM, "c scale shift mean var", "y", training_mode=1)
    elif case == "statistics are computed":
        nodes.insert(0, node("ReduceMax", "x", "mean", axes=(0, 1, 2, 3)))
        del values["mean"]
    else:
        nodes[1] = node(NORM, "c scale shift mean var", "y", spatial=0)
    graph = model(nodes, values, outputs=tuple(outputs)).graph
    assert fold_batch_norm(graph) is graph


def test_what_computes_nothing_leaves(rng):
    nodes = [
        node("Identity", "x", "a"),
        node("Dropout", "a", "b"),
        node("Transpose", "b", "c", "t1", perm=(0, 2, 3, 1)),
        node("Transpose", "c", "d", "t2", perm=(0, 3, 1, 2)),
        node("Relu", "d", "e"),
        node("Reshape", "e s1", "f", "r1"),
        node("Reshape", "f s2", "y", "r2"),
    ]
    whole = model(nodes, {"s1": np.array([-1, 3, 64]), "s2": np.array([-1, 192])})
    made = clean(whole.graph)
    assert [n.op for n in made.nodes] == ["Relu", "Reshape"]
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(build(whole)(x), np.maximum(x, 0).reshape(2, 192))


@pytest.mark.parametrize("nodes", [
    # The output of the graph keeps its name.
    [node("Relu", "x", "a"), node("Identity", "a", "y")],
    # The mask says what has been dropped.
    [node("Dropout", "x", "a m"), node("Cast", "m", "b", to=1), node("Mul", "a b", "y")],
    # A length of 0 is that of the array before.
    [node("Reshape", "x s1", "a", "r1"), node("Reshape", "a s0", "y", "r2")],
    # Something else takes what is between.
    [node("Transpose", "x", "a", "t1", perm=(1, 0, 2, 3)), node("Transpose", "a", "b", "t2", perm=(1, 0, 2, 3)),
     node("ReduceSum", "a", "c", keepdims=0), node("Mul", "b c", "y")],
])  # fmt: skip
def test_what_computes_something_stays(rng, nodes):
    whole = model(nodes, {"s1": np.array([-1, 4, 48]), "s0": np.array([0, 0, -1, 2])})
    assert clean(whole.graph).nodes == whole.graph.nodes


def test_identity_inside_of_a_branch(rng):
    inner = GraphFile(
        "then", (node("Identity", "a", "i"), node("Neg", "i", "t")), {}, (), (ValueInfo("t", "float32"),)
    )
    other = GraphFile("else", (node("Identity", "a", "e"),), {}, (), (ValueInfo("e", "float32"),))
    nodes = [
        node("Identity", "x", "a"),
        node("ReduceSum", "x", "s", keepdims=0),
        node("Greater", "s zero", "c"),
        node("If", "c", "y", then_branch=inner, else_branch=other),
    ]
    made = build(model(nodes, {"zero": np.float32(0)}))
    for sign in (1, -1):
        x = np.full((1, 3, 8, 8), sign, np.float32)
        np.testing.assert_array_equal(made(x), -x if sign > 0 else x)


def functions():
    """A leaky clamp with an attribute that calls give, one with a default, and a function in a function."""
    double = FunctionFile("Double", "mine", ("a",), ("r",), nodes=(node("Add", "a a", "r"),), opsets={"": 17})
    body = (
        node("LeakyRelu", "a", "t", alpha=Reference("slope", "FLOAT")),
        node("Double", "t", "u", domain="mine"),
        node("Elu", "u", "r", alpha=Reference("elu", "FLOAT")),
    )
    clamp = FunctionFile("Clamp", "mine", ("a",), ("r",), ("slope",), {"elu": 0.5}, body, {"": 17})
    return (double, clamp)


def test_functions_are_inlined(rng):
    nodes = [
        node("Clamp", "x", "t", "first", "mine", slope=0.25),
        node("Clamp", "t", "y", "second", "mine", slope=0.5, elu=1.0),
    ]
    whole = model(nodes, functions=functions())
    made = inline_functions(whole)
    assert [n.op for n in made.graph.nodes] == ["LeakyRelu", "Add", "Elu"] * 2
    assert len({name for n in made.graph.nodes for name in n.outputs}) == 6
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)

    def clamp(v, slope, alpha):
        v = 2 * np.where(v > 0, v, slope * v)
        return np.where(v > 0, v, alpha * np.expm1(v))

    np.testing.assert_allclose(build(whole)(x), clamp(clamp(x, 0.25, 0.5), 0.5, 1.0), rtol=1e-5, atol=1e-6)


def test_functions_that_cannot_be_inlined():
    endless = FunctionFile("Endless", "mine", ("a",), ("r",), nodes=(node("Endless", "a", "r", domain="mine"),))
    with pytest.raises(ValueError, match="must not call themselves"):
        build(model([node("Endless", "x", "y", domain="mine")], functions=(endless,)))
    with pytest.raises(ValueError, match="first .*lacks the attributes slope"):
        build(model([node("Clamp", "x", "y", "first", "mine")], functions=functions()))

