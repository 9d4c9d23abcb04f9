"""Graphs inside of loops whose layers compute in integers: the files that they become, in onnxruntime."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")

import onnxruntime
import quantray as qt
from onnx import TensorProto, helper, numpy_helper
from quantray import quantization as tq

WIDTH, BATCH = 16, 24


def info(name, *shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def weight(rng, name):
    # Small enough that onnxruntime's products of bytes do not saturate on any CPU.
    return numpy_helper.from_array((rng.standard_normal((WIDTH, WIDTH)) / 4).astype(np.float32), name)


def model(nodes, inputs, output, held, opset=17):
    graph = helper.make_graph(nodes, "outer", inputs, [output], held)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def loop(rng, opset=17, around=False):
    """`s = tanh(s @ w)`, n times; with a value from around the loop where that is asked for."""
    nodes = [helper.make_node("MatMul", ["s", "w"], ["a"], name="inner")]
    if around:
        nodes.append(helper.make_node("Add", ["a", "x"], ["a2"], name="beside"))
    nodes.append(helper.make_node("Tanh", ["a2" if around else "a"], ["t"]))
    nodes.append(helper.make_node("Identity", ["goes"], ["on"]))
    body = helper.make_graph(
        nodes,
        "body",
        [
            info("i", kind=TensorProto.INT64),
            info("goes", kind=TensorProto.BOOL),
            info("s", "n", WIDTH),
        ],
        [info("on", kind=TensorProto.BOOL), info("t", "n", WIDTH)],
    )
    outer = [
        helper.make_node("MatMul", ["x", "v"], ["start"], name="outer"),
        helper.make_node("Loop", ["times", "", "start"], ["y"], name="loop", body=body),
    ]
    inputs = [info("x", "n", WIDTH), info("times", kind=TensorProto.INT64)]
    return model(outer, inputs, info("y", "n", WIDTH), [weight(rng, "w"), weight(rng, "v")], opset)


def scan(rng):
    """A recurrent layer written out: each step's state from the last one's and from its row."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "w"], ["a"], name="of_state"),
            helper.make_node("MatMul", ["row", "v"], ["b"], name="of_input"),
            helper.make_node("Add", ["a", "b"], ["c"]),
            helper.make_node("Tanh", ["c"], ["new"]),
            helper.make_node("Identity", ["new"], ["out"]),
        ],
        "body",
        [info("h", "n", WIDTH), info("row", "n", WIDTH)],
        [info("new", "n", WIDTH), info("out", "n", WIDTH)],
    )
    nodes = [helper.make_node("Scan", ["h0", "x"], ["last", "y"], name="scan", num_scan_inputs=1, body=body)]
    inputs = [info("x", "steps", "n", WIDTH), info("h0", "n", WIDTH)]
    held = [weight(rng, "w"), weight(rng, "v")]
    return model(nodes, inputs, info("y", "steps", "n", WIDTH), held)


def runs(file, feed):
    """onnxruntime, node by node: between a pair it computes in floats, which saturate nowhere."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    onnx.checker.check_model(onnx.load(file), full_check=True)
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]


def bodies(file):
    """Operators inside of the file's loops."""
    nodes = onnx.load(file).graph.node
    return [[node.op_type for node in a.g.node] for each in nodes for a in each.attribute if a.g.node]


def saved(made, path, args):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        qt.onnx.save(made, path, args)
    return path


