"""Arrays that lengths make, which differ from call to call, beside onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx import parser as onnx_parser
from quantray import onnx

WHOLE = [(0, 1), (1, 2), (10, -1), (0, 3)]
ODD = [(0.5, 1.0), (0.0, 0.5), (0.25, 0.3)]


@pytest.mark.parametrize("less", [0, 3])
@pytest.mark.parametrize(
    ("dtype", "start", "step"),
    [(d, *ends) for d in (np.float32, np.int32, np.int64) for ends in WHOLE]
    + [(np.float32, *ends) for ends in ODD],
)
def test_like_onnxruntime(dtype, start, step, less):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["length"]),
        helper.make_node("Sub", ["length", "less"], ["shorter"]),
        helper.make_node("Cast", ["shorter"], ["end"], to=kind),
        helper.make_node("Range", ["start", "end", "step"], ["y"]),
    ]
    constants = {"one": np.int64(1), "less": np.int64(less), "start": dtype(start), "step": dtype(step)}
    graph = helper.make_graph(
        nodes,
        "range",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b"])],
        [helper.make_tensor_value_info("y", kind, ["c"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    file = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()
    model, session = onnx.load(file), onnxruntime.InferenceSession(file)
    # Shorter than the first one, down to a range that ends before it begins.
    for n in (5, 8, 5, 2):
        x = np.zeros((2, n), np.float32)
        wanted = session.run(None, {"x": x})[0]
        given = model(x)
        assert (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(given, wanted, rtol=1e-6)


@pytest.mark.parametrize("op", ["Expand", "Tile"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 1)])
def test_constants_as_large_as_inputs(op, shape):
    """One graph for all lengths, a length of 1 included."""
    held = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node(op, ["held", "shape"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=1),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])],
        [numpy_helper.from_array(held, "held")],
    )
    file = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()
    model, session = onnx.load(file), onnxruntime.InferenceSession(file)
    rows, columns = (n if op == "Expand" and n > 1 else None for n in shape)
    for a, b in ((3, 4), (1, 4), (5, 1), (1, 1), (2, 3)):
        x = np.ones((rows or a, columns or b), np.float32)
        np.testing.assert_allclose(model(x), session.run(None, {"x": x})[0], rtol=1e-6)
    if held.size == 1:
        assert len(model._program.graphs) == 1


@pytest.mark.parametrize("kind", ["float", "bool", "int64"])
@pytest.mark.parametrize("first", [(1, 1, 3), (2, 4, 1), (2, 3, 4)])
def test_arrays_as_large_as_others(kind, first):
    """Which of two lengths gives way is not decided when the graph is made."""
    file = onnx_parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        spread (float[a, b] x, float[c, d, e] like) => ({kind} y) {{
            shape = Shape(like)
            some = Cast<to={TensorProto.DataType.Value(kind.upper())}>(x)
            y = Expand(some, shape)
        }}"""
    ).SerializeToString()
    model, session = onnx.load(file), onnxruntime.InferenceSession(file)
    for sizes in (first, (2, 3, 4), (1, 1, 1), (3, 1, 5), (2, 6, 1)):
        like = np.zeros(sizes, np.float32)
        for shape in (sizes[1:], (1, sizes[2]), (sizes[1], 1), (4, 1) if sizes[1] == 1 else (1, 1)):
            x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
            wanted = session.run(None, {"x": x, "like": like})[0]
            given = model(x, like)
            assert given.dtype == wanted.dtype
            np.testing.assert_array_equal(given, wanted)
    # A first call of single rows makes no graph for such alone.
    assert len(model._program.graphs) == 1 or first != (1, 1, 3)


