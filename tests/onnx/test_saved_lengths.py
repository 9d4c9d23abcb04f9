"""Lengths in files: worked out in floats they become integers, and what is known is saved as a constant.

onnxruntime gives the wanted values. OpenVINO ends the process, or gives other values, where files work out
lengths that are known, and where codes are rounded twice.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import quantray as qt
from exact_onnxruntime import needs_exact_onnxruntime
from patterns import expected, made, session
from quantray import quantization as tq

RNG = np.random.default_rng(0)


def saved(model, path, *example):
    qt.onnx.save(model, path, *example)
    return onnx.load(path)


def run(file, x):
    return session(file.SerializeToString()).run(None, {file.graph.input[0].name: x})[0]


def rounded_twice(file):
    """Nodes that round what is rounded already, on the same grid."""
    settings = {n.output[0]: list(n.input[1:]) for n in file.graph.node if n.op_type == "DequantizeLinear"}
    return [
        n.name
        for n in file.graph.node
        if n.op_type == "QuantizeLinear" and settings.get(n.input[0]) == list(n.input[1:])
    ]


def weight(*shape):
    return RNG.standard_normal(shape).astype(np.float32) * 0.3


def same_padding(stride=2, kernel=3):
    """Images padded as TensorFlow does it, as torch exports that: in floats, from the image's lengths."""
    nodes, constants = [], {"none": np.zeros(4, np.int64), "w": weight(4, 3, kernel, kernel)}
    sides = []
    for axis in (2, 3):
        at = f"{axis}"
        constants |= {"at" + at: np.int64(axis), "stride": np.float32(stride), "two": np.float32(2)}
        constants |= {"one": np.float32(1), "kernel": np.float32(kernel), "shape": np.array([1], np.int64)}
        constants |= {"least": np.float32(0)}
        nodes += [
            ("Shape", "x", f"s{at}", {}),
            ("Gather", f"s{at} at{at}", f"i{at}", {}),
            ("Cast", f"i{at}", f"n{at}", {"to": 1}),
            ("Div", f"n{at} stride", f"a{at}", {}),
            ("Ceil", f"a{at}", f"b{at}", {}),
            ("Sub", f"b{at} one", f"c{at}", {}),
            ("Mul", f"c{at} stride", f"d{at}", {}),
            ("Add", f"d{at} kernel", f"e{at}", {}),
            ("Sub", f"e{at} n{at}", f"f{at}", {}),
            ("Max", f"f{at} least", f"g{at}", {}),
            ("Div", f"g{at} two", f"h{at}", {}),
            ("Cast", f"h{at}", f"before{at}", {"to": 7}),
            ("Cast", f"g{at}", f"all{at}", {"to": 7}),
            ("Sub", f"all{at} before{at}", f"after{at}", {}),
            ("Reshape", f"before{at} shape", f"l{at}", {}),
            ("Reshape", f"after{at} shape", f"r{at}", {}),
        ]
        sides.append(at)
    constants["zeros"] = np.zeros(2, np.int64)
    nodes += [
        ("Concat", "zeros l2 l3 zeros r2 r3", "pads", {"axis": 0}),
        ("Pad", "x pads", "wide", {}),
        ("Conv", "wide w", "y", {"strides": [stride] * 2}),
    ]
    return nodes, constants


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_lengths_in_floats_are_integers(stride, tmp_path):
    nodes, constants = same_padding(stride)
    file = made(nodes, {"x": np.zeros((1, 3, 8, 9), np.float32)}, ["y"], constants, free=(0, 2, 3))
    model = qt.onnx.load(file)
    example = RNG.standard_normal((2, 3, 8, 9)).astype(np.float32)
    model(example)
    assert not {"python", "onnx.pad"} & {node.kind for node in model._program.graphs[0]}
    for shape in ((2, 3, 8, 9), (1, 3, 9, 8), (1, 3, 11, 5)):
        x = RNG.standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(model(x), expected(file, {"x": x})[0], rtol=1e-4, atol=1e-5)
    # How they are rounded hangs on signs.
    with pytest.warns(UserWarning, match="axis 2 of 'x'"):
        again = saved(model, tmp_path / "again.onnx")
    for shape in ((2, 3, 8, 9), (1, 3, 9, 8)):
        x = RNG.standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(run(again, x), expected(file, {"x": x})[0], rtol=1e-4, atol=1e-5)


def test_lengths_that_are_known_are_constants(tmp_path):
    """Where nothing but the number of images is free, a file works out no lengths."""
    nodes, constants = same_padding()
    constants |= {"three": np.int64(3), "heads": np.array([2], np.int64), "left": np.array([-1], np.int64)}
    constants |= {"at0": np.int64(0), "one_more": np.array([1], np.int64)}
    nodes += [
        ("Shape", "y", "s", {}),
        ("Gather", "s at0", "rows", {}),
        ("Reshape", "rows one_more", "rows_of_one", {}),
        ("Gather", "s three", "last", {}),
        ("Reshape", "last one_more", "last_of_one", {}),
        ("Concat", "rows_of_one heads left last_of_one", "to", {"axis": 0}),
        ("Reshape", "y to", "z", {}),
    ]
    file = made(nodes, {"x": np.zeros((2, 3, 8, 9), np.float32)}, ["z"], constants, free=(0,))
    model = qt.onnx.load(file)
    batches = [RNG.standard_normal((2, 3, 8, 9)).astype(np.float32) for _ in range(2)]
    for each in (model, tq.quantize(model, batches, verbose=False)):
        each(batches[0])
        again = saved(each, tmp_path / "again.onnx")
        assert not {"Shape", "Gather", "Mod", "Div"} & {node.op_type for node in again.graph.node}
        for rows in (1, 3):
            x = RNG.standard_normal((rows, 3, 8, 9)).astype(np.float32)
            np.testing.assert_allclose(run(again, x), each(x), rtol=1e-3, atol=0.05)


