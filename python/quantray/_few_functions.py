"""Torch's functions that take quantized tensors for what they have in common with all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, overload

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray._random import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantray._core import dtype as quantized_dtype
    from quantray._typing import Array, ArrayLike, DType, DTypeLike, Tensor

#: Lower case letters, as many as an array has dimensions at most.
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices, in the order that takes the fewest multiplications; of one, itself.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([[1.0, 2.0]], 1.0, 0, qt.qint8)
    >>> qt.chain_matmul(q) is q
    True

    Source: `torch.chain_matmul`.
    """
    if not matrices:
        raise TypeError("matrices must be at least one, got none")
    if len(matrices) == 1:
        return matrices[0]
    if any(np.ndim(m) != 2 for m in matrices):
        raise ValueError(f"matrices must have two axes, got shapes {[np.shape(m) for m in matrices]}")
    if not any(isinstance(m, QTensor) for m in matrices):
        return np.linalg.multi_dot(matrices)
    # Of an array among them `matmul` says that it wants a QTensor.
    made, *others = cast("tuple[QTensor, ...]", matrices)
    for m in others:
        made = ops.matmul(made, m)
    return made


def einsum(equation: str | Tensor, *operands: Tensor | Sequence[int]) -> Tensor:
    """`numpy.einsum` of values; what only orders the axes of a QTensor stays quantized.

    Parameters
    ----------
    equation : str
        "ij->ji"; or, as in torch and NumPy, the tensors with lists of their axes between them.
    operands : QTensor or array

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([[1.0, 2.0]], 1.0, 0, qt.qint8)
    >>> qt.einsum("ij->ji", q).shape, qt.einsum("ij->", q).item()
    ((2, 1), 3.0)

    Source: `torch.einsum`.
    """
    if not isinstance(equation, str):
        given = (equation, *operands)
        tensors, axes = given[: len(given) // 2 * 2 : 2], given[1::2]
        terms = ["".join(_LETTERS[i] for i in cast("list[int]", a)) for a in axes]
        if len(given) % 2:
            out = "".join(_LETTERS[i] for i in cast("Sequence[int]", given[-1]))
        else:
            # What the last list leaves out: letters that occur once, in order.
            every = "".join(terms)
            out = "".join(sorted(c for c in set(every) if every.count(c) == 1))
        return einsum(f"{','.join(terms)}->{out}", *tensors)
    if len(operands) == 1 and isinstance(operands[0], QTensor) and "..." not in equation:
        text = equation.replace(" ", "")
        left, arrow, right = text.partition("->")
        right = right if arrow else "".join(sorted(c for c in set(left) if left.count(c) == 1))
        if len(set(left)) == len(left) == operands[0].ndim and sorted(left) == sorted(right):
            return operands[0].permute(*(left.index(c) for c in right))
    return np.einsum(equation, *operands)


@overload
def real(input: QTensor) -> QTensor: ...
@overload
def real(input: ArrayLike) -> Array: ...
def real(input: ArrayLike | QTensor) -> Tensor:
    """The tensor itself: its numbers are real.

    >>> import quantray as qt
    >>> qt.real(qt.quantize_per_tensor([1.0], 1.0, 0, qt.qint8)).tolist()
    [1.0]

    Source: `torch.real`.
    """
    return input if isinstance(input, QTensor) else np.real(input)


def result_type(input: ArrayLike | QTensor, other: ArrayLike | QTensor) -> DType | quantized_dtype:
    """The dtype of a sum: a QTensor's own beside numbers, float32 beside arrays; NumPy's without QTensors.

    >>> import quantray as qt
    >>> qt.result_type(qt.quantize_per_tensor([1.0], 1.0, 0, qt.qint8), 1)
    qint8

    Source: `torch.result_type`.
    """
    for one, beside in ((input, other), (other, input)):
        if isinstance(one, QTensor) and (np.ndim(beside) == 0 or isinstance(beside, QTensor)):
            return one.dtype
    return np.result_type(input, other)


def get_device(input: object) -> int:
    """-1: there is no device but the CPU.

    >>> import quantray as qt
    >>> qt.get_device(qt.zeros(2))
    -1

    Source: `torch.get_device`.
    """
    return -1


def is_signed(input: ArrayLike | QTensor) -> bool:
    """Whether there are codes, or numbers, below 0.

    >>> import quantray as qt
    >>> qt.is_signed(qt.quantize_per_tensor([1.0], 1.0, 0, qt.quint8))
    False

    Source: `torch.is_signed`.
    """
    return input.dtype.is_signed if isinstance(input, QTensor) else np.asarray(input).dtype.kind in "if"


def rand_like(input: ArrayLike | QTensor, *, dtype: DTypeLike | None = None) -> Array:
    """Random numbers from 0 to below 1 in an array of the same shape, float32 unless said.

    >>> import quantray as qt
    >>> qt.rand_like(qt.zeros(2, 3)).shape
    (2, 3)

    Source: `torch.rand_like`.
    """
    return generator().random(np.shape(input), np.float32).astype(_floats_of(input, dtype))


def randn_like(input: ArrayLike | QTensor, *, dtype: DTypeLike | None = None) -> Array:
    """Normally distributed random numbers in an array of the same shape, float32 unless said.

    >>> import quantray as qt
    >>> qt.randn_like(qt.zeros(2, 3)).shape
    (2, 3)

    Source: `torch.randn_like`.
    """
    return generator().standard_normal(np.shape(input), np.float32).astype(_floats_of(input, dtype))


def _floats_of(input: ArrayLike | QTensor, dtype: DTypeLike | None) -> DTypeLike:
    if dtype is not None:
        return dtype
    own = None if isinstance(input, QTensor) else np.asarray(input).dtype
    return own if own is not None and own.kind == "f" else np.float32


FUNCTIONS = (chain_matmul, einsum, real, result_type, get_device, is_signed, rand_like, randn_like)
