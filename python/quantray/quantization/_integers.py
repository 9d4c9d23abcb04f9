"""Nodes of converted graphs: what computes in integers, node by node.

Values on their wires are QTensors. This is the meaning of a converted graph; the program that usually runs
it computes the same integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from quantray import _core, nn, ops
from quantray._core import QTensor, make_per_tensor_quantized_tensor
from quantray._typing import Args, Array, Codes, Floats, Kwargs, Tensor
from quantray.graph import Graph, Node, Ref, kind_of
from quantray.graph._run import call
from quantray.nn.quantized._follows import Requantized
from quantray.nn.quantized._grid import Grid
from quantray.nn.quantized._means import averaged
from quantray.quantization._layers import Limits, compute_layer

#: What a node gives: a tensor, or several.
Outputs: TypeAlias = Tensor | tuple[Tensor, ...]
#: What computes a node of a module.
Compute: TypeAlias = Callable[[nn.Module, Node, Args, Kwargs], Outputs]
#: Kinds of integer nodes.
QUANTIZE, DEQUANTIZE, LAYER, TABLE, MOVE, MEAN = (
    "int.quantize",
    "int.dequantize",
    "int.layer",
    "int.table",
    "int.move",
    "int.mean",
)
SUMS = {"add": "int.add", "sub": "int.sub", "mul": "int.mul", "matmul": "int.matmul", "concat": "int.concat"}


@dataclass(frozen=True)
class Owner:
    """The module of a converted model that a node's setting is kept in."""

    path: str
    #: Which attribute of it is the grid of what comes out: `grid`, or `input_grid`.
    attribute: str = "grid"


@dataclass(frozen=True)
class IntLayer:
    """A layer of integers: which module holds its weight, and the limits of its output."""

    path: str
    limits: Limits = None


@dataclass(frozen=True)
class Function:
    """What a table of 256 codes is made of: a node of one array, in floats."""

    node: Node

    def __call__(self, x: Array) -> Array:
        """The function of floats."""
        if self.node.kind == "formula":
            return self.node.value[0](x)
        args = tuple(x if isinstance(arg, Ref) else arg for arg in self.node.args)
        return kind_of(self.node.kind).function(*args, **self.node.kwargs)

    def codes(self, source: Grid, target: Grid, *, divides: bool = False) -> NDArray[np.uint8]:
        """The code of each code, by its bits as uint8."""
        dtype = getattr(_core, source.dtype)
        bits = np.arange(256, dtype=np.uint8)
        every = make_per_tensor_quantized_tensor(
            bits.view(np.int8) if source.dtype == "qint8" else bits, source.scale, source.zero_point
        )
        assert every.dtype is dtype or every.dtype == dtype
        known = None if self.node.kind == "formula" else kind_of(self.node.kind).integer
        if known is not None:
            made = target.clamp(known(every, *target.output, **self.node.kwargs))
            return np.asarray(made.int_repr()).view(np.uint8).copy()
        with np.errstate(all="ignore"):
            values = np.asarray(self(np.ascontiguousarray(every.dequantize())), np.float32)
        made = target.quantize(_without_nan(values, source), divides=divides)
        return np.asarray(made.int_repr()).view(np.uint8).copy()


def _without_nan(values: Floats, source: Grid) -> Floats:
    """Values of codes that the function is not defined for become their nearest neighbour's: none of these
    codes was seen in calibration, where NaN is an error.
    """
    missing = np.isnan(values)
    if not missing.any() or missing.all():
        return np.zeros_like(values) if missing.all() else values
    # In the order of values, not of bits.
    order = np.argsort(np.arange(256, dtype=np.uint8).view(np.int8 if source.dtype == "qint8" else np.uint8))
    sorted_values, places = values[order], np.arange(256)
    known = places[~missing[order]]
    nearest = known[np.abs(places[:, None] - known[None]).argmin(1)]
    made = np.empty_like(values)
    made[order] = sorted_values[nearest]
    return made


def grid_of(node: Node, model: nn.Module) -> Grid | None:
    """The grid of what a node makes, as it is now: in the module that owns it, or in the node."""
    owner: Owner | None = node.kwargs.get("owner")
    if owner is not None:
        return getattr(model.get_submodule(owner.path), owner.attribute)
    return node.kwargs.get("grid")


def grids_of(graph: Graph, model: nn.Module) -> dict[Ref, Grid]:
    """The grid of each wire of codes."""
    found: dict[Ref, Grid] = {}
    for node in graph:
        if node.kind == DEQUANTIZE or not node.kind.startswith("int."):
            continue
        ref = Ref(node.name)
        if node.kind == MOVE:
            found[ref] = found[node.inputs[0]]
        else:
            own = grid_of(node, model)
            if own is not None:
                found[ref] = own
    return found


