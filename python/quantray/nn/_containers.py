"""Modules that hold others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from quantray.nn._module import Module
from quantray.nn._tracing import is_attached


class _Indexed(Module):
    """Modules by their positions, which are their names."""

    def __init__(self, modules: Iterable[Module]) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def _items(self) -> list[Module]:
        return [module for name in self._names() if (module := self._modules[name]) is not None]

    def _names(self) -> list[str]:
        """Names of layers, without what watches their values."""
        return [name for name in self._modules if not is_attached(name)]

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._items())

    def _name(self, index: int) -> str:
        names = self._names()
        if not -len(names) <= index < len(names):
            raise IndexError(f"index must be from {-len(names)} to {len(names) - 1}, got {index}")
        return names[index]

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> _Indexed: ...
    def __getitem__(self, index: int | slice) -> Module | _Indexed:
        if isinstance(index, slice):
            return type(self)._of(self._items()[index])
        return self.get_submodule(self._name(index))

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name(index), module)

    @classmethod
    def _of(cls, modules: list[Module]) -> _Indexed:
        raise NotImplementedError

    def append(self, module: Module) -> None:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)

    def extend(self, modules: Iterable[Module]) -> None:
        """Adds modules at the end."""
        for module in modules:
            self.append(module)


class Sequential(_Indexed):
    """Modules that are called one after the other, each with the output of the one before.

    Parameters
    ----------
    *modules : Module, or one mapping of names to modules
        In order.

    >>> from quantray import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> len(model), list(model.state_dict())
    (3, ['0.weight', '0.bias', '2.weight', '2.bias'])

    Source: `torch.nn.Sequential`.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            super().__init__([])
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            super().__init__(modules)  # pyright: ignore[reportArgumentType] # add_module checks

    @classmethod
    def _of(cls, modules: list[Module]) -> Sequential:
        return cls(*modules)

    def forward(self, input: Any) -> Any:
        """The last module's output."""
        for module in self._items():
            input = module(input)
        return input


class ModuleList(_Indexed):
    """A list of modules; it is not called itself.

    >>> from quantray import nn
    >>> layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    >>> len(layers), len(layers[1:])
    (3, 2)

    Source: `torch.nn.ModuleList`.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__(modules)

    @classmethod
    def _of(cls, modules: list[Module]) -> ModuleList:
        return cls(modules)


class ModuleDict(Module):
    """Modules by name; it is not called itself.

    >>> from quantray import nn
    >>> heads = nn.ModuleDict({"left": nn.Linear(4, 1), "right": nn.Linear(4, 1)})
    >>> list(heads.keys())
    ['left', 'right']

    Source: `torch.nn.ModuleDict`.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        for name, module in (modules or {}).items():
            self.add_module(name, module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Module:
        return self.get_submodule(name)

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def keys(self) -> Iterable[str]:
        """Names, in order."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """Modules, in order."""
        return [module for module in self._modules.values() if module is not None]

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules, in order."""
        return [(name, module) for name, module in self._modules.items() if module is not None]
