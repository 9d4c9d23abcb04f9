"""What a model is called with, as its graphs know it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import cast

import numpy as np

from quantray.graph._graph import map_tree
from quantray.graph._trees import Call, is_array, is_dict, is_tuple, rebuilt
from quantray.nn._gradients import is_traced
from quantray.nn._module import Module
from quantray.nn.functional._arguments import refuse_masked

#: Types of values that arguments may have by default.
_DEFAULTS = (type(None), bool, int, float, str)


def few_rows(call: Call[str]) -> Call[str]:
    """What a model is called with, of which a few rows are left: an example to capture by."""

    def few(leaf: object) -> object:
        return leaf[:2].copy() if is_array(leaf) and leaf.ndim else leaf

    return map_tree(few, call)


def arguments(module: Module, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Call[str]:
    """What a module is called with, as graphs know it: arrays in the place of what can become arrays,
    arguments by position wherever `forward` takes them so, and none that is what it would be by itself.
    """
    if kwargs or any(type(arg) in _DEFAULTS for arg in args):
        args, kwargs = _as_few(module, args, kwargs)
    return cast("tuple[object, ...]", as_arrays(args)), cast("dict[str, object]", as_arrays(dict(kwargs)))


def _as_few(
    module: Module, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> tuple[tuple[object, ...], Mapping[str, object]]:
    try:
        signature = _signature(type(module))
        bound = signature.bind(module, *args, **kwargs)
    except (TypeError, ValueError):
        # `forward` will say what is wrong with them.
        return args, kwargs
    given = dict(bound.kwargs)
    for name in list(given):
        if name in signature.parameters and _is_default(signature.parameters[name], given[name]):
            del given[name]
    positional = list(bound.args[1:])
    parameters = list(signature.parameters.values())[1:]
    while 0 < len(positional) <= len(parameters) and _is_default(
        parameters[len(positional) - 1], positional[-1]
    ):
        positional.pop()
    return tuple(positional), given


def _is_default(parameter: inspect.Parameter, value: object) -> bool:
    default = parameter.default
    return type(value) in _DEFAULTS and type(default) is type(value) and bool(default == value)


@functools.cache
def _signature(kind: type[Module]) -> inspect.Signature:
    return inspect.signature(kind.forward)


def as_arrays(tree: object) -> object:
    """Arguments with arrays in the place of lists of numbers, QTensors, and other libraries' arrays.

    Floats become float32, which all layers compute in.
    """
    if is_dict(tree):
        return {key: as_arrays(value) for key, value in tree.items()}
    if is_tuple(tree):
        return rebuilt(tree, [as_arrays(item) for item in tree])
    if isinstance(tree, list):
        items = cast("list[object]", tree)
        if items and all(map(_is_number_or_list, items)):
            return as_arrays(np.asarray(items))
        return [as_arrays(item) for item in items]
    if is_traced(tree):
        return tree
    if is_array(tree):
        refuse_masked(tree)
        return np.asarray(tree, np.float32) if tree.dtype.kind == "f" else tree
    if hasattr(tree, "__array__") and not isinstance(tree, type):
        return as_arrays(np.asarray(tree))
    return tree


def _is_number_or_list(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_number_or_list, cast("list[object]", value)))
    return isinstance(value, (int, float, np.generic))
