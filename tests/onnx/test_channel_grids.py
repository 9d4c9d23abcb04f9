"""Files whose activations have a scale for each channel: NNCF writes them before depthwise convolutions."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")

import quantray as qt
from numpy.testing import assert_allclose, assert_array_equal
from quantized_files import Draft, session
from quantray import quantization as tq

CHANNELS = 12


class _File(Draft):
    def grid(self, x, scale, zero, **settings):
        names = self.constant(np.asarray(scale, np.float32)), self.constant(zero)
        return self("DequantizeLinear", self("QuantizeLinear", x, *names, **settings), *names, **settings)

    def stored(self, codes, scales, axis=0):
        names = map(self.constant, (codes, np.float32(scales), np.zeros(len(scales), np.int8)))
        return self("DequantizeLinear", *names, axis=axis)


def made(rng, activation, kind, zeros, *, stride=1, pads=1, more=1, pad=False, norm=False):
    """A convolution, an activation, a grid for each channel, a depthwise convolution, a grid for all.

    `pad` puts zeros around before the second convolution, as TensorFlow does for strides of 2; `norm` scales
    and shifts what it makes, some of it by numbers below 0.
    """
    f = _File(rng)
    one = np.dtype(kind).type
    x = f.grid("x", 0.03, np.int8(3))
    first = f.stored(
        rng.integers(-127, 128, (CHANNELS, 3, 3, 3)).astype(np.int8), rng.uniform(1e-3, 6e-3, CHANNELS)
    )
    x = f("Conv", x, first, f.weight(CHANNELS, size=0.3), pads=[1] * 4)
    if activation == "relu6":
        x = f("Clip", x, f.constant(np.float32(0)), f.constant(np.float32(6)))
    elif activation == "silu":
        x = f("Mul", x, f("Sigmoid", x))
    elif activation:
        x = f(activation, x)
    scales = rng.uniform(5e-3, 2.3e-2, CHANNELS)
    zeros = np.asarray([zeros(i) for i in range(CHANNELS)], one)
    x = f.grid(x, scales, zeros, axis=1)
    if pad:
        x = f("Pad", x, f.constant(np.array([0, 0, 0, 0, 0, 0, 1, 1])), f.constant(np.float32(0)))
    # Of the least code there is no mirrored one.
    second = rng.integers(-128 if norm else -127, 128, (CHANNELS * more, 1, 3, 3)).astype(np.int8)
    second = f.stored(second, rng.uniform(1e-3, 4e-3, CHANNELS * more))
    x = f(
        "Conv",
        x,
        second,
        f.weight(CHANNELS * more, size=0.3),
        pads=[pads] * 4,
        group=CHANNELS,
        strides=[stride] * 2,
    )
    if norm:
        along = (1, CHANNELS * more, 1, 1)
        factors = rng.uniform(0.7, 1.3, along) * rng.choice([-1, 1], along)
        x = f("Mul", x, f.constant(factors.astype(np.float32)))
        x = f("Add", x, f.weight(1, CHANNELS * more, 1, 1, size=0.2))
    y = f.grid(x, 0.02, np.uint8(120))
    file = f.model({"x": ["n", 3, 9, 10]}, y, 13)
    return file, rng.standard_normal((4, 3, 9, 10)).astype(np.float32)


CASES = {
    "relu": ("Relu", "uint8", lambda i: 0),
    "relu, signed": ("Relu", "int8", lambda i: -128),
    # Channels that calibration has seen nothing of.
    "relu, some in the middle": ("Relu", "int8", lambda i: 0 if i % 3 else -128),
    "relu6": ("relu6", "uint8", lambda i: 0),
    "none": (None, "int8", lambda i: 5),
    "silu": ("silu", "int8", lambda i: -110 + 3 * i),
    "hardswish": ("HardSwish", "uint8", lambda i: 20 + 5 * i),
    "sigmoid": ("Sigmoid", "uint8", lambda i: 0),
}


def model_of(rng, name, **settings):
    activation, kind, zeros = CASES[name]
    file, x = made(rng, activation, kind, zeros, **settings)
    file.opset_import[0].version = 14 if name == "hardswish" else 13
    return onnx.shape_inference.infer_shapes(file), x


@pytest.mark.parametrize(
    "settings",
    [{}, {"stride": 2}, {"pads": 0}, {"more": 2}, {"norm": True}, {"norm": True, "more": 2}],
    ids=["", "stride", "bare", "more", "norm", "norm of more"],
)
@pytest.mark.parametrize("name", CASES)
def test_they_are_integers_a_step_away_at_most(rng, name, settings):
    file, x = model_of(rng, name, **settings)
    loaded = qt.onnx.load(file.SerializeToString())
    y, want = loaded(x), session(file.SerializeToString()).run(None, {"x": x})[0]
    apart = np.abs(y - want) / 0.02
    # Where a code before is a step away, what it is multiplied by is less than a step here.
    assert apart.max() < 1.01
    # Channels whose codes become finer ones are within a step of what they were, not on it.
    assert np.mean(apart > 0.5) < (0.1 if "middle" in name else 0.02)
    layers = [node for node in loaded.graph if node.kind in ("layer", "int.layer")]
    assert [node.kind for node in layers] == ["int.layer"] * 2
    lines = tq.report(loaded).lines
    assert all(line.in_integers for line in lines if "Conv" in line.kind)
    # What has become part of layers is no line of its own.
    assert not any(line.kind == "QuantizeLinear" for line in lines)


@pytest.mark.parametrize("name", ["relu", "relu, signed", "relu6", "none", "sigmoid"])
def test_zeros_around_them_are_codes(rng, tmp_path, name):
    file, x = model_of(rng, name, pad=True, pads=0, stride=2)
    loaded = qt.onnx.load(file.SerializeToString())
    want = session(file.SerializeToString()).run(None, {"x": x})[0]
    assert np.abs(loaded(x) - want).max() < 0.0201
    assert [n.kind for n in loaded.graph if "layer" in n.kind] == ["int.layer"] * 2
    assert [n.value for n in loaded.graph if n.kind == "int.move"] == ["pad"]
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    assert_array_equal(qt.onnx.load(tmp_path / "again.onnx")(x), loaded(x))


def test_zeros_around_shifted_channels_stay_floats(rng):
    """They are other codes for each channel."""
    file, x = model_of(rng, "silu", pad=True, pads=0, stride=2)
    loaded = qt.onnx.load(file.SerializeToString())
    want = session(file.SerializeToString()).run(None, {"x": x})[0]
    assert np.abs(loaded(x) - want).max() < 0.0201


@pytest.mark.parametrize("name", CASES)
def test_saved_again_they_are_the_same(rng, tmp_path, name):
    file, x = model_of(rng, name)
    loaded = qt.onnx.load(file.SerializeToString())
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    again = qt.onnx.load(tmp_path / "again.onnx")
    assert_array_equal(again(x), loaded(x))
    assert [n.kind for n in again.graph if "layer" in n.kind] == ["int.layer"] * 2
    theirs = session(tmp_path / "again.onnx").run(None, {"x": x})[0]
    assert_allclose(theirs, loaded(x), atol=0.0201)
    assert np.mean(theirs != loaded(x)) < 0.02
    for kept in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        assert_array_equal(kept(x), loaded(x))
    layer = loaded.get_submodule([n.value.path for n in loaded.graph if n.kind == "int.layer"][1])
    layer.save(tmp_path / "layer.safetensors")
    codes = qt.quantize_per_tensor(rng.standard_normal((1, CHANNELS, 6, 5)), 0.02, 100, qt.quint8)
    assert_array_equal(qt.load(tmp_path / "layer.safetensors")(codes), layer(codes))


def test_a_limit_within_a_channels_range_stays_one(rng):
    """Six is less than the greatest value of some channels: their codes end below the type's greatest one."""
    file, x = made(rng, "relu6", "uint8", lambda i: 0)
    for tensor in file.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if (
            array.shape == (CHANNELS,)
            and array.dtype == np.float32
            and array.min() >= 5e-3
            and array.max() < 0.03
        ):
            tensor.CopyFrom(onnx.numpy_helper.from_array(array * 4, tensor.name))
    x = 3 * x
    loaded = qt.onnx.load(file.SerializeToString())
    want = session(file.SerializeToString()).run(None, {"x": x})[0]
    assert np.abs(loaded(x) - want).max() < 0.021


