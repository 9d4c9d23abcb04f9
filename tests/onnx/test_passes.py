"""Passes over a file's graph: functions inlined, batch norms folded, what computes nothing left out."""

from __future__ import annotations

import numpy as np
import pytest
from quantray.onnx._file import FunctionFile, GraphFile, ModelFile, NodeFile, Reference, Tensor, ValueInfo
from quantray.onnx._load import build
from quantray.onnx._passes import inline_functions


def model(nodes, initializers=None, inputs=(("x", ("n", 3, 8, 8)),), outputs=("y",), functions=(), opset=17):
    graph = GraphFile(
        "g",
        tuple(nodes),
        {name: Tensor.of(name, np.asarray(a)) for name, a in (initializers or {}).items()},
        tuple(ValueInfo(name, "float32", shape) for name, shape in inputs),
        tuple(ValueInfo(name, "float32") for name in outputs),
    )
    return ModelFile(8, {"": opset, "mine": 1}, graph, functions)


def steps(model):
    """The operators that a model computes."""
    return [model.get_submodule(row.path)._get_name() for row in model.plan.rows]


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
    scale, shift, mean, var = (
        values[k].astype(np.float64).reshape(-1, 1, 1) for k in ("scale", "shift", "mean", "var")
    )
    return (x - mean) / np.sqrt(var + epsilon) * scale + shift


NORM = "BatchNormalization"


@pytest.mark.parametrize(
    ("op", "group", "shape"),
    [
        ("Conv", 1, (6, 3, 3, 3)),
        ("Conv", 3, (6, 1, 3, 3)),
        ("ConvTranspose", 1, (3, 5, 2, 2)),
    ],
)
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
    assert len(steps(build(whole))) == 1
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    alone = build(model([conv], values, outputs=("c",)))(x)
    np.testing.assert_allclose(build(whole)(x), by_formula(alone, values), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "case", ["taken twice", "an output", "in training", "statistics are computed", "spatial"]
)
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
        nodes.insert(0, node("Expand", "m s", "mean"))
        nodes.insert(0, node("ReduceMax", "x", "m", axes=(0, 1, 2, 3), keepdims=0))
        del values["mean"]
        values["s"] = np.array([4])
    else:
        nodes[1] = node(NORM, "c scale shift mean var", "y", spatial=0)
    inputs = (("x", ("n", 3, 4, 4)),)
    if case == "spatial":
        for name in ("scale", "shift", "mean", "var"):
            values[name] = np.tile(values[name][:, None, None], (1, 4, 4))
    made = build(model(nodes, values, inputs, tuple(outputs), opset=8 if case == "spatial" else 17))
    assert len(steps(made)) == len(nodes)
    x = rng.normal(size=(2, 3, 4, 4)).astype(np.float32)
    found = made(x) if len(outputs) == 1 else made(x)[0]
    alone = build(model([nodes[-2] if case != "taken twice" else nodes[0]], values, inputs, ("c",)))(x)
    if case == "in training":
        values["mean"], values["var"] = alone.mean(axis=(0, 2, 3)), alone.var(axis=(0, 2, 3))
    elif case == "statistics are computed":
        values["mean"] = np.full(4, x.max(), np.float32)
    elif case == "spatial":
        values = {
            name: value[:, 0, 0] if value.shape == (4, 4, 4) else value for name, value in values.items()
        }
    np.testing.assert_allclose(found, by_formula(alone, values), rtol=1e-3, atol=1e-4)


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
    assert steps(build(whole)) == ["Relu", "Reshape"]
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(build(whole)(x), np.maximum(x, 0).reshape(2, 192))


@pytest.mark.parametrize(
    ("nodes", "wanted"),
    [
        # The output of the graph keeps its name.
        ([node("Relu", "x", "a"), node("Identity", "a", "y")], lambda x: np.maximum(x, 0)),
        # The mask says what has been dropped.
        ([node("Dropout", "x", "a m"), node("Cast", "m", "b", to=1), node("Mul", "a b", "y")], lambda x: x),
        # A length of 0 is that of the array before.
        (
            [node("Reshape", "x s1", "a", "r1"), node("Reshape", "a s0", "y", "r2")],
            lambda x: x.reshape(-1, 4, 24, 2),
        ),
        # Something else takes what is between.
        (
            [
                node("Transpose", "x", "a", "t1", perm=(1, 0, 2, 3)),
                node("Transpose", "a", "b", "t2", perm=(0, 2, 1, 3)),
                node("ReduceMax", "a", "c", keepdims=0),
                node("Mul", "b c", "y"),
            ],
            lambda x: x.transpose(1, 2, 0, 3) * x.max(),
        ),
    ],
)
def test_what_computes_something_stays(rng, nodes, wanted):
    whole = model(nodes, {"s1": np.array([-1, 4, 48]), "s0": np.array([0, 0, -1, 2])})
    made = build(whole)
    assert len(steps(made)) == len(nodes)
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(made(x), wanted(x), rtol=1e-5)


def test_a_transposition_that_undoes_one_leaves(rng):
    """Also where something else takes what is between them."""
    nodes = [
        node("Transpose", "x", "a", "t1", perm=(1, 0, 2, 3)),
        node("Transpose", "a", "b", "t2", perm=(1, 0, 2, 3)),
        node("ReduceMax", "a", "c", keepdims=0),
        node("Mul", "b c", "y"),
    ]
    made = build(model(nodes, {}))
    assert steps(made) == ["Transpose", "ReduceMax", "Mul"]
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(made(x), x * x.max(), rtol=1e-5)


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
    endless = FunctionFile(
        "Endless", "mine", ("a",), ("r",), nodes=(node("Endless", "a", "r", domain="mine"),)
    )
    with pytest.raises(ValueError, match="must not call themselves"):
        build(model([node("Endless", "x", "y", domain="mine")], functions=(endless,)))
    with pytest.raises(ValueError, match=r"first .*lacks the attributes slope"):
        build(model([node("Clamp", "x", "y", "first", "mine")], functions=functions()))
