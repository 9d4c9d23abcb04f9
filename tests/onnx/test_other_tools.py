"""Quantized files in the forms of other tools: torch's, TensorFlow's, 16 bits, float16, powers of two."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")

import quantray as qt
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from quantized_files import Draft, session
from quantray import quantization as tq


class File(Draft):
    """What the tools write: pairs around activations, and weights in their forms."""

    def __init__(self, rng, *, stored=True, limits=None, kind=np.uint8, zero=120, bias="float"):
        super().__init__(rng)
        self.stored, self.limits, self.kind, self.zero, self.bias = stored, limits, kind, zero, bias

    def pair(self, x, scale, zero=None):
        """A value on a grid; torch's 7 bits are cut between the two nodes."""
        zero = self.kind(self.zero if zero is None else zero)
        names = self.constant(np.float32(scale)), self.constant(zero)
        codes = self("QuantizeLinear", x, *names)
        if self.limits:
            low, high = self.limits
            low = "" if low is None else self.constant(self.kind(low))
            codes = self("Clip", codes, low, self.constant(self.kind(high)))
        return self("DequantizeLinear", codes, *names)

    def kernel(self, *shape):
        """A weight with a scale for each output: integers in the file, or floats that it quantizes."""
        values = (self.rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)
        scales = (np.abs(values).reshape(shape[0], -1).max(1) / 127).astype(np.float32)
        names = self.constant(scales), self.constant(np.zeros(shape[0], np.int8))
        if self.stored:
            wide = scales.reshape(-1, *[1] * (len(shape) - 1))
            return self(
                "DequantizeLinear", self.constant(np.rint(values / wide).astype(np.int8)), *names, axis=0
            )
        codes = self("QuantizeLinear", self.constant(values), *names, axis=0)
        return self("DequantizeLinear", codes, *names, axis=0)

    def of_bias(self, n):
        """A bias: floats, or 8 bits of its own scale."""
        if self.bias == "float":
            return self.weight(n, size=0.1)
        codes = self.constant(self.rng.integers(-50, 50, n).astype(np.int8))
        return self("DequantizeLinear", codes, self.constant(np.float32(2**-8)), self.constant(np.int8(0)))

    def network(self, step=1.0):
        """Convolutions, a sum, a mean on a grid of its own, a classifier, a softmax on a grid."""
        x = self.pair("x", step / 32)
        x = self("Conv", x, self.kernel(8, 3, 3, 3), self.of_bias(8), pads=[0, 0, 1, 1], strides=[2, 2])
        x = self.pair(self("Relu", x), step / 64, 0 if self.kind is np.uint8 else None)
        y = self("Conv", x, self.kernel(8, 1, 3, 3), self.of_bias(8), pads=[1] * 4, group=8)
        x = self.pair(self("Add", x, self.pair(y, step / 32)), step / 32)
        x = self.pair(self("ReduceMean", x, axes=[2, 3], keepdims=0), step / 128)
        y = self("Gemm", x, self.kernel(5, 8), self.of_bias(5), transB=1)
        y = self.pair(self("Softmax", self.pair(y, step / 32), axis=-1), 1 / 256, self.low)
        return self.model({"x": ["n", 3, 16, 16]}, y, 13)

    @property
    def low(self):
        return 0 if self.kind is np.uint8 else np.iinfo(self.kind).min


FORMS = {
    "tensorflow, symmetric": {"stored": False, "kind": np.int8, "zero": 0},
    "torch, 7 bits": {"stored": False, "limits": (None, 127), "zero": 60},
    "torch, narrow": {"stored": False, "limits": (-127, 127), "kind": np.int8, "zero": 0},
    "bias of 8 bits": {"bias": "int8"},
    "integers": {},
}


@pytest.mark.parametrize("form", FORMS)
def test_all_is_integers_and_near(rng, tmp_path, form):
    file = File(rng, **FORMS[form]).network()
    loaded = qt.onnx.load(file.SerializeToString())
    x = rng.standard_normal((4, 3, 16, 16)).astype(np.float32)
    want = session(file.SerializeToString()).run(None, {"x": x})[0]
    # A step of the classifier's grid moves the softmax by a few of its own at most.
    assert np.abs(loaded(x) - want).max() < 4 / 256
    assert np.mean(loaded(x) != want) < 0.2
    kinds = [node.kind for node in loaded.graph]
    assert kinds.count("int.layer") == 3
    assert kinds.count("int.add") == kinds.count("int.mean") == 1
    assert "layer" not in kinds
    assert [line.name for line in tq.report(loaded).lines if not line.in_integers] == [
        "Softmax_" + str(last(file))
    ]
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    assert_array_equal(qt.onnx.load(tmp_path / "again.onnx")(x), loaded(x))


def last(file):
    """The number of a file's softmax."""
    return next(i for i, node in enumerate(file.graph.node) if node.op_type == "Softmax")


