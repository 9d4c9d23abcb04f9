"""Types of what functions and modules take and give, for type checkers.

While a model is captured, or a gradient is made, stand-ins of arrays flow where arrays do: they answer for
arrays, and annotations say `Array` of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from types import EllipsisType
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from quantray import _core
from quantray._core import QTensor

#: A dtype of NumPy's. What elements are is known when code runs, and no type says it.
DType: TypeAlias = np.dtype[Any]
#: An array of any dtype and shape.
Array: TypeAlias = NDArray[Any]
#: What floats are computed in.
Floats: TypeAlias = NDArray[np.float32]
#: Indices, and integers that nothing is said of.
Ints: TypeAlias = NDArray[np.int64]
#: What sums and moments are kept in.
Doubles: TypeAlias = NDArray[np.float64]
#: Masks, and what comparisons give.
Bools: TypeAlias = NDArray[np.bool_]
#: Integers of a quantized tensor.
Codes: TypeAlias = NDArray[np.int8] | NDArray[np.uint8] | NDArray[np.int32]
#: A number of Python's or NumPy's.
Scalar: TypeAlias = int | float | np.integer[Any] | np.floating[Any]
#: An array, of floats or of codes.
Tensor: TypeAlias = Array | QTensor
#: What becomes an array: one, a quantized one, numbers, nested sequences of numbers.
Input: TypeAlias = ArrayLike | QTensor
#: What NumPy looks elements up by.
Index: TypeAlias = "_Place | tuple[_Place, ...]"
_Place: TypeAlias = SupportsIndex | slice | EllipsisType | Array | Sequence[int] | None
#: A whole number, or one for each axis.
PerAxis: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
#: A module's part of a state_dict: parameters, buffers, scales and zero points by name.
State: TypeAlias = dict[str, Tensor]
#: Arguments that a module is rebuilt with: values of JSON, and modules.
Config: TypeAlias = dict[str, object]
#: What JSON may hold.
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | None"
#: What models take and give: tensors and plain values, and tuples, lists and dicts of these.
Tree: TypeAlias = "Tensor | Scalar | str | Sequence[Tree] | Mapping[str, Tree] | None"
#: Arguments of a call, by position and by name: which types they have, only what is called can say.
Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]
#: A data type of codes, or what names one.
QDType: TypeAlias = _core.dtype | str | DType | type[np.generic]
#: A scheme of quantization, or its name.
QScheme: TypeAlias = _core.qscheme | str
#: How quotients become whole numbers: by name, or a function of them.
Rounding: TypeAlias = str | Callable[[Array], Array]
#: Where a file is.
Path: TypeAlias = str | PathLike[str]

__all__ = [
    "Args",
    "Array",
    "ArrayLike",
    "Bools",
    "Codes",
    "Config",
    "DType",
    "DTypeLike",
    "Doubles",
    "Floats",
    "Index",
    "Input",
    "Ints",
    "Json",
    "Kwargs",
    "Path",
    "PerAxis",
    "QDType",
    "QScheme",
    "Rounding",
    "Scalar",
    "State",
    "Tensor",
    "Tree",
]
