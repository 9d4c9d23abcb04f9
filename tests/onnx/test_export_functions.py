"""Functions of NumPy and of `nn.functional` in files: onnxruntime gives what they gave."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import quantray as qt
from numpy.testing import assert_allclose
from patterns import session
from quantray import nn
from quantray.nn import functional as F

FLOATS = {
    "numpy.fmod": lambda x: np.fmod(x, 0.7),
    "numpy.remainder": lambda x: np.remainder(x, 0.75),
    "numpy.floor_divide": lambda x: x // 0.75,
    "numpy.trunc": np.trunc,
    "numpy.round": np.round,
    "numpy.exp2": np.exp2,
    "numpy.log2": lambda x: np.log2(np.abs(x) + 1),
    "numpy.log10": lambda x: np.log10(np.abs(x) + 1),
    "numpy.deg2rad": np.deg2rad,
    "numpy.isfinite": lambda x: np.isfinite(np.log(x - x)) | np.isfinite(x),
    "numpy.any": lambda x: np.any(x > 1.5, axis=1),
    "numpy.all": lambda x: (x < 1.5).all(axis=(1, 2), keepdims=True),
    "numpy.count_nonzero": lambda x: np.count_nonzero(x > 0, axis=2),
    "numpy.var": lambda x: x.var(axis=1, keepdims=True),
    "numpy.std": lambda x: np.std(x, axis=(1, 2), ddof=1),
    "numpy.norm": lambda x: np.linalg.norm(x, axis=-1),
    "numpy.norm of absolutes": lambda x: np.linalg.norm(x, ord=1, axis=1),
    "numpy.cumsum": lambda x: np.cumsum(x, axis=1),
    "numpy.sort": lambda x: np.sort(x, axis=1),
    "numpy.argsort": lambda x: np.argsort(x, axis=-1),
    "numpy.sort of all": lambda x: np.sort(x, axis=None),
    "numpy.einsum": lambda x: np.einsum("nij,nkj->nik", x, x),
    "numpy.dot": lambda x: np.dot(x, np.arange(8, dtype=np.float32)),
    "numpy.outer": lambda x: np.outer(x[0, 0], x[0, 1]),
    "numpy.take_along_axis": lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
    "numpy.repeat": lambda x: np.repeat(x, 3, axis=1),
    "numpy.repeat of rows": lambda x: np.repeat(x, 2, axis=0),
    "numpy.repeat of all": lambda x: x.repeat(2),
    "numpy.roll": lambda x: np.roll(x, (3, -2), axis=(1, 2)),
    "numpy.tril": lambda x: np.tril(x, -1),
    "numpy.triu": lambda x: np.triu(x, 1),
    "numpy.zeros_like": lambda x: np.zeros_like(x) + 1,
    "numpy.full_like": lambda x: np.full_like(x, 3) * x,
    "numpy.hstack": lambda x: np.hstack([x, x[:, :1]]),
    "numpy.vstack": lambda x: np.vstack([x, x]),
    "numpy.ravel": lambda x: x.ravel(),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x[..., None], 2),
    "pixel_shuffle of a list of images": lambda x: F.pixel_shuffle(x[None, ..., None], 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x[:, None], 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x[..., None], 2),
    "threshold": lambda x: F.threshold(x, 0.3, -1.0),
    "celu": lambda x: F.celu(x, 0.7),
    "grid_sample": lambda x: F.grid_sample(
        x[:, None], np.stack([np.tanh(x), np.cos(x)], -1), align_corners=False
    ),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "attention with a mask": lambda x: F.scaled_dot_product_attention(x, x, x, x[:, :, :1] > x[:, :, 1:2]),
    "attention with sums": lambda x: F.scaled_dot_product_attention(x, x, x, x[:, :, :4], scale=0.5),
}

INTEGERS = {
    "numpy.remainder": lambda x: x % 7,
    "numpy.floor_divide": lambda x: x // 7,
    "numpy.bitwise_and": lambda x: x & 12,
    "numpy.bitwise_or": lambda x: x | 12,
    "numpy.bitwise_xor": lambda x: np.bitwise_xor(x, 12),
    "numpy.invert": lambda x: ~x,
    "numpy.left_shift": lambda x: np.left_shift(x.astype(np.uint32), np.uint32(3)),
    "numpy.compress": lambda x: np.compress(np.array([True, False, True, True]), x, axis=1),
    "numpy.sort": lambda x: np.sort(x, axis=1),
}


class Function(nn.Module):
    """A model of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def check(function, path, *examples) -> None:
    with np.errstate(all="ignore"):
        model = Function(function).eval()
        qt.onnx.save(model, path, examples[0])
        onnx.checker.check_model(str(path), full_check=True)
        other = session(str(path))
        for x in examples:
            want = model(x)
            (got,) = other.run(None, {other.get_inputs()[0].name: x})
            assert got.shape == want.shape
            assert got.dtype.kind == want.dtype.kind
            assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FLOATS)
def test_floats(name, rng, tmp_path):
    # Other numbers of rows run in the same file.
    arrays = [rng.standard_normal((rows, 4, 8), np.float32) for rows in (3, 1, 5)]
    check(FLOATS[name], tmp_path / "model.onnx", *arrays)


@pytest.mark.parametrize("name", INTEGERS)
def test_integers(name, rng, tmp_path):
    arrays = [rng.integers(-50, 50, (rows, 4)) for rows in (3, 5)]
    check(INTEGERS[name], tmp_path / "model.onnx", *arrays)
