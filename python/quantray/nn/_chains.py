"""Runs of layers of integers, which one call computes: what lies between them never becomes an array.

Which layers can is said by `STEPS`, where `nn.quantized` registers them; `Sequential` asks for the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantray._core import Chain, QTensor

if TYPE_CHECKING:
    from quantray.nn._module import Module

#: Scale, zero point and dtype.
Params = tuple[float, int, Any]


class Steps(NamedTuple):
    """What a layer does, as `Chain` takes it."""

    steps: list[tuple[Any, ...]]
    #: Of what comes out; None for floats.
    end: Params | None
    #: Spatial axes that it needs; None where any will do.
    dims: int | None = None
    #: How floats are quantized before it, least and greatest code too; None where it takes integers alone.
    begin: tuple[Any, ...] | None = None


#: For each layer's own type: what it does to values with these parameters; None where it cannot say.
STEPS: dict[type[Module], Callable[[Any, Params | None], Steps | None]] = {}

#: Counts what may change runs.
_changes = [0]


def changed() -> None:
    """Notes that a layer, or which layers there are, is not what it was."""
    _changes[0] += 1


def version() -> int:
    """Changes so far: runs of another version are found again."""
    return _changes[0]


class Run:
    """Some layers, run by one call where their input allows it."""

    __slots__ = ("_chain", "_modules")

    def __init__(self, chain: Chain, modules: list[Module]) -> None:
        self._chain, self._modules = chain, modules

    def __call__(self, input: Any) -> Any:
        """The last layer's output."""
        if type(input) is np.ndarray or isinstance(input, QTensor):
            output = self._chain(input)
            if output is not None:
                return output
        # Each says what is wrong with its input.
        for module in self._modules:
            input = module(input)
        return input


class _Builder:
    """Puts layers together as long as they go together."""

    def __init__(self) -> None:
        self.calls: list[Callable[[Any], Any]] = []
        self.clear()

    def clear(self) -> None:
        self.modules: list[Module] = []
        self.steps: list[tuple[Any, ...]] = []
        self.dims: int | None = None
        self.rows = self.ended = False
        self.begin: tuple[Any, ...] | None = None
        self.now: Params | None = None

    def add(self, module: Module) -> None:
        """A layer more: in the present run, or in another one."""
        if not self._joins(module):
            self.close()
            if not self._joins(module):
                self.calls.append(module)

    def close(self) -> None:
        """Ends the present run."""
        modules = self.modules
        if len(self.steps) > 1:
            try:
                self.calls.append(Run(Chain(self.dims or 0, self.begin, self.steps), modules))
            except ValueError:
                # The layer that cannot compute says so when it is called.
                self.calls.extend(modules)
        else:
            self.calls.extend(modules)
        self.clear()

    def _joins(self, module: Module) -> bool:
        of = STEPS.get(type(module))
        if of is None or self.ended or module._hooks or module._pre_hooks:
            return False
        found = of(module, self.now)
        if found is None:
            return False
        names = {step[0] for step in found.steps}
        images = self.dims is not None and not self.rows
        if ("linear" in names and images) or (
            found.dims is not None and (self.rows or self.dims not in (None, found.dims))
        ):
            return False
        if not self.modules:
            self.begin = found.begin
        self.dims = found.dims if found.dims is not None else self.dims
        self.rows = self.rows or bool(names & {"linear", "flatten"})
        self.steps += found.steps
        self.modules.append(module)
        self.now, self.ended = found.end, found.end is None
        return True


def calls(modules: Iterable[Module]) -> list[Callable[[Any], Any]]:
    """What computes the modules one after the other: runs of them, and those that are in none."""
    builder = _Builder()
    for module in modules:
        builder.add(module)
    builder.close()
    return builder.calls
