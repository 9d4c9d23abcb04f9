"""A model of a file: a module like any other, which every workflow takes."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from quantray._tables import Column, Table
from quantray.graph._trees import is_sequence, kinds_of
from quantray.nn._gradients import is_traced
from quantray.nn._tracing import state
from quantray.onnx._body import Body, Plan
from quantray.onnx._lengths import as_array
from quantray.onnx._tries import example_shapes, other_shapes
from quantray.onnx._types import numpy_dtype
from quantray.onnx._value import Value

if TYPE_CHECKING:
    from quantray._typing import Array
    from quantray.nn import Module
    from quantray.onnx.operators import Outputs


#: Kinds of arguments that are remembered.
_MOST = 256


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
        #: Shapes and dtypes of arguments that were taken as they came: so are others of these.
        self._taken: set[tuple[object, ...]] = set()

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

    def get_inputs(self) -> list[Value]:
        """`inputs` as onnxruntime's sessions give them: a list."""
        return list(self.inputs)

    def get_outputs(self) -> list[Value]:
        """`outputs` as onnxruntime's sessions give them: a list."""
        return list(self.outputs)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, object], run_options: None = None
    ) -> list[Array]:
        """Some outputs for inputs by name: `onnxruntime.InferenceSession.run`'s form.

        Parameters
        ----------
        output_names : sequence of str, optional
            Names of those that are wanted; all of them for None or an empty list.
        input_feed : mapping of str to array
        run_options : None
            There are none.

        Returns
        -------
        list of array
        """
        names = [value.name for value in self.outputs]
        wanted = list(output_names) if output_names else names
        for name in wanted:
            if name not in names:
                raise ValueError(f"output_names must be of {', '.join(names)}, got {name!r}")
        made = self(**input_feed)
        by_name = dict(zip(names, made if len(names) > 1 else (made,), strict=True))
        return [by_name[name] for name in wanted]

    def _arranged(self, args: tuple[object, ...]) -> tuple[object, ...]:
        return self.arranged(args, {})

    def _argument_names(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.inputs)

    def _output_names(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.outputs)

    def _example_inputs(self) -> tuple[Array, ...] | None:
        return next(self.examples(), None)

    def examples(self) -> Iterator[tuple[Array, ...]]:
        """Zeros, of shapes that the file allows: of those first that most models take."""
        for shapes in example_shapes(self.inputs):
            yield tuple(
                np.zeros(shape, numpy_dtype(value.dtype))
                for shape, value in zip(shapes, self.inputs, strict=True)
            )

    def arranged(self, args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[Array, ...]:
        """Arguments in the order of the inputs, as arrays of the dtypes that they are computed in."""
        kinds = None if kwargs or state.tracer is not None else kinds_of(args)
        if kinds in self._taken:
            return cast("tuple[Array, ...]", tuple(args))
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
        as_given = len(found) == len(args) and all(map(operator.is_, found, args))
        if kinds and as_given and len(self._taken) < _MOST:
            self._taken.add(kinds)
        return cast("tuple[Array, ...]", found)

    def _other_shapes(self, shapes: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]] | None:
        """Each length that the file leaves free becomes another one: the graph is for all of them."""
        return other_shapes(self.inputs, shapes)

    # Text

    def __repr__(self) -> str:
        counts = Counter(type_name(self.get_submodule(row.path)) for row in self.plan.rows)
        rows = [[name, str(count)] for name, count in counts.most_common()]
        inputs = "; ".join(map(str, self.inputs))
        outputs = "; ".join(map(str, self.outputs))
        count = len(self.plan.rows)
        head = f"Model of {count} step{'' if count == 1 else 's'}, opset {self.opset}"
        if self.producer:
            head += f", by {self.producer}"
        line = "" if self._runner is None else self._runner.line(self)
        steps = Table([Column("step"), Column("count", right=True)], rows)
        text = f"{head}\ninputs: {inputs}\noutputs: {outputs}\n\n{steps}"
        return f"{text}\n{line}" if line else text


def type_name(module: Module) -> str:
    """What a step is called in tables."""
    return str(module._get_name())


def _plain(value: Array | list[Array]) -> Array | list[Array]:
    """An output: lengths as an array, and each item of a sequence likewise."""
    return [as_array(item) for item in value] if isinstance(value, list) else as_array(value)


def _texts(value: Value, given: Array) -> Array:
    """Texts as an array of str; as long as a power of two, so that calls are alike."""
    if given.dtype.kind not in "UO" and str(given.dtype)[:11] != "StringDType":
        raise ValueError(f"{value.name} must be an array of str, got {given.dtype}")
    if given.dtype.kind == "O" and not all(isinstance(text, str) for text in given.reshape(-1)):
        raise ValueError(f"{value.name} must be an array of str, got objects that are none")
    longest = max(map(len, given.reshape(-1).tolist()), default=0)
    return given.astype(f"<U{max(1 << (longest - 1).bit_length(), 16) if longest else 16}")


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
    if dtype.kind == "U":
        array = _texts(value, array)
    elif array.dtype != dtype:
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
