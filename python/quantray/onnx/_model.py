"""A model of a file: a module like any other, which every workflow takes."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from quantray._tables import Column, Table
from quantray.graph._trees import is_sequence
from quantray.nn._gradients import is_traced
from quantray.nn._tracing import state
from quantray.onnx._body import Body, Plan
from quantray.onnx._lengths import as_array
from quantray.onnx._types import numpy_dtype

if TYPE_CHECKING:
    from quantray._typing import Array
    from quantray.nn import Module
    from quantray.onnx.operators import Outputs


class Value(NamedTuple):
    """An input or an output of a model.

    Attributes
    ----------
    name : str
    dtype : str
        As the file has it: "float32", "int64", "float16".
    shape : tuple of int, str or None, optional
        Lengths: numbers, names of lengths that are free, None for those without a name; None where the file
        does not say how many axes there are.
    kind : str
        "tensor"; "sequence": a list of arrays; "optional" or "optional sequence": or None.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None
    kind: str = "tensor"

    def __str__(self) -> str:
        if self.kind != "tensor":
            return f"{self.name} {self.kind} of {self.dtype}"
        if self.shape is None:
            return f"{self.name} {self.dtype}"
        lengths = ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} {self.dtype} ({lengths}{',' * (len(self.shape) == 1)})"


