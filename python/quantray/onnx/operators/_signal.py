"""Signals: Fourier transforms and windows; and numbers by chance."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray import graph
from quantray.onnx._lengths import integer, integers, shape_of
from quantray.onnx._types import numpy_dtype
from quantray.onnx.operators._registry import Array, Call, operator


@operator("DFT", takes_lengths=True)
def _dft(call: Call, x: Array, length: Array | None = None, axis: Array | None = None) -> Array:
    """The axis is an attribute before opset 20."""
    default = 1 if call.version < 20 else -2
    at = int(call.get("axis", default)) if axis is None else int(integer(axis, "axis"))
    count = None if length is None else integer(length, "dft_length")
    flags = (bool(call.get("inverse", 0)), bool(call.get("onesided", 0)))
    return graph.apply("onnx.dft", x, count, at, *flags)


@operator("STFT", takes_lengths=True)
def _stft(
    call: Call, x: Array, step: Array, window: Array | None = None, length: Array | None = None
) -> Array:
    size = None if length is None else integer(length, "frame_length")
    onesided = bool(call.get("onesided", 1))
    return graph.apply("onnx.stft", x, integer(step, "frame_step"), window, size, onesided)


@operator("MelWeightMatrix")
def _mel(call: Call, *inputs: Array) -> Array:
    bins, length, rate, low, high = (float(np.reshape(x, -1)[0]) for x in inputs)
    made = graph.apply("onnx.mel_weight_matrix", int(bins), int(length), int(rate), low, high)
    return made.astype(numpy_dtype(call.get("output_datatype", 1)))


@operator("HannWindow", "HammingWindow", "BlackmanWindow", takes_lengths=True)
def _window(call: Call, size: Array) -> Array:
    made = graph.apply("onnx.window", call.op, integer(size, "size"), bool(call.get("periodic", 1)))
    return made.astype(numpy_dtype(call.get("output_datatype", 1)))


# Chance


def _seed(call: Call) -> int | None:
    """A file's seed is a float; the same one makes the same numbers in each call."""
    found = call.get("seed")
    return None if found is None else int(np.float32(found).view(np.uint32))


def _dtype(call: Call, like: Array | None = None) -> str:
    found = call.get("dtype")
    if found is not None:
        return str(numpy_dtype(found))
    return "float32" if like is None or like.dtype.kind != "f" else str(like.dtype)


def _random(call: Call, shape: tuple[int, ...], dtype: str) -> Array:
    if "Normal" in call.op:
        first, second = float(call.get("mean", 0.0)), float(call.get("scale", 1.0))
        return graph.apply("onnx.random_normal", shape, first, second, _seed(call), dtype)
    first, second = float(call.get("low", 0.0)), float(call.get("high", 1.0))
    return graph.apply("onnx.random_uniform", shape, first, second, _seed(call), dtype)


@operator("RandomNormal", "RandomUniform")
def _random_of_shape(call: Call) -> Array:
    shape = call.integers("shape")
    if shape is None:
        raise call.error("it has no shape")
    return _random(call, shape, _dtype(call))


@operator("RandomNormalLike", "RandomUniformLike")
def _random_like(call: Call, x: Array) -> Array:
    return _random(call, tuple(integers(shape_of(x), "shape")), _dtype(call, x))


@operator("Bernoulli")
def _bernoulli(call: Call, x: Array) -> Array:
    dtype = str(x.dtype) if call.get("dtype") is None else _dtype(call)
    return graph.apply("onnx.bernoulli", x, _seed(call), dtype)


@operator("Multinomial")
def _multinomial(call: Call, x: Array) -> Array:
    dtype = str(numpy_dtype(call.get("dtype", 6)))
    return graph.apply("onnx.multinomial", x, int(call.get("sample_size", 1)), _seed(call), dtype)
