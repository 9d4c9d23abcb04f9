"""Types of a file's values, and the dtypes that they are computed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quantray._typing import Array, DType

#: Numbers of the standard's TensorProto.DataType, and their names.
NAMES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
    24: "float8e8m0",
    25: "uint2",
    26: "int2",
}

#: The numbers of types by their names.
NUMBERS = {name: number for number, name in NAMES.items()}

#: Types that are computed in another dtype than their own.
_COMPUTED = {
    "float16": "float32",
    "bfloat16": "float32",
    "float64": "float32",
    "float8e4m3fn": "float32",
    "float8e4m3fnuz": "float32",
    "float8e5m2": "float32",
    "float8e5m2fnuz": "float32",
    "float8e8m0": "float32",
    "float4e2m1": "float32",
    "uint4": "uint8",
    "int4": "int8",
    "uint2": "uint8",
    "int2": "int8",
}


def numpy_dtype(kind: int | str) -> DType:
    """The dtype that values of a type are computed in: all floats in float32, integers in their own.

    >>> numpy_dtype(10), numpy_dtype("int64")
    (dtype('float32'), dtype('int64'))
    """
    name = NAMES.get(kind, str(kind)) if isinstance(kind, int) else kind
    if name == "string":
        # Each array of texts has its own length of them.
        return np.dtype(np.str_)
    if name in ("complex64", "complex128") or name not in NAMES.values():
        raise ValueError(f"values of type {name} are not computed with; known are {', '.join(_known())}")
    return np.dtype(_COMPUTED.get(name, name))


def is_narrow(name: str | None) -> bool:
    """Whether a type is one of fewer than 8 bits, or of floats of 8 bits, which no array has."""
    return name is not None and name.startswith(("float8", "float4", "int4", "uint4", "int2", "uint2"))


def _known() -> list[str]:
    return [name for name in NAMES.values() if name not in ("complex64", "complex128")]


def computed(array: Array, name: str = "") -> Array:
    """An array in the dtype that it is computed in; dtypes that are not NumPy's own go by the type's name."""
    if array.dtype.kind == "V" and name:
        return array.astype(numpy_dtype(name))
    if name == "string":
        # Arrays of objects are lengths.
        return array.astype(str)
    return array.astype(np.float32) if array.dtype.kind == "f" and array.dtype != np.float32 else array