def compute(model: nn.Module, node: Node, args: Args, kwargs: Kwargs, grids: Mapping[Ref, Grid]) -> Outputs:
    """One node of a converted graph."""
    grid = grids.get(Ref(node.name))
    match node.kind:
        case "int.quantize":
            assert grid is not None
            return grid.quantize(args[0], divides=bool(node.get("divides")))
        case "int.dequantize":
            return args[0].dequantize()
        case "int.layer":
            return int_layer(model.get_submodule(node.value.path), args[0], grid, node.value.limits)
        case "int.table":
            assert grid is not None
            table = node.value.codes(grids[node.inputs[0]], grid, divides=bool(node.get("divides")))
            return looked_up(args[0], table, grid)
        case "int.move":
            return moved(args, node, kwargs)
        case "int.mean":
            assert grid is not None
            settings = {name: value for name, value in kwargs.items() if name not in ("grid", "owner")}
            return averaged(args[0], node.value, settings, grid)
        case "int.add":
            assert grid is not None
            a, b = args[:2]
            limits = node.get("limits")
            total = ops.add(a, b, *grid.output, relu=limits is not None)
            return limited_codes(grid.clamp(total), limits, grid)
        case "int.sub" | "int.mul" | "int.matmul":
            assert grid is not None
            operators: dict[str, Callable[..., QTensor]] = {
                "int.sub": ops.sub,
                "int.mul": ops.mul,
                "int.matmul": ops.matmul,
            }
            return grid.clamp(operators[node.kind](*args[:2], *grid.output))
        case "int.concat":
            assert grid is not None
            return grid.clamp(ops.cat(list(args[0]), node.get("axis"), *grid.output))
        case "layer":
            return compute_layer(model, node, args, kwargs)
        case "formula":
            return node.value[0](args[0])
        case "module":
            module = model.get_submodule(node.value)
            # The module itself is inside of what has taken its place.
            return (module.module if isinstance(module, Requantized) else module).forward(*args, **kwargs)
        case _:
            return call(node, args, kwargs, model)


def int_layer(module: nn.Module, x: QTensor, grid: Grid | None, limits: Limits) -> Tensor:
    """A layer of integers: codes, or floats where there is no grid."""
    packed, relu = module.packed, limits is not None
    if grid is None:
        output = packed(x, relu=relu)
        if limits is not None and limits[1] is not None:
            np.minimum(output, np.float32(limits[1]), out=output)
        return output
    return limited_codes(grid.clamp(packed(x, *grid.output, relu=relu)), limits, grid)


def limited_codes(q: QTensor, limits: Limits, grid: Grid) -> QTensor:
    """Codes up to that of the limits' end, in place; ReLU is in the operator already."""
    if limits is not None and limits[1] is not None:
        codes = q.int_repr()
        np.minimum(codes, code_of(limits[1], grid), out=codes)
    return q


def code_of(value: float, grid: Grid) -> int:
    """The code that stands for a number."""
    return int(grid.quantize(np.array([value], np.float32)).int_repr()[0])


def looked_up(q: QTensor, table: NDArray[np.uint8], grid: Grid) -> QTensor:
    """A table's codes in the place of a tensor's."""
    codes = np.asarray(q.int_repr())
    made = table[codes.view(np.uint8)]
    return make_per_tensor_quantized_tensor(
        made.view(np.int8) if grid.dtype == "qint8" else made, grid.scale, grid.zero_point
    )


def moved(args: Args, node: Node, kwargs: Kwargs) -> QTensor:
    """What passes codes on: windows by their operator, movements by NumPy on the codes themselves."""
    q = args[0]
    kind: str = node.value
    if kind == "relu":
        return clamped(q, q.q_zero_point(), None)
    if kind == "clip":
        grid = _grid_of_tensor(q)
        ends = [None if end is None else code_of(end, grid) for end in (kwargs["low"], kwargs["high"])]
        return clamped(q, *ends)
    if kind == "mean":
        size = np.ndim(q) - 2
        pooled = getattr(nn.functional, f"adaptive_avg_pool{size}d")(q, 1)
        return pooled if kwargs["keepdims"] else pooled.reshape(pooled.shape[:2])
    rest = args[1:]
    if "pool" in kind or kind in ("interpolate", "pad") or kind.startswith("functional."):
        return kind_of(kind).function(q, *rest, **kwargs)
    codes = np.asarray(q.int_repr())
    made = np.ascontiguousarray(kind_of(kind).function(codes, *rest, **kwargs))
    return make_per_tensor_quantized_tensor(made, q.q_scale(), q.q_zero_point())


def clamped(q: QTensor, low: int | None, high: int | None) -> QTensor:
    """Codes within a range, as a tensor of its own."""
    codes = q.int_repr()
    made: Codes = np.clip(codes, low, high, out=np.empty_like(codes))
    return make_per_tensor_quantized_tensor(made, q.q_scale(), q.q_zero_point())


def _grid_of_tensor(q: QTensor) -> Grid:
    is_signed = q.int_repr().dtype == np.int8
    low, high = (-128, 127) if is_signed else (0, 255)
    return Grid(q.q_scale(), q.q_zero_point(), "qint8" if is_signed else "quint8", low, high)
