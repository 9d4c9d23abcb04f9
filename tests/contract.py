"""The rounding contract in NumPy: what every kernel must reproduce, integer for integer."""

import numpy as np

RANGES = {
    "qint8": (-128, 127),
    "quint8": (0, 255),
    "qint32": (-(2**31), 2**31 - 1),
    "quint4x2": (0, 15),
    "quint2x4": (0, 3),
}
CODES = {"qint8": np.int8, "quint8": np.uint8, "qint32": np.int32, "quint4x2": np.uint8, "quint2x4": np.uint8}


def along(values, axis, ndim):
    """Numbers for channels in a shape that broadcasts along their axis."""
    shape = [1] * ndim
    shape[axis] = -1
    return np.asarray(values).reshape(shape)


def inverse(scale):
    return np.float32(1) / np.asarray(scale, np.float32)


def quantize(x, scale, zero_point, dtype):
    """Codes of qint8, quint8 and qint32; scale and zero point broadcast with x."""
    qmin, qmax = RANGES[dtype]
    with np.errstate(over="ignore"):
        steps = np.rint(np.asarray(x, np.float32) * inverse(scale))
    wide = np.float64 if dtype == "qint32" else np.float32
    return np.clip(steps.astype(wide) + np.asarray(zero_point, wide), qmin, qmax).astype(CODES[dtype])


def quantize_before(x, scale, zero_point, dtype):
    """Codes where the zero point is added before rounding: packed dtypes, float zero points. Not packed."""
    qmin, qmax = RANGES[dtype]
    with np.errstate(over="ignore"):
        steps = np.asarray(x, np.float32) * inverse(scale) + np.asarray(zero_point, np.float32)
    return np.clip(np.rint(steps), qmin, qmax).astype(CODES[dtype])


def dequantize(codes, scale, zero_point):
    """Values of codes; scale and integer zero point broadcast with them."""
    steps = np.asarray(codes, np.int64) - np.asarray(zero_point, np.int64)
    return np.asarray(scale, np.float32) * steps.astype(np.float32)


def pack(codes, bits):
    """Bytes of codes that share them: flat, the first in the low bits."""
    per_byte = 8 // bits
    flat = np.asarray(codes, np.uint8).ravel()
    flat = np.append(flat, np.zeros(-len(flat) % per_byte, np.uint8)).reshape(-1, per_byte)
    return np.bitwise_or.reduce(flat << (bits * np.arange(per_byte, dtype=np.uint8)), axis=1, dtype=np.uint8)
