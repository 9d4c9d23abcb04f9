"""If, Loop and Scan, beside onnxruntime."""

from __future__ import annotations

import pickle

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from quantray import quantization as tq
from quantray.onnx import load
from small_files import agrees, file_of, peer, value


def branches(name, op):
    """A subgraph of one node, of a value that is outside of it."""
    return helper.make_graph([helper.make_node(op, ["x"], [name])], name, [], [value(name, ["n"])])


def test_if_takes_a_branch():
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["is_positive"]),
        helper.make_node(
            "If", ["is_positive"], ["y"], then_branch=branches("t", "Exp"), else_branch=branches("e", "Neg")
        ),
    ]
    made = file_of(nodes, [value("x", ["n"])], [value("y", ["n"])], [("zero", np.float32(0))])
    for x in (np.float32([1, 2, 3]), np.float32([-1, -2, -3]), np.float32([5, -1])):
        agrees(made, {"x": x})


def test_one_model_takes_both_branches():
    choose = [
        helper.make_node(
            "If", ["c"], ["y"], then_branch=branches("t", "Exp"), else_branch=branches("e", "Neg")
        )
    ]
    made = file_of(choose, [value("c", [], TensorProto.BOOL), value("x", ["n"])], [value("y", ["n"])])
    model, x = load(made.SerializeToString()), np.float32([1, 2])
    for flag in (True, False, True, True, False):
        feeds = {"c": np.array(flag), "x": x}
        np.testing.assert_allclose(model(**feeds), peer(made, feeds)[0], rtol=1e-6)


def test_branches_go_through_a_pickle():
    choose = helper.make_node(
        "If", ["c"], ["y"], then_branch=branches("t", "Exp"), else_branch=branches("e", "Neg")
    )
    made = file_of([choose], [value("c", [], TensorProto.BOOL), value("x", ["n"])], [value("y", ["n"])])
    other, x = pickle.loads(pickle.dumps(load(made.SerializeToString()))), np.float32([1, 2])
    np.testing.assert_allclose(other(True, x), np.exp(x), rtol=1e-6)
    np.testing.assert_array_equal(other(False, x), -x)


def test_layers_of_both_branches_become_integers(rng):
    """Batches that take one branch, and then the other, each of which has a layer of its own."""

    def branch(name):
        nodes = [helper.make_node("MatMul", ["x", f"{name}_weight"], [name], name=f"{name}_layer")]
        weight = numpy_helper.from_array(rng.standard_normal((6, 4), np.float32), f"{name}_weight")
        return helper.make_graph(nodes, name, [], [value(name, ["n", 4])], [weight])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["is_positive"]),
        helper.make_node("If", ["is_positive"], ["y"], then_branch=branch("t"), else_branch=branch("e")),
    ]
    proto = file_of(nodes, [value("x", ["n", 6])], [value("y", ["n", 4])], [("zero", np.float32(0))])
    batches = [sign * rng.random((8, 6), np.float32) for sign in (1, -1, 1, -1)]
    int8 = tq.quantize(load(proto.SerializeToString()), batches, verbose=False)
    layers = [line for line in tq.report(int8).lines if line.name.endswith("_layer")]
    assert [line.in_integers for line in layers] == [True, True]
    for x in batches:
        want = peer(proto, {"x": x})[0]
        np.testing.assert_allclose(int8(x), want, atol=0.05 * np.abs(want).max())


def test_loop_carries_and_collects():
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["carried", "x"], ["next"]),
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Neg", ["next"], ["seen"]),
        ],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("carried", ["n"])],
        [value("still", [], TensorProto.BOOL), value("next", ["n"]), value("seen", ["n"])],
    )
    nodes = [helper.make_node("Loop", ["count", "", "start"], ["last", "all"], body=body)]
    inputs = [value("count", [], TensorProto.INT64), value("start", ["n"]), value("x", ["n"])]
    made = file_of(nodes, inputs, [value("last", ["n"]), value("all", [None, "n"])])
    x = np.float32([1.5, 0.5, -2])
    for count in (3, 1, 5):
        agrees(made, {"count": np.array(count), "start": np.float32([1, 1, 1]), "x": x})


def test_loop_until_a_condition():
    body = helper.make_graph(
        [
            helper.make_node("Add", ["carried", "carried"], ["next"]),
            helper.make_node("Less", ["next", "most"], ["on"]),
        ],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("carried", [])],
        [value("on", [], TensorProto.BOOL), value("next", [])],
    )
    nodes = [helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body)]
    made = file_of(
        nodes, [value("x", [])], [value("y", [])], [("most", np.float32(100)), ("yes", np.array(True))]
    )
    for x in (1, 30, 200):
        agrees(made, {"x": np.array(x, np.float32)})


def test_scan_sums_up():
    body = helper.make_graph(
        [helper.make_node("Add", ["sum", "row"], ["next"]), helper.make_node("Identity", ["next"], ["kept"])],
        "body",
        [value("sum", [2]), value("row", [2])],
        [value("next", [2]), value("kept", [2])],
    )
    nodes = [helper.make_node("Scan", ["start", "x"], ["last", "all"], body=body, num_scan_inputs=1)]
    made = file_of(
        nodes, [value("start", [2]), value("x", ["n", 2])], [value("last", [2]), value("all", ["n", 2])]
    )
    for n in (3, 7):
        x = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
        model = agrees(made, {"start": np.float32([1, 2]), "x": x})
        np.testing.assert_array_equal(model.run(["all"], {"start": [0, 0], "x": x})[0], np.cumsum(x, 0))