def test_loop_over_frames():
    """Lengths that differ by little have as many frames: the graph must not hold for others, too."""
    file = onnx_parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        sums (float[1, 1, n] x) => (float y) {
            frames = AveragePool<kernel_shape=[40], strides=[40]>(x)
            shape = Shape(frames)
            two = Constant<value_int=2>()
            count = Gather(shape, two)
            start = Constant<value_float=0.0>()
            y = Loop(count, , start) <body = body (int64 i, bool go, float sum) => (bool on, float more) {
                on = Identity(go)
                axis = Constant<value_int=2>()
                frame = Gather<axis=2>(frames, i)
                part = ReduceSum<keepdims=0>(frame)
                more = Add(sum, part)
            }>
        }"""
    ).SerializeToString()
    model, session = onnx.load(file), onnxruntime.InferenceSession(file)
    for n in (330, 350, 200, 400, 81):
        x = np.arange(n, dtype=np.float32).reshape(1, 1, n) / n
        np.testing.assert_allclose(model(x), session.run(None, {"x": x})[0], rtol=1e-5)


def test_padding_up_to_a_length():
    """What is missing is a length; arrays that are too long are cut."""
    file = onnx_parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        padded (float[2, n] x) => (float[2, m] y) {
            shape = Shape<start=1>(x)
            wanted = Constant<value_int=64>()
            missing = Sub(wanted, shape)
            sides = Constant<value_ints=[0, 0, 0, 1]>()
            pads = Mul(missing, sides)
            y = Pad(x, pads)
        }"""
    ).SerializeToString()
    model, session = onnx.load(file), onnxruntime.InferenceSession(file)
    for n in (40, 9, 63, 64, 90, 30):
        x = np.arange(2 * n, dtype=np.float32).reshape(2, n)
        np.testing.assert_array_equal(model(x), session.run(None, {"x": x})[0])
    assert not any(node.kind == "python" for graph in model._program.graphs for node in graph)


def test_values_that_count_elements():
    """An example's numbers are no places of a shorter array: the graph is found by a longer one."""
    file = onnx_parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        last (float[n, m] x, int64[k] places) => (float y) {
            found = Gather<axis=1>(x, places)
            doubled = Add(x, x)
            mean = ReduceMean<axes=[1], keepdims=1>(doubled)
            y = Add(found, mean)
        }"""
    ).SerializeToString()
    model, session = onnx.load(file), onnxruntime.InferenceSession(file)
    for n in (40, 33, 90):
        inputs = {"x": np.arange(2 * n, dtype=np.float32).reshape(2, n), "places": np.array([n - 1])}
        np.testing.assert_allclose(model(**inputs), session.run(None, inputs)[0], rtol=1e-6)
    assert len(model._program.graphs) == 1


@pytest.mark.parametrize("fixed", ["rows", "words"])
def test_a_length_that_the_exporter_has_fixed_leaves_the_others_free(fixed, tmp_path):
    """It is named in the file, and what the file computes is for one of it: decoders of one word, say."""
    rows = "1" if fixed == "rows" else "rows"
    file = onnx_parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        decoder (float[rows, words, 8] x, float[rows, past, 8] kept) => (float[{rows}, all, 8] y)
        <int64[3] lengths = {{{"1, -1, 8" if fixed == "rows" else "-1, 1, 8"}}}> {{
            new = Reshape(x, lengths)
            joined = Concat<axis=1>(kept, new)
            y = Relu(joined)
        }}"""
    ).SerializeToString()
    model, session = onnx.load(file), onnxruntime.InferenceSession(file)
    for past in (3, 5, 1):
        shapes = {"x": (1, 2, 8) if fixed == "rows" else (2, 1, 8)}
        shapes["kept"] = (shapes["x"][0], past, 8)
        given = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        np.testing.assert_array_equal(model(**given), session.run(None, given)[0])
    assert len(model._program.graphs) == 1
    with pytest.warns(UserWarning, match="is 1 long along axis"):
        onnx.save(model, tmp_path / "saved.onnx")
    wanted = (1, "words", "past") if fixed == "rows" else ("rows", 1, "past")
    x, kept = onnx.load(tmp_path / "saved.onnx").inputs
    assert (*x.shape[:2], kept.shape[1]) == wanted
