"""Layers of integer weights in the place of those of floats."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from quantray import nn
from quantray._core import QTensor, qint8, quint4x2, quint8
from quantray._typing import Array
from quantray.graph._trees import is_array
from quantray.nn._conv import _Conv
from quantray.nn.intrinsic import FusedWeighted
from quantray.nn.intrinsic._fused import PATTERNS
from quantray.quantization._classes import Classes, from_float
from quantray.quantization._in_floats import float_layer
from quantray.quantization.qconfig import QConfig

#: For each class and name: a qconfig, True for settings of the call, None for float.
Wanted: TypeAlias = dict[type[nn.Module] | str, QConfig | bool | None]
#: What weights of products, and tables of embeddings, can be.
WEIGHTS, TABLES = (qint8, quint8), (quint8, quint4x2)


@runtime_checkable
class SaysWhatStays(Protocol):
    """A module that knows which of its layers lose too much by 8 bits."""

    def stays_in_float(self) -> Mapping[str, str]:
        """Paths of layers below it, and why they stay in float unless they are asked for by name."""
        ...


@functools.cache
def integer_classes() -> dict[type[nn.Module], type[nn.Module]]:
    """The class of integer weights that takes each float class's place."""
    from quantray.nn import quantized
    from quantray.nn.quantized import dynamic

    pairs: dict[type[nn.Module], type[nn.Module]] = {
        nn.Embedding: quantized.Embedding,
        nn.EmbeddingBag: quantized.EmbeddingBag,
    }
    for name in dynamic.__all__:
        pairs[getattr(nn, name)] = getattr(dynamic, name)
    fused = {kind: pairs[types[0]] for types, kind in PATTERNS.items() if types[0] in pairs}
    return pairs | fused


def kinds_of(module: nn.Module) -> list[type[nn.Module]]:
    """The classes that a module may be asked for by: what is said of a layer holds where it is fused, too."""
    return [type(module), *([type(module.layer)] if isinstance(module, FusedWeighted) else [])]


class DynamicLayers:
    """The layers of a model that become integers, and those that stay.

    Parameters
    ----------
    model : Module
        Which `put` changes.
    wanted : dict
        What is asked for.
    known : mapping
        Float classes to those of integers.
    settings : dict
        What layers are made with that have no qconfig of their own.
    by_default : bool
        Whether nothing was asked for: convolutions then stay, and nobody is told.

    Attributes
    ----------
    asked : tuple of type
        The classes that are asked for.
    stays : dict of str to str
        Paths of layers that stay in float though nobody asked for that, and why.
    left : list of str
        Layers that were meant, and have no integer version.
    seen : list of tuple
        Names and weights that the default observer sees, whose smallest scale is `eps`.
    count : int
        How many layers became integers.
    """

    def __init__(
        self,
        model: nn.Module,
        wanted: Wanted,
        known: Classes,
        settings: Mapping[str, object],
        *,
        by_default: bool,
    ) -> None:
        self._model, self._wanted, self._known = model, wanted, known
        self._settings, self._by_default = settings, by_default
        self.asked = tuple(key for key, choice in wanted.items() if isinstance(key, type) and choice)
        self.stays = {
            inner: why
            for path, module in model.named_modules()
            if isinstance(module, SaysWhatStays)
            for name, why in module.stays_in_float().items()
            if (inner := f"{path}.{name}" if path else name) not in wanted
        }
        self.left: list[str] = []
        self.seen: list[tuple[str, Array]] = []
        self.count = 0
        self._made: dict[int, nn.Module] = {}
        self._replaced: list[tuple[nn.Module, str, nn.Module]] = []

    def put(self) -> nn.Module:
        """The model with layers of integers. They are put in place once all are made, so that an error
        leaves the model as it was.
        """
        result = self._changed(self._model, "", False)
        for parent, name, new in self._replaced:
            if parent._modules[name] is not new:
                parent.add_module(name, new)
        return result

    def _changed(self, module: nn.Module, path: str, own: QConfig | bool | None) -> nn.Module:
        """What becomes of a module; `own` is what is said of the one that it is part of."""
        if id(module) not in self._made:
            self._made[id(module)] = self._new(module, path, own)
        return self._made[id(module)]

    def _new(self, held: nn.Module, path: str, own: QConfig | bool | None) -> nn.Module:
        if path in self.stays:
            return held
        module = float_layer(held) or held
        kinds = kinds_of(module)
        by_kind = [self._wanted[kind] for kind in kinds if kind in self._wanted]
        is_known = kinds[0] in self._known
        choice = self._wanted.get(path, by_kind[0] if by_kind else own if path and is_known else False)
        if choice is not False and choice is not None and is_known and _is_taken(module):
            return self._in_integers(module, path, kinds[0], choice)
        inherited = choice if isinstance(module, FusedWeighted) and choice else self._wanted.get(path, own)
        is_meant = bool(inherited) or (self._by_default and not is_convolution(kinds[0]))
        is_named = path in self._wanted and not module._modules
        if (
            (is_meant or isinstance(module, self.asked))
            and choice is not None
            and (is_named or _has_matrix(module))
        ):
            self.left.append(f"{path or 'model'} ({module._get_name()})")
        for name, child in module._modules.items():
            if child is not None:
                inner = f"{path}.{name}" if path else name
                self._replaced.append((module, name, self._changed(child, inner, inherited)))
        return held

    def _in_integers(
        self, module: nn.Module, path: str, kind: type[nn.Module], choice: QConfig | bool
    ) -> nn.Module:
        try:
            new = _from_float(self._known[kind], module, choice, self._settings)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{path or 'model'} ({kind.__name__}): {error}") from None
        new._take_hooks(module)
        self.count += 1
        weight = getattr(module, "weight", None)
        if choice is True and is_array(weight):
            self.seen.append((f"{path}.weight" if path else "weight", weight))
        return new


def _is_taken(module: nn.Module) -> bool:
    """Whether what is fused with a layer goes into its integer version: ReLU does, others stay beside it."""
    return not isinstance(module, FusedWeighted) or type(module.activation) in (type(None), nn.ReLU)


def _has_matrix(module: nn.Module) -> bool:
    """Whether a module itself has weights along two axes or more, in float: not a number for each channel."""
    own = module._own_state().values()
    return any(not isinstance(value, QTensor) and sum(n > 1 for n in np.shape(value)) > 1 for value in own)


def is_convolution(kind: type[nn.Module]) -> bool:
    """Whether its inputs are images, whose range is that of all their channels together."""
    return issubclass(kind, _Conv) or kind in {
        fused for types, fused in PATTERNS.items() if issubclass(types[0], _Conv)
    }


def _from_float(
    kind: type[nn.Module], module: nn.Module, choice: QConfig | bool, settings: Mapping[str, object]
) -> nn.Module:
    """The integer version of a module: told what it understands of the settings."""
    make = from_float(kind)
    taken = inspect.signature(make).parameters
    given = {key: value for key, value in settings.items() if key in taken}
    if given.get("dtype") not in (TABLES if "padding_idx" in inspect.signature(kind).parameters else WEIGHTS):
        given.pop("dtype", None)
    if isinstance(choice, QConfig):
        weight = choice.weight()
        given["dtype"] = weight.dtype
        given["per_channel"] = hasattr(weight, "ch_axis")
        given = {key: value for key, value in given.items() if key in taken}
    return make(module, **given)
