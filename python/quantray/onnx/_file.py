"""ONNX files as plain objects: `read` and `write`. What operators mean stands elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import BinaryIO, TypeAlias, cast

import numpy as np

from quantray import _core
from quantray._typing import Array
from quantray.onnx._external import Folder
from quantray.onnx._messages import (
    Attribute,
    Dim,
    FunctionFile,
    GraphFile,
    Many,
    ModelFile,
    NodeFile,
    Reference,
    SparseTensor,
    Tensor,
    ValueInfo,
)

__all__ = [
    "Attribute",
    "Dim",
    "FunctionFile",
    "GraphFile",
    "Many",
    "ModelFile",
    "NodeFile",
    "Reference",
    "SparseTensor",
    "Tensor",
    "ValueInfo",
    "read",
    "write",
]


#: Where a file is, its bytes, or one that is open.
Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


def read(
    source: Source,
    *,
    folder: str | os.PathLike[str] | None = None,
) -> ModelFile:
    """Reads an ONNX file into plain objects, and checks that it is whole.

    A file is mapped, also above 2 GB, and so are the files beside it that hold its tensors: large arrays take
    no memory until they are read. What else is in the file takes at most 4 KiB for each message, name or text
    (node, attribute, tensor, length of a shape, ...) and 72 bytes for each byte of numbers that are not raw.
    Sizes that the file only claims allocate nothing.

    Parameters
    ----------
    source : str, path, bytes or binary file object
        A path; or the file's contents; or a file object, whose rest is read.
    folder : str or path, optional
        Where files with external data may lie; by default the model's own folder, where `source` is a path.

    Returns
    -------
    ModelFile

    Raises
    ------
    OSError
        Where the file cannot be opened, is not an ONNX model (it says what it is, where it is one of the
        known formats), is truncated or corrupt (with the node or tensor), lacks elements of a tensor, or
        wants external data that are missing, too short, or outside of the folder.

    >>> import quantray.onnx._file as onnx_file
    >>> onnx_file.read(b"GGUF and more")
    Traceback (most recent call last):
    OSError: cannot read <bytes>: it is no ONNX model but a GGUF file
    """
    name, data, home = _bytes_of(source)
    if folder is not None:
        home = os.fspath(folder)
    return _core._read_onnx(data, name, _Maker(Folder(home, name)))


def _bytes_of(source: Source) -> tuple[str, Array, str | None]:
    """What errors call the source, its bytes, and the folder that it lies in."""
    if isinstance(source, bytes | bytearray | memoryview):
        return "<bytes>", np.frombuffer(source, np.uint8), None
    if hasattr(source, "read"):
        found = cast("object", cast("BinaryIO", source).read())
        name = str(getattr(source, "name", "<file>"))
        if not isinstance(found, bytes):
            raise TypeError(f"source must be opened in binary mode, got {type(found).__name__} from {name}")
        return name, np.frombuffer(found, np.uint8), None
    if not isinstance(source, str | os.PathLike):
        kind = type(source).__name__
        raise TypeError(f"source must be a path, bytes or a binary file object, got {kind}")
    path = os.fsdecode(cast("str", source))
    return path, _mapped(path), os.path.dirname(path)


def _mapped(path: str) -> Array:
    """A file's bytes, read-only and mapped; what cannot be mapped, such as a pipe, is read."""
    if os.path.isdir(path):
        raise OSError(f"cannot read {path}: it is a folder, not an ONNX file")
    try:
        if not os.path.isfile(path):
            with open(path, "rb") as file:
                return np.frombuffer(file.read(), np.uint8)
        if os.path.getsize(path) == 0:
            return np.zeros(0, np.uint8)
        return np.asarray(np.memmap(path, np.uint8, "r"))
    except FileNotFoundError as e:
        raise FileNotFoundError(e.errno, "no such ONNX file", path) from None


class _Maker:
    """The objects that the reader asks for."""

    model = ModelFile
    graph = GraphFile
    function = FunctionFile
    node = NodeFile
    many = Many
    reference = Reference
    sparse = SparseTensor
    value = ValueInfo

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def tensor(
        self,
        name: str,
        dtype: str,
        shape: tuple[int, ...],
        raw: Array | None,
        strings: tuple[bytes, ...] | None,
        external: tuple[str, int, int] | None,
        doc: str,
        metadata: Mapping[str, str],
    ) -> Tensor:
        if external is not None:
            raw = self._folder.part(name, *external)
        return Tensor(name, dtype, shape, raw, strings, doc, metadata)


def write(model: ModelFile, path: str | os.PathLike[str], *, external: bool | None = None) -> None:
    """Writes plain objects to an ONNX file, as a whole: an old one stays until the new one is complete.

    Elements are written raw, from where they are, so that they need no memory of their own. The file has the
    mode that the umask leaves, or that of the file that it replaces.

    Parameters
    ----------
    model : ModelFile
    path : str or path
    external : bool, optional
        Whether initializers of the main graph of 4 KiB and more go into one file beside it, named after it
        with ".data" at the end. By default only where the model takes more than 2 GB, which no ONNX file can.

    Raises
    ------
    ValueError, TypeError
        Where the objects are no model (a tensor whose bytes do not fit its shape, an attribute of an unknown
        type, ...), with the node or tensor. Whether names fit together is not checked.
    OSError
        Where a file cannot be written, or more than 2 GB are left in the model's own file.

    >>> import os, tempfile, numpy as np
    >>> weight = Tensor.of("w", np.ones((2, 3), np.float32))
    >>> node = NodeFile("product", "MatMul", "", ("x", "w"), ("y",))
    >>> x, y = ValueInfo("x", "float32", ("batch", 2)), ValueInfo("y", "float32", ("batch", 3))
    >>> model = ModelFile(8, {"": 13}, GraphFile("g", (node,), {"w": weight}, (x,), (y,)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.onnx")
    ...     write(model, path)
    ...     read(path).graph.inputs[0].shape
    ('batch', 2)
    """
    name = os.fsdecode(os.fspath(path))
    if not isinstance(model, ModelFile):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"model must be a ModelFile, got {type(model).__name__}")
    _core._write_onnx(model, name, external)