def test_codes_are_cut_where_a_file_cuts_them(rng):
    f = File(rng, limits=(None, 127), zero=60)
    x = f.pair("x", 1 / 16)
    y = f("Sigmoid", f("Relu", f("Conv", x, f.kernel(4, 3, 1, 1), f.of_bias(4))))
    file = f.model({"x": ["n", 3, 4, 4]}, f.pair(f("Sigmoid", f.pair(y, 1 / 200)), 1 / 256, 0), 13)
    loaded = qt.onnx.load(file.SerializeToString())
    x = (rng.standard_normal((4, 3, 4, 4)) * 9).astype(np.float32)
    want = session(file.SerializeToString()).run(None, {"x": x})[0]
    assert np.abs(loaded(x) - want).max() < 1.01 / 256
    assert want.max() <= 127 / 256


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_values_of_16_bits_are_rounded_floats(rng, tmp_path, kind):
    file = File(rng, kind=kind, zero=np.iinfo(kind).max // 2).network(step=1 / 200)
    file.opset_import[0].version = 21
    for node in file.graph.node:
        if node.op_type == "ReduceMean":
            node.input.append("axes")
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("keepdims", 0))
    file.graph.initializer.append(numpy_helper.from_array(np.int64([2, 3]), "axes"))
    loaded = qt.onnx.load(file.SerializeToString())
    x = rng.standard_normal((4, 3, 16, 16)).astype(np.float32)
    want = session(file.SerializeToString()).run(None, {"x": x})[0]
    assert_allclose(loaded(x), want, atol=1e-3)
    # As one program, in which nothing is called node by node.
    runner = loaded.floats()
    assert runner.made(loaded, runner.graphs[0]).lowered.called == ()
    assert_allclose(loaded(x), want, atol=1e-3)
    assert "in its file it has 16 bits" in str(tq.report(loaded))
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    assert_allclose(qt.onnx.load(tmp_path / "again.onnx")(x), loaded(x), atol=1e-4)
    theirs = session(tmp_path / "again.onnx").run(None, {"x": x})[0]
    assert_allclose(theirs, want, atol=1e-3)


@pytest.mark.parametrize("first", [np.uint8, np.uint16])
def test_values_of_8_bits_meet_those_of_16(rng, first):
    """Both kinds of rounding stand behind functions and moves of the other kind: Quark's A16W8."""
    f = File(rng)

    def on(x, kind, scale):
        f.kind = kind
        return f.pair(x, scale, np.iinfo(kind).max // 2)

    second = np.uint16 if first is np.uint8 else np.uint8
    x = on("x", first, 1 / 16)
    x = on(f("Transpose", x, perm=[0, 2, 3, 1]), second, 1 / 15)
    x = on(f("Sigmoid", f("Transpose", x, perm=[0, 3, 1, 2])), first, 1 / 200)
    x = on(f("Conv", x, f.kernel(4, 3, 1, 1), f.of_bias(4)), second, 1 / 100)
    file = f.model({"x": ["n", 3, 4, 4]}, on(f("Flatten", f("Relu", x)), first, 1 / 100), 21)
    loaded = qt.onnx.load(file.SerializeToString())
    x = (rng.standard_normal((4, 3, 4, 4)) * 3).astype(np.float32)
    want = session(file.SerializeToString()).run(None, {"x": x})[0]
    # What lies between two steps may become the other one.
    assert np.abs(loaded(x) - want).max() < 1.01 / 100
    assert np.mean(np.abs(loaded(x) - want) > 1e-5) < 0.02


def test_files_of_float16_compute_in_integers(rng):
    file = File(rng).network()
    for tensor in file.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in (*file.graph.input, *file.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in file.graph.node:
        if node.op_type == "ReduceMean":
            node.input.append("axes")
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("keepdims", 0))
    file.graph.initializer.append(numpy_helper.from_array(np.int64([2, 3]), "axes"))
    del file.graph.value_info[:]
    file.opset_import[0].version = 21
    onnx.checker.check_model(file)
    loaded = qt.onnx.load(file.SerializeToString())
    x = rng.standard_normal((4, 3, 16, 16)).astype(np.float16)
    want = session(file.SerializeToString()).run(None, {"x": x})[0].astype(np.float32)
    # Sums are rounded to 11 bits there.
    assert np.abs(loaded(x) - want).max() < 0.05
    kinds = [node.kind for node in loaded.graph]
    assert kinds.count("int.layer") == 3
    assert "layer" not in kinds


def test_biases_of_one_row_have_a_scale_for_each_column(rng):
    """onnxruntime's tool says axis 0 of them, which has one element; wanted is the file with a flat bias."""

    def file(shape):
        f = File(np.random.default_rng(3))
        x = f.pair("x", 1 / 32)
        weight = f.kernel(5, 8)
        scales = (numpy_helper.to_array(f.constants[-2]) / 32).astype(np.float32)
        codes = np.random.default_rng(4).integers(-9000, 9000, 5).astype(np.int32).reshape(shape)
        bias = f("DequantizeLinear", f.constant(codes), f.constant(scales), axis=0)
        y = f.pair(f("Gemm", x, weight, bias, transB=1), 1 / 64)
        made = f.model({"x": ["n", 8]}, y, 17)
        del made.graph.value_info[:]
        return made.SerializeToString()

    x = rng.standard_normal((16, 8)).astype(np.float32)
    want = session(file(5)).run(None, {"x": x})[0]
    loaded = qt.onnx.load(file((1, 5)))
    assert_array_equal(loaded(x), want)
    assert [node.kind for node in loaded.graph].count("int.layer") == 1
