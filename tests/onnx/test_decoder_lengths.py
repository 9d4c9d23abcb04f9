"""Decoders with a past: the mask is for what was there and what is new, a length with a name of its own."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import quantray as qt
from onnx import TensorProto, helper, numpy_helper
from quantray import quantization as tq

WIDTH = 16


def decoder(positions=0):
    """A layer of attention to a cache: `s` new tokens, `p` keys before them, a mask for `t` keys."""
    rng = np.random.default_rng(0)
    held = {name: rng.standard_normal((WIDTH, WIDTH), np.float32) / 4 for name in "qkvo"}
    held |= {"table": rng.standard_normal((50, WIDTH), np.float32), "one": np.array([1, 2])}
    held |= {"low": np.float32(-1e4), "unit": np.float32(1)}
    add, nodes = helper.make_node, []
    nodes.append(add("Gather", ["table", "ids"], ["x"], name="embed"))
    if positions:
        # Positions go on behind the keys that were there.
        held |= {"places": rng.standard_normal((positions, WIDTH), np.float32)}
        held |= {"zero": np.array(0), "step": np.array(1), "first": np.array(1), "second": np.array(1)}
        nodes += [
            add("Shape", ["past_key"], ["past_shape"]),
            add("Gather", ["past_shape", "first"], ["past"]),
            add("Shape", ["ids"], ["ids_shape"]),
            add("Gather", ["ids_shape", "second"], ["new"]),
            add("Add", ["past", "new"], ["end"]),
            add("Range", ["past", "end", "step"], ["position"]),
            add("Gather", ["places", "position"], ["place"], name="positions"),
            add("Add", ["x", "place"], ["placed"]),
        ]
    source = "placed" if positions else "x"
    nodes += [add("MatMul", [source, name], [f"own_{name}"], name=f"{name}_proj") for name in "qkv"]
    nodes += [
        add("Concat", ["past_key", "own_k"], ["key"], axis=1),
        add("Concat", ["past_value", "own_v"], ["value"], axis=1),
        add("Transpose", ["key"], ["turned"], perm=[0, 2, 1]),
        add("MatMul", ["own_q", "turned"], ["scores"], name="scores"),
        add("Cast", ["mask"], ["seen"], to=TensorProto.FLOAT),
        add("Sub", ["unit", "seen"], ["hidden"]),
        add("Mul", ["hidden", "low"], ["bias"]),
        add("Unsqueeze", ["bias", "axis"], ["biases"]),
        add("Add", ["scores", "biases"], ["total"]),
        add("Softmax", ["total"], ["weights"], axis=-1),
        add("MatMul", ["weights", "value"], ["mixed"], name="mixed"),
        add("MatMul", ["mixed", "o"], ["y"], name="o_proj"),
    ]
    held["axis"] = np.array([1])
    value, whole, real = helper.make_tensor_value_info, TensorProto.INT64, TensorProto.FLOAT
    inputs = [value("ids", whole, ["n", "s"]), value("mask", whole, ["n", "t"])]
    inputs += [value(name, real, ["n", "p", WIDTH]) for name in ("past_key", "past_value")]
    outputs = [value(name, real, None) for name in ("y", "key", "value")]
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()]
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def batch(rng, steps, past, rows=1):
    return {
        "ids": rng.integers(0, 50, (rows, steps)),
        "mask": np.ones((rows, past + steps), np.int64),
        "past_key": rng.standard_normal((rows, past, WIDTH), np.float32),
        "past_value": rng.standard_normal((rows, past, WIDTH), np.float32),
    }


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def apart(got, want):
    assert got.shape == want.shape
    return np.sqrt(np.square(got - want).mean() / np.square(want).mean())


@pytest.mark.parametrize("positions", [0, 200, 20])
def test_one_graph_for_all_lengths(rng, tmp_path, positions):
    """Seen with one new token first, which most steps have; short tables of positions included."""
    proto = decoder(positions)
    model = qt.onnx.load(proto.SerializeToString())
    batches = [batch(rng, steps, past, 16) for steps, past in ((1, 6), (2, 7), (3, 4))]
    for each in batches:
        model(**each)
    assert len(model._program.graphs) == 1
    int8 = tq.quantize(model, batches, verbose=False)
    path = tmp_path / "int8.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        qt.onnx.save(int8, path)
        again = qt.onnx.load(path)
    assert [value.shape for value in again.inputs] == [value.shape for value in model.inputs]
    assert any(line.in_integers for line in tq.report(again).lines)
    float_file = tmp_path / "float.onnx"
    onnx.save(proto, float_file)
    for steps, past, rows in ((1, 9, 1), (4, 5, 2), (5, 1, 3)):
        given = batch(rng, steps, past, rows)
        for want, got, other, read in zip(
            session(float_file).run(None, given),
            int8(**given),
            session(path).run(None, given),
            again(**given),
            strict=True,
        ):
            assert apart(got, want) < 0.15
            # Sums of 8 bits saturate in onnxruntime where a CPU has no instructions for them.
            assert apart(other, want) < 0.7
            assert apart(read, got) < 0.03


def test_lengths_that_become_fixed_are_said(tmp_path):
    """What the graph is for alone, where the model's own file takes more."""
    held = [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")]
    held.append(numpy_helper.from_array(np.array([2, -1, 4]), "shape"))
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["flat"])]
    nodes.append(helper.make_node("MatMul", ["flat", "w"], ["y"]))
    sides = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", ["n", "m", "k"]), ("y", None))
    ]
    graph = helper.make_graph(nodes, "fixed", *sides, held)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    int8 = tq.quantize(qt.onnx.load(proto.SerializeToString()), x, verbose=False)
    with pytest.warns(UserWarning, match="long along axis .*, which may be of any length in the model's own"):
        qt.onnx.save(int8, tmp_path / "fixed.onnx")