@needs_exact_onnxruntime
def test_codes_are_rounded_once(tmp_path):
    """Images are rolled, and padded by what they lack to whole windows, which is nothing."""
    constants = {"k": weight(8, 3, 1, 1), "l": weight(5, 8, 1, 1), "at": np.int64(3), "seven": np.int64(4)}
    constants |= {
        "one": np.array([1], np.int64),
        "first": np.zeros(1, np.int64),
        "last": np.array([9], np.int64),
    }
    constants |= {
        "axis": np.array([3], np.int64),
        "none": np.zeros(3, np.int64),
        "none4": np.zeros(4, np.int64),
    }
    nodes = [
        ("Conv", "x k", "h", {}),
        ("Slice", "h one last axis", "right", {}),
        ("Slice", "h first one axis", "left", {}),
        ("Concat", "right left", "rolled", {"axis": 3}),
        ("Shape", "h", "s", {}),
        ("Gather", "s at", "n", {}),
        ("Mod", "n seven", "over", {}),
        ("Reshape", "over one", "more", {}),
        ("Concat", "none4 none more", "pads", {"axis": 0}),
        ("Pad", "rolled pads", "padded", {}),
        ("Conv", "padded l", "y", {}),
    ]
    file = made(nodes, {"x": np.zeros((2, 3, 8, 8), np.float32)}, ["y"], constants, free=(0,))
    model = qt.onnx.load(file)
    batches = [RNG.standard_normal((4, 3, 8, 8)).astype(np.float32) for _ in range(2)]
    int8 = tq.quantize(model, batches, verbose=False)
    assert not any(line.is_call for line in tq.report(int8).lines)
    again = saved(int8, tmp_path / "again.onnx")
    assert rounded_twice(again) == []
    assert "Pad" not in {node.op_type for node in again.graph.node}
    np.testing.assert_allclose(run(again, batches[1]), int8(batches[1]), atol=0.05)


@needs_exact_onnxruntime
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_lengths_of_codes(mode, tmp_path):
    """Images are resized to what a quantized layer has made, as GhostNet's gates are."""
    constants = {"k": weight(3, 3, 3, 3), "l": weight(6, 3, 5, 5), "m": weight(4, 6, 1, 1)}
    constants |= {"d": weight(3, 1, 3, 3)}
    constants |= {"at": np.array([2, 3], np.int64)}
    nodes = [
        ("Conv", "x k", "h0", {}),
        ("Relu", "h0", "h1", {}),
        ("Conv", "h1 d", "h2", {"pads": [1] * 4, "group": 3}),
        ("Concat", "h1 h2", "h", {"axis": 1}),
        ("Conv", "x l", "g0", {"strides": [2, 2]}),
        ("Sigmoid", "g0", "g", {}),
        ("Shape", "h", "s", {}),
        ("Gather", "s at", "lengths", {}),
        ("Shape", "g", "sg", {}),
        ("Slice", "sg none two", "rows", {}),
        ("Concat", "rows lengths", "sizes", {"axis": 0}),
        ("Resize", "g nothing nothing sizes", "gates", {"mode": mode}),
        ("Mul", "h gates", "z", {}),
        ("Conv", "z m", "y", {}),
    ]
    constants |= {"none": np.zeros(1, np.int64), "two": np.array([2], np.int64)}
    constants |= {"nothing": np.zeros(0, np.float32)}
    file = made(nodes, {"x": np.zeros((2, 3, 8, 9), np.float32)}, ["y"], constants, free=(0, 2, 3))
    model = qt.onnx.load(file)
    batches = [RNG.standard_normal((2, 3, *hw)).astype(np.float32) for hw in ((8, 9), (11, 10))]
    int8 = tq.quantize(model, batches, verbose=False)
    again = saved(int8, tmp_path / "again.onnx", batches[0])
    for x in batches:
        np.testing.assert_allclose(run(again, x), int8(x), atol=0.06)


def test_a_number_among_lengths(rng):
    """The number of classes out of a shape whose other length is free, as R-CNN's heads ask for it."""
    constants = {"w": weight(6, 5), "place": np.int64(1), "first": np.int64(0)}
    nodes = [
        ("MatMul", "x w", "h", {}),
        ("Shape", "h", "s", {}),
        ("Gather", "s place", "classes", {}),
        ("Gather", "s first", "rows", {}),
        ("Cast", "classes", "number", {"to": 1}),
        ("Cast", "rows", "count", {"to": 1}),
        ("Div", "h number", "k", {}),
        ("Mul", "k count", "y", {}),
    ]
    body = [("NonZero", "x", "places", {}), ("Gather", "places place", "at", {"axis": 0})]
    body += [("Gather", "x at", "kept", {"axis": 1}), ("Transpose", "kept", "turned", {"perm": [1, 0]})]
    body += [("MatMul", "turned v", "h", {})]
    constants |= {"v": weight(4, 5)}
    file = made([*body, *nodes[1:]], {"x": np.zeros((4, 6), np.float32)}, ["y"], constants)
    x = rng.standard_normal((4, 6)).astype(np.float32)
    np.testing.assert_allclose(qt.onnx.load(file)(x), expected(file, {"x": x})[0], rtol=1e-4, atol=1e-5)
