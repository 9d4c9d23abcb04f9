"""Torch's functions of tensors: what a method of QTensor does, as a function, and what joins several.

`quantray.swapaxes(q, 0, 1)` is `q.swapaxes(0, 1)`. The methods are listed, not written again. Of
arrays they are what `_array_functions` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, overload

import numpy as np

from quantray import ops
from quantray._array_shapes import slice_of
from quantray._core import QTensor
from quantray._few_functions import FUNCTIONS
from quantray._joining import are_arrays, cat, of_arrays, stack

if TYPE_CHECKING:
    from quantray._typing import Args, Array, ArrayLike, DTypeLike, Floats, Kwargs, Scalar, Tensor

T = TypeVar("T", "QTensor", "Array")


def _words(text: str) -> list[str]:
    return text.split()


#: Methods of QTensor that are functions, too.
METHODS = _words(
    """
    adjoint argmax argmin argsort as_strided broadcast_to chunk clamp clamp_ clip clip_ clone conj
    conj_physical conj_physical_ detach detach_ diag diagonal dsplit eq fill_ flatten flip fliplr flipud
    ge greater greater_equal gt hsplit index_put index_put_ index_select int_repr is_complex is_conj
    is_floating_point is_neg is_same_size le less less_equal lt masked_fill masked_fill_ masked_select
    max mean min moveaxis movedim msort narrow ne not_equal numel permute positive q_per_channel_axis
    q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point ravel relu_ repeat_interleave
    reshape resize_as_ resolve_conj resolve_neg roll rot90 select select_scatter slice_scatter sort
    split split_with_sizes squeeze std sum swapaxes swapdims t take take_along_dim tensor_split tile
    topk transpose unbind unflatten unsafe_chunk unsafe_split unsqueeze vsplit
    """
)

#: Torch's names of methods, as functions whose result has memory of its own.
COPIES = _words(
    """
    alias_copy detach_copy diagonal_copy permute_copy select_copy slice_copy split_copy squeeze_copy
    t_copy transpose_copy unbind_copy unsqueeze_copy
    """
)


def _quantized(input: object, name: str) -> QTensor:
    if isinstance(input, QTensor):
        return input
    advice = f", or use numpy.{name} on arrays" if hasattr(np, name) else ""
    raise TypeError(f"input must be a QTensor, got {type(input).__name__}: quantize it first{advice}")


def method(name: str) -> Callable[..., Any]:
    """A method of QTensor as a function of a tensor, or of an array."""

    def function(input: object, *args: object, **kwargs: object) -> Any:
        if isinstance(input, QTensor):
            return getattr(input, name)(*args, **kwargs)
        return _of_array(name, input, args, kwargs)

    about: str = getattr(QTensor, name).__doc__.strip().split("\n\n")[0]
    function.__name__ = function.__qualname__ = name
    function.__module__ = "quantray"
    function.__doc__ = (
        f"{about}\n\nThe same as `QTensor.{name}`; of an array, the same of its elements.\n\n"
        f"Source: `torch.{name}`."
    )
    return function


def _of_array(name: str, input: object, args: Args, kwargs: Kwargs) -> Any:
    from quantray._array_functions import of_array

    return of_array(name, input, args, kwargs)


def copied(name: str) -> Callable[..., Any]:
    """A view of a tensor as a function whose result has memory of its own."""
    own: dict[str, Callable[..., Any]] = {"alias": QTensor.detach, "slice": slice_of}
    viewed = name.removesuffix("_copy")
    view: Callable[..., Any] = own.get(viewed) or getattr(QTensor, viewed)

    def function(input: object, *args: object, **kwargs: object) -> Any:
        if isinstance(input, QTensor):
            made = view(input, *args, **kwargs)
            if isinstance(made, tuple):
                return tuple(part.clone() for part in cast("tuple[QTensor, ...]", made))
            return made.clone()
        found = _of_array(viewed, input, args, kwargs)
        if isinstance(found, tuple):
            return tuple(part.copy() for part in cast("tuple[Array, ...]", found))
        return found.copy()

    function.__name__ = function.__qualname__ = name
    function.__module__ = "quantray"
    about = f"A copy of what `{name.removesuffix('_copy')}` gives, with memory of its own."
    function.__doc__ = f"{about}\n\nSource: `torch.{name}`."
    return function


@overload
def dequantize(tensors: QTensor) -> Floats: ...
@overload
def dequantize(tensors: Sequence[QTensor]) -> tuple[Floats, ...]: ...
def dequantize(tensors: QTensor | Sequence[QTensor]) -> Floats | tuple[Floats, ...]:
    """The values of a tensor, or of each tensor of a sequence, as float32 arrays.

    >>> import quantray as qt
    >>> qt.dequantize(qt.quantize_per_tensor([0.26, 0.5], 0.25, 0, qt.quint8))
    array([0.25, 0.5 ], dtype=float32)

    Source: `torch.dequantize`.
    """
    if isinstance(tensors, list | tuple):
        return tuple(_quantized(q, "dequantize").dequantize() for q in tensors)
    return _quantized(tensors, "dequantize").dequantize()


@overload
def empty_like(input: QTensor, *, dtype: DTypeLike | None = None) -> QTensor: ...
@overload
def empty_like(input: ArrayLike, *, dtype: DTypeLike | None = None) -> Array: ...
def empty_like(input: ArrayLike | QTensor, *, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor of the same shape, dtype and grid, of whatever memory holds; an array for an array.

    >>> import quantray as qt
    >>> qt.empty_like(qt.quantize_per_tensor([1.0, 2.0], 0.5, 3, qt.quint8)).zero_point
    3

    Source: `torch.empty_like`.
    """
    return QTensor.empty_like(input) if isinstance(input, QTensor) else np.empty_like(input, dtype)