@pytest.mark.parametrize("around", [False, True])
def test_a_loop_of_a_static_model(rng, tmp_path, around):
    own = qt.onnx.load(loop(rng, around=around))
    feed = {"x": rng.standard_normal((BATCH, WIDTH)).astype(np.float32), "times": np.array(5)}
    made = tq.quantize(own, [tuple(feed.values())], verbose=False)
    path = saved(made, tmp_path / "small.onnx", tuple(feed.values()))
    (ops,) = bodies(path)
    assert "QuantizeLinear" in ops
    assert not any(tensor.dims == [WIDTH, WIDTH] for tensor in onnx.load(path).graph.initializer
                   if tensor.data_type == TensorProto.FLOAT)  # fmt: skip
    for times in (0, 1, 5, 9):
        feed["times"] = np.array(times)
        wanted = runs(path, feed)
        # Where a value lies between two codes, the other one may be taken: of a row's 16 inputs one.
        for each in (made, qt.onnx.load(path)):
            assert np.mean(np.abs(each(**feed) - wanted) > 1e-5) < 0.1
            assert np.abs(each(**feed) - wanted).max() < 0.05
        assert np.abs(wanted - own(**feed)).max() < 0.1


def test_scan_of_a_static_model(rng, tmp_path):
    own = qt.onnx.load(scan(rng))
    feed = {
        "x": rng.standard_normal((12, BATCH, WIDTH)).astype(np.float32),
        "h0": np.zeros((BATCH, WIDTH), np.float32),
    }
    made = tq.quantize(own, [tuple(feed.values())], verbose=False)
    path = saved(made, tmp_path / "small.onnx", tuple(feed.values()))
    assert "QuantizeLinear" in bodies(path)[0]
    wanted = runs(path, feed)
    assert np.mean(np.abs(made(**feed) - wanted) > 1e-4) < 0.05
    assert np.mean(np.abs(qt.onnx.load(path)(**feed) - wanted) > 1e-4) < 0.05
    assert np.abs(wanted - own(**feed)).max() < 0.2


def dynamic_product(x, codes, scales):
    """DynamicQuantizeLinear and MatMulInteger, as the standard has them."""
    low, high = np.float32(min(x.min(), 0)), np.float32(max(x.max(), 0))
    scale = np.float32((high - low) / np.float32(255))
    zero = np.clip(np.rint(-low / scale), 0, 255)
    found = np.clip(np.rint(x / scale) + zero, 0, 255)
    return (found - zero) @ codes.astype(np.float64) * (scale * scales.astype(np.float64))


def test_a_loop_of_a_dynamic_model(rng, tmp_path):
    own = qt.onnx.load(loop(rng))
    x = rng.standard_normal((BATCH, WIDTH)).astype(np.float32)
    made = tq.quantize_dynamic(own)
    path = saved(made, tmp_path / "small.onnx", (x, np.array(3)))
    assert "MatMulInteger" in bodies(path)[0]
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    layers = []
    graph = onnx.load(path).graph
    inner = next(a.g for node in graph.node for a in node.attribute if a.g.node)
    for nodes in (graph.node, inner.node):
        product = next(node for node in nodes if node.op_type == "MatMulInteger")
        scales = next(held[name] for node in nodes if node.op_type == "Mul" for name in node.input
                      if name in held)  # fmt: skip
        layers.append((held[product.input[1]], scales))
    again = qt.onnx.load(path)
    for times in (0, 1, 4):
        wanted = dynamic_product(x, *layers[0])
        for _ in range(times):
            wanted = np.tanh(dynamic_product(wanted.astype(np.float32), *layers[1]))
        np.testing.assert_allclose(again(x, np.array(times)), wanted, atol=2e-3)
        assert np.abs(wanted - own(x, np.array(times))).max() < 0.1


def test_what_stays_in_float_is_said(rng, tmp_path):
    """Files of opsets before 13 have other forms of operators."""
    own = qt.onnx.load(loop(rng, opset=11))
    x, times = rng.standard_normal((BATCH, WIDTH)).astype(np.float32), np.array(5)
    made = tq.quantize(own, [(x, times)], verbose=False)
    with pytest.warns(UserWarning, match="loop: its graph is written in float"):
        qt.onnx.save(made, tmp_path / "small.onnx", (x, times))
    assert bodies(tmp_path / "small.onnx") == [["MatMul", "Tanh", "Identity"]]
    assert np.abs(runs(tmp_path / "small.onnx", {"x": x, "times": times}) - own(x, times)).max() < 0.1
