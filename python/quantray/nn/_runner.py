"""What takes the place of a model's `forward` once it is prepared or converted: a runner of its graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, overload

if TYPE_CHECKING:
    from quantray._typing import Json, Scalar, State, Tensor
    from quantray.graph import Graph
    from quantray.graph._files import Writer
    from quantray.nn._module import Module
    from quantray.nn._state import Accepted

T = TypeVar("T")


class Runner(Protocol):
    """What runs a model in the place of its own `forward`: a graph of it, prepared or converted."""

    #: Whether `forward` computes the same, module by module.
    keeps_forward: bool

    def __call__(self, module: Module, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """The module's output."""
        ...

    def own_state(self, module: Module) -> State:
        """What belongs to the module's state_dict beside what its modules keep."""
        ...

    def accept(self, module: Module, name: str, value: object) -> Tensor | Scalar:
        """A value for an entry of that state, converted; raises where it does not fit."""
        ...

    def assign(self, module: Module, state: Accepted) -> None:
        """Takes accepted entries; called after each load of a state_dict, whatever has changed."""
        ...

    def expect(self, module: Module, keys: Iterable[str]) -> None:
        """Makes what the keys of a state_dict that is to be loaded are the state of."""
        ...

    def for_file(self, module: Module, writer: Writer) -> dict[str, Json] | None:
        """What a file has of it, as JSON; None where only an instance of the class can take the file."""
        ...

    def shown(self, module: Module) -> list[Graph]:
        """The graphs, with what a user wants to see beside them."""
        ...

    def shapes(self, module: Module, args: tuple[object, ...]) -> dict[int, str]:
        """By ids of modules their outputs' shapes, for some arguments; without any, lengths have names."""
        ...

    def line(self, module: Module) -> str:
        """What stands below the module's repr."""
        ...

    def card(self, module: Module) -> str:
        """What a notebook shows: HTML."""
        ...


class OfRunner(Generic[T]):
    """An attribute of models that run by graphs; a model's own attribute of this name goes first."""

    def __init__(self, read: Callable[[list[Graph]], T], doc: str) -> None:
        self._read, self.__doc__ = read, doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    if TYPE_CHECKING:

        def __set__(self, module: Module, value: object) -> None:
            """A model's own attribute of this name, of any type."""

    @overload
    def __get__(self, module: None, owner: type) -> Self: ...
    @overload
    def __get__(self, module: Module, owner: type) -> T: ...
    def __get__(self, module: Module | None, owner: type) -> Self | T:
        if module is None:
            return self
        own = module.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            if self._name in own.get(kind, ()):
                return module.__getattr__(self._name)
        runner = own.get("_runner")
        graphs: list[Graph] = [] if runner is None else runner.shown(module)
        if not graphs:
            # Python asks `__getattr__` then, which says what is missing.
            raise self.missing(module)
        return self._read(graphs)

    def missing(self, module: Module) -> AttributeError:
        """The error of a model without graphs: how to get one."""
        kind = type(module).__name__
        if module.__dict__.get("_runner") is None:
            text = (
                f"{kind} has no graph: it is a float model, which runs by its forward; "
                "quantray.graph.capture(model, args) makes one"
            )
        else:
            text = f"{kind} has no graph yet: call it, or give prepare(model, example_inputs=x)"
        return AttributeError(text, name=self._name)