@overload
def zeros_like(input: QTensor, *, dtype: DTypeLike | None = None) -> QTensor: ...
@overload
def zeros_like(input: ArrayLike, *, dtype: DTypeLike | None = None) -> Array: ...
def zeros_like(input: ArrayLike | QTensor, *, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor of the same shape, dtype and grid that holds the value 0; an array for an array.

    >>> import quantray as qt
    >>> qt.zeros_like(qt.quantize_per_tensor([1.0, 2.0], 0.5, 3, qt.quint8)).int_repr()
    array([3, 3], dtype=uint8)

    Source: `torch.zeros_like`.
    """
    return QTensor.zeros_like(input) if isinstance(input, QTensor) else np.zeros_like(input, dtype)


@overload
def ones_like(input: QTensor, *, dtype: DTypeLike | None = None) -> QTensor: ...
@overload
def ones_like(input: ArrayLike, *, dtype: DTypeLike | None = None) -> Array: ...
def ones_like(input: ArrayLike | QTensor, *, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor of the same shape, dtype and grid that holds the value nearest to 1; an array for an array.

    >>> import quantray as qt
    >>> qt.ones_like(qt.quantize_per_tensor([5.0], 0.5, 3, qt.quint8)).tolist()
    [1.0]

    Source: `torch.ones_like`.
    """
    return QTensor.full_like(input, 1.0) if isinstance(input, QTensor) else np.ones_like(input, dtype)


@overload
def full_like(input: QTensor, fill_value: Scalar, *, dtype: DTypeLike | None = None) -> QTensor: ...
@overload
def full_like(input: ArrayLike, fill_value: Scalar, *, dtype: DTypeLike | None = None) -> Array: ...
def full_like(input: ArrayLike | QTensor, fill_value: Scalar, *, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor of the same shape, dtype and grid that holds one value, rounded to it; an array for an array.

    >>> import quantray as qt
    >>> qt.full_like(qt.quantize_per_tensor([1.0, 2.0], 0.5, 3, qt.quint8), 1.5).tolist()
    [1.5, 1.5]

    Source: `torch.full_like`.
    """
    if isinstance(input, QTensor):
        return QTensor.full_like(input, fill_value)
    return np.full_like(input, fill_value, dtype)


def fill(input: T, value: Scalar) -> T:
    """A tensor of the same shape and grid that holds one value.

    >>> import quantray as qt
    >>> qt.fill(qt.quantize_per_tensor([1.0, 2.0], 0.5, 3, qt.quint8), 1.5).tolist()
    [1.5, 1.5]

    Source: `torch.fill`.
    """
    made = cast("T", _clone(input))
    made[...] = value
    return made


@overload
def relu(input: QTensor) -> QTensor: ...
@overload
def relu(input: ArrayLike) -> Floats: ...
def relu(input: ArrayLike | QTensor) -> QTensor | Floats:
    """Negative elements become 0, of a QTensor or of floats.

    >>> import quantray as qt
    >>> qt.relu(qt.quantize_per_tensor([-1.0, 1.0], 0.5, 0, qt.qint8)).tolist()
    [0.0, 1.0]

    Source: `torch.relu`.
    """
    if isinstance(input, QTensor):
        return input.relu()
    from quantray.nn import functional

    return functional.relu(input)


def _tensors(tensors: Sequence[T], name: str) -> list[QTensor]:
    found = [_quantized(q, name) for q in tensors]
    if not found:
        raise ValueError("tensors must be at least one QTensor, got an empty sequence")
    return found


def hstack(tensors: Sequence[T]) -> T:
    """Tensors one after the other along the second axis (of one dimension, the first), on the first's grid.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> qt.hstack([q, q]).tolist()
    [1.0, 2.0, 1.0, 2.0]

    Source: `torch.hstack`.
    """
    if are_arrays(tensors):
        return of_arrays("hstack", tensors)
    all_ = [atleast_1d(q) for q in _tensors(tensors, "hstack")]
    return cast("T", cat(all_, 0 if all_[0].ndim == 1 else 1))


def vstack(tensors: Sequence[T]) -> T:
    """Tensors one below the other, those of one dimension as rows, on the first's grid.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> qt.vstack([q, q]).shape
    (2, 2)

    Source: `torch.vstack`.
    """
    if are_arrays(tensors):
        return of_arrays("vstack", tensors)
    return cast("T", cat([atleast_2d(q) for q in _tensors(tensors, "vstack")], 0))


def dstack(tensors: Sequence[T]) -> T:
    """Tensors one behind the other along the third axis, on the first's grid.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> qt.dstack([q, q]).shape
    (1, 2, 2)

    Source: `torch.dstack`.
    """
    if are_arrays(tensors):
        return of_arrays("dstack", tensors)
    return cast("T", cat([atleast_3d(q) for q in _tensors(tensors, "dstack")], 2))


def column_stack(tensors: Sequence[T]) -> T:
    """Tensors side by side, those of one dimension as columns, on the first's grid.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> qt.column_stack([q, q]).tolist()
    [[1.0, 1.0], [2.0, 2.0]]

    Source: `torch.column_stack`.
    """
    if are_arrays(tensors):
        return of_arrays("column_stack", tensors)
    all_ = [q if q.ndim > 1 else q.reshape(-1, 1) for q in _tensors(tensors, "column_stack")]
    return cast("T", cat(all_, 1))


class _AtLeast(Protocol):
    __name__: str

    @overload
    def __call__(self, tensor: QTensor, /) -> QTensor: ...
    @overload
    def __call__(self, *tensors: QTensor | Sequence[QTensor]) -> QTensor | tuple[QTensor, ...]: ...


def _at_least(name: str) -> _AtLeast:
    def function(*tensors: QTensor | Sequence[QTensor]) -> QTensor | tuple[QTensor, ...]:
        first = tensors[0] if len(tensors) == 1 else None
        is_sequence = isinstance(first, list | tuple)
        given = cast("Sequence[QTensor]", first if is_sequence else tensors)
        made = tuple(getattr(np, name)(q) for q in given)
        return made[0] if len(made) == 1 and not is_sequence else made

    function.__name__ = function.__qualname__ = name
    function.__module__ = "quantray"
    n = name[8]
    function.__doc__ = (
        f"A tensor, or each of several, with at least {n} dimensions.\n\nSource: `torch.{name}`."
    )
    return cast("_AtLeast", function)


atleast_1d, atleast_2d, atleast_3d = (_at_least(f"atleast_{n}d") for n in (1, 2, 3))


def broadcast_tensors(*tensors: T) -> tuple[T, ...]:
    """Tensors in the shape that all of them broadcast to; read-only views.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([[1.0], [2.0]], 0.5, 0, qt.qint8)
    >>> [t.shape for t in qt.broadcast_tensors(q, q.T)]
    [(2, 2), (2, 2)]

    Source: `torch.broadcast_tensors`.
    """
    if are_arrays(tensors):
        return cast("tuple[T, ...]", tuple(np.broadcast_arrays(*tensors)))
    all_ = _tensors(tensors, "broadcast_arrays")
    shape = np.broadcast_shapes(*(q.shape for q in all_))
    return cast("tuple[T, ...]", tuple(q.expand(shape) for q in all_))


def constant_pad_nd(input: T, pad: Sequence[int], value: float = 0.0) -> T:
    """More elements of one value at the ends of axes, the last one first; see `quantray.ops.pad`.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([[1.0, 2.0]], 0.5, 0, qt.qint8)
    >>> qt.constant_pad_nd(q, (1, 0)).tolist()
    [[0.0, 1.0, 2.0]]

    Source: `torch.constant_pad_nd`.
    """
    if not isinstance(input, QTensor):
        from quantray.nn.functional import pad as pad_array

        return cast("T", pad_array(input, pad, value=value))
    return ops.pad(input, pad, value=value)


_min, _max, _clone = method("min"), method("max"), method("clone")


def aminmax(input: T, *, dim: int | None = None, keepdim: bool = False) -> tuple[T, T]:
    """The smallest and the largest element, of all or along an axis.

    >>> import quantray as qt
    >>> low, high = qt.aminmax(qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8))
    >>> low.item(), high.item()
    (1.0, 2.0)

    Source: `torch.aminmax`.
    """
    if dim is None:
        return _min(input), _max(input)
    return _min(input, dim, keepdim).values, _max(input, dim, keepdim).values


def everything() -> dict[str, Callable[..., object]]:
    """The functions by name."""
    found: dict[str, Callable[..., object]] = {name: method(name) for name in METHODS}
    found |= {name: copied(name) for name in COPIES}
    own = (
        *(dequantize, empty_like, zeros_like, ones_like, full_like, fill, relu, hstack, vstack, dstack),
        *(column_stack, atleast_1d, atleast_2d, atleast_3d, broadcast_tensors, constant_pad_nd, aminmax),
        *FUNCTIONS,
    )
    found |= {f.__name__: f for f in own}
    return found | {"concat": cat, "concatenate": cat, "row_stack": vstack, "stack": stack}
