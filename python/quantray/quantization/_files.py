"""Quantized models in files: how their nodes' values are written, and how a model gets its graphs back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from quantray import nn
from quantray._typing import Array
from quantray.graph import Graph, Node, kind_of
from quantray.graph._files import Reader, Unreadable, Writer, register_kinds, register_value
from quantray.graph._trees import is_dict, is_list, is_tuple
from quantray.nn._files._load import Wanting
from quantray.nn.quantized._grid import Grid
from quantray.nn.quantized._means import MEANS
from quantray.nn.quantized._weighted import Weighted
from quantray.quantization import _scalings
from quantray.quantization._fusing import Formula
from quantray.quantization._integers import (
    DEQUANTIZE,
    LAYER,
    MEAN,
    MOVE,
    QUANTIZE,
    SUMS,
    TABLE,
    Function,
    IntLayer,
    Owner,
    grids_of,
)
from quantray.quantization._layers import Layer, Limits

if TYPE_CHECKING:
    from quantray.quantization._converted import Converted
    from quantray.quantization._dynamic_runner import Dynamic

register_kinds(frozenset({QUANTIZE, DEQUANTIZE, LAYER, TABLE, MOVE, MEAN, *SUMS.values()}))

# Writing


def described(kind: str, graphs: Sequence[Graph], prefix: str, writer: Writer) -> dict[str, object]:
    """What a file has of what runs a model: its graphs, and modules that they call, or hooks of."""
    called: dict[str, None] = {}
    hooked: dict[str, None] = {}
    for node in (node for graph in graphs for node in graph):
        match node.kind:
            case "module" | "python":
                called[node.value] = None
            case "layer" if node.value.norm is not None:
                called[node.value.norm] = None
            case "hook":
                hooked[node.value[0]] = None
            case _:
                pass
    return {
        "kind": kind,
        "prefix": prefix,
        "graphs": [writer.graph(graph) for graph in graphs],
        "called": list(called),
        "hooked": list(hooked),
    }


# Reading


def attach(module: nn.Module, about: object, tensors: Mapping[str, Array]) -> None:
    """Lets a module run by the graphs that a file has of it.

    Raises
    ------
    ValueError
        They are no graphs, or not of such a module.
    """
    from quantray.quantization._converted import Converted
    from quantray.quantization._dynamic_runner import Dynamic

    reader = Reader(tensors)
    if not is_dict(about):
        raise Unreadable("what runs a model must be an object")
    graphs, prefix, kind = about.get("graphs"), about.get("prefix"), about.get("kind")
    if not is_list(graphs) or not isinstance(prefix, str) or kind not in ("converted", "dynamic"):
        raise Unreadable("what runs a model must be converted or dynamic, with graphs and a prefix")
    runner: Converted | Dynamic
    if kind == "dynamic" and not any(type(each) is nn.GraphModule for each in module.modules()):
        # The model has all that graphs are captured from.
        runner = Dynamic(prefix)
    else:
        read = [reader.graph(graph) for graph in graphs]
        if not read:
            raise Unreadable("there are no graphs")
        for graph in read:
            check(graph, module)
        is_near, keeps = about.get("is_near") is True, about.get("keeps_zero_points") is True
        runner = (
            Converted(read, prefix, is_near, _texts(about.get("spared", {})), keeps_zero_points=keeps)
            if kind == "converted"
            else Dynamic(prefix, read)
        )
    module.__dict__["_runner"] = runner
    if isinstance(runner, Converted):
        runner.scalings = _scalings.read(about.get("scalings", []))
        runner.refresh(module)
    else:
        runner.watch(module)


def _texts(given: object) -> dict[str, str]:
    if not is_dict(given):
        raise Unreadable("spared must be an object of texts")
    pairs = given.items()
    if not all(isinstance(value, str) for pair in pairs for value in pair):
        raise Unreadable("spared must be an object of texts")
    return dict(pairs)


def check(graph: Graph, module: nn.Module) -> None:
    """Raises where the nodes of a graph do not find in a module what they take."""
    for node in graph:
        try:
            _check_node(node, module)
        except (AttributeError, KeyError, TypeError) as error:
            raise Unreadable(f"{node.name} ({node.kind}): {error}") from None
    try:
        grids_of(graph, module)
    except (KeyError, IndexError):
        raise Unreadable("codes pass on a grid that no node before has") from None


def _check_node(node: Node, module: nn.Module) -> None:
    good = True
    match node.kind:
        case "parameter":
            path, key = node.value
            home = module.get_submodule(path)
            good = home._parameters.get(key, home._buffers.get(key)) is not None
        case "module" | "python":
            module.get_submodule(node.value)
        case "hook":
            path, when, key = node.value
            each = module.get_submodule(path)
            hooks = each._pre_hooks if when == "pre" else each._hooks
            if key not in hooks:
                raise Wanting(
                    f"{path or 'the model'} must have the forward hook that the model was saved with, which "
                    "changes its values: register it, then load"
                )
        case "layer":
            layer = node.value
            good = isinstance(layer, Layer) and layer.fake is None and len(node.args) == 3
            if good and layer.norm is not None:
                module.get_submodule(layer.norm)
        case "formula":
            value = node.value
            good = is_tuple(value) and len(value) == 2 and isinstance(value[0], Formula)
        case kind if kind.startswith("int."):
            good = _is_good_integer(node, module)
        case _:
            pass
    if not good:
        raise Unreadable(f"{node.name} ({node.kind}) has no value of its kind")


def _is_good_integer(node: Node, module: nn.Module) -> bool:
    owner, grid = node.kwargs.get("owner"), node.kwargs.get("grid")
    if not isinstance(grid, Grid | None) or not isinstance(owner, Owner | None):
        return False
    if owner is not None and not isinstance(
        getattr(module.get_submodule(owner.path), owner.attribute), Grid | None
    ):
        return False
    match node.kind:
        case "int.layer":
            return isinstance(node.value, IntLayer) and isinstance(
                module.get_submodule(node.value.path), Weighted
            )
        case "int.table":
            return isinstance(node.value, Function) and bool(node.inputs)
        case "int.move":
            kind_of(node.value)
            return bool(node.inputs)
        case "int.mean":
            return (node.value in MEANS or node.value == "mean") and bool(node.inputs) and grid is not None
        case _:
            return bool(node.inputs)


# Values of nodes


def _read_grid(value: object, reader: Reader) -> Grid:
    return Grid.checked(_items(value, 5))


def _items(value: object, count: int) -> list[object]:
    if not is_list(value) or len(value) != count:
        raise Unreadable(f"{count} items are wanted, got {value!r}")
    return value


def _read_path(value: object) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"a path must be text, got {value!r}")
    return value


def _read_limits(value: object) -> Limits:
    if value is None:
        return None
    low, high = (_read_end(end) for end in _items(value, 2))
    return low, high


def _read_end(value: object) -> float | None:
    if value is not None and not isinstance(value, float | int):
        raise Unreadable(f"{value!r} is no limit")
    return value


def _read_owner(value: object, reader: Reader) -> Owner:
    path, attribute = _items(value, 2)
    if attribute not in ("grid", "input_grid"):
        raise Unreadable(f"grids are not kept in {attribute!r}")
    return Owner(_read_path(path), _read_path(attribute))


def _read_int_layer(value: object, reader: Reader) -> IntLayer:
    path, limits = _items(value, 2)
    return IntLayer(_read_path(path), _read_limits(limits))


def _read_layer(value: object, reader: Reader) -> Layer:
    kind, home, norm, limits = _items(value, 4)
    name = _read_path(kind)
    kind_of(name)
    return Layer(name, _read_path(home), None if norm is None else _read_path(norm), _read_limits(limits))


def _list(limits: Limits) -> list[float | None] | None:
    return None if limits is None else list(limits)


register_value("grid", Grid, lambda grid, writer: list(grid), _read_grid)
register_value("owner", Owner, lambda owner, writer: [owner.path, owner.attribute], _read_owner)
register_value("int_layer", IntLayer, lambda v, writer: [v.path, _list(v.limits)], _read_int_layer)
register_value("layer", Layer, lambda v, writer: [v.kind, v.home, v.norm, _list(v.limits)], _read_layer)
register_value(
    "formula",
    Formula,
    lambda formula, writer: writer.graph(formula.graph),
    lambda value, reader: Formula(reader.graph(value)),
)
register_value(
    "table",
    Function,
    lambda function, writer: writer.node(function.node),
    lambda value, reader: Function(reader.node(value)),
)
