"""The pass from observers to integers over one graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from quantray import nn
from quantray.graph import Graph, Node, Part, Ref
from quantray.graph.kinds import module_kind
from quantray.nn import quantized
from quantray.nn._tracing import is_attached
from quantray.nn.quantized import Grid
from quantray.quantization._code_wires import CodeWires
from quantray.quantization._integers import (
    LAYER,
    MEAN,
    MOVE,
    QUANTIZE,
    SUMS,
    TABLE,
    Function,
    IntLayer,
    Owner,
)
from quantray.quantization._layers import RELU, Layer
from quantray.quantization._of_codes import integer_kind, is_mean
from quantray.quantization._placing import Point
from quantray.quantization._settings import is_by_rows, part_of
from quantray.quantization.qconfig import QConfig

if TYPE_CHECKING:
    from quantray.quantization._prepared import Prepared


class Owned(Protocol):
    """What the pass asks of the conversion that it is part of."""

    model: nn.Module
    runner: Prepared
    modules: dict[str, nn.Module]
    owners: dict[str, Owner | None]
    placed: set[str]
    divides: bool

    def grid(self, path: str) -> Grid:
        """The grid that an observer has found."""
        ...

    def is_integer(self, node: Node) -> bool:
        """Whether a layer that takes codes becomes one of integers."""
        ...

    def layer(self, node: Node, graph: Graph) -> str:
        """The path of the layer of integers that a layer's node becomes."""
        ...


