"""What an ONNX file says, as plain objects: no meaning of operators, no shapes inferred."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from quantray._typing import Array
from quantray.onnx import _elements

#: A length: a number, a name that equal lengths share, or None where the file does not know it.
Dim: TypeAlias = int | str | None
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """The type of an input, of an output or of a value between.

    Attributes
    ----------
    name : str
    dtype : str or None
        The elements' type by NumPy's name ("float32", "int64", "bool", "string"), or, where NumPy lacks it,
        "bfloat16", "float8e4m3fn", "int4" and so on. None where the file does not say it or the value is no
        tensor.
    shape : tuple of int, str or None; or None
        A length is a number, the name of a free length, or None where the file does not know it; the whole is
        None where even the number of axes is unknown.
    kind : str
        "tensor", or what else it is: "sequence(tensor(float32))", "optional(...)", "map(int64, ...)",
        "sparse_tensor(float32)", "opaque"; "" where the file says no type.
    doc : str
    metadata : mapping of str to str
    encoded : bytes or None
        The type as the file has it, where dtype and shape do not say all of it: other kinds, denotations.
    """

    name: str
    dtype: str | None = None
    shape: tuple[Dim, ...] | None = None
    kind: str = "tensor"
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    encoded: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An array as the file has it.

    Attributes
    ----------
    name : str
    dtype : str
        By NumPy's name ("float32", "int64", "bool"), or, where NumPy lacks it, "bfloat16", "float8e4m3fn",
        "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float8e8m0", "float6e2m3", "float6e3m2",
        "float4e2m1", "uint4", "int4", "uint2", "int2", "string".
    shape : tuple of int
    raw : ndarray of uint8, or None
        The elements' bytes as the format packs them: little-endian, small ones sharing bytes. A read-only
        view of the mapped file where the file has them so. None for texts.
    strings : tuple of bytes, or None
        The elements of texts, UTF-8 by the format's word.
    doc : str
    metadata : mapping of str to str
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    raw: Array | None = field(default=None, repr=False)
    strings: tuple[bytes, ...] | None = field(default=None, repr=False)
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    @staticmethod
    def of(name: str, array: Array, dtype: str | None = None) -> Tensor:
        """The tensor of an array, by default of the array's own dtype; `dtype` may name one that NumPy lacks.

        Raises
        ------
        ValueError
            Where the dtype is unknown, or a value is not one of its values.

        >>> import numpy as np
        >>> Tensor.of("x", np.array([-8, 7, 3], np.int8), "int4").raw
        array([120,   3], dtype=uint8)
        """
        a = np.asarray(array)
        kind = dtype or ("string" if a.dtype.kind in "OUST" else a.dtype.name)
        if kind == "string":
            texts = tuple(v if isinstance(v, bytes) else str(v).encode() for v in a.ravel().tolist())
            return Tensor(name, kind, a.shape, strings=texts)
        return Tensor(name, kind, a.shape, _elements.packed(a, kind, name))

    @property
    def nbytes(self) -> int:
        """How many bytes the elements take in a file."""
        if self.raw is not None:
            return self.raw.nbytes
        return sum(map(len, self.strings or ()))

    def array(self) -> Array:
        """The elements as a NumPy array of the shape.

        bfloat16 and the floats of 8, 6 and 4 bits become float32 of the same values; int4 and int2 become
        int8, uint4 and uint2 uint8, texts an array of str objects (bytes where they are not UTF-8). All other
        types are a read-only view of the mapped file, without a copy, where the file has the bytes so and
        they are aligned.
        """
        if self.strings is not None:
            return _elements.texts(self.strings, self.shape)
        assert self.raw is not None
        return _elements.unpacked(self.raw, self.dtype, self.shape)


#: More bytes than a dense tensor can have in a file: sparse ones are not made dense beyond.
MOST_DENSE = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class SparseTensor:
    """A sparse array as the file has it: to most intents a `Tensor`, dense when asked for its `array()`.

    Attributes
    ----------
    shape : tuple of int
    values : Tensor of shape (n,)
        Its name is that of the whole.
    indices : Tensor of int64, of shape (n,) or (n, axes)
        Positions in the flat array, or along each axis.
    """

    shape: tuple[int, ...]
    values: Tensor
    indices: Tensor

    @property
    def name(self) -> str:
        """The name of the values, and so of the whole."""
        return self.values.name

    @property
    def dtype(self) -> str:
        """The type of the values."""
        return self.values.dtype

    def array(self) -> Array:
        """The dense array, zeros where no value stands.

        Raises
        ------
        ValueError
            Where it would take more than 2 GB, or a position lies outside.
        """
        values, at = self.values.array(), self.indices.array()
        size = math.prod(self.shape)
        if size * values.itemsize > MOST_DENSE:
            raise ValueError(
                f"tensor {self.name!r} must take at most {MOST_DENSE} bytes when it is made dense, got "
                f"a sparse one of shape {self.shape}"
            )
        limits = np.array([size] if at.ndim == 1 else self.shape)
        within = at[:, None] if at.ndim == 1 else at
        wrong = np.flatnonzero(((within < 0) | (within >= limits)).any(axis=1))
        if wrong.size:
            raise ValueError(
                f"tensor {self.name!r}: indices must lie within the shape {self.shape}, got "
                f"{within[wrong[0]].tolist()} at position {int(wrong[0])}"
            )
        dense = np.zeros(size, values.dtype)
        flat = at if at.ndim == 1 else np.ravel_multi_index(tuple(at.T), self.shape)
        dense[flat] = values
        return dense.reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Reference:
    """The value of an attribute of the function that a node is part of.

    Attributes
    ----------
    name : str
        The function's attribute.
    type : str
        "FLOAT", "INTS" and so on, "UNDEFINED" where the file does not say.
    """

    name: str
    type: str = "UNDEFINED"


class Many(tuple[T, ...], Generic[T]):
    """A tuple of an attribute's values that knows their type, also where there are none.

    Attributes
    ----------
    type : str
        "FLOATS", "INTS", "STRINGS", "TENSORS", "GRAPHS", "SPARSE_TENSORS" or "TYPE_PROTOS".
    """

    type: str

    def __new__(cls, type: str, values: tuple[T, ...] = ()) -> Many[T]:
        made = super().__new__(cls, values)
        made.type = type
        return made

    def __reduce__(self) -> tuple[object, ...]:
        return Many, (self.type, tuple(self))


#: What an attribute can be.
Attribute: TypeAlias = "_One | tuple[_One, ...]"
_One: TypeAlias = "float | int | str | bytes | Tensor | SparseTensor | GraphFile | ValueInfo | Reference"
#: Those of a node by name; which there are, and what each one is, its operator says.
Attributes: TypeAlias = Mapping[str, Any]
#: What quantray does not read and writes back as it was: numbers of fields, messages.
Kept: TypeAlias = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A node.

    Attributes
    ----------
    name : str
        May be "": the format does not want names.
    op : str
        The operator.
    domain : str
        "" for ONNX's own operators (also where the file says "ai.onnx").
    inputs, outputs : tuple of str
        Names of values; "" for optional ones that are left out.
    attributes : mapping of str to value
        float, int, str (bytes where it is not UTF-8), `Tensor`, `SparseTensor`, `GraphFile`, `ValueInfo` (a
        type), `Reference`, or `Many` of one of these.
    overload : str
        Which of several functions of one name.
    doc : str
    metadata : mapping of str to str
    kept : tuple of (int, bytes)
        Device configurations, as they are encoded.
    """

    name: str
    op: str
    domain: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    attributes: Attributes = field(default_factory=dict[str, object])
    overload: str = ""
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    kept: Kept = ()


