"""Tensors of files that torch.save wrote (.pt, .pth), read without torch and without running what they say.

Such a file is a pickle: a program for a small machine that may call whatever it names. Here it may name what
tensors and tables of them are made of, and nothing else; a plain function of this module stands for each.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantray import _core

if TYPE_CHECKING:
    from quantray._core import QTensor
    from quantray._typing import Array, DType

#: What torch's classes of memory hold; of bfloat16 the upper halves of float32.
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
    "QInt8Storage": "<i1",
    "QUInt8Storage": "<u1",
    "QInt32Storage": "<i4",
}
#: What files of before torch 1.6 begin with, and the version that follows.
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001


class Memory(NamedTuple):
    """A storage: its elements in one row, and what class torch has for it."""

    elements: Array
    kind: str


class _Kind(NamedTuple):
    """A name of torch's that a file speaks of."""

    name: str


class _Maker(NamedTuple):
    """A function that a file may call, and not the function itself: to that a pickle could write."""

    function: Callable[..., object]

    def __call__(self, *args: object) -> object:
        return self.function(*args)


def _strided(memory: Memory, offset: int, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """The array that a tensor is of a storage, which is all within it."""
    row = memory.elements
    if len(shape) != len(strides) or min((*shape, *strides, offset), default=0) < 0:
        raise pickle.UnpicklingError(f"a tensor has the shape {tuple(shape)} with strides {tuple(strides)}")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= row.size:
        raise pickle.UnpicklingError(f"a tensor ends at element {last} of a storage of {row.size}")
    if not math.prod(shape):
        return np.empty(shape, row.dtype)
    steps = [row.itemsize * step for step in strides]
    made = np.lib.stride_tricks.as_strided(row[offset:], tuple(shape), steps, writeable=False)
    # More elements than there is memory are the same ones again: these stay a view, however many.
    return made if math.prod(shape) > row.size else made.copy()


def _tensor(
    memory: Memory, offset: int, shape: Sequence[int], strides: Sequence[int], *rest: object
) -> Array:
    if memory.kind == "BFloat16Storage":
        memory = Memory((memory.elements.astype(np.uint32) << 16).view(np.float32), "FloatStorage")
    return _strided(memory, offset, shape, strides)


def _quantized(
    memory: Memory,
    offset: int,
    shape: Sequence[int],
    strides: Sequence[int],
    grid: Sequence[Any],
    *rest: object,
) -> QTensor:
    codes = _strided(memory, offset, shape, strides)
    scheme, *parameters = grid
    if scheme == _Kind("per_tensor_affine"):
        scale, zero_point = parameters
        return _core.make_per_tensor_quantized_tensor(codes, scale, zero_point)
    if scheme == _Kind("per_channel_affine"):
        scales, zero_points, axis = parameters
        return _core.make_per_channel_quantized_tensor(codes, scales, zero_points, axis)
    raise pickle.UnpicklingError(f"a quantized tensor has the scheme {getattr(scheme, 'name', scheme)}")


def _parameter(data: object, *rest: object) -> object:
    return data


def _shape(lengths: Sequence[int] = ()) -> tuple[int, ...]:
    return tuple(lengths)


#: All that a file may name.
_NAMES: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Maker(_tensor),
    ("torch._utils", "_rebuild_tensor"): _Maker(_tensor),
    ("torch._utils", "_rebuild_qtensor"): _Maker(_quantized),
    ("torch._utils", "_rebuild_parameter"): _Maker(_parameter),
    ("torch", "Size"): _Maker(_shape),
    **{("torch", name): _Kind(name) for name in (*_STORAGES, "per_tensor_affine", "per_channel_affine")},
}


class _Reader(pickle.Unpickler):
    """Reads a pickle that names nothing else; storages come from `storage`."""

    def __init__(self, file: IO[bytes], storage: Callable[..., Memory]) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str, /) -> Any:
        found = _NAMES.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor")
        return found

    def persistent_load(self, pid: Any, /) -> Memory:
        what, kind, key, _, count, *rest = pid
        if what != "storage" or not isinstance(kind, _Kind) or kind.name not in _STORAGES:
            raise pickle.UnpicklingError(f"it speaks of {what!r}, which is no storage")
        return self._storage(kind.name, str(key), int(count), *rest)