class ToIntegers:
    """The pass from observers to integers over one graph."""

    def __init__(self, conversion: Owned, graph: Graph) -> None:
        self.conversion, self.model, self.old = conversion, conversion.model, graph
        self.wires = CodeWires(graph)
        self.made, self.codes = self.wires.made, self.wires.codes
        #: For wires of codes, the observers of those that floats are quantized on.
        self.points: dict[Ref, str] = {}
        self.observed = {node.args[0]: node for node in graph if node.kind == "observe"}
        self.kept = {node.args[0] for node in graph if node.kind == "snap"}
        for node in graph:
            self._add(node)
        self.graph = self.wires.graph(graph)

    def _grid_after(self, node: Node) -> tuple[Grid, Node] | None:
        """The grid that the wire of a node is observed on, and the observer's node."""
        observer = self.observed.get(Ref(node.name))
        if observer is None or observer.value.before:
            return None
        return self.conversion.grid(observer.value.path), observer

    def _add(self, node: Node) -> None:
        ref = Ref(node.name)
        if node.kind == "snap":
            self.wires.alias(ref, node.args[0])
        elif node.kind == "observe":
            self._observe(node, ref)
        elif node.kind == "layer" and is_by_rows(node, self._qconfig(node)):
            self._layer_by_rows(node)
        elif node.kind == "layer" and node.args[0] in self.codes and self.conversion.is_integer(node):
            self._layer(node, ref)
        elif node.kind == "tap":
            mapped = node.but(args=self.wires.now(node.args))
            self.made.nodes[mapped.name] = mapped
        elif not self._as_integers(node, ref):
            if node.kind == "module":
                self._swap(node)
            self.made.add(
                node.but(args=self.wires.as_floats(node.args), kwargs=self.wires.as_floats(dict(node.kwargs)))
            )

    def _qconfig(self, node: Node) -> QConfig | None:
        return self.conversion.runner.settings.of(node, self.model)

    def _observe(self, node: Node, ref: Ref) -> None:
        source = node.args[0]
        point: Point = node.value
        if source in self.codes and not point.before:
            # Whoever made it has put it on this grid.
            self.wires.alias(ref, source)
            return
        grid = self.conversion.grid(point.path)
        before = self.wires.as_float(source)
        owner = self.conversion.owners.get(point.path)
        quantize = node.become(
            QUANTIZE,
            (self.made.find(before),),
            self._rounded(grid, owner),
            name=f"{source.node}.quantize",
        )
        self.wires.put(quantize, ref, grid)
        self.points[self.codes[ref]] = point.path

    def _owned(self, observer: Node, owner: Callable[[], Owner | None]) -> Owner | None:
        """Who keeps the grid of an observer: found out in the first graph that has it."""
        path, owners = observer.value.path, self.conversion.owners
        if path not in owners:
            owners[path] = owner()
        return owners[path]

    def _layer(self, node: Node, ref: Ref) -> None:
        layer: Layer = node.value
        path = self.conversion.layer(node, self.old)
        found = self._grid_after(node)
        module = self.conversion.modules[path]
        x = self.codes[node.args[0]]
        grid = None if found is None else found[0]
        module.relu = layer.limits is not None
        module.relu6 = layer.limits == (0.0, 6.0)
        is_first = path not in self.conversion.placed
        self.conversion.placed.add(path)
        # The first call's grids are the module's own.
        owner = None if found is None else self._owned(found[1], lambda: Owner(path) if is_first else None)
        if owner is not None:
            module.grid = grid
        self._own_input(module, path, x)
        made = node.become(LAYER, (x,), {"grid": grid, "owner": owner}, IntLayer(path, layer.limits))
        self.wires.put(made, ref, grid)

    def _layer_by_rows(self, node: Node) -> None:
        """A layer that quantizes floats by the range of each row: a module of its own."""
        layer: Layer = node.value
        path = self.conversion.layer(node, self.old)
        made = self.made.add(
            node.but(kind="module", value=path, args=(self.wires.as_floats(node.args[0]),), kwargs={})
        )
        if layer.limits not in (None, RELU):
            low, high = layer.limits
            clip = node.become(
                "clip", (made,), {"low": low, "high": high}, name=self.made.name(f"{node.name}.clip")
            )
            self.made.nodes[clip.name] = clip
            self.made.replace(Ref(node.name), Ref(clip.name))

    def _own_input(self, module: nn.Module, path: str, x: Ref) -> None:
        """Floats are quantized on a layer's own input grid; the first layer that takes them keeps it."""
        source = self.made.nodes[x.node]
        owner: Owner | None = source.kwargs.get("owner")
        if source.kind != QUANTIZE or (owner is not None and owner.attribute != "input_grid"):
            return
        owners, point = self.conversion.owners, self.points.get(x)
        if point is None or (owner is None and point in owners):
            # Not floats on a wire of their own; or, in a graph before, codes, whose node keeps the grid.
            return
        if module.input_grid is None:
            module.input_grid = self.wires.grids[x]
            if owner is None:
                owners[point] = Owner(path, "input_grid")
                settings = {"grid": self.wires.grids[x], "owner": owners[point]}
                self.made.nodes[x.node] = source.but(kwargs=settings)

    def _swap(self, node: Node) -> None:
        """A module that somebody has registered an integer version of."""
        module = self.model.get_submodule(node.value)
        integer = module_kind(module).integer
        if integer is None or node.value in self.conversion.modules:
            return
        if self.conversion.runner.settings.of(node, self.model) is not None:
            self.conversion.modules[node.value] = integer.from_float(module)

    def _as_integers(self, node: Node, ref: Ref) -> bool:
        """A node between integers as one of them; whether it could."""
        part = part_of(node, self.model)
        floats = [r for r in node.inputs if self.old.fact(r).is_float]
        if part is Part.KEEPS and floats and floats[0] in self.codes and ref in self.kept:
            self._keep(node, ref)
            return True
        if part is Part.BEGINS:
            found = self._grid_after(node)
            if found is not None:
                self._begin(node, ref, found[0])
                return True
            return False
        if part is Part.ENDS:
            path = node.value
            self.conversion.modules[path] = quantized.DeQuantize()
            if floats and floats[0] in self.codes:
                self.made.replace(ref, self.wires.as_float(floats[0]))
                return True
            return False
        if part is not Part.FOLLOWS and not is_mean(node):
            return False
        found = self._grid_after(node)
        kind = integer_kind(node, self.old, self.codes.__contains__)
        has_none = kind is None and (node.kind in SUMS or part is not Part.FOLLOWS)
        if found is None or has_none:
            return False
        grid, observer = found
        if kind is not None:
            by = self._functional if node.kind in SUMS else self._requantized
            owner = self._owned(observer, lambda: by(node, grid))
            settings: dict[str, object] = {"grid": grid, "owner": owner}
            args: tuple[object, ...] = (self.codes.get(floats[0]),)
            value: object = None
            if kind == MEAN:
                settings = self.wires.now(dict(node.kwargs)) | settings
                value = node.kind
            elif kind == TABLE:
                value, settings = Function(node), self._rounded(grid, owner)
            else:
                settings = dict(node.kwargs) | settings
                args = self._terms(node)
            made = node.become(kind, args, settings, value)
            self.wires.put(made, ref, grid)
            return True
        # In floats, from codes to codes.
        owner = self._owned(observer, lambda: self._requantized(node, grid))
        inner = self.made.add(
            node.but(
                name=self.made.name(f"{node.name}.float"),
                args=self.wires.as_floats(node.args),
                kwargs=self.wires.as_floats(dict(node.kwargs)),
            )
        )
        quantize = node.become(QUANTIZE, (inner,), self._rounded(grid, owner))
        self.wires.put(quantize, ref, grid)
        return True

    def _rounded(self, grid: Grid, owner: Owner | None) -> dict[str, object]:
        """What a node is told that rounds floats to a grid."""
        settings: dict[str, object] = {"grid": grid, "owner": owner}
        return settings | {"divides": True} if self.conversion.divides else settings

    def _keep(self, node: Node, ref: Ref) -> None:
        source = node.inputs[0]
        if node.kind == "module":
            # Dropout in evaluation.
            self.wires.alias(ref, source)
            return
        code = self.codes[source]
        args = tuple(code if arg == source else arg for arg in node.args)
        made = node.become(MOVE, self.wires.now(args), self.wires.now(dict(node.kwargs)), node.kind)
        self.wires.put(made, ref, self.wires.grids[code])

    def _begin(self, node: Node, ref: Ref, grid: Grid) -> None:
        self.conversion.modules[node.value] = quantized.Quantize(grid)
        source = self.wires.as_float(node.args[0])
        made = node.become(QUANTIZE, (self.made.find(source),), {"grid": grid, "owner": Owner(node.value)})
        self.wires.put(made, ref, grid)

    def _terms(self, node: Node) -> tuple[Ref | tuple[Ref, ...], ...]:
        """What is added, multiplied or joined: codes, or floats in a sum."""
        if node.kind == "concat":
            return (tuple(self.codes[t] for t in node.args[0]),)
        refs = [arg for arg in node.args[:2] if isinstance(arg, Ref)]
        return tuple(self.codes[r] if r in self.codes else self.made.find(r) for r in refs)

    def _functional(self, node: Node, grid: Grid) -> Owner | None:
        """The `QFunctional` that a `FloatFunctional` becomes, which keeps the grid of its first call."""
        path = node.scope
        module = self.model.get_submodule(path) if path else self.model
        if not isinstance(module, nn.FloatFunctional) or path in self.conversion.modules:
            return None
        relu = node.get("limits") is not None and isinstance(module, nn.intrinsic.AddReLU)
        self.conversion.modules[path] = quantized.QFunctional(grid, relu)
        return Owner(path)

    def _requantized(self, node: Node, grid: Grid) -> Owner | None:
        """The `Requantized` that a module between integers becomes; it keeps its first call's grid."""
        path = node.value if node.kind == "module" else node.name.partition("#")[0]
        if not path or path in self.conversion.modules or self.model._submodule(path) is None:
            return None
        module = self.model.get_submodule(path)
        if type(module).__module__.split(".")[0] != "quantray" or (
            node.scope not in ("", path) and node.scope != path
        ):
            return None
        inner = module.copy()
        for name in [name for name in inner._modules if is_attached(name)]:
            del inner._modules[name]
        inner._pre_hooks.clear()
        inner._hooks.clear()
        inner.__dict__.pop("qconfig", None)
        inner.__dict__["_marks"] = ()
        self.conversion.modules[path] = quantized.Requantized(inner.eval(), grid)
        return Owner(path)