@dataclass(frozen=True, slots=True)
class GraphFile:
    """A graph: of the model, or of a node such as If or Loop.

    Attributes
    ----------
    name : str
    nodes : tuple of NodeFile
    initializers : mapping of str to Tensor or SparseTensor
    inputs, outputs : tuple of ValueInfo
        In old files, inputs name the initializers, too.
    values : tuple of ValueInfo
        Types of values between.
    doc : str
    metadata : mapping of str to str
    kept : tuple of (int, bytes)
        Quantization annotations, as they are encoded.
    """

    name: str
    nodes: tuple[NodeFile, ...] = ()
    initializers: Mapping[str, Tensor | SparseTensor] = field(default_factory=dict[str, Tensor])
    inputs: tuple[ValueInfo, ...] = ()
    outputs: tuple[ValueInfo, ...] = ()
    values: tuple[ValueInfo, ...] = ()
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    kept: Kept = ()


@dataclass(frozen=True, slots=True)
class FunctionFile:
    """An operator that the file itself defines.

    Attributes
    ----------
    name, domain : str
        What nodes call it.
    inputs, outputs : tuple of str
    attributes : tuple of str
        Those that a call must give.
    defaults : mapping of str to value
        Those that it may give, and their values where it does not.
    nodes : tuple of NodeFile
    opsets : mapping of str to int
    values : tuple of ValueInfo
    overload, doc : str
    metadata : mapping of str to str
    """

    name: str
    domain: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    defaults: Mapping[str, Attribute] = field(default_factory=dict[str, float])
    nodes: tuple[NodeFile, ...] = ()
    opsets: Mapping[str, int] = field(default_factory=dict[str, int])
    values: tuple[ValueInfo, ...] = ()
    overload: str = ""
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A whole file.

    Attributes
    ----------
    ir_version : int
        Of the format.
    opsets : mapping of str to int
        The version of each domain's operators; "" is ONNX's own domain.
    graph : GraphFile
    functions : tuple of FunctionFile
    metadata : mapping of str to str
    producer_name, producer_version : str
    domain : str
    version : int
        The producer's number of this model.
    doc : str
    kept : tuple of (int, bytes)
        Training information and device configurations, as they are encoded.
    """

    ir_version: int
    opsets: Mapping[str, int]
    graph: GraphFile
    functions: tuple[FunctionFile, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    producer_name: str = ""
    producer_version: str = ""
    domain: str = ""
    version: int = 0
    doc: str = ""
    kept: Kept = ()
