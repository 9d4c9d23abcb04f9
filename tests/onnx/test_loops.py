"""Graphs that loops repeat: they run as programs, and what they only hand on is taken from around them."""

import numpy as np
import onnx as onnx_package
import onnxruntime
import pytest
import quantray as qt
from onnx import parser
from quantray import onnx
from quantray.quantization import quantize_dynamic

CELL = """<ir_version: 8, opset_import: ["": 17]>
cell (float[1, 16] x, int64 count) => (float[1, 16] y, float[m, 1, 16] all, float[16, 16] same)
<float[16, 16] w, float[16] b> {
    last_w, last_b, y, all = Loop (count, , w, b, x)
    <body = step (int64 i, bool go, float[16, 16] inner_w, float[16] b, float[1, 16] h)
        => (bool on, float[16, 16] inner_w, float[16] given_b, float[1, 16] next, float[1, 16] seen) {
        on = Identity(go)
        given_b = Identity(b)
        turned = Transpose<perm=[1, 0]>(inner_w)
        product = MatMul(h, turned)
        sum = Add(product, b)
        next = Tanh(sum)
        seen = Neg(next)
    }>
    same = Add(last_w, last_w)
}"""


def file_of(text, **tensors):
    """A model of a text, with values for its initializers."""
    made = parser.parse_model(text)
    del made.graph.initializer[:]
    made.graph.initializer.extend(onnx_package.numpy_helper.from_array(v, k) for k, v in tensors.items())
    return made.SerializeToString()


@pytest.fixture
def cell():
    rng = np.random.default_rng(3)
    return file_of(
        CELL,
        w=rng.standard_normal((16, 16)).astype(np.float32) / 4,
        b=rng.standard_normal(16).astype(np.float32),
    )


def test_many_steps_like_onnxruntime(cell):
    model, session = onnx.load(cell), onnxruntime.InferenceSession(cell)
    rng = np.random.default_rng(0)
    for count in (0, 1, 5, 40, 3, 40):
        x = rng.standard_normal((1, 16)).astype(np.float32)
        inputs = {"x": x, "count": np.array(count)}
        for ours, theirs in zip(model.run(None, inputs), session.run(None, inputs), strict=True):
            if theirs.size:
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    body = model.get_submodule(next(row.path for row in model.plan.rows if "Loop" in row.path)).body
    (graph,) = body._program.graphs
    assert not any(node.kind == "python" for node in graph)


def test_weights_that_are_handed_on_become_layers(cell):
    """A file carries them from step to step: they are constants, and their product is a linear layer."""
    model, session = onnx.load(cell), onnxruntime.InferenceSession(cell)
    linear = [m for m in model.modules() if type(m) is qt.nn.Linear]
    assert [layer.weight.shape for layer in linear] == [(16, 16)]
    x = np.random.default_rng(1).standard_normal((1, 16)).astype(np.float32)
    want = session.run(None, {"x": x, "count": np.array(7)})
    ours = quantize_dynamic(model)(x, np.array(7))
    np.testing.assert_allclose(ours[0], want[0], atol=0.05)
    np.testing.assert_array_equal(ours[2], want[2])


def test_a_name_that_a_body_gives_again_is_another_value():
    """The initial value's name stands for something else inside: what is handed on stays carried."""
    file = file_of(
        """<ir_version: 8, opset_import: ["": 17]>
        shadowed (float[3] x, int64 count) => (float[3] y) <float[3] w> {
            last, y = Loop (count, , w, x)
            <body = step (int64 i, bool go, float[3] v, float[3] h)
                => (bool on, float[3] v, float[3] next) {
                on = Identity(go)
                w = Neg(h)
                next = Add(w, v)
            }>
        }""",
        w=np.float32([1, 2, 3]),
    )
    model = onnx.load(file)
    x = np.float32([0.5, 0.25, 4])
    np.testing.assert_array_equal(model(x, np.array(1)), np.float32([0.5, 1.75, -1]))
    np.testing.assert_array_equal(model(x, np.array(2)), x)


def test_arrays_that_grow_from_step_to_step():
    file = file_of(
        """<ir_version: 8, opset_import: ["": 17]>
        grows (float[n, 2] x, int64 count) => (float[m, 2] y) {
            y = Loop (count, , x)
            <body = step (int64 i, bool go, float[k, 2] h) => (bool on, float[l, 2] next) {
                on = Identity(go)
                axis = Constant<value_ints=[0]>()
                mean = ReduceMean<axes=[0], keepdims=1>(h)
                next = Concat<axis=0>(h, mean)
            }>
        }"""
    )
    model, session = onnx.load(file), onnxruntime.InferenceSession(file)
    x = np.random.default_rng(2).standard_normal((3, 2)).astype(np.float32)
    for count in (2, 12, 30, 12):
        inputs = {"x": x, "count": np.array(count)}
        np.testing.assert_allclose(model.run(None, inputs)[0], session.run(None, inputs)[0], rtol=1e-5)