class Model(Body):
    """A model that a file holds.

    It is called with arrays in the order of its inputs, or by their names, and gives its output, or a tuple
    of them. It is an `nn.Module`: quantization, reports and analysis take it as they take all others.

    Attributes
    ----------
    inputs, outputs : tuple of Value
    producer : str
        What wrote the file.
    opset : int
        Version of the standard's operators.
    metadata : dict of str to str
    """

    def __init__(
        self,
        plan: Plan,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        producer: str = "",
        opset: int = 0,
        metadata: Mapping[str, str] | None = None,
        file: str = "",
    ) -> None:
        super().__init__(plan)
        #: What errors and guards of its graph name beside the node.
        self._file = file or "the model"
        self._about = (tuple(inputs), tuple(outputs), producer, opset, dict(metadata or {}))

    @property
    def inputs(self) -> tuple[Value, ...]:
        """What it is called with."""
        return self._about[0]

    @property
    def outputs(self) -> tuple[Value, ...]:
        """What it gives."""
        return self._about[1]

    @property
    def producer(self) -> str:
        """What wrote the file."""
        return self._about[2]

    @property
    def opset(self) -> int:
        """Version of the standard's operators that the file was written for."""
        return self._about[3]

    @property
    def metadata(self) -> dict[str, str]:
        """What else the file says of itself."""
        return dict(self._about[4])

    # Calls

    # What a file's model gives the file says.
    def __call__(self, *args: object, **kwargs: object) -> Any:
        """The output for some inputs; a tuple where there are several.

        Raises
        ------
        TypeError
            An input is missing, or there is none of its name.
        ValueError
            An array of another number of axes, of another length where that is fixed, or of another dtype.
        """
        arrays = self.arranged(args, kwargs)
        if state.tracer is None and self._runner is None and not self.training:
            return self.floats()(self, arrays, {})
        return super().__call__(*arrays)

    def forward(self, *arrays: Array) -> Outputs:
        """The same, of arrays in the order of the inputs."""
        values = dict(zip(self.plan.inputs, arrays, strict=True))
        found = tuple(_plain(value) for value in self.outputs_of(values))
        return found[0] if len(found) == 1 else found

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, object]) -> list[Array]:
        """Some outputs for inputs by name: `onnxruntime.InferenceSession.run`'s form.

        Parameters
        ----------
        outputs : sequence of str, optional
            Names of those that are wanted; all of them by default.
        inputs : mapping of str to array

        Returns
        -------
        list of array
        """
        names = [value.name for value in self.outputs]
        wanted = names if outputs is None else list(outputs)
        for name in wanted:
            if name not in names:
                raise ValueError(f"outputs must be of {', '.join(names)}, got {name!r}")
        made = self(**inputs)
        by_name = dict(zip(names, made if len(names) > 1 else (made,), strict=True))
        return [by_name[name] for name in wanted]

    def _arranged(self, args: tuple[object, ...]) -> tuple[object, ...]:
        return self.arranged(args, {})

    def _argument_names(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.inputs)

    def _output_names(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.outputs)

    def _example_inputs(self) -> tuple[Array, ...] | None:
        """Zeros, of the shapes that the file says; free lengths have a number that most models take."""
        if any(value.shape is None for value in self.inputs):
            return None
        lengths = dict(enumerate((2, 16, 64, 64, 8)))
        return tuple(
            np.zeros(
                tuple(
                    n if isinstance(n, int) else lengths.get(a, 8) for a, n in enumerate(value.shape or ())
                ),
                numpy_dtype(value.dtype),
            )
            for value in self.inputs
        )

    def arranged(self, args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[Array, ...]:
        """Arguments in the order of the inputs, as arrays of the dtypes that they are computed in."""
        if len(args) == 1 and isinstance(args[0], Mapping) and not kwargs:
            # A batch by names, as other runtimes take them.
            args, kwargs = (), args[0]
        names = [value.name for value in self.inputs]
        if len(args) > len(names):
            raise TypeError(f"the model takes {len(names)} inputs ({', '.join(names)}), got {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names:
                raise TypeError(f"there is no input {name!r}; there are {', '.join(names)}")
            if name in given:
                raise TypeError(f"the input {name!r} is given twice")
            given[name] = value
        missing = [str(value) for value in self.inputs if value.name not in given]
        if missing:
            raise TypeError(f"inputs are missing: {'; '.join(missing)}")
        lengths: dict[str, tuple[int, str]] = {}
        # Sequences, and what is left out, count as arrays.
        found = tuple(_checked(value, given[value.name], lengths) for value in self.inputs)
        return cast("tuple[Array, ...]", found)

    def _other_shapes(self, shapes: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]] | None:
        """Each length that the file leaves free becomes another one: the graph is for all of them."""
        if any(value.shape is None for value in self.inputs):
            # Of sequences there are more arrays than inputs, and their lengths are not said.
            return None
        free = {
            _key(value, axis): axis
            for value in self.inputs
            for axis, name in enumerate(value.shape or ())
            if not isinstance(name, int)
        }
        inner = {key for key, axis in free.items() if axis}
        # Longer ones come late: values that count elements may be too many for shorter arrays. Where a file
        # leaves lengths free that its weights fix, or its exporter, the others are tried, and at last rows.
        ways = [(way, frozenset(free)) for way in (32, 1, -32)]
        if 1 < len(free) <= _MOST_FREE:
            ways += [(32, frozenset(free) - {key}) for key in free]
        ways.append((0, frozenset(free) - inner))
        tries = [self._with_others(shapes, way, changing) for way, changing in ways]
        return [made for i, made in enumerate(tries) if made not in tries[:i] and made != list(shapes)]

    def _with_others(
        self, shapes: list[tuple[int, ...]], way: int, changing: Set[str]
    ) -> list[tuple[int, ...]]:
        """The inputs' shapes with other numbers for some lengths."""
        changed: dict[str, int] = {}
        made: list[tuple[int, ...]] = []
        for value, shape in zip(self.inputs, shapes, strict=True):
            lengths = list(shape)
            for axis, n in enumerate(shape):
                key = _key(value, axis)
                if key in changing:
                    if key not in changed:
                        changed[key] = _other_length(n, _step(n, axis, way), set(changed.values()))
                    lengths[axis] = changed[key]
            made.append(tuple(lengths))
        return made

    # Text

    def __repr__(self) -> str:
        counts = Counter(type_name(self.get_submodule(row.path)) for row in self.plan.rows)
        rows = [[name, str(count)] for name, count in counts.most_common()]
        inputs = "; ".join(map(str, self.inputs))
        outputs = "; ".join(map(str, self.outputs))
        head = f"Model of {len(self.plan.rows)} steps, opset {self.opset}"
        if self.producer:
            head += f", by {self.producer}"
        line = "" if self._runner is None else self._runner.line(self)
        steps = Table([Column("step"), Column("count", right=True)], rows)
        text = f"{head}\ninputs: {inputs}\noutputs: {outputs}\n\n{steps}"
        return f"{text}\n{line}" if line else text


#: Of so many free lengths each is tried as one that is none.
_MOST_FREE = 4


def _key(value: Value, axis: int) -> str:
    """What a free length of an input is called."""
    return str((value.shape or ())[axis] or f"{value.name}.{axis}")


def _step(n: int, axis: int, way: int) -> int:
    """By how much a length becomes another one: rows by one, others by a fourth or by so much.

    It stays in step with what the strides of a model may be together, and differs by so much that the lengths
    of all its layers do.
    """
    if axis == 0 or way == 1:
        return -1 if way < 0 else 1
    return way * max(n // (4 * abs(way)), 1)


def _other_length(n: int, step: int, taken: set[int]) -> int:
    """Another length than one that was tried, and than those of other axes: shorter where that leaves enough,
    and longer by a step below zero.
    """
    made = n - step if n > 2 * step else n + step
    while made in taken:
        made += abs(step)
    return made


def type_name(module: Module) -> str:
    """What a step is called in tables."""
    return str(module._get_name())


def _plain(value: Array | list[Array]) -> Array | list[Array]:
    """An output: lengths as an array, and each item of a sequence likewise."""
    return [as_array(item) for item in value] if isinstance(value, list) else as_array(value)


def _checked(value: Value, given: object, lengths: dict[str, tuple[int, str]]) -> object:
    """An input as an array of the dtype that it is computed in; the items of a sequence likewise."""
    if given is None and value.kind.startswith("optional"):
        return None
    if value.kind.endswith("sequence"):
        if not is_sequence(given):
            raise ValueError(
                f"{value.name} must be a list of arrays of {value.dtype}, got {type(given).__name__}"
            )
        item = value._replace(kind="tensor")
        return [_checked(item, each, lengths) for each in given]
    if is_traced(given) or (state.tracer is not None and not isinstance(given, np.generic)):
        return given
    array = np.asarray(given)
    try:
        dtype = numpy_dtype(value.dtype)
    except ValueError as error:
        raise ValueError(f"{value}: {error}") from None
    if array.dtype != dtype:
        # Types that NumPy does not have come as others' dtypes, which know how to become NumPy's.
        is_same_kind = array.dtype.kind in (dtype.kind, "V") or (
            array.dtype.kind in "iu" and dtype.kind == "f"
        )
        if not is_same_kind and not (array.dtype.kind in "iu" and dtype.kind in "iu"):
            raise ValueError(f"{value.name} must be an array of {value.dtype}, got {array.dtype}")
        if dtype.kind in "iu" and array.size:
            limits = np.iinfo(dtype)
            if array.min() < limits.min or array.max() > limits.max:
                raise ValueError(
                    f"{value.name} must be of {value.dtype}'s range, got values from {array.min()} to "
                    f"{array.max()}"
                )
        array = array.astype(dtype)
    if value.shape is None:
        return array
    if array.ndim != len(value.shape):
        raise ValueError(f"{value.name} must have {len(value.shape)} axes, {value}, got shape {array.shape}")
    for axis, (known, length) in enumerate(zip(value.shape, array.shape, strict=True)):
        if isinstance(known, int) and known > 0 and known != length:
            raise ValueError(
                f"{value.name} must be {known} long along axis {axis}, {value}, got {array.shape}"
            )
        if isinstance(known, str) and lengths.setdefault(known, (length, value.name))[0] != length:
            other, name = lengths[known]
            raise ValueError(
                f"{known} is one length: {other} of {name}, and {length} of {value.name}, axis {axis}"
            )
    return array
