"""Tables whose rows are looked up: in codes, and by positions that lengths make."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import quantray as qt
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper
from patterns import expected, steps
from quantized_files import session
from quantray import nn
from quantray import quantization as tq


def file(nodes, inputs, constants, outputs=("y",)):
    """A model of nodes; inputs by name, with a type and lengths."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


@pytest.mark.parametrize(("kind", "zero"), [(np.uint8, 117), (np.int8, -9), (np.int8, None)])
def test_rows_of_codes_with_one_scale(rng, tmp_path, kind, zero):
    """As onnxruntime's `quantize_dynamic` writes tables of embeddings."""
    limits = np.iinfo(kind)
    constants = {
        "w": rng.integers(limits.min, limits.max + 1, (40, 12)).astype(kind),
        "scale": np.float32(0.013),
        **({} if zero is None else {"zero": kind(zero)}),
    }
    nodes = [
        helper.make_node("Gather", ["w", "ids"], ["rows"], "/words/Gather_quant"),
        helper.make_node(
            "DequantizeLinear",
            ["rows", *list(constants)[1:]],
            ["y"],
            "/words/Gather_output_0_DequantizeLinear",
        ),
    ]
    made = file(nodes, {"ids": (TensorProto.INT64, ["n", "m"])}, constants)
    loaded = qt.onnx.load(made.SerializeToString())
    assert steps(loaded) == ["QuantizedEmbedding"]
    assert loaded.plan.rows[0].path == "words"
    ids = rng.integers(0, 40, (3, 7))
    want = expected(made.SerializeToString(), {"ids": ids})[0]
    assert_array_equal(loaded(ids), want)
    assert_array_equal(loaded(ids), want)
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    assert_array_equal(session(tmp_path / "again.onnx").run(None, {"ids": ids})[0], want)
    assert steps(qt.onnx.load(tmp_path / "again.onnx"))[0] == "QuantizedEmbedding"


def test_tables_that_are_saved_are_tables_again(rng, tmp_path):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.out = nn.Embedding(50, 16), nn.Linear(16, 3)

        def forward(self, ids):
            return self.out(self.words(ids))

    small = tq.quantize_dynamic(Words().eval())
    ids = rng.integers(0, 50, (4, 6))
    qt.onnx.save(small, tmp_path / "small.onnx", ids)
    again = qt.onnx.load(tmp_path / "small.onnx")
    assert steps(again)[:2] == ["QuantizedEmbedding", "DynamicQuantizedLinear"]
    table = next(m for m in again.modules() if isinstance(m, nn.quantized.Embedding))
    assert_array_equal(table(ids), small.words(ids))
    assert_array_equal(session(tmp_path / "small.onnx").run(None, {"ids": ids})[0].shape, (4, 6, 3))


def by_positions(rng, kind):
    """Adds rows of a table to each step of a sequence, by numbers that end at its length."""
    constants = {
        "ids": np.arange(64)[None],
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
    }
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "one", "two"], ["n"]),
        helper.make_node("Slice", ["ids", "zero", "n", "one"], ["own"]),
    ]
    if kind == "floats":
        constants["table"] = rng.standard_normal((64, 2, 4), np.float32)
        nodes.append(helper.make_node("Gather", ["table", "own"], ["rows"]))
    elif kind == "integers":
        constants["table"] = rng.integers(-9, 9, (64, 2, 4))
        nodes.append(helper.make_node("Gather", ["table", "own"], ["whole"]))
        nodes.append(helper.make_node("Cast", ["whole"], ["rows"], to=TensorProto.FLOAT))
    elif kind == "codes":
        constants |= {"table": rng.integers(0, 256, (64, 8)).astype(np.uint8), "scale": np.float32(0.1)}
        constants |= {"middle": np.uint8(99), "to": np.array([1, -1, 2, 4])}
        nodes.append(helper.make_node("Gather", ["table", "own"], ["codes"]))
        nodes.append(helper.make_node("DequantizeLinear", ["codes", "scale", "middle"], ["flat"]))
        nodes.append(helper.make_node("Reshape", ["flat", "to"], ["rows"]))
    else:
        constants |= {"table": rng.integers(0, 256, (64, 16)).astype(np.uint8), "to": np.array([1, -1, 8, 4])}
        constants["scales"] = rng.random((64, 2), np.float32)
        settings = {"domain": "com.microsoft", "bits": 4, "block_size": 16}
        nodes.append(
            helper.make_node("GatherBlockQuantized", ["table", "own", "scales"], ["flat"], **settings)
        )
        nodes.append(helper.make_node("Reshape", ["flat", "to"], ["rows"]))
    nodes.append(helper.make_node("Unsqueeze", ["x", "two"], ["wide"]))
    nodes.append(helper.make_node("Add", ["wide", "rows"], ["y"]))
    return file(nodes, {"x": (TensorProto.FLOAT, ["n", "m", 4])}, constants)


