"""Weights of 4 and 8 bits in blocks are read as codes, as onnxruntime's quantizer writes them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnxruntime
import quantray as qt
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from patterns import steps
from quantized_files import Draft, session
from quantray import quantization as tq


class File(Draft):
    """A file with weights in blocks."""

    def product(self, x, k, n, form, symmetric, size, bits):
        """A product with random codes, in the form of either of the quantizer's formats."""
        count, top = -(-k // size), 1 << bits
        codes = self.rng.integers(0, top, (n, k)).astype(np.uint8)
        scales = self.rng.uniform(0.001, 0.01, (n, count)).astype(np.float32)
        zeros = None if symmetric else self.rng.integers(top // 4, top // 2, (n, count)).astype(np.uint8)
        if form == "QOperator":
            padded = np.pad(codes, ((0, 0), (0, count * size - k)))
            held = [together(padded, bits).reshape(n, count, -1), scales.reshape(-1)]
            held += [] if symmetric else [together(zeros, bits).reshape(-1)]
            settings = {"K": k, "N": n, "bits": bits, "block_size": size, "domain": "com.microsoft"}
            return self("MatMulNBits", x, *map(self.constant, held), **settings)
        kind = f"int{bits}" if symmetric else f"uint{bits}"
        shift = top // 2 if symmetric else 0
        names = [self.packed(codes.T.astype(np.int16) - shift, kind), self.constant(scales.T.copy())]
        names += [] if symmetric else [self.packed(zeros.T, kind)]
        return self("MatMul", x, self("DequantizeLinear", *names, axis=0, block_size=size))

    def packed(self, codes, kind):
        name = f"c{len(self.constants)}"
        kind = getattr(TensorProto, kind.upper())
        self.constants.append(
            helper.make_tensor(name, kind, codes.shape, codes.reshape(-1).astype(int).tolist())
        )
        return name


def together(codes, bits):
    if bits == 8:
        return codes
    codes = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
    return codes[:, ::2] | codes[:, 1::2] << 4


def quantized(rng, form, *, symmetric, size, bits=4):
    f = File(rng)
    x = f("Add", f.product("x", 100, 48, form, symmetric, size, bits), f.weight(48, size=0.1))
    y = f.product(f("Relu", x), 48, 7, form, symmetric, size, bits)
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m", 100])]
    outputs = [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["n", "m", 7])]
    domains = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(f.nodes, "g", values, outputs, f.constants)
    return helper.make_model(graph, opset_imports=domains, ir_version=10)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("size", [16, 32, 128])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("form", ["QOperator", "QDQ"])
def test_they_are_layers_of_codes(rng, tmp_path, form, symmetric, size, bits):
    file = quantized(rng, form, symmetric=symmetric, size=size, bits=bits)
    loaded = qt.onnx.load(file.SerializeToString())
    assert steps(loaded).count("WeightOnlyLinear") == 2
    layer = next(m for m in loaded.modules() if isinstance(m, qt.nn.quantized.WeightOnlyLinear))
    assert (layer.bits, layer.group_size, layer.input_bits) == (bits, size, 24)
    x = rng.standard_normal((3, 5, 100)).astype(np.float32)
    # onnxruntime itself rounds inputs to 8 bits where it fuses, so that the weights in floats are asked.
    assert_allclose(loaded(x), in_floats(file, x), rtol=2e-6, atol=1e-4)
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    again = qt.onnx.load(tmp_path / "again.onnx")
    assert steps(again).count("WeightOnlyLinear") == 2
    assert_array_equal(again(x), loaded(x))
    assert_allclose(session(tmp_path / "again.onnx").run(None, {"x": x})[0], loaded(x), rtol=2e-6, atol=1e-4)
    for kept in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        assert_array_equal(kept(x), loaded(x))
    layer.save(tmp_path / "layer.safetensors")
    assert_array_equal(qt.load(tmp_path / "layer.safetensors")(x), layer(x))


def in_floats(file, x):
    """What a file says, with weights in float64."""
    held = {t.name: t for t in file.graph.initializer}
    values = {name: numpy_helper.to_array(t) for name, t in held.items()}
    values["x"] = x.astype(np.float64)
    for node in file.graph.node:
        given = [values[name] for name in node.input if name]
        settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "DequantizeLinear":
            codes, scales, *zeros = (np.asarray(a, np.float64) for a in given)
            axis, size = settings["axis"], settings["block_size"]
            wide = [np.repeat(a, size, axis).take(range(codes.shape[axis]), axis) for a in (scales, *zeros)]
            made = (codes - (wide[1] if zeros else 0)) * wide[0]
        elif node.op_type == "MatMulNBits":
            made = given[0] @ blocks(settings, *given[1:]).T
        else:
            made = {"Add": np.add, "MatMul": np.matmul, "Relu": lambda a: np.maximum(a, 0)}[node.op_type](
                *given
            )
        values[node.output[0]] = made
    return values[file.graph.output[0].name]


def blocks(settings, b, scales, zeros=None):
    n, k, bits, size = (settings[name] for name in ("N", "K", "bits", "block_size"))
    count = -(-k // size)

    def apart(a):
        return a if bits == 8 else np.stack([a & 15, a >> 4], -1).reshape(*a.shape[:-1], -1)

    codes = apart(b.reshape(n, count, -1)).astype(np.float64)
    zero = np.full((n, count), 1 << (bits - 1)) if zeros is None else zeros
    if zeros is not None and zeros.dtype == np.uint8:
        zero = apart(zeros.reshape(n, -1))[:, :count]
    wide = (codes - np.reshape(zero, (n, count, 1))) * scales.reshape(n, count, 1)
    return wide.reshape(n, -1)[:, :k]


def one(rng, k=70, n=6, size=32, zeros=None, order=None, scales=None, **settings):
    """A file of one MatMulNBits."""
    count = -(-k // size)
    held = {
        "b": rng.integers(0, 256, (n, count, size // 2)).astype(np.uint8),
        "s": rng.uniform(0.01, 0.1, n * count).astype(np.float32) if scales is None else scales,
    }
    if zeros is not None:
        held["z"] = zeros(n * count)
    if order is not None:
        held["g"] = order
    names = ["x", "b", "s", "z" if zeros is not None else "", "g" if order is not None else ""]
    while not names[-1]:
        names.pop()
    node = helper.make_node(
        "MatMulNBits",
        names,
        ["y"],
        "n",
        domain="com.microsoft",
        K=k,
        N=n,
        bits=4,
        block_size=size,
        **settings,
    )
    values = [
        helper.make_tensor_value_info(*v)
        for v in (("x", TensorProto.FLOAT, ["r", k]), ("y", TensorProto.FLOAT, ["r", n]))
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in held.items()]
    graph = helper.make_graph([node], "g", values[:1], values[1:], tensors)
    domains = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=10), held


def test_zero_points_that_are_floats(rng, tmp_path):
    """As half-quadratic quantization has them, between the codes."""
    file, held = one(rng, zeros=lambda n: rng.uniform(4, 11, n).astype(np.float32))
    loaded = qt.onnx.load(file.SerializeToString())
    assert steps(loaded) == ["WeightOnlyLinear"]
    x = rng.standard_normal((5, 70)).astype(np.float32)
    settings = {"N": 6, "K": 70, "bits": 4, "block_size": 32}
    weight = blocks(settings, held["b"], held["s"], held["z"])
    assert_allclose(loaded(x), x @ weight.T, atol=1e-4)
    layer = next(m for m in loaded.modules() if isinstance(m, qt.nn.quantized.WeightOnlyLinear))
    assert_allclose(layer.dequantized(), weight, atol=1e-6)
    layer.save(tmp_path / "layer.safetensors")
    assert_array_equal(qt.load(tmp_path / "layer.safetensors")(x), layer(x))
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    assert_allclose(qt.onnx.load(tmp_path / "again.onnx")(x), loaded(x), atol=1e-5)


@pytest.mark.parametrize("zeros", [None, lambda _: np.full(12, 0x97, np.uint8)], ids=["symmetric", "zeros"])
def test_scales_below_0_and_of_0(rng, tmp_path, zeros):
    """Half of what onnxruntime's quantizer gives symmetric blocks is below 0; scales of zeros are 0."""
    scales = rng.uniform(-0.1, 0.1, 18).astype(np.float32)
    scales[[3, 7]] = 0
    file, held = one(rng, zeros=zeros, scales=scales)
    loaded = qt.onnx.load(file.SerializeToString())
    x = rng.standard_normal((5, 70)).astype(np.float32)
    weight = blocks({"N": 6, "K": 70, "bits": 4, "block_size": 32}, held["b"], held["s"], held.get("z"))
    assert_allclose(loaded(x), x @ weight.T, atol=1e-4)
    assert "w4" in str(tq.report(loaded))
    with pytest.warns(UserWarning, match="nothing was quantized"):
        assert_array_equal(tq.quantize_dynamic(loaded)(x), loaded(x))
    layer = next(m for m in loaded.modules() if isinstance(m, qt.nn.quantized.WeightOnlyLinear))
    stored = layer.state_dict()["weight"].dequantize().reshape(6, -1)[:, :70]
    assert_array_equal(stored, layer.dequantized())
    layer.save(tmp_path / "layer.safetensors")
    again = qt.load(tmp_path / "layer.safetensors")
    assert_array_equal(again.dequantized(), layer.dequantized())
    assert_allclose(again(x), layer(x), atol=1e-5)
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    assert_array_equal(qt.onnx.load(tmp_path / "again.onnx")(x), loaded(x))


def test_inputs_are_rounded_to_8_bits_where_a_file_allows_it(rng, tmp_path):
    file, _ = one(rng, k=64, accuracy_level=4)
    loaded = qt.onnx.load(file.SerializeToString())
    layer = next(m for m in loaded.modules() if isinstance(m, qt.nn.quantized.WeightOnlyLinear))
    assert layer.input_bits == 8
    x = rng.standard_normal((5, 64)).astype(np.float32)
    want = onnxruntime.InferenceSession(file.SerializeToString()).run(None, {"x": x})[0]
    size = np.abs(want).max()
    assert np.abs(loaded(x) - want).max() < 0.01 * size
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    assert_array_equal(qt.onnx.load(tmp_path / "again.onnx")(x), loaded(x))
    theirs = onnxruntime.InferenceSession(tmp_path / "again.onnx").run(None, {"x": x})[0]
    assert np.abs(theirs - loaded(x)).max() < 0.01 * size


def test_groups_in_another_order_are_floats(rng):
    order = rng.permutation(np.arange(96) // 32).astype(np.int32)
    file, _ = one(rng, k=96, order=order)
    loaded = qt.onnx.load(file.SerializeToString())
    x = rng.standard_normal((5, 96)).astype(np.float32)
    assert_allclose(
        loaded(x), onnxruntime.InferenceSession(file.SerializeToString()).run(None, {"x": x})[0], atol=1e-4
    )
    assert steps(loaded) == ["Linear"]
    same, _ = one(rng, k=96, order=(np.arange(96) // 32).astype(np.int32))
    assert steps(qt.onnx.load(same.SerializeToString())) == ["WeightOnlyLinear"]


def test_zero_points_of_a_byte_each_are_refused(rng):
    """As NNCF 3.4 writes them, which onnxruntime refuses, too."""
    file, _ = one(rng, zeros=lambda n: rng.integers(0, 16, n).astype(np.uint8))
    with pytest.raises(ValueError, match="zero_points must be 12 bytes, 4 bits for each of 3 blocks"):
        qt.onnx.load(file.SerializeToString())
    with pytest.raises(Exception, match="zero_points"):
        onnxruntime.InferenceSession(file.SerializeToString())


def test_zero_points_are_checked(rng):
    layer = qt.nn.quantized.WeightOnlyLinear(64, 3)
    codes, scales = np.zeros((3, 64), np.int8), np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match=r"zero_points must be of shape \(3, 2\)"):
        layer.set_codes(codes, scales, zero_points=np.zeros(3))
    with pytest.raises(ValueError, match="zero_points must be finite"):
        layer.set_codes(codes, scales, zero_points=np.full((3, 2), np.nan))


@pytest.mark.parametrize("form", ["matmul", "square", "gemm", "gemm of columns"])
@pytest.mark.parametrize(("kind", "zero"), [(np.int8, 0), (np.uint8, 120), (np.uint8, None)])
@pytest.mark.parametrize("of_one", [(), (1,)])
def test_one_scale_for_all(rng, form, kind, zero, of_one):
    """As weights alone are quantized per tensor: codes stay codes, whichever way round the weight lies."""
    f = File(rng)
    k, n = (24, 24) if form == "square" else (24, 40)
    turned = form == "gemm"
    info = np.iinfo(kind)
    codes = rng.integers(info.min, info.max + 1, (n, k) if turned else (k, n)).astype(kind)
    names = [f.constant(codes), f.constant(np.full(of_one, 0.01, np.float32))]
    names += [] if zero is None else [f.constant(np.full(of_one, zero, kind))]
    weight = f("DequantizeLinear", *names)
    y = (
        f("Gemm", "x", weight, f.weight(n), transB=int(turned))
        if "gemm" in form
        else f("MatMul", "x", weight)
    )
    file = f.model({"x": ["rows", k]}, y, 17).SerializeToString()
    model = qt.onnx.load(file)
    assert steps(model) == ["WeightOnlyLinear"]
    assert tq.report(model).total <= codes.size + 2 * 4 * 2 * n + 4 * n
    x = rng.standard_normal((7, k)).astype(np.float32)
    assert_allclose(model(x), session(file).run(None, {"x": x})[0], rtol=2e-5, atol=2e-4)


def test_a_table_with_one_scale(rng):
    f = File(rng)
    codes = rng.integers(-128, 128, (30, 16)).astype(np.int8)
    names = [f.constant(codes), f.constant(np.float32(0.02)), f.constant(np.int8(3))]
    file = f.model({"x": ["n", 5]}, f("Gather", f("DequantizeLinear", *names), "x"), 17)
    file.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    x = rng.integers(0, 30, (4, 5))
    model = qt.onnx.load(file.SerializeToString())
    assert tq.report(model).total < 4 * codes.size
    assert_allclose(model(x), session(file.SerializeToString()).run(None, {"x": x})[0], rtol=1e-6, atol=1e-6)


def test_convolutions_in_floats_whose_weights_are_integers_are_said(rng):
    f = File(rng)
    codes = rng.integers(-128, 128, (8, 3, 3, 3)).astype(np.int8)
    names = [f.constant(codes), f.constant(np.full(8, 0.02, np.float32)), f.constant(np.zeros(8, np.int8))]
    file = f.model({"x": ["n", 3, 8, 8]}, f("Conv", "x", f("DequantizeLinear", *names, axis=0)), 17)
    model = qt.onnx.load(file.SerializeToString())
    x = rng.standard_normal((4, 3, 8, 8)).astype(np.float32)
    assert_allclose(model(x), session(file.SerializeToString()).run(None, {"x": x})[0], rtol=1e-5, atol=1e-5)
    (line,) = tq.report(model).counted
    assert "int8 in its file" in line.reason
    assert all(line.in_integers for line in tq.report(tq.quantize(model, x, verbose=False)).counted)
