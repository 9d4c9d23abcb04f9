"""Arrays to begin with, by torch's names: NumPy arrays of torch's default dtypes.

What notebooks make before they quantize it: `quantray.randn(2, 3)` is a NumPy array of float32, as
`quantray.tensor([1.0])` is. Everything else is NumPy's own.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast, overload

import numpy as np

from quantray._core import QTensor
from quantray._core import dtype as quantized_dtype
from quantray._tensors import Tensor as AnyTensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import SupportsIndex, TypeGuard

    from quantray._typing import Array, ArrayLike, DType, DTypeLike, PerAxis, Scalar, Tensor

#: Torch's names of NumPy's types.
DTYPES: dict[str, type[np.generic]] = {
    "float16": np.float16,
    "half": np.float16,
    "float32": np.float32,
    "float": np.float32,
    "float64": np.float64,
    "double": np.float64,
    "uint8": np.uint8,
    "int8": np.int8,
    "int16": np.int16,
    "short": np.int16,
    "int32": np.int32,
    "int": np.int32,
    "int64": np.int64,
    "long": np.int64,
    "bool": np.bool_,
    "complex64": np.complex64,
    "complex128": np.complex128,
}


def numpy_dtype(dtype: DTypeLike | None, default: type[np.generic] = np.float32) -> DType:
    """A NumPy dtype from what users pass: one, its name, torch's name of it."""
    if dtype is None:
        return np.dtype(default)
    if isinstance(cast("object", dtype), quantized_dtype):
        raise TypeError(
            f"dtype must be one of NumPy's, got {dtype}: quantize floats with quantize_per_tensor"
        )
    name = str(dtype).removeprefix("torch.")
    try:
        return np.dtype(DTYPES.get(name, dtype))
    except TypeError:
        raise TypeError(f"dtype must be a NumPy dtype or its name, got {dtype!r}") from None


def check_device(device: str | None, requires_grad: bool = False) -> None:
    """Raises for what arrays of NumPy are not."""
    if device is not None and str(device) != "cpu":
        raise ValueError(f'device must be "cpu", the only one, got {device!r}')
    if requires_grad:
        raise ValueError(
            "requires_grad must be False: arrays have no gradient; parameters of quantray.nn have"
        )


def is_several(size: PerAxis | None) -> TypeGuard[Sequence[SupportsIndex]]:
    """Whether it is a sequence of lengths, and not one."""
    return bool(np.ndim(cast("ArrayLike", size)))


def lengths_of(size: Sequence[PerAxis], name: str = "size") -> tuple[int, ...]:
    """Lengths given one by one, or as one sequence."""
    given = size[0] if len(size) == 1 and is_several(size[0]) else size
    try:
        lengths = tuple(n.__index__() for n in cast("Sequence[SupportsIndex]", given))
    except (AttributeError, TypeError):
        raise TypeError(f"{name} must be integers, or one tuple of them, got {tuple(size)}") from None
    if any(n < 0 for n in lengths):
        raise ValueError(f"{name} must be lengths from 0 on, got {lengths}")
    return lengths


def size_of(args: Sequence[PerAxis], size: PerAxis | None) -> tuple[int, ...]:
    """Lengths given as arguments, or by the name `size`."""
    if size is None:
        return lengths_of(args)
    if args:
        raise TypeError(f"size must be given once, got {tuple(args)} and {size}")
    return lengths_of([size])


