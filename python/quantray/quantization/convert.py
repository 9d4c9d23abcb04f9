"""From prepared models to models of integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from quantray import nn
from quantray._core import per_channel_affine_float_qparams
from quantray.graph import Expr, Graph, Node, Part, Ref, Rewriter, kind_of
from quantray.graph._graph import map_tree, map_wires, ordered
from quantray.graph.kinds import LAYERS, module_kind
from quantray.nn import quantized
from quantray.nn._tracing import WHOLE, is_attached
from quantray.nn.intrinsic import FusedWeighted
from quantray.nn.intrinsic._fused import BATCH_NORMS
from quantray.nn.qat import FusedQAT
from quantray.nn.qat._weighted import QAT
from quantray.nn.quantized import QUANTIZED_MODULES, Grid
from quantray.nn.quantized._weighted import quantize_weight
from quantray.quantization._converted import Converted
from quantray.quantization._integers import (
    DEQUANTIZE,
    LAYER,
    MOVE,
    QUANTIZE,
    SUMS,
    TABLE,
    Function,
    IntLayer,
    Owner,
)
from quantray.quantization._layers import Layer, weights_of
from quantray.quantization._placing import Point
from quantray.quantization._prepared import Prepared, called_children, prepared_of
from quantray.quantization._settings import part_of
from quantray.quantization.observer._zeros import warn_of_zeros

M = TypeVar("M", bound=nn.Module)


def convert(model: M, inplace: bool = False) -> M:
    """The model of integers that a prepared model has come to.

    Parameters
    ----------
    model : Module
        From `prepare`, calibrated, or from `prepare_qat`, trained.
    inplace : bool
        Whether `model` itself is changed, and not a copy.

    Returns
    -------
    Module
        It computes by its graphs, not by `forward`. Weights and scales are those that the prepared model
        observed or was trained with; what quantization does not know, and what has no qconfig, stays float.

    Raises
    ------
    ValueError
        For a module that has seen no data; it is named. The model is left as it was.

    Source: `torch.ao.quantization.convert`.
    """
    runner = prepared_of(model)
    if runner is None:
        raise ValueError("model must come from prepare or prepare_qat")
    if not inplace:
        model = model.copy()
        runner = prepared_of(model)
        assert runner is not None
    conversions = _plan(model, runner)
    _check_all_seen(model, runner, conversions)
    for conversion in conversions:
        made = conversion.put()
        if conversion.prefix == "":
            model = made  # type: ignore[assignment]
    return model.eval()


def _plan(model: nn.Module, runner: Prepared) -> list[Conversion]:
    """What becomes of a model, and of what is inside of modules that run as Python: nothing is changed yet."""
    graph = runner.graph_of(model, training=False)
    if graph is None:
        raise ValueError(
            "model must have seen data: calibrate(model, batches), or call it, before it is converted"
        )
    graphs = [each for each in runner.graphs if not each.training]
    conversion = Conversion(model, runner, graphs)
    found: list[Conversion] = []
    for each in graphs:
        for node in each:
            if node.kind != "python":
                continue
            for name, child in called_children(model.get_submodule(node.value)):
                inner = prepared_of(child)
                if inner is not None and inner.example is not None:
                    planned = _plan(child, inner)
                    found += [c for c in planned if all(c.model is not f.model for f in found)]
                    path = f"{node.value}.{name}" if node.value else name
                    own = next(c for c in found if c.model is child)
                    conversion.inner.append((path, own))
    return [*found, conversion]


def _check_all_seen(model: nn.Module, runner: Prepared, conversions: list[Conversion]) -> None:
    """Layers that are to be quantized, and that no graph has."""
    seen = {id(module) for conversion in conversions for module in conversion.reached()}
    for conversion in conversions:
        for path in set().union(*(graph.unused for graph in conversion._graphs)):
            seen.add(id(conversion.model.get_submodule(path)))
    for name, module in model.named_modules():
        kind = type(module)
        is_layer = kind in QUANTIZED_MODULES or isinstance(module, (QAT, FusedQAT))
        if not is_layer or id(module) in seen:
            continue
        parent = model.get_submodule(name.rpartition(".")[0])
        if isinstance(parent, (FusedWeighted, FusedQAT)) and id(parent) in seen:
            continue
        path = name.rpartition(".")[0]
        inside = [model.get_submodule(path)]
        if any(
            type(each) in WHOLE or getattr(type(each).forward, "is_whole", None)
            for each in inside
            if each is not model
        ):
            continue
        qconfig = runner.settings.of(Node(name, "module", value=name), model)
        if qconfig is not None:
            raise ValueError(
                f"{name or 'model'} ({module._get_name()}) has seen no data: calibrate with data that "
                "reaches it, or give it no qconfig"
            )


class Conversion:
    """One model's way from observers to integers."""

    def __init__(self, model: nn.Module, runner: Prepared, graphs: list[Graph]) -> None:
        self.model, self.runner, self.prefix = model, runner, runner.prefix
        self.inner: list[tuple[str, Conversion]] = []
        #: The model of integers, once it is put together.
        self.result: nn.Module | None = None
        #: By home and weight, what the layer becomes and where it is put.
        self.layers: dict[tuple[str, Any], tuple[str, nn.Module]] = {}
        self.modules: dict[str, nn.Module] = {}
        self._graphs = graphs
        self.graphs = [self._converted(graph) for graph in graphs]
        self._convert_tables()

    def reached(self) -> list[nn.Module]:
        """The modules that the graphs come through."""
        found: list[nn.Module] = [self.model]
        for graph in self._graphs:
            for node in graph:
                if node.kind == "layer":
                    home = self.model.get_submodule(node.value.home)
                    found.append(home)
                    if node.scope:
                        found.append(self.model.get_submodule(node.scope))
                elif node.kind == "module":
                    found.append(self.model.get_submodule(node.value))
        return found

    # Graphs

    def _converted(self, graph: Graph) -> Graph:
        return _Integers(self, graph).graph

    def _convert_tables(self) -> None:
        """Embeddings whose QConfig asks for rows of integers, each on a grid of its own."""
        for path, module in self.model.named_modules():
            kind = _TABLES.get(type(module))
            if kind is None or path in self.modules:
                continue
            qconfig = self.runner.settings.of_module(path, type(module), self.model)
            weight = None if qconfig is None else qconfig.weight()
            if getattr(weight, "qscheme", None) is per_channel_affine_float_qparams:
                self.modules[path] = kind.from_float(module, dtype=weight.dtype)

    def grid(self, path: str) -> Grid:
        """The grid that an observer has found."""
        observer = self.model.get_submodule(path)
        full = ".".join(part for part in (self.prefix, path) if part)
        try:
            grid = Grid.of(observer)
            warn_of_zeros(getattr(observer, "activation_post_process", observer), full, stacklevel=4)
            return grid
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{full}: {error}") from None

    def layer(self, node: Node, graph: Graph) -> str:
        """The path of the layer of integers that a layer's node becomes; its weight is quantized once."""
        layer: Layer = node.value
        key = layer.home, node.args[1]
        if key in self.layers:
            return self.layers[key][0]
        name = ".".join(part for part in (self.prefix, layer.home) if part) or "model"
        home = self.model.get_submodule(layer.home)
        weight, bias = layer.weight_and_bias(
            self.model, weights_of(node, graph, self.model), dict(node.kwargs)
        )
        kind = QUANTIZED_MODULES[getattr(nn, LAYERS[layer.kind])]
        if layer.fake is not None:
            observer = self.model.get_submodule(layer.fake)
        else:
            qconfig = self.runner.settings.of(node, self.model)
            assert qconfig is not None
            observer = qconfig.weight()
            observer(weight)
        try:
            codes = quantize_weight(weight, observer, kind.axis)
            weight_observer = getattr(observer, "activation_post_process", observer)
            warn_of_zeros(weight_observer, f"{name}.weight" if name != "model" else "weight", stacklevel=4)
            settings = {**dict(node.kwargs), "padding_mode": "zeros"}
            made = kind.of(
                _Settings(settings),
                codes,
                None if bias is None else np.asarray(bias, np.float32),
                grid=None,
                input_grid=None,
            )
        except (ValueError, TypeError) as error:
            raise type(error)(f"{name} ({home._get_name()}): {error}") from None
        path = layer.home if _is_only(node, home) else self._beside(layer.home, node, graph)
        self.layers[key] = path, made
        self.modules[path] = made
        return path

    def _beside(self, home: str, node: Node, graph: Graph) -> str:
        """A name inside of a module that does more than this layer: that of its parameter."""
        needed = ordered(graph, [node.args[1]])
        keys = [n.value[1] for n in needed.values() if n.kind == "parameter"]
        name = f"{(keys[0] if keys else node.value.kind)}_quantized"
        taken = {path for path, _ in self.layers.values()}
        path, count = f"{home}.{name}" if home else name, 1
        while path in taken:
            count += 1
            path = f"{home}.{name}_{count}" if home else f"{name}_{count}"
        return path

    # Modules

    def put(self) -> nn.Module:
        """Puts the modules of integers in their places, and the graphs in that of `forward`."""
        model = self.model
        self.runner.detach(model)
        for path, inner in self.inner:
            assert inner.result is not None
            self.modules[path] = inner.result
        kept = _Kept(self.graphs)
        for path, module in list(model.named_modules(remove_duplicate=False)):
            if not path or path in self.modules:
                continue
            if kept.is_absorbed(path, module, self._graphs):
                self.modules[path] = nn.Identity()
        model = _replaced(model, self.modules)
        _clean(model, self.graphs)
        runner = Converted(self.graphs, self.prefix)
        model.__dict__["_runner"] = runner
        runner.refresh(model)
        self.result = model
        return model


