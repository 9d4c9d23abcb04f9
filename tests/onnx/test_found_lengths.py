"""Files that decide by how much they have found: in each call anew, as onnxruntime does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantray.onnx import load, save

onnxruntime = pytest.importorskip("onnxruntime")


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, name=outputs[0], **attributes)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def graph(nodes, name, inputs, outputs, constants=()):
    return helper.make_graph(nodes, name, inputs, outputs, list(constants))


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def by_count():
    """The greatest of what is above 0, and -1 where nothing is: as torchvision's batched_nms asks."""
    some = graph(
        [node("ReduceMax", ["found"], ["most"], keepdims=0)],
        "some",
        [],
        [value("most", TensorProto.FLOAT, None)],
    )
    none = graph(
        [node("Identity", ["minus"], ["nothing"])], "none", [], [value("nothing", TensorProto.FLOAT, None)]
    )
    nodes = [
        node("Greater", ["x", "zero"], ["above"]),
        node("NonZero", ["above"], ["places"]),
        node("Transpose", ["places"], ["rows"]),
        node("GatherND", ["x", "rows"], ["found"]),
        node("Shape", ["found"], ["shape"]),
        node("Gather", ["shape", "first"], ["count"], axis=0),
        node("Equal", ["count", "nought"], ["is_empty"]),
        node("If", ["is_empty"], ["y"], then_branch=none, else_branch=some),
    ]
    constants = [
        constant("zero", np.float32(0)),
        constant("first", np.int64(0)),
        constant("nought", np.int64(0)),
        constant("minus", np.float32(-1)),
    ]
    return graph(
        nodes,
        "by_count",
        [value("x", TensorProto.FLOAT, ["n"])],
        [value("y", TensorProto.FLOAT, [])],
        constants,
    )


def at_most(most):
    """The best of what is above 0, no more than so many: as torchvision's SSD asks."""
    nodes = [
        node("Greater", ["x", "zero"], ["above"]),
        node("NonZero", ["above"], ["places"]),
        node("Transpose", ["places"], ["rows"]),
        node("GatherND", ["x", "rows"], ["found"]),
        node("Shape", ["found"], ["shape"]),
        node("Concat", ["shape", "most"], ["both"], axis=0),
        node("ReduceMin", ["both"], ["k"], keepdims=1),
        node("TopK", ["found", "k"], ["y", "places_of_best"]),
    ]
    constants = [constant("zero", np.float32(0)), constant("most", np.int64([most]))]
    outputs = [value("y", TensorProto.FLOAT, ["m"]), value("places_of_best", TensorProto.INT64, ["m"])]
    return graph(nodes, "at_most", [value("x", TensorProto.FLOAT, ["n"])], outputs, constants)


def both(made):
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return load(model.SerializeToString()), lambda x: session.run(None, {"x": x})


def inputs(rng):
    some = rng.standard_normal(12, np.float32)
    return {"some": some, "none": -np.abs(some), "all": np.abs(some)}


@pytest.mark.parametrize(
    "order", [("some", "none", "all"), ("none", "some", "none"), ("all", "none", "some")]
)
def test_each_call_takes_its_own_branch(rng, order):
    ours, theirs = both(by_count())
    given = inputs(rng)
    # Often enough for everything that remembers calls to have done so.
    for _ in range(8):
        for name in order:
            made, (want,) = ours(given[name]), theirs(given[name])
            np.testing.assert_array_equal(made, want)
            assert made.dtype == want.dtype


@pytest.mark.parametrize("order", [("some", "none", "all"), ("none", "all")])
@pytest.mark.parametrize("most", [1, 5, 100])
def test_the_least_of_lengths_is_one(rng, order, most):
    ours, theirs = both(at_most(most))
    given = inputs(rng)
    for _ in range(3):
        for name in order:
            for one, other in zip(ours(given[name]), theirs(given[name]), strict=True):
                np.testing.assert_array_equal(one, other)
    program = ours.floats()
    assert len(program.graphs) == 1
    assert program.made(ours, program.graphs[0]).lowered.called == ()


@pytest.mark.parametrize("made", [by_count(), at_most(5)], ids=["by_count", "at_most"])
def test_saved_files_decide_in_each_call(rng, made, tmp_path):
    ours, theirs = both(made)
    given = inputs(rng)
    path = tmp_path / "saved.onnx"
    save(ours, path, given["some"])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for x in given.values():
        for one, other in zip(session.run(None, {"x": x}), theirs(x), strict=True):
            np.testing.assert_array_equal(one, other)
