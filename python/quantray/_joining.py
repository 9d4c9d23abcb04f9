"""Torch's functions of several tensors: of QTensors what the core does, of arrays what NumPy does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from quantray import _core, ops
from quantray._core import QTensor

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Input, Tensor


def are_arrays(tensors: Sequence[object]) -> bool:
    """Whether there are tensors, and none of codes."""
    return len(tensors) > 0 and not any(isinstance(t, QTensor) for t in tensors)


def of_arrays(name: str, tensors: Sequence[object], axis: int | None = None) -> Any:
    """One of NumPy's functions of several arrays."""
    from quantray._array_functions import joined

    return joined(name, tensors, axis)


def _along(
    of_codes: Callable[..., QTensor], name: str, tensors: Sequence[Input], dim: int, axis: int | None
) -> Tensor:
    """Tensors joined along an axis: of codes by the core, arrays by the function that NumPy has for it."""
    given: list[object] | None = list(tensors) if hasattr(tensors, "__iter__") else None
    if given is not None and are_arrays(given):
        return of_arrays(name, given, dim if axis is None else axis)
    return of_codes(tensors if given is None else given, dim, axis=axis)


@overload
def cat(tensors: Sequence[QTensor], dim: int = 0, *, axis: int | None = None) -> QTensor: ...
@overload
def cat(tensors: Sequence[ArrayLike], dim: int = 0, *, axis: int | None = None) -> Array: ...
def cat(tensors: Sequence[Input], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Tensors one after the other along an axis that they have.

    The result has the first one's dtype, scale and zero point; others are requantized to them. Along their
    channel axis, per-channel tensors keep their own scales. Arrays give an array.

    Parameters
    ----------
    tensors : sequence of QTensor, or of array
        Of the same shape but for the axis.
    dim : int
        The axis; `axis` is a synonym.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> qt.cat([q, q]).tolist()
    [1.0, 2.0, 1.0, 2.0]
    >>> qt.cat([qt.zeros(1, 2), qt.ones(1, 1)], 1)
    array([[0., 0., 1.]], dtype=float32)

    Source: `torch.cat`.
    """
    return _along(_core.cat, "concatenate", tensors, dim, axis)


@overload
def stack(tensors: Sequence[QTensor], dim: int = 0, *, axis: int | None = None) -> QTensor: ...
@overload
def stack(tensors: Sequence[ArrayLike], dim: int = 0, *, axis: int | None = None) -> Array: ...
def stack(tensors: Sequence[Input], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Tensors of one shape along a new axis.

    The result has the first one's dtype, scale and zero point; others are requantized to them. Arrays give
    an array.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> qt.stack([q, q]).shape
    (2, 2)

    Source: `torch.stack`.
    """
    return _along(_core.stack, "stack", tensors, dim, axis)


@overload
def where(condition: ArrayLike, input: QTensor, other: Input) -> QTensor: ...
@overload
def where(condition: ArrayLike, input: ArrayLike, other: ArrayLike) -> Array: ...
@overload
def where(condition: ArrayLike) -> tuple[Array, ...]: ...
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input`'s elements where `condition` holds, `other`'s elsewhere, in `input`'s scale and zero point.

    Arrays give an array; Python's numbers among them are of the other's dtype, two of them float32 or int64.
    A condition alone gives the places where it holds.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> qt.where([True, False], q, 0.5).tolist()
    [1.0, 0.5]
    >>> qt.where([True, False], 1.0, 0.0)
    array([1., 0.], dtype=float32)

    Source: `torch.where`.
    """
    if input is None and other is None:
        return np.nonzero(condition)
    if isinstance(input, QTensor) or isinstance(other, QTensor):
        return _core.where(condition, cast("QTensor", input), other)
    from quantray._array_shapes import numpy_of

    if isinstance(input, int | float) and isinstance(other, int | float):
        is_float = isinstance(input, float) or isinstance(other, float)
        input = np.asarray(input, np.float32 if is_float else None)
    return numpy_of(condition, input, other).where(condition, input, other)


def equal(input: Input, other: Input) -> bool:
    """Whether two tensors have the same shape, dtype, scheme, parameters and codes.

    Of two arrays, whether they have the same shape and elements.

    >>> import quantray as qt
    >>> qt.equal(qt.zeros(2), qt.zeros(2)), qt.equal(qt.zeros(2), qt.zeros(3))
    (True, False)

    Source: `torch.equal`.
    """
    if isinstance(input, QTensor) or isinstance(other, QTensor):
        return _core.equal(input, other)  # type: ignore[arg-type] # which says what is wrong of others
    return np.array_equal(input, other)


def _alpha(other: Any, alpha: float) -> Any:
    return other if alpha == 1 else other * alpha


def add(input: Any, other: Any, *args: Any, alpha: float = 1, **kwargs: Any) -> Any:
    """The sum of two tensors, as `quantray.ops.add` gives it; of arrays, `input + alpha * other`.

    >>> import quantray as qt
    >>> qt.add(qt.ones(2), qt.ones(2), alpha=3)
    array([4., 4.], dtype=float32)

    Source: `torch.add`.
    """
    if isinstance(input, QTensor) or isinstance(other, QTensor):
        return ops.add(input, _alpha(other, alpha), *args, **kwargs)
    return of_two("add", input, _alpha(other, alpha), *args, **kwargs)


def sub(input: Any, other: Any, *args: Any, alpha: float = 1, **kwargs: Any) -> Any:
    """The difference of two tensors, as `quantray.ops.sub` gives it; of arrays, `input - alpha * other`.

    >>> import quantray as qt
    >>> qt.sub(qt.ones(2), qt.ones(2), alpha=3)
    array([-2., -2.], dtype=float32)

    Source: `torch.sub`.
    """
    if isinstance(input, QTensor) or isinstance(other, QTensor):
        return ops.sub(input, _alpha(other, alpha), *args, **kwargs)
    return of_two("subtract", input, _alpha(other, alpha), *args, **kwargs)


def mul(input: Any, other: Any, *args: Any, **kwargs: Any) -> Any:
    """The product of two tensors, element by element, as `quantray.ops.mul` gives it; of arrays, `*`.

    >>> import quantray as qt
    >>> qt.mul(qt.ones(2), 3.0)
    array([3., 3.], dtype=float32)

    Source: `torch.mul`.
    """
    if isinstance(input, QTensor) or isinstance(other, QTensor):
        return ops.mul(input, other, *args, **kwargs)
    return of_two("multiply", input, other, *args, **kwargs)


def matmul(input: Any, other: Any, *args: Any, **kwargs: Any) -> Any:
    """The product of two matrices, or of many, as `quantray.ops.matmul` gives it; of arrays, `@`.

    >>> import quantray as qt
    >>> qt.matmul(qt.ones(1, 2), qt.ones(2, 1))
    array([[2.]], dtype=float32)

    Source: `torch.matmul`.
    """
    if isinstance(input, QTensor) or isinstance(other, QTensor):
        return ops.matmul(input, other, *args, **kwargs)
    return of_two("matmul", input, other, *args, **kwargs)


def of_two(name: str, input: Any, other: Any, *args: Any, **kwargs: Any) -> Any:
    """One of NumPy's functions of two arrays; with a grid, they must be tensors of codes.

    Raises
    ------
    TypeError
        For a scale and a zero point beside arrays.
    """
    if args or kwargs:
        kinds = f"{type(input).__name__} and {type(other).__name__}"
        raise TypeError(f"input must be a QTensor where a scale or a zero point is given, got {kinds}")
    from quantray._array_shapes import numpy_of

    return getattr(numpy_of(input, other), name)(input, other)