def test_weights_that_change_are_seen(cell):
    """A program holds weights packed: another weight makes another one."""
    model = onnx.load(cell)
    x, count = np.ones((1, 16), np.float32), np.array(12)
    model(x, count)
    (linear,) = (m for m in model.modules() if type(m) is qt.nn.Linear)
    linear.weight = np.zeros((16, 16), np.float32)
    np.testing.assert_allclose(model(x, count)[0][0], np.tanh(linear.bias), rtol=1e-5)


def test_long_loops_are_one_node(cell):
    """Each step of a short one is written down; many steps are the graph of one, and any number of them."""
    model, session = onnx.load(cell), onnxruntime.InferenceSession(cell)
    x = np.random.default_rng(4).standard_normal((1, 16)).astype(np.float32)
    for count in (60, 11, 200, 3):
        inputs = {"x": x, "count": np.array(count)}
        for ours, theirs in zip(model.run(None, inputs), session.run(None, inputs), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert all(len(graph.nodes) < 60 for graph in model._program.graphs)


def test_saved_loops_of_integers_have_them(cell, tmp_path):
    model = quantize_dynamic(onnx.load(cell))
    x, count = np.random.default_rng(5).standard_normal((1, 16)).astype(np.float32), np.array(12)
    onnx.save(model, tmp_path / "saved.onnx", (x, count))
    assert b"MatMulInteger" in (tmp_path / "saved.onnx").read_bytes()
    # onnxruntime's own products of bytes saturate on some CPUs: it computes the floats here.
    session = onnxruntime.InferenceSession(cell)
    for got, want in zip(
        onnx.load(tmp_path / "saved.onnx")(x, count), session.run(None, {"x": x, "count": count}), strict=True
    ):
        np.testing.assert_allclose(got, want, atol=0.1)


LENGTHS = """<ir_version: 8, opset_import: ["": 17]>
lengths (float[t, 3, 4] x, int32[3] n) => (float[t, %(ways)d, 3, 5] y, float[%(ways)d, 3, 5] h)
<float[%(ways)d, %(rows)d, 4] w, float[%(ways)d, %(rows)d, 5] r, float[%(ways)d, %(both)d] b> {
    y, h = %(op)s<hidden_size=5, %(more)s direction="%(direction)s">(x, w, r, b, n)
}"""


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("op", "gates", "more"), [("LSTM", 4, ""), ("GRU", 3, "linear_before_reset=1,")])
def test_rows_of_so_many_steps(op, gates, more, direction, tmp_path):
    """They are `nn`'s layers, whose integers they can have, and go out as they came in."""
    ways, rng = 1 + (direction == "bidirectional"), np.random.default_rng(6)
    names = {"op": op, "more": more, "direction": direction, "ways": ways}
    text = LENGTHS % {**names, "rows": 5 * gates, "both": 10 * gates}
    shapes = {"w": (ways, 5 * gates, 4), "r": (ways, 5 * gates, 5), "b": (ways, 10 * gates)}
    file = file_of(text, **{k: rng.standard_normal(s).astype(np.float32) / 2 for k, s in shapes.items()})
    model, session = onnx.load(file), onnxruntime.InferenceSession(file)
    assert any(type(m) in (qt.nn.LSTM, qt.nn.GRU) for m in model.modules())
    x = rng.standard_normal((7, 3, 4)).astype(np.float32)
    for n in ([7, 7, 7], [7, 2, 4], [1, 7, 1]):
        inputs = {"x": x, "n": np.array(n, np.int32)}
        want = session.run(None, inputs)
        for ours, theirs in zip(model.run(None, inputs), want, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        for ours, theirs in zip(quantize_dynamic(model)(x, inputs["n"]), want, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=0.1)
        onnx.save(model, tmp_path / "saved.onnx", (x, inputs["n"]))
        again = onnxruntime.InferenceSession(tmp_path / "saved.onnx").run(None, inputs)
        for ours, theirs in zip(again, want, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for n in ([8, 1, 1], [1, -1, 2]):
        with pytest.raises(ValueError, match=r"sequence_lens must be 3 numbers from 0 to 7"):
            model(x, np.array(n, np.int32))