class _Measure(_Reader):
    """Reads which storages there are, and makes no tensors of them."""

    def find_class(self, module: str, name: str, /) -> Any:
        found = super().find_class(module, name)
        return found if isinstance(found, _Kind) or found is OrderedDict else _Maker(_nothing)


def _nothing(*args: object) -> None:
    return None


def _dtype(kind: str) -> DType:
    text = _STORAGES[kind]
    return np.dtype("<u2" if text == "bfloat16" else text)


def _elements(raw: bytes, kind: str, count: int) -> Memory:
    dtype = _dtype(kind)
    if not 0 <= count * dtype.itemsize <= len(raw):
        raise pickle.UnpicklingError(
            f"a storage has {len(raw)} bytes where {count} elements of {dtype} are said"
        )
    return Memory(np.frombuffer(raw, dtype, count), kind)


def _from_archive(path: str | os.PathLike[str]) -> object:
    """Of torch 1.6 on: an archive of the pickle and a file for each storage."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        main = next((name for name in names if name.endswith("/data.pkl")), None)
        if main is None or any(name.endswith("/constants.pkl") for name in names):
            raise pickle.UnpicklingError("it is a model of torch.jit, or no file of torch.save's")
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise pickle.UnpicklingError("it is compressed, which torch.save does not do")
        folder = main.removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise pickle.UnpicklingError("its numbers have their greatest byte first")
        known: dict[str, Memory] = {}

        def storage(kind: str, key: str, count: int, *rest: object) -> Memory:
            if key not in known:
                known[key] = _elements(archive.read(f"{folder}data/{key}"), kind, count)
            return known[key]

        return _Reader(io.BytesIO(archive.read(main)), storage).load()


def _from_stream(path: str | os.PathLike[str]) -> object:
    """Of before torch 1.6: five pickles, then the storages; a tensor is made before its memory is read."""
    known: dict[str, Memory] = {}

    sizes: dict[str, int] = {}
    stored: dict[str, bytes] = {}

    def measured(kind: str, key: str, count: int, view: object = None) -> Memory:
        if view is not None:
            raise pickle.UnpicklingError("a storage is a view of another one")
        sizes[key] = _dtype(kind).itemsize
        return Memory(np.empty(0), kind)

    def storage(kind: str, key: str, count: int, view: object = None) -> Memory:
        if key not in known:
            known[key] = _elements(stored[key], kind, count)
        return known[key]

    with open(path, "rb") as file:
        for wanted in (_MAGIC, _VERSION):
            if _Reader(file, storage).load() != wanted:
                raise pickle.UnpicklingError("it does not begin as files of torch.save do")
        if not _Reader(file, storage).load().get("little_endian"):
            raise pickle.UnpicklingError("its numbers have their greatest byte first")
        start = file.tell()
        # What it holds is read twice: first for where it ends, as storages come after it.
        _Measure(file, measured).load()
        for key in _Reader(file, storage).load():
            stored[key] = file.read(int.from_bytes(file.read(8), "little") * sizes[key])
        file.seek(start)
        return _Reader(file, storage).load()


def read(path: str | os.PathLike[str]) -> Any:
    """What torch.save wrote, of tensors, numbers, texts, lists and dicts; floats are NumPy arrays.

    Raises
    ------
    OSError
        For a file that holds anything else, such as a whole model, and for a damaged one.
    """
    try:
        return (_from_archive if zipfile.is_zipfile(path) else _from_stream)(path)
    except OSError:
        raise
    except Exception as error:
        raise OSError(
            f"cannot read {os.fspath(path)}: it is a pickle, as torch.save writes (.pt, .pth), of more than "
            f"tensors ({error}), and may run code when it is read; in torch, torch.save(model.state_dict(), "
            "path) or safetensors.torch.save_file(model.state_dict(), path) makes a file that is taken"
        ) from error
