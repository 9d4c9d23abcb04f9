"""Stand-ins of arrays: what `forward` is given while a model is captured.

A stand-in is no ndarray (`np.asarray` would strip a subclass of what it knows); it answers for one. What is
done to it becomes a node; what would need its values is refused, with file and line. Writing into it makes
a new value, which it and all its views then stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

import numpy as np

from quantray._typing import Array
from quantray.graph._functions import METHODS, wrapped
from quantray.graph._graph import Expr, Ref, map_tree
from quantray.graph._lengths import Length, Shape, product
from quantray.graph._trees import Call, is_sequence

if TYPE_CHECKING:
    from typing import SupportsIndex

    from quantray._typing import DType, Index
    from quantray.graph._recorder import Recorder


class View(NamedTuple):
    """One step from an array to a view of it."""

    name: str
    args: tuple[object, ...]
    kwargs: dict[str, object]


class Storage:
    """The memory that an array and its views share: the wire that it is now, and how often it was written
    to.
    """

    __slots__ = ("example", "home", "ref", "shared_by", "version")

    def __init__(self, ref: Ref, example: Array, home: str | None = None) -> None:
        self.ref, self.example, self.version = ref, example, 0
        #: What may share memory in a way that is not known.
        self.shared_by: str | None = None
        #: The parameter or buffer that it is, which a forward may not write to.
        self.home = home


class Value(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for an array: the wire that it is, and an example of what flows there."""

    __slots__ = ("_example", "_ref", "_storage", "_tracer", "_version", "_views")

    # `isinstance(x, np.ndarray)` must not take another branch than it would for an array.
    @property
    def __class__(self) -> type:  # type: ignore[override]
        return np.ndarray

    def __init__(
        self,
        tracer: Recorder,
        ref: Ref,
        example: Array,
        storage: Storage | None = None,
        views: tuple[View, ...] = (),
    ) -> None:
        self._tracer, self._ref, self._example, self._views = tracer, ref, example, views
        self._storage = storage or Storage(ref, example)
        self._version = self._storage.version

    def _now(self) -> Ref:
        """The wire that it is now, taken again from the array that it is a view of where that has changed."""
        tracer = self._tracer
        if not tracer.is_current():
            tracer.refuse(
                "an array that a forward kept from an earlier call (in an attribute, a global?) is used"
            )
        if self._version != self._storage.version:
            ref, example = self._storage.ref, self._storage.example
            for view in self._views:
                ref, example = tracer.raw(view.name, (ref, *view.args), view.kwargs, (example, *view.args))
            self._ref, self._example, self._version = ref, example, self._storage.version
        return self._ref

    def _write(self, new: Value) -> None:
        """Its elements become those of another stand-in of its shape and dtype."""
        tracer, storage = self._tracer, self._storage
        self._now()
        if storage.home is not None:
            tracer.refuse(
                f"forward changes {storage.home} in place; parameters and buffers change outside of forward"
            )
        if storage.shared_by is not None:
            tracer.refuse(
                f"an array is changed in place that may share memory with another one ({storage.shared_by}): "
                "copy() it before"
            )
        ref, example = new._now(), new._example
        own = ref, example
        bases = [(storage.ref, storage.example)]
        for view in self._views:
            base, base_example = bases[-1]
            bases.append(tracer.raw(view.name, (base, *view.args), view.kwargs, (base_example, *view.args)))
        for view, (base, base_example) in zip(reversed(self._views), reversed(bases[:-1]), strict=True):
            if view.name == "array.getitem":
                args: tuple[object, ...] = (base, view.args[0], ref)
                examples: tuple[object, ...] = (base_example, view.args[0], example)
                ref, example = tracer.raw("array.setitem", args, {}, examples)
            else:
                name = wrapped("unview", view.name)
                args, examples = (base, ref, *view.args), (base_example, example, *view.args)
                ref, example = tracer.raw(name, args, view.kwargs, examples)
        tracer.note_write(storage)
        storage.ref, storage.example = ref, example
        storage.version += 1
        self._ref, self._example = own if self._views else (ref, example)
        self._version = storage.version

    # What NumPy asks

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: object, **kwargs: object) -> object:
        return self._tracer.call_ufunc(ufunc, method, args, kwargs)

    def __array_function__(
        self,
        function: Callable[..., object],
        types: Iterable[type],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> object:
        return self._tracer.call_numpy(function, args, kwargs)

    # What leaves the graph

    def _leaves(self, *args: object, **kwargs: object) -> NoReturn:
        self._tracer.refuse("a Python number, list or bytes is made of an array's values")

    def _of_lengths(self) -> bool:
        """Whether it is made of lengths alone: then it is a number, for these lengths."""
        return self._tracer.take_number(self._ref)

    def __float__(self) -> float:
        return float(self._example) if self._of_lengths() else self._leaves()

    def __int__(self) -> int:
        return int(self._example) if self._of_lengths() else self._leaves()

    def __index__(self) -> int:
        return self._example.__index__() if self._of_lengths() else self._leaves()

    def item(self, *args: SupportsIndex) -> int | float | complex:
        """A Python number, of what lengths make."""
        return self._example.item(*args) if self._of_lengths() else self._leaves()

    __complex__ = _leaves  # type: ignore[assignment]
    tolist = tobytes = dump = dumps = tofile = _leaves

    def __array__(self, dtype: DType | None = None, copy: bool | None = None) -> Array:
        if self._of_lengths():
            return np.array(self._example, dtype)
        return self._tracer.refuse(
            "the values of an array are asked for (np.asarray, np.array, or code that calls them)"
        )

    def __bool__(self) -> bool:
        return self._tracer.truth(self)

    def __contains__(self, item: object) -> bool:
        self._tracer.refuse("`in` looks at an array's values")
        return False

    def __reduce__(self) -> NoReturn:
        self._tracer.refuse("an array is pickled")

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0].__index__()

    def __iter__(self) -> Iterator[Value]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<{self._example.dtype} array of shape {np.shape(self._example)}, not known yet>"

    def __format__(self, spec: str) -> str:
        return repr(self)

    __hash__ = None  # type: ignore[assignment]

    # Shape and dtype

    @property
    def shape(self) -> Shape:
        """Lengths, which the graph remembers the origin of."""
        known = self._tracer.known.of(self._now()) or ()
        lengths = np.shape(self._example)
        return Shape(
            Length(n, axis) if isinstance(axis, Expr) else n for n, axis in zip(lengths, known, strict=True)
        )

    @shape.setter
    def shape(self, new: Array) -> None:
        self._tracer.refuse("the shape of an array is assigned to: reshape it")

    @property
    def size(self) -> Length | int:
        """Number of elements."""
        return product(self.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return int(np.ndim(self._example))

    @property
    def dtype(self) -> DType:
        """NumPy's dtype."""
        return self._example.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return int(self._example.dtype.itemsize)

    @property
    def nbytes(self) -> Length | int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def T(self) -> Value:
        """The axes in reverse order."""
        return self.transpose()

    @property
    def mT(self) -> Value:
        """The last two axes exchanged."""
        return self.swapaxes(-1, -2)

    @property
    def real(self) -> Value:
        """The real part."""
        return cast("Value", self._tracer.call_numpy(np.real, (self,), {}))

    @property
    def imag(self) -> Value:
        """The imaginary part."""
        return cast("Value", self._tracer.call_numpy(np.imag, (self,), {}))

    @property
    def flat(self) -> Value:
        """All elements in one row; to be read."""
        return self.reshape(-1)

    # Items

    def __getitem__(self, index: Index) -> Value:
        return self._tracer.emit_one("array.getitem", (self, index), {})

    def __setitem__(self, index: Index, value: object) -> None:
        if index is Ellipsis and value is self:
            return
        self._write(self._tracer.emit_one("array.setitem", (self, index, value), {}))

    def __copy__(self) -> Value:
        return self.copy()

    def __deepcopy__(self, memo: object) -> Value:
        return self.copy()

    if TYPE_CHECKING:
        # Set below, as all methods of arrays are.
        def astype(self, dtype: object) -> Value: ...
        def copy(self) -> Value: ...
        def reshape(self, *shape: object) -> Value: ...
        def swapaxes(self, a: int, b: int) -> Value: ...
        def transpose(self) -> Value: ...

    # Methods that change it

    def sort(self, axis: int = -1, **kwargs: object) -> None:
        """In place."""
        self._write(np.sort(self, axis, **kwargs))  # type: ignore[call-overload]

    def partition(self, kth: int | Sequence[int], axis: int = -1, **kwargs: object) -> None:
        """In place."""
        self._write(np.partition(self, kth, axis, **kwargs))  # type: ignore[call-overload]

    def fill(self, value: object) -> None:
        """All elements become a value."""
        self[...] = value

    def put(self, *args: object, **kwargs: object) -> None:
        """As `np.put`."""
        np.put(self, *args, **kwargs)  # type: ignore[call-overload]

    def __getattr__(self, name: str) -> NoReturn:
        if not name.startswith("__") and hasattr(np.ndarray, name):
            self._tracer.refuse(f"ndarray.{name} has no place in a graph")
        raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}", name=name)


