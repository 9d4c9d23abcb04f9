"""dtypes and schemes as observers take them: objects, names, NumPy's types."""

from __future__ import annotations

import numpy as np

from quantray import _core
from quantray._typing import DType, QDType, QScheme

_DTYPES = {
    **{d.name: d for d in (_core.qint8, _core.quint8, _core.qint32, _core.quint4x2, _core.quint2x4)},
    "int8": _core.qint8,
    "uint8": _core.quint8,
    "int32": _core.qint32,
    # Of 32 bits, of which these take half: as many codes as 16 bits have.
    "int16": _core.qint32,
    "uint16": _core.qint32,
}
#: The smallest and the largest code of dtypes that others hold.
_HALVES = {"int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1)}
_SCHEMES = {
    s.name: s
    for s in (
        _core.per_tensor_affine,
        _core.per_tensor_symmetric,
        _core.per_channel_affine,
        _core.per_channel_symmetric,
        _core.per_channel_affine_float_qparams,
    )
}
PER_TENSOR = (_core.per_tensor_affine, _core.per_tensor_symmetric)
PER_CHANNEL = tuple(s for s in _SCHEMES.values() if s not in PER_TENSOR)
SYMMETRIC = (_core.per_tensor_symmetric, _core.per_channel_symmetric)
UNSIGNED = (_core.quint8, _core.quint4x2, _core.quint2x4)


def quantized_dtype(value: QDType) -> _core.dtype:
    """A quantized dtype from itself, its name, torch's of this name, or NumPy's type of its codes."""
    if isinstance(value, _core.dtype):
        return value
    try:
        named = str(value).removeprefix("torch.")
        name = named if named in _DTYPES else np.dtype(value).name
        return _DTYPES[name]
    except (KeyError, TypeError):
        valid = ", ".join(name for name in _DTYPES if name.startswith("q"))
        raise ValueError(f"dtype must be one of {valid}, got {value!r}") from None


def half_codes(value: QDType) -> tuple[int, int] | None:
    """The smallest and the largest code of "int16" and "uint16", or NumPy's types of these names."""
    if isinstance(value, _core.dtype):
        return None
    return _HALVES.get(value if isinstance(value, str) else np.dtype(value).name)


def any_dtype(value: QDType) -> _core.dtype | DType:
    """A quantized dtype, or NumPy's of floats where values are to stay floats."""
    try:
        return quantized_dtype(value)
    except ValueError:
        found = np.dtype(value) if not isinstance(value, str) or value.startswith("float") else None
        if found is None or found.kind != "f":
            raise
        return found


def scheme(value: QScheme, among: tuple[_core.qscheme, ...] = PER_TENSOR + PER_CHANNEL) -> _core.qscheme:
    """A scheme from itself, its name or torch's of this name, checked to be one of some."""
    found = _SCHEMES.get(str(value).removeprefix("torch."))
    if found not in among:
        raise ValueError(f"qscheme must be one of {', '.join(s.name for s in among)}, got {value!r}")
    return found