@overload
def tensor(
    data: QTensor, *, dtype: None = None, device: str | None = None, requires_grad: bool = False
) -> QTensor: ...
@overload
def tensor(
    data: QTensor, *, dtype: DTypeLike, device: str | None = None, requires_grad: bool = False
) -> Tensor: ...
@overload
def tensor(
    data: ArrayLike, *, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Array: ...
def tensor(
    data: ArrayLike | QTensor,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """An array of numbers, copied: Python's floats as float32, integers as int64, arrays as they are.

    Parameters
    ----------
    data : number, sequence of numbers, array or QTensor
        A QTensor is cloned.
    dtype : dtype, optional
        NumPy's, or torch's name of it.
    device : "cpu", optional
    requires_grad : False

    Returns
    -------
    ndarray, or QTensor for one

    >>> import quantray as qt
    >>> qt.tensor([1.0, 2.0])
    array([1., 2.], dtype=float32)

    Source: `torch.tensor`.
    """
    check_device(device, requires_grad)
    if isinstance(data, QTensor):
        return data.clone() if dtype is None else data.to(dtype, copy=True)
    return _array(data, dtype).copy()


@overload
def as_tensor(data: QTensor, dtype: None = None, device: str | None = None) -> QTensor: ...
@overload
def as_tensor(data: QTensor, dtype: DTypeLike, device: str | None = None) -> Tensor: ...
@overload
def as_tensor(data: ArrayLike, dtype: DTypeLike | None = None, device: str | None = None) -> Array: ...
def as_tensor(data: ArrayLike | QTensor, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """The same as `tensor`, without a copy where none is needed.

    >>> import numpy as np, quantray as qt
    >>> a = np.zeros(3)
    >>> qt.as_tensor(a) is a
    True

    Source: `torch.as_tensor`.
    """
    check_device(device)
    if isinstance(data, QTensor):
        return data if dtype is None else data.to(dtype)
    return _array(data, dtype)


def _array(data: ArrayLike, dtype: DTypeLike | None) -> Array:
    made = np.asarray(data)
    if dtype is not None:
        return made.astype(numpy_dtype(dtype), copy=False)
    if hasattr(data, "dtype"):
        return made
    # Python's own numbers: NumPy's default is float64, torch's float32.
    if made.dtype == np.float64:
        return made.astype(np.float32)
    return made.astype(np.complex64) if made.dtype == np.complex128 else made


def from_numpy(ndarray: Array) -> Array:
    """The array itself: tensors of floats are arrays here.

    >>> import numpy as np, quantray as qt
    >>> a = np.zeros(3)
    >>> qt.from_numpy(a) is a
    True

    Source: `torch.from_numpy`.
    """
    if not isinstance(cast("object", ndarray), np.ndarray):
        raise TypeError(f"ndarray must be a NumPy array, got {type(ndarray).__name__}")
    return ndarray


def is_tensor(obj: object) -> bool:
    """Whether an object is a QTensor or a NumPy array.

    >>> import quantray as qt
    >>> qt.is_tensor(qt.zeros(2)), qt.is_tensor([0.0, 0.0])
    (True, False)

    Source: `torch.is_tensor`.
    """
    return isinstance(obj, AnyTensor)


def zeros(
    *args: PerAxis,
    size: PerAxis | None = None,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Array:
    """An array of zeros, float32 unless another dtype is asked for.

    >>> import quantray as qt
    >>> qt.zeros(2, 2)
    array([[0., 0.],
           [0., 0.]], dtype=float32)

    Source: `torch.zeros`.
    """
    check_device(device, requires_grad)
    return np.zeros(size_of(args, size), numpy_dtype(dtype))


def ones(
    *args: PerAxis,
    size: PerAxis | None = None,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Array:
    """An array of ones, float32 unless another dtype is asked for.

    >>> import quantray as qt
    >>> qt.ones((3,))
    array([1., 1., 1.], dtype=float32)

    Source: `torch.ones`.
    """
    check_device(device, requires_grad)
    return np.ones(size_of(args, size), numpy_dtype(dtype))


def empty(
    *args: PerAxis,
    size: PerAxis | None = None,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Array:
    """An array of whatever memory holds, float32 unless another dtype is asked for.

    >>> import quantray as qt
    >>> qt.empty(2, 3).shape
    (2, 3)

    Source: `torch.empty`.
    """
    check_device(device, requires_grad)
    return np.empty(size_of(args, size), numpy_dtype(dtype))


def full(
    size: PerAxis,
    fill_value: Scalar,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Array:
    """An array of one value: float32 for a float, int64 for an integer, bool for a bool.

    >>> import quantray as qt
    >>> qt.full((2,), 7)
    array([7, 7])

    Source: `torch.full`.
    """
    check_device(device, requires_grad)
    return np.full(lengths_of([size]), fill_value, _array(fill_value, dtype).dtype)


def eye(n: int, m: int | None = None, *, dtype: DTypeLike | None = None, device: str | None = None) -> Array:
    """A matrix with ones on its diagonal.

    >>> import quantray as qt
    >>> qt.eye(2)
    array([[1., 0.],
           [0., 1.]], dtype=float32)

    Source: `torch.eye`.
    """
    check_device(device)
    return np.eye(n, m, dtype=numpy_dtype(dtype))


def arange(
    start: Scalar,
    end: Scalar | None = None,
    step: Scalar = 1,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Array:
    """Numbers from `start` (0, if it is left out) to before `end`: int64, or float32 if one is a float.

    >>> import quantray as qt
    >>> qt.arange(3), qt.arange(0, 1, 0.5)
    (array([0, 1, 2]), array([0. , 0.5], dtype=float32))

    Source: `torch.arange`.
    """
    check_device(device)
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) / step < 0:
        raise ValueError(f"step must lead from start, {start}, to end, {end}, got {step}")
    made: Array = np.arange(start, end, step)
    whole = made.dtype.kind in "iu"
    return made.astype(numpy_dtype(dtype, np.int64 if whole else np.float32), copy=False)


def linspace(
    start: Scalar,
    end: Scalar,
    steps: SupportsIndex,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Array:
    """Numbers at equal distances from `start` to `end`, both among them: float32, rounded from float64.

    >>> import quantray as qt
    >>> qt.linspace(0, 1, 3)
    array([0. , 0.5, 1. ], dtype=float32)

    Source: `torch.linspace`, whose own additions in float32 may differ in the last bit.
    """
    check_device(device)
    if steps.__index__() < 0:
        raise ValueError(f"steps must be at least 0, got {steps}")
    return np.linspace(start, end, steps.__index__()).astype(numpy_dtype(dtype))


def no_grad() -> contextlib.AbstractContextManager[None]:
    """A context that changes nothing: gradients are computed only where `quantray.nn` is asked for them.

    >>> import quantray as qt
    >>> with qt.no_grad():
    ...     y = qt.ones(2) * 2

    Source: `torch.no_grad`.
    """
    return _NoGrad()


class _NoGrad(contextlib.ContextDecorator, contextlib.AbstractContextManager["None"]):
    def __exit__(self, *_: object) -> None:
        return None