def test_channels_that_are_added_up_stay_floats_and_say_why(rng):
    file, x = made(rng, "Relu", "uint8", lambda i: 0)
    for node in file.graph.node:
        if node.op_type == "Conv" and any(a.name == "group" for a in node.attribute):
            next(a for a in node.attribute if a.name == "group").i = 1
            weight = next(n for n in file.graph.node if n.output[0] == node.input[1]).input[0]
    for tensor in file.graph.initializer:
        if tensor.name == weight:
            codes = rng.integers(-20, 20, (CHANNELS, CHANNELS, 3, 3)).astype(np.int8)
            tensor.CopyFrom(onnx.numpy_helper.from_array(codes, tensor.name))
    del file.graph.value_info[:]
    loaded = qt.onnx.load(file.SerializeToString())
    want = session(file.SerializeToString()).run(None, {"x": x})[0]
    assert np.abs(loaded(x) - want).max() < 0.021
    assert [n.kind for n in loaded.graph if "layer" in n.kind] == ["int.layer", "layer"]
    assert "a scale for each channel" in str([line.reason for line in tq.report(loaded).lines])


def test_the_kernel_by_itself(rng):
    """`PackedConv2d` with zero points for channels, beside a sum in NumPy."""
    codes = rng.integers(0, 256, (2, 5, 6, 7)).astype(np.uint8)
    zeros = [3, 250, 0, 128, 77]
    w = rng.integers(-127, 128, (5, 1, 3, 3)).astype(np.int8)
    conv = qt.ops.PackedConv2d(qt.make_per_tensor_quantized_tensor(w, 0.01, 0), None, 1, 1, 1, 5, zeros)
    x = qt.make_per_tensor_quantized_tensor(codes, 0.1, 9)
    padded = np.pad(codes.astype(int) - np.reshape(zeros, (5, 1, 1)), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    sums = (windows * w[:, 0][None, :, None, None].astype(int)).sum((-1, -2))
    assert_array_equal(conv(x, dtype=qt.qint32).int_repr(), sums)
    assert conv.input_zero_points.tolist() == zeros
    assert_array_equal(pickle.loads(pickle.dumps(conv))(x), conv(x))
    with pytest.raises(TypeError, match="zero points"):
        conv.dynamic(np.zeros((1, 5, 6, 7)))
    with pytest.raises(ValueError, match="5 channels"):
        qt.ops.PackedConv2d(conv.weight(), None, 1, 1, 1, 5, [1])
    with pytest.raises(ValueError, match="several inputs"):
        qt.ops.PackedConv2d(
            qt.make_per_tensor_quantized_tensor(w.reshape(1, 5, 3, 3), 0.1, 0), input_zero_points=zeros
        )
