"""Tensors, layers and programs of one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import quantray as qt
from quantray import nn, ops

U8, I8 = qt.quint8, qt.qint8
GRID = (0.05, 120, U8, 0, 255)
SIGNED = (0.04, -3, I8, -128, 127)
NARROW = (0.06, 100, U8, 20, 200)


def normal(*shape: int, seed: int = 0, scale: float = 2.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def tensor(x: np.ndarray, grid: tuple = GRID) -> qt.QTensor:
    return nn.quantized.Grid(grid[0], grid[1], grid[2].name, grid[3], grid[4]).quantize(x)


def within(q: qt.QTensor, grid: tuple) -> qt.QTensor:
    return nn.quantized.Grid(grid[0], grid[1], grid[2].name, grid[3], grid[4]).clamp(q)


def same(one: Any, other: Any) -> None:
    if isinstance(other, qt.QTensor):
        assert isinstance(one, qt.QTensor)
        assert (one.q_scale(), one.q_zero_point(), one.dtype) == (
            other.q_scale(),
            other.q_zero_point(),
            other.dtype,
        )
        one, other = one.int_repr(), other.int_repr()
    other = np.asarray(other)
    assert type(one) is np.ndarray
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    np.testing.assert_array_equal(one, other)


def orders(x: np.ndarray) -> list[np.ndarray]:
    """The same array in several orders of memory."""
    made = [x, np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2]]
    if x.ndim > 2:
        made.append(np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1))
    made.append(x[::-1].copy()[::-1])
    assert all((m == x).all() for m in made)
    return made


def linear(inputs: int, outputs: int, seed: int = 0, channels: bool = True) -> ops.PackedLinear:
    w = normal(outputs, inputs, seed=seed, scale=0.3)
    if channels:
        scales = np.abs(w).max(1) / 127 + 1e-3
        weight = qt.quantize_per_channel(w, scales, np.zeros(outputs, int), 0, I8)
    else:
        weight = qt.quantize_per_tensor(w, 0.01, 3, I8)
    return ops.PackedLinear(weight, normal(outputs, seed=seed + 1))


def conv(
    kind: str, inputs: int, outputs: int, kernel: tuple, *args: Any, seed: int = 0, groups: int = 1
) -> Any:
    packer = getattr(ops, f"Packed{kind}")
    transposed = "Transpose" in kind
    shape = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    w = normal(*shape, *kernel, seed=seed, scale=0.3)
    weight = qt.quantize_per_tensor(w, 0.01, 0, I8)
    return packer(weight, normal(outputs, seed=seed + 1), *args, groups=groups)


def once(op: str, args: list, params: dict, outputs: list | None = None, kinds: list | None = None) -> Any:
    """The result of one step, of arrays and of tensors as they are given."""
    n = len(args)
    kinds = kinds or [a.dtype.name if isinstance(a, qt.QTensor) else str(a.dtype) for a in args]
    program = ops.Program(kinds, [(op, tuple(range(n)), n, params)], outputs or [("codes", n)])
    return program(*args)[0]


def residual_steps() -> tuple[list, Any]:
    first = conv("Conv2d", 3, 8, (3, 3), 1, 1)
    second = conv("Conv2d", 8, 8, (3, 3), 1, 1, seed=3)
    down = conv("Conv2d", 3, 8, (1, 1), seed=4)
    last = linear(8, 4)
    steps = [
        ("quantize", (0,), 1, {"grid": GRID}),
        ("conv", (1,), 2, {"packed": first, "relu": True, "to": GRID}),
        ("conv", (1,), 3, {"packed": down, "to": SIGNED}),
        ("conv", (2, 3), 4, {"packed": second, "relu": True, "to": GRID}),
        ("conv", (4, 2), 5, {"packed": second, "to": SIGNED, "name": "again"}),
        ("cat", (4, 5), 6, {"axis": 1, "grid": GRID}),
        ("slice", (6,), 7, {"index": (slice(None), slice(4, 12))}),
        ("adaptive_avg_pool", (7,), 8, {"output_size": (1, 1)}),
        ("flatten", (8,), 9, {"start": 1}),
        ("linear", (9,), 10, {"packed": last}),
    ]

    def by_steps(x: np.ndarray) -> tuple:
        q = tensor(x)
        a = first(q, *GRID[:3], relu=True)
        b = ops.add(second(a), down(q, *SIGNED[:3]), *GRID[:3], relu=True)
        c = ops.add(second(b), a, *SIGNED[:3])
        d = ops.cat([b, c], 1, *GRID[:3])[:, 4:12]
        e = ops.adaptive_avg_pool2d(d, 1)
        return last(e.reshape(len(x), 8)), c

    return steps, by_steps