class _Settings:
    """A layer's settings as attributes."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.__dict__.update({"output_padding": 0, **settings})


def _is_only(node: Node, home: nn.Module) -> bool:
    """Whether a module does nothing but this layer, so that a layer of integers can take its place."""
    if isinstance(home, (FusedWeighted, FusedQAT, QAT)) or type(home) in QUANTIZED_MODULES:
        return True
    return node.name.partition("#")[0] == node.value.home


def _replaced(model: nn.Module, modules: dict[str, nn.Module]) -> nn.Module:
    """The model with other modules in some places; a module under several names is replaced under all."""
    by_old: dict[int, nn.Module] = {}
    for path, new in modules.items():
        try:
            by_old[id(model.get_submodule(path))] = new
        except AttributeError:
            parent, _, name = path.rpartition(".")
            model.get_submodule(parent).add_module(name, new)
    if id(model) in by_old:
        return by_old[id(model)]

    def walk(module: nn.Module, seen: set[int]) -> None:
        if id(module) in seen:
            return
        seen.add(id(module))
        for name, child in list(module._modules.items()):
            if child is None:
                continue
            if id(child) in by_old:
                module._modules[name] = by_old[id(child)]
            else:
                walk(child, seen)

    walk(model, set())
    return model


def _clean(model: nn.Module, graphs: list[Graph]) -> None:
    """Observers go; so do float parameters of modules whose layers are beside them now."""
    used = {node.value for graph in graphs for node in graph if node.kind == "parameter"}
    for path, module in list(model.named_modules()):
        for name in [name for name in module._modules if is_attached(name)]:
            del module._modules[name]
        module.__dict__.pop("qconfig", None)
        beside = [name for name in module._modules if "_quantized" in name]
        if not beside:
            continue
        for key in [k for k, v in module._parameters.items() if v is not None]:
            if (path, key) not in used:
                module._parameters[key] = None


class _Kept:
    """Which modules the integer graphs still come through."""

    def __init__(self, graphs: list[Graph]) -> None:
        self.nodes = [node for graph in graphs for node in graph]

    def is_absorbed(self, path: str, module: nn.Module, before: list[Graph]) -> bool:
        """Whether all that a plain module did has become part of other nodes."""
        if type(module) not in _ABSORBABLE:
            return False
        if any(
            path in (node.value, node.scope, node.name.partition("#")[0])
            for node in self.nodes
            if not isinstance(node.value, (np.ndarray,))
        ):
            return False
        norms = {node.value.norm for graph in before for node in graph if node.kind == "layer"}
        return isinstance(module, BATCH_NORMS) is (path in norms)


#: What takes the place of tables that are looked up.
_TABLES: dict[type[nn.Module], Any] = {
    nn.Embedding: quantized.Embedding,
    nn.EmbeddingBag: quantized.EmbeddingBag,
}
#: Classes whose work can become part of a layer's.
_ABSORBABLE = (nn.ReLU, nn.ReLU6, *BATCH_NORMS)


class _Integers:
    """The pass from observers to integers over one graph."""

    def __init__(self, conversion: Conversion, graph: Graph) -> None:
        self.conversion, self.model, self.old = conversion, conversion.model, graph
        self.made = Rewriter(graph)
        #: For wires of the old graph, those of codes; and for these, those of floats that are there already.
        self.codes: dict[Ref, Ref] = {}
        self.grids: dict[Ref, Grid] = {}
        self.floats: dict[Ref, Ref] = {}
        self.observed = {node.args[0]: node for node in graph if node.kind == "observe"}
        self.kept = {node.args[0] for node in graph if node.kind == "snap"}
        for node in graph:
            self._add(node)
        output = self._floats(graph.output)
        guards = tuple(replace(g, subject=map_wires(self._now, g.subject)) for g in graph.guards)
        self.graph = self.made.graph().but(output=self.made.map(output), guards=guards).pruned()

    def _floats(self, tree: Any) -> Any:
        """Arguments with floats in the place of codes; lengths are those of the codes."""

        def leaf(value: Any) -> Any:
            if isinstance(value, Ref):
                return self._as_float(value)
            return map_wires(self._now, value) if isinstance(value, Expr) else value

        return map_tree(leaf, tree)

    def _now(self, ref: Ref) -> Ref:
        """The wire that has what an old one had, codes or floats."""
        return self.codes.get(ref, self.made.find(ref))

    def _as_float(self, ref: Ref) -> Ref:
        code = self.codes.get(ref)
        if code is None:
            return ref
        if code not in self.floats:
            source = self.made.nodes[code.node]
            node = Node(
                self.made.name(f"{code.node}.dequantize"),
                DEQUANTIZE,
                (code,),
                {},
                source.facts,
                source.scope,
                source.at,
            )
            self.made.nodes[node.name] = node
            self.floats[code] = Ref(node.name)
        return self.floats[code]

    def _put(self, node: Node, old: Ref, grid: Grid | None) -> None:
        """An integer node in the place of an old wire."""
        if node.name in self.made.nodes:
            node = node.but(name=self.made.name(node.name))
        self.made.nodes[node.name] = node
        new = Ref(node.name)
        if grid is None:
            self.made.replace(old, new)
        else:
            self.codes[old] = new
            self.grids[new] = grid

    def _grid_after(self, node: Node) -> tuple[Grid, Node] | None:
        """The grid that the wire of a node is observed on, and the observer's node."""
        observer = self.observed.get(Ref(node.name))
        if observer is None or observer.value.before:
            return None
        return self.conversion.grid(observer.value.path), observer

    def _add(self, node: Node) -> None:
        ref = Ref(node.name)
        if node.kind == "snap":
            self._alias(ref, node.args[0])
        elif node.kind == "observe":
            self._observe(node, ref)
        elif node.kind == "layer" and node.args[0] in self.codes:
            self._layer(node, ref)
        elif node.kind == "tap":
            mapped = node.but(args=self._codes_tree(node.args))
            self.made.nodes[mapped.name] = mapped
        elif not self._as_integers(node, ref):
            if node.kind == "module":
                self._swap(node)
            self.made.add(node.but(args=self._floats(node.args), kwargs=self._floats(dict(node.kwargs))))

    def _codes_tree(self, tree: Any) -> Any:
        return map_wires(self._now, tree)

    def _alias(self, new: Ref, old: Ref) -> None:
        if old in self.codes:
            self.codes[new] = self.codes[old]
        else:
            self.made.replace(new, old)

    def _observe(self, node: Node, ref: Ref) -> None:
        source = node.args[0]
        point: Point = node.value
        if source in self.codes and not point.before:
            # Whoever made it has put it on this grid.
            self._alias(ref, source)
            return
        grid = self.conversion.grid(point.path)
        before = self._as_float(source)
        owner = None
        quantize = Node(
            f"{source.node}.quantize",
            QUANTIZE,
            (self.made.find(before),),
            {"grid": grid, "owner": owner},
            node.facts,
            node.scope,
            node.at,
        )
        self._put(quantize, ref, grid)

    def _layer(self, node: Node, ref: Ref) -> None:
        layer: Layer = node.value
        path = self.conversion.layer(node, self.old)
        found = self._grid_after(node)
        module: Any = self.conversion.modules[path]
        x = self.codes[node.args[0]]
        grid = None if found is None else found[0]
        owner: Owner | None = None
        module.relu = layer.limits is not None
        module.relu6 = layer.limits == (0.0, 6.0)
        if not getattr(module, "_is_placed", False):
            # The first call's grids are the module's own.
            module.__dict__["_is_placed"] = True
            if grid is not None:
                module.grid, owner = grid, Owner(path)
        self._own_input(module, path, x)
        made = Node(
            node.name,
            LAYER,
            (x,),
            {"grid": grid, "owner": owner},
            node.facts,
            node.scope,
            node.at,
            IntLayer(path, layer.limits),
        )
        self._put(made, ref, grid)

    def _own_input(self, module: Any, path: str, x: Ref) -> None:
        """Floats are quantized on a layer's own input grid; the first layer that takes them keeps it."""
        source = self.made.nodes[x.node]
        owner: Owner | None = source.kwargs.get("owner")
        if source.kind != QUANTIZE or (owner is not None and owner.attribute != "input_grid"):
            return
        if module.input_grid is None:
            module.input_grid = self.grids[x]
            if owner is None:
                settings = {"grid": self.grids[x], "owner": Owner(path, "input_grid")}
                self.made.nodes[x.node] = source.but(kwargs=settings)

    def _swap(self, node: Node) -> None:
        """A module that somebody has registered an integer version of."""
        module = self.model.get_submodule(node.value)
        integer = module_kind(module).integer
        if integer is not None and node.value not in self.conversion.modules:
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
                self.made.replace(ref, self._as_float(floats[0]))
                return True
            return False
        if part is not Part.FOLLOWS:
            return False
        found = self._grid_after(node)
        if found is None:
            return False
        grid, _ = found
        if node.kind in SUMS:
            args = self._terms(node)
            if args is None:
                return False
            owner = self._functional(node, grid)
            self._put(
                Node(
                    node.name,
                    SUMS[node.kind],
                    args,
                    {**node.kwargs, "grid": grid, "owner": owner},
                    node.facts,
                    node.scope,
                    node.at,
                ),
                ref,
                grid,
            )
            return True
        if self._is_table(node, floats):
            owner = self._requantized(node, grid)
            made = Node(
                node.name,
                TABLE,
                (self.codes[floats[0]],),
                {"grid": grid, "owner": owner},
                node.facts,
                node.scope,
                node.at,
                Function(node),
            )
            self._put(made, ref, grid)
            return True
        # In floats, from codes to codes.
        inner = self.made.add(
            node.but(
                name=self.made.name(f"{node.name}.float"),
                args=self._floats(node.args),
                kwargs=self._floats(dict(node.kwargs)),
            )
        )
        owner = self._requantized(node, grid)
        quantize = Node(
            node.name, QUANTIZE, (inner,), {"grid": grid, "owner": owner}, node.facts, node.scope, node.at
        )
        self._put(quantize, ref, grid)
        return True

    def _keep(self, node: Node, ref: Ref) -> None:
        source = node.inputs[0]
        if node.kind == "module":
            # Dropout in evaluation.
            self._alias(ref, source)
            return
        code = self.codes[source]
        args = tuple(code if arg == source else arg for arg in node.args)
        made = Node(
            node.name,
            MOVE,
            self._codes_tree(args),
            self._codes_tree(dict(node.kwargs)),
            node.facts,
            node.scope,
            node.at,
            node.kind,
        )
        self._put(made, ref, self.grids[code])

    def _begin(self, node: Node, ref: Ref, grid: Grid) -> None:
        self.conversion.modules[node.value] = quantized.Quantize(grid)
        source = self._as_float(node.args[0])
        made = Node(
            node.name,
            QUANTIZE,
            (self.made.find(source),),
            {"grid": grid, "owner": Owner(node.value)},
            node.facts,
            node.scope,
            node.at,
        )
        self._put(made, ref, grid)

    def _terms(self, node: Node) -> tuple[Any, ...] | None:
        """What is added, multiplied or joined: codes, and at most one term of floats in a sum."""
        if node.kind == "concat":
            (tensors,) = node.args
            if all(t in self.codes for t in tensors):
                return (tuple(self.codes[t] for t in tensors),)
            return None
        refs = [arg for arg in node.args[:2] if isinstance(arg, Ref)]
        if len(refs) != 2:
            return None
        found = [r in self.codes for r in refs]
        shapes = {self.old.fact(r).shape for r in refs}
        if node.kind == "add" and any(found) and len(shapes) == 1:
            limits = node.get("limits")
            if limits is not None and limits[0] != 0:
                return None
            return tuple(self.codes.get(r, self.made.find(r)) for r in refs)
        if all(found) and (node.kind == "matmul" or len(shapes) == 1):
            return tuple(self.codes[r] for r in refs)
        return None

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
        """The `Requantized` that a module between integers becomes, which keeps the grid of its first call."""
        path = node.value if node.kind == "module" else node.name.partition("#")[0]
        if not path or path in self.conversion.modules or not self._is_module(path):
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

    def _is_module(self, path: str) -> bool:
        try:
            self.model.get_submodule(path)
        except AttributeError:
            return False
        return True

    def _is_table(self, node: Node, floats: list[Ref]) -> bool:
        if len(set(floats)) != 1 or floats[0] not in self.codes:
            return False
        if node.kind == "formula":
            return True
        if node.kind == "module":
            return False
        return kind_of(node.kind).elementwise and all(not isinstance(v, Ref) for v in node.kwargs.values())
