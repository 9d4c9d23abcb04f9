"""A model that watches its values: it runs by graphs in which wires pass observers."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping

from quantray import nn
from quantray._typing import Args, Kwargs, Tensor
from quantray.graph import Graph, Node, normalize
from quantray.graph._arguments import arguments, few_rows
from quantray.graph._graph import map_tree
from quantray.graph._run import call, named
from quantray.graph._trees import Call, is_array
from quantray.nn._containers import ModuleDict, ModuleList
from quantray.nn._gradients import untraced
from quantray.nn.functional._arguments import traced_or_floats as floats
from quantray.quantization._evaluating import Integers, integers_of
from quantray.quantization._expected import expected
from quantray.quantization._fusing import collapse, make_layers
from quantray.quantization._integers import Compute, Outputs
from quantray.quantization._layers import FixedLayer, Layer, compute_layer, weights_of
from quantray.quantization._placing import Placement, Point, place
from quantray.quantization._reading_prepared import PreparedReading
from quantray.quantization._settings import Settings
from quantray.quantization._shown import Shown
from quantray.quantization.fake_quantize import FakeQuantizeBase
from quantray.quantization.fake_quantize._switches import as_switched
from quantray.quantization.observer import ObserverBase
from quantray.quantization.qconfig import Factory

#: Nodes that run code of the user's.
USERS = ("python", "tap", "hook")


class Prepared(Shown):
    """Runs a model from `prepare` or `prepare_qat`.

    Parameters
    ----------
    settings : Settings
        Which node is quantized how.
    is_trained : bool
        Whether weights are fake-quantized, too.
    """

    def __init__(self, settings: Settings, is_trained: bool, prefix: str = "") -> None:
        super().__init__(prefix)
        self.settings, self.is_trained = settings, is_trained
        #: Observers' paths, whether their values were seen by a call with data.
        self.called = False
        #: Some of what it was called with first, to capture another mode from.
        self.example: Call[str] | None = None
        #: What graphs are in integers, as long as the model is evaluated.
        self._integers: list[tuple[Graph, Integers]] = []
        #: Layers by ids of their nodes, as long as nobody changes weights.
        self._fixed: dict[int, tuple[Node, FixedLayer]] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_integers": [], "_fixed": None}

    def forget(self, module: nn.Module) -> None:
        self._integers = []
        super().forget(module)

    def replan(self, module: nn.Module) -> None:
        """Makes the graphs anew of what was captured, by settings that have changed since."""
        with self._lock:
            captured = list(self.captured)
            self.forget(module)
            self.captured.extend(captured)
            self.graphs.extend(self.passes(graph, module) for graph in captured)
            self.watch(module)

    def reading(self, module: nn.Module, graph: Graph) -> PreparedReading:
        return PreparedReading(graph, module, self.settings)

    def capture(self, module: nn.Module, args: Args, kwargs: Kwargs, *, whole: bool = False) -> Graph:
        if self.example is None:
            given = map_tree(untraced, args), map_tree(untraced, kwargs)
            # Of a file's model first axes may be no rows: sequences, and states of recurrent layers.
            self.example = few_rows(given) if module._argument_names() is None else _copied(given)
        return super().capture(module, args, kwargs, whole=whole)

    def passes(self, graph: Graph, module: nn.Module) -> Graph:
        found = collapse(make_layers(normalize(graph), module))
        if self.is_trained:
            found = self._with_fakes(found, module)
        made = place(found, module, self.settings, training=graph.training)
        for node in made:
            if node.kind == "observe":
                point: Point = node.value
                self._make(module, point.path, point.factory)
        self._prepare_children(made, module)
        return made

    def _with_fakes(self, graph: Graph, module: nn.Module) -> Graph:
        """Layers that have nothing that fake-quantizes their weight get it."""
        placement = Placement(graph, module, self.settings)
        paths: dict[tuple[str, object], str] = {}
        nodes: dict[str, Node] = {}
        for node in graph:
            if node.kind == "layer" and node.value.fake is None and placement.is_active(node):
                layer: Layer = node.value
                qconfig = placement.qconfigs[node.name]
                assert qconfig is not None
                key = layer.home, node.args[1]
                if key not in paths:
                    count = sum(home == layer.home for home, _ in paths)
                    name = "weight_fake_quant" + (f"_{count}" if count else "")
                    paths[key] = f"{layer.home}.{name}" if layer.home else name
                    self._make(module, paths[key], qconfig.weight)
                node = node.but(value=layer._replace(fake=paths[key]))
            nodes[node.name] = node
            if node.kind == "layer" and node.value.fake is not None:
                self._begin(node, graph, module)
        return graph.but(nodes=nodes)

    def _begin(self, node: Node, graph: Graph, module: nn.Module) -> None:
        """What fake-quantizes a weight sees it before the first call: scales that are trained must be there
        then.
        """
        fake = module.get_submodule(node.value.fake)
        if not fake.has_data:
            args = weights_of(node, graph, module)
            fake.forward(untraced(node.value.weight_and_bias(module, args, dict(node.kwargs))[0]))

    def _make(self, module: nn.Module, path: str, factory: Factory | None) -> None:
        """An observer where it belongs, unless it is there."""
        parent, _, name = path.rpartition(".")
        home = module.get_submodule(parent)
        if name not in home._modules:
            assert factory is not None
            made = as_switched(home, factory())
            # Of a model that is only calibrated, fake quantizations are what observes: they do
            # it in training mode.
            made.train(module.training or not self.is_trained)
            home.add_module(name, made)

    def _prepare_children(self, graph: Graph, module: nn.Module) -> None:
        """What is inside of a module that runs as Python has graphs of its own."""
        for node in graph:
            if node.kind == "python":
                inner = module.get_submodule(node.value)
                for name, child in called_children(inner):
                    path = f"{node.value}.{name}" if node.value else name
                    if child._runner is None:
                        full = f"{self.prefix}.{path}" if self.prefix else path
                        child.__dict__["_runner"] = Prepared(
                            self.settings.inside(full), self.is_trained, full
                        )

    def run(self, module: nn.Module, graph: Graph, inputs: Mapping[str, Tensor]) -> object:
        """A graph's output; where a trained model is evaluated, by integers."""
        if self.is_trained:
            known = next((made for of, made in self._integers if of is graph), None)
            found = integers_of(self, module, graph, inputs, known)
            if found is not None:
                if found is not known:
                    kept = [(of, made) for of, made in self._integers if of is not graph]
                    self._integers = [*kept, (graph, found)]
                return self.run_by(found.compute, module, found.graph, inputs)
        if self._fixed is not None and not any(node.kind in USERS for node in graph):
            return self.run_by(self._compute_fixed, module, graph, inputs)
        return super().run(module, graph, inputs)

    @contextlib.contextmanager
    def fixed(self) -> Generator[None]:
        """Calls between which nobody changes weights: what layers make of them is made once."""
        self._fixed = {}
        try:
            yield
        finally:
            self._fixed = None

    def _compute_fixed(self, module: nn.Module, node: Node, args: Args, kwargs: Kwargs) -> Outputs:
        known = self._fixed
        if node.kind != "layer" or known is None or self.is_trained or node.value.fake is not None:
            return self.compute(module, node, args, kwargs)
        made = known.get(id(node))
        if made is None:
            made = known[id(node)] = node, FixedLayer(module, node, args, kwargs)
        return made[1](args[0], kwargs)

    def deciding(self, module: nn.Module, graph: Graph) -> Compute:
        def compute(module: nn.Module, node: Node, args: Args, kwargs: Kwargs) -> Outputs:
            # Observers count what a model is calibrated with, and not what is asked for it.
            return args[0] if node.kind in ("observe", "snap") else self.compute(module, node, args, kwargs)

        return compute

    def compute(self, module: nn.Module, node: Node, args: Args, kwargs: Kwargs) -> Outputs:
        match node.kind:
            case "layer":
                return compute_layer(module, node, args, kwargs)
            case "observe":
                quantizer = module.get_submodule(node.value.path)
                try:
                    return quantizer.forward(floats(args[0]))
                except ValueError as error:
                    raise ValueError(f"{_named(node, self.prefix)}: {error}") from None
            case "snap":
                quantizer = module.get_submodule(node.value)
                if (
                    kwargs["rounds"]
                    and isinstance(quantizer, FakeQuantizeBase)
                    and quantizer.fake_quant_enabled[0]
                ):
                    return quantizer.quantize(args[0])
                return args[0]
            case "formula":
                return node.value[0](args[0])
            case _:
                return call(node, args, kwargs, module)

    def __call__(self, module: nn.Module, args: Args, kwargs: Kwargs) -> object:
        output = super().__call__(module, args, kwargs)
        self.called = True
        return output

    def expect(self, module: nn.Module, keys: Iterable[str]) -> None:
        """Makes the observers that a state_dict has the state of, and that no call has made yet."""
        for found in list(expected(module, self.settings, keys)):
            self._make(module, found.path, found.factory)

    def graph_of(self, module: nn.Module, *, training: bool) -> Graph | None:
        """A graph of one mode: captured from what the model was called with before, if need be."""
        for graph in self.graphs:
            if graph.training == training and not self._mark.changed:
                return graph
        if self.example is None:
            return None
        if self._mark.changed:
            self.forget(module)
        modes = [(each, each.training) for each in module.modules()]
        module.train(training)
        try:
            return self.find(module, *map_tree(lambda leaf: leaf, self.example))[0]
        finally:
            for each, mode in modes:
                each.training = mode

    def watch(self, module: nn.Module) -> None:
        super().watch(module)
        # What observers keep is no change of the model.
        for each in module.modules():
            if isinstance(each, (ObserverBase, FakeQuantizeBase)):
                for inner in each.modules():
                    inner.__dict__["_marks"] = ()

    def plan(self, module: nn.Module, args: Args, kwargs: Kwargs | None = None) -> Graph:
        """Captures the model, so that its observers are there before its first call."""
        return self.find(module, *arguments(module, args, kwargs or {}))[0]


def _named(node: Node, prefix: str) -> str:
    path = node.value.path.rpartition(".")[0]
    full = ".".join(part for part in (prefix, path) if part)
    return full or f"model: {named(node.but(name=str(node.args[0])))}"


def called_children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules inside that a forward calls: those of lists and dicts in the place of these."""
    found: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        if isinstance(child, (ObserverBase, FakeQuantizeBase)):
            continue
        if isinstance(child, (ModuleList, ModuleDict)) or type(child).forward is nn.Module.forward:
            found += [(f"{name}.{inner}", each) for inner, each in called_children(child)]
        else:
            found.append((name, child))
    return found


def prepared_of(model: nn.Module) -> Prepared | None:
    """What runs a model that is prepared; None where it is not."""
    runner = model._runner
    return runner if isinstance(runner, Prepared) else None


def _copied(call: Call[str]) -> Call[str]:
    return map_tree(lambda leaf: leaf.copy() if is_array(leaf) else leaf, call)