@pytest.mark.parametrize("kind", ["floats", "integers", "codes", "blocks"])
def test_tables_of_positions_are_for_all_lengths(rng, tmp_path, kind):
    made = by_positions(rng, kind)
    loaded = qt.onnx.load(made.SerializeToString())
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    saved = onnx.load(tmp_path / "again.onnx").graph.input[0].type.tensor_type.shape
    assert [d.dim_param for d in saved.dim] == ["n", "m", ""]
    again = session(tmp_path / "again.onnx")
    for length in (12, 16, 23):
        x = rng.standard_normal((2, length, 4)).astype(np.float32)
        want = expected(made.SerializeToString(), {"x": x})[0]
        assert_allclose(loaded(x), want, rtol=1e-6, atol=1e-6)
        assert_allclose(again.run(None, {"x": x})[0], want, rtol=1e-6, atol=1e-6)


def of_nodes(rng, kind):
    """A layer, what its rows are chosen or summed by, and a layer."""
    held = {
        "first": rng.standard_normal((8, 16), np.float32),
        "last": rng.standard_normal((16, 4), np.float32),
        "zero": np.array(0),
    }
    nodes = [helper.make_node("MatMul", ["x", "first"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    if kind == "edges":
        other = TensorProto.INT64, [2, "edges"]
        nodes.append(helper.make_node("Gather", ["other", "zero"], ["ids"]))
        nodes.append(helper.make_node("Gather", ["b", "ids"], ["c"]))
    elif kind == "neighbours":
        other = TensorProto.FLOAT, ["nodes", "nodes"]
        nodes.append(helper.make_node("MatMul", ["other", "b"], ["c"]))
    else:
        other = TensorProto.FLOAT, ["nodes"]
        held["one"] = np.array([1])
        nodes.append(helper.make_node("Unsqueeze", ["other", "one"], ["column"]))
        nodes.append(helper.make_node("Add", ["b", "column"], ["c"]))
    nodes.append(helper.make_node("MatMul", ["c", "last"], ["y"]))
    return file(nodes, {"x": (TensorProto.FLOAT, ["nodes", 8]), "other": other}, held)


@pytest.mark.parametrize("kind", ["edges", "neighbours", "rows"])
def test_rows_that_belong_together_are_calibrated_together(rng, kind):
    """What `quantize` tries on a few rows has to be a batch of the model: nodes of a graph are none."""
    batches = []
    for count in (33, 40, 41, 37):
        other = {
            "edges": rng.integers(0, count, (2, 60)),
            "neighbours": rng.random((count, count), np.float32) / count,
            "rows": rng.random(count, np.float32),
        }[kind]
        batches.append({"x": rng.standard_normal((count, 8), np.float32), "other": other})
    made = of_nodes(rng, kind)
    int8 = tq.quantize(qt.onnx.load(made.SerializeToString()), batches, verbose=False)
    for batch in batches:
        want = expected(made.SerializeToString(), batch)[0]
        assert np.abs(int8(**batch) - want).max() < 0.05 * np.abs(want).max()


def test_rows_that_several_inputs_name_on_their_own(rng, tmp_path):
    """torch gives the rows of each input a name, though they are added up: one length for all."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Unsqueeze", ["t", "axes"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    held = {"w": rng.standard_normal((6, 5), np.float32), "axes": np.array([1, 2])}
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["s53", 4, 6]),
            helper.make_tensor_value_info("t", TensorProto.FLOAT, ["s74"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    loaded = qt.onnx.load(made.SerializeToString())
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    runtime = session(tmp_path / "again.onnx")
    for rows in (2, 5, 1):
        inputs = {"x": rng.standard_normal((rows, 4, 6), np.float32), "t": rng.random(rows, np.float32)}
        want = inputs["x"] @ held["w"] + inputs["t"][:, None, None]
        assert_allclose(loaded(**inputs), want, rtol=1e-4, atol=1e-5)
        assert_allclose(runtime.run(None, inputs)[0], want, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="broadcast"):
        loaded(np.zeros((3, 4, 6), np.float32), np.zeros(2, np.float32))


def rows_from_the_end(rng, form):
    """A table of floats or of codes, whose rows are looked up and multiplied."""
    words = helper.make_node("Gather", ["w", "ids"], ["rows"])
    constants = {"m": rng.standard_normal((12, 5), np.float32)}
    nodes = [words, helper.make_node("MatMul", ["rows", "m"], ["y"])]
    if form == "floats":
        constants["w"] = rng.standard_normal((40, 12), np.float32)
    else:
        constants |= {"w": rng.integers(0, 256, (40, 12)).astype(np.uint8), "scale": np.float32(0.013)}
        constants["zero"] = np.uint8(117)
        words.output[0] = "codes"
        nodes.insert(1, helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["rows"]))
    return file(nodes, {"ids": (TensorProto.INT64, ["n", "m"])}, constants)


@pytest.mark.parametrize("form", ["floats", "codes"])
def test_rows_may_be_counted_from_the_end(rng, tmp_path, form):
    """Gather takes them, which torch's layers refuse."""
    made = rows_from_the_end(rng, form).SerializeToString()
    loaded = qt.onnx.load(made)
    ids = rng.integers(-40, 40, (3, 7))
    assert (ids < 0).any()
    want = expected(made, {"ids": ids})[0]
    # By `forward`, as a program, and with the integers that other files have.
    assert_allclose(loaded.forward(ids), want, rtol=1e-5, atol=1e-5)
    for _ in range(3):
        assert_allclose(loaded(ids), want, rtol=1e-5, atol=1e-5)
    room = 0.05 * np.abs(want).max()
    for small in (tq.quantize(loaded, [ids], verbose=False), tq.quantize_dynamic(loaded), loaded.copy()):
        for _ in range(2):
            assert_allclose(small(ids), want, rtol=0, atol=room)
        qt.onnx.save(small, tmp_path / "again.onnx", ids)
        assert_allclose(qt.onnx.load(tmp_path / "again.onnx")(ids), want, rtol=0, atol=room)
        for wrong in (40, -41):
            with pytest.raises(IndexError, match=f"from -40 to 39, got {wrong}"):
                small(np.full((2, 3), wrong))
    # The last one is in floats, which other runtimes compute alike on any CPU.
    assert_allclose(session(tmp_path / "again.onnx").run(None, {"ids": ids})[0], want, rtol=1e-5, atol=1e-5)


def test_layers_that_count_from_the_end_are_kept_as_such(rng, tmp_path):
    table = nn.Embedding(9, 4, from_end=True)
    small = tq.quantize_dynamic(nn.Sequential(table), {nn.Embedding})[0]
    for layer in (table, small):
        assert_array_equal(layer([-1, -9, 3]), layer([8, 0, 3]))
        qt.save(nn.Sequential(layer), tmp_path / "one.safetensors")
        assert_array_equal(qt.load(tmp_path / "one.safetensors")([-2]), layer([7]))
    for layer in (nn.Embedding(9, 4), nn.quantized.Embedding(9, 4)):
        with pytest.raises(IndexError, match="from 0 to 8, got -1"):
            layer([0, -1])
    # A row that is looked up by both of its numbers gets the sum of both gradients.
    small_table = nn.Embedding(3, 2, from_end=True)
    grads = nn.value_and_grad(small_table, lambda ids: small_table(ids).sum())(np.array([-1, 2, 0]))[1]
    assert_array_equal(grads["weight"], [[1, 1], [0, 0], [2, 2]])
