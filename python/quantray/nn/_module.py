"""Module: what layers and models are: parameters, buffers, modules inside, and a `forward` over arrays."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from quantray._array_advice import explained, note
from quantray._core import QTensor
from quantray.nn._evaluating import Way, by_forward, way_of
from quantray.nn._hooks import RemovableHandle
from quantray.nn._moves import Moves
from quantray.nn._registry import Registry
from quantray.nn._runner import OfRunner, Runner
from quantray.nn._state import Incompatible, as_array, load_state
from quantray.nn._tracing import state

if TYPE_CHECKING:
    from quantray._typing import Array, Scalar, State, Tensor, Tree
    from quantray.nn._hooks import Hook, PreHook
    from quantray.nn._state import Accepted
    from quantray.nn._summary import Summary
    from quantray.quantization._cluster import DaskArray


class Module(Moves, Registry):
    """Base of all layers and models.

    A subclass calls `super().__init__()`, assigns its parameters (`nn.Parameter(array)`), buffers
    (`register_buffer`) and modules, and defines `forward`. Parameters and buffers are plain NumPy arrays.

    >>> import numpy as np
    >>> from quantray import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 8)
    ...         self.out = nn.Linear(8, 2)
    ...     def forward(self, input):
    ...         return self.out(np.maximum(self.hidden(input), 0))
    >>> net = Net()
    >>> net(np.zeros((1, 4), np.float32)).shape
    (1, 2)
    >>> list(net.state_dict())
    ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias']

    Source: `torch.nn.Module`.
    """

    training: bool
    #: Whether `train()` leaves it as it is: statistics that are frozen.
    _stays_in_evaluation: bool = False
    #: Whether a call may leave out modules that are inside of it.
    _is_branching: bool = False
    #: Whether it is one node of a file, so that a graph remembers its calls.
    _stands_for_node: bool = False
    _pre_hooks: dict[int, PreHook]
    _hooks: dict[int, Hook]
    #: What runs in the place of `forward`, once the model is prepared or converted.
    _runner: Runner | None
    #: The way of calls while it evaluates, once there was one.
    _evaluation: Way | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls).get("__init__")
        # Code of others that is written for torch sets up its weights there.
        if own is not None and not cls.__module__.startswith("quantray."):
            type.__setattr__(cls, "__init__", explained(own))

    def __init__(self) -> None:
        super().__init__()
        put = object.__setattr__
        put(self, "training", True)
        put(self, "_pre_hooks", {})
        put(self, "_hooks", {})
        put(self, "_runner", None)

    # Calls

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(input)")

    def __call__(self, *args: object, **kwargs: object) -> Any:
        tracer = state.tracer
        if tracer is not None:
            return tracer.call_module(self, args, kwargs)
        runner = self._runner
        if runner is not None:
            return runner(self, args, kwargs)
        way = by_forward if self.training else self._evaluation or way_of(self, args)
        return way(self, args, kwargs)

    def _call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """`forward`, with its hooks around it."""
        if self._pre_hooks:
            for hook in tuple(self._pre_hooks.values()):
                changed = hook(self, args)
                if changed is not None:
                    args = cast("tuple[object, ...]", changed) if isinstance(changed, tuple) else (changed,)
        try:
            output: object = self.forward(*args, **kwargs)
        except Exception as error:
            note(error)
            raise
        if self._hooks:
            for hook in tuple(self._hooks.values()):
                changed = hook(self, args, output)
                if changed is not None:
                    output = changed
        return output

    def _arranged(self, args: tuple[object, ...]) -> tuple[object, ...]:
        """Arguments of a batch as `forward` takes them."""
        return args

    def _argument_names(self) -> tuple[str, ...] | None:
        """What graphs call the arguments; by default what `forward` does."""
        return None

    def _output_names(self) -> tuple[str, ...] | None:
        """What files call the outputs; None where they have no names."""
        return None

    def _example_inputs(self) -> tuple[Tree, ...] | None:
        """Arrays that it could be called with, where it knows their shapes itself."""
        return None

    def _other_shapes(self, shapes: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]] | None:
        """Other shapes of its arguments that a capture is to try, the best ones first; None where it is not
        known which lengths are free.
        """
        return None

    def register_forward_pre_hook(self, hook: PreHook) -> RemovableHandle:
        """Calls `hook(module, args)` before `forward`; what it returns, unless None, replaces `args`."""
        handle = RemovableHandle(self, self._pre_hooks)
        self._pre_hooks[handle.id] = hook
        self._changed()
        return handle

    def register_forward_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(module, args, output)` after `forward`; what it returns, unless None, is the output."""
        handle = RemovableHandle(self, self._hooks)
        self._hooks[handle.id] = hook
        self._changed()
        return handle

    # Modes

    def _take_hooks(self, other: Module) -> None:
        """Has the hooks of a module whose place it takes: the tables themselves, so that those who registered
        hooks may take them away again.
        """
        self._pre_hooks, self._hooks = other._pre_hooks, other._hooks

    def train(self, mode: bool = True) -> Self:
        """Training mode for this module and all inside: dropout drops, batch norms use their batch."""
        for module in self.modules():
            module.training = mode and not module._stays_in_evaluation
        return self

    def eval(self) -> Self:
        """Evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether gradients are made for this module's parameters and those of all modules inside it."""
        for module in self.modules():
            module._frozen = set() if requires_grad else set(module._parameters)
        return self

    # State

    def state_dict(self, prefix: str = "") -> OrderedDict[str, Tensor]:
        """Parameters and buffers by name, in torch's order: the arrays themselves, not copies."""
        state: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self.named_modules(prefix, remove_duplicate=False):
            for name, value in module._full_state().items():
                state[f"{path}.{name}" if path else name] = value
        return state

    def _full_state(self) -> State:
        """This module's part of the state_dict, with that of what runs it."""
        own = self._own_state() | self._more_state()
        return own if self._runner is None else own | self._runner.own_state(self)

    def _more_state(self) -> State:
        """What else belongs to the state_dict, and is no array of this module: scales and zero points."""
        return {}

    def _file_state(self) -> State:
        """This module's part of the state_dict as files have it: what takes it accepts both."""
        return self._own_state()

    def _own_state(self) -> State:
        """This module's part of the state_dict, without those inside it."""
        self._read()
        own: State = {name: array for name, array in self._parameters.items() if array is not None}
        own.update(
            (name, array)
            for name, array in self._buffers.items()
            if array is not None and name not in self._unsaved
        )
        return own

    def _accept(self, name: str, value: object) -> Tensor | Scalar:
        """A value for an entry of this module's own state, converted; raises where it does not fit."""
        own = self._own_state()[name]
        if isinstance(own, QTensor):
            if not isinstance(value, QTensor):
                raise TypeError(f"must be a QTensor, got {type(value).__name__}")
            array: Tensor = value
        else:
            array = as_array(value)
        if tuple(array.shape) != tuple(own.shape):
            raise ValueError(f"must be of shape {tuple(own.shape)}, got {tuple(array.shape)}")
        if isinstance(own, QTensor):
            return array
        # Of the machine's own dtype: NumPy would keep the byte order of a file.
        made = np.empty(own.shape, np.dtype(own.dtype.type))
        made[...] = array
        return made

    def _assign(self, state: Accepted) -> None:
        """Takes accepted entries of this module's own state."""
        for name, value in state.items():
            if name in self._parameters:
                self._parameters[name] = cast("Array", value)
            else:
                self._buffers[name] = cast("Tensor", value)
        self._touched()

    def load_state_dict(
        self, state_dict: Mapping[str, object] | str | os.PathLike[str], strict: bool = True
    ) -> Incompatible:
        """Takes parameters and buffers by name.

        From any mapping of arrays (a torch state_dict as it is), or from a safetensors file.

        Parameters
        ----------
        state_dict : mapping or path
            Arrays of the same names and shapes as those of `state_dict()`; they are copied. What is one array
            in several places stays one. A prepared model that saw no data gets its observers by their names.
        strict : bool
            Whether every name must be matched, on both sides.

        Returns
        -------
        Incompatible
            `missing_keys` and `unexpected_keys`; both empty if `strict`.

        Raises
        ------
        KeyError
            Names that do not match, if `strict`; with the nearest names.
        ValueError, TypeError
            Another shape, or no array of numbers. The module is left as it was.

        Source: `torch.nn.Module.load_state_dict`.
        """
        if isinstance(state_dict, (str, os.PathLike)):
            return self._load_file(state_dict, strict)
        if not isinstance(state_dict, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = "; give its state_dict()" if hasattr(state_dict, "state_dict") else ""
            kind = type(state_dict).__name__
            raise TypeError(f"state_dict must be a mapping of names to arrays, or a path, got {kind}{hint}")
        return load_state(self, state_dict, strict)

    def _load_file(self, path: str | os.PathLike[str], strict: bool) -> Incompatible:
        """Takes a file's arrays, and its layers of integers and its graphs where there are none here."""
        from quantray.nn._files import load_into

        return load_into(self, path, strict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model to a safetensors file: its state, and what it is built of.

        An existing file is replaced, as a whole, once the new one is complete. `quantray.load` rebuilds a
        model that is made of quantray's own modules, and a quantized model of any class, which runs by its
        graphs. `load_state_dict(path)` takes the file into an instance of any class. Modules and arrays that
        are in several places are stored once, and weights of up to 4 bits with two or four codes a byte.

        Warns
        -----
        UserWarning
            For parts of a quantized model that run as Python, which only an instance of its class can load.

        >>> import os, tempfile, quantray as qt
        >>> from quantray import nn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     nn.Sequential(nn.Linear(2, 1), nn.ReLU()).save(path)
        ...     qt.load(path)
        Sequential(
          (0): Linear(in_features=2, out_features=1, bias=True)
          (1): ReLU()
        )
        """
        from quantray.nn._files import save

        save(self, path)

    def map_blocks(self, data: DaskArray, **kwargs: object) -> DaskArray:
        """The model over a Dask array's blocks along its first axis: a Dask array of its outputs.

        `kwargs` go to `dask.array.map_blocks`.
        """
        from quantray.quantization._cluster import map_blocks

        return map_blocks(self, data, **kwargs)

    def copy(self) -> Self:
        """A deep copy."""
        return copy.deepcopy(self)

    graph = OfRunner(
        lambda graphs: graphs[0],
        """What a prepared or converted model runs by: nodes, wires, shapes, dtypes, scales.

        A `quantray.graph.Graph`; a table where it is printed, a drawing in notebooks. `graphs` has those
        for other kinds of input, too.

        >>> import numpy as np
        >>> from quantray import nn, quantization as tq
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        >>> int8 = tq.quantize(model, np.ones((2, 4), np.float32), verbose=False)
        >>> [node.name for node in int8.graph]
        ['input', 'input.quantize', '0']
        """,
    )
    graphs = OfRunner(
        lambda graphs: tuple(graphs),
        """All graphs that a prepared or converted model runs by, one for each kind of input.""",
    )

    # Text

    def summary(self, *args: object) -> Summary:
        """A table of all modules inside: their types, output shapes, parameters and bytes.

        Parameters
        ----------
        *args : array
            What the model is called with, in evaluation mode, to see the shapes; without any, there are none.

        >>> import numpy as np
        >>> from quantray import nn
        >>> nn.Sequential(nn.Linear(4, 8), nn.ReLU()).summary(np.zeros((1, 4)))
        name     type        output shape  parameters  bytes
        ----------------------------------------------------
        (model)  Sequential  (1, 8)                 0      0
        0        Linear      (1, 8)                40    160
        1        ReLU        (1, 8)                 0      0
        ----------------------------------------------------
        total                                      40    160
        """
        from quantray.nn._summary import summarize

        return summarize(self, args)

    def _repr_html_(self) -> str:
        card = "" if self._runner is None else self._runner.card(self)
        return card or self.summary()._repr_html_()

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    def _class_name(self) -> str:
        """What reports call its kind."""
        return type(self).__name__

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        line = "" if self._runner is None else self._runner.line(self)
        return f"{self._tree()}\n{line}" if line else self._tree()

    def _tree(self) -> str:
        """The modules inside, one a line."""
        extra = self.extra_repr()
        if not self._modules:
            return f"{self._get_name()}({extra})"
        lines = extra.splitlines()
        for name, module in self._modules.items():
            is_plain = type(module).__repr__ is Module.__repr__
            text = cast("Module", module)._tree() if is_plain else repr(module)
            lines.append(f"({name}): " + text.replace("\n", "\n  "))
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"