def _method(name: str) -> Callable[..., object]:
    def call(self: Value, *args: object, **kwargs: object) -> Any:
        out = kwargs.pop("out", None)
        if out is None:
            return self._tracer.emit(f"ndarray.{name}", (self, *args), kwargs)
        result = self._tracer.emit_one(f"ndarray.{name}", (self, *args), kwargs)
        return self._tracer.write_into(out, result, f"ndarray.{name}")

    call.__name__ = name
    return call


for _name in METHODS:
    setattr(Value, _name, _method(_name))


class Whole:
    """All that a model gives back that runs as Python from its beginning: whatever that is, one wire."""

    __slots__ = ("example", "ref")

    def __init__(self, ref: Ref, example: object) -> None:
        self.ref, self.example = ref, example


def _example(leaf: object) -> object:
    if type(leaf) is Value:
        leaf._now()
        return leaf._example
    if type(leaf) is Whole:
        return leaf.example
    return leaf.value if type(leaf) is Length else leaf


def examples_of(args: tuple[object, ...], kwargs: dict[str, object]) -> Call[str]:
    """Arguments with examples in the place of stand-ins, and numbers in that of lengths."""
    return map_tree(_example, args), map_tree(_example, kwargs)


def has_value(tree: object) -> bool:
    """Whether there is a stand-in, or a length of one, in a tree."""
    if type(tree) is Value or type(tree) is Length:
        return True
    if type(tree) in (tuple, list, Shape):
        return any(map(has_value, cast("Iterable[object]", tree)))
    if type(tree) is dict:
        return any(map(has_value, cast("dict[object, object]", tree).values()))
    if type(tree) is slice:
        return has_value((tree.start, tree.stop, tree.step))
    return is_sequence(tree) and any(map(has_value, tree))
