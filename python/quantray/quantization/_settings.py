"""Which QConfig each node of a graph gets."""

from __future__ import annotations

import warnings

from quantray import nn
from quantray._core import quint8
from quantray.graph import Graph, Node, kind_of
from quantray.graph.kinds import LAYERS, Part, module_kind
from quantray.nn._state import nearest
from quantray.nn._tracing import is_attached
from quantray.nn.qat import FusedQAT
from quantray.quantization._layers import Layer
from quantray.quantization._scalings import Scaling
from quantray.quantization.fake_quantize import FakeQuantizeBase
from quantray.quantization.observer import ObserverBase, PlaceholderObserver
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import ObjectType, QConfigMapping

#: Kinds of nodes that no type of a setting calls.
_NO_FUNCTIONS = frozenset({"input", "parameter", "constant", "python", "tap", "hook"})


class Settings:
    """What was asked for: a mapping, or the `qconfig` attributes of modules, as torch's eager mode has them.

    Parameters
    ----------
    model : Module
    given : QConfig or QConfigMapping, optional
        By default what attributes say; without any, `default`.
    default : QConfigMapping
    """

    def __init__(
        self, model: nn.Module, given: QConfig | QConfigMapping | None, default: QConfigMapping
    ) -> None:
        if isinstance(given, QConfig):
            given = QConfigMapping().set_global(given)
        if given is not None and not isinstance(given, QConfigMapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = ": QConfigMapping.from_dict(...) makes one" if isinstance(given, dict) else ""
            raise TypeError(
                f"qconfig_mapping must be a QConfig or a QConfigMapping, got {type(given).__name__}{hint}"
            )
        if given is None and not any("qconfig" in module.__dict__ for module in model.modules()):
            given = default
        self.mapping = given if given is None else given.called_as(model._file_names)
        #: The path of the module that names are counted from.
        self.prefix = ""
        #: What was inherited from around it, where attributes say.
        self.outer: QConfig | None = None
        #: The only classes that are quantized; None for all.
        self.allowed: frozenset[ObjectType] | None = None
        #: Names of modules, and classes, that stay in float with all inside them.
        self.left: tuple[type[nn.Module] | str, ...] = ()
        #: Nodes that are not quantized as others, since they lose too much, and how much.
        self.spared: dict[str, str] = {}
        #: What the parameters of the float model were multiplied by beforehand.
        self.scalings: list[Scaling] = []

    def inside(self, path: str) -> Settings:
        """The same for a module inside, whose own names begin at itself."""
        made = Settings.__new__(Settings)
        made.mapping, made.prefix, made.outer = self.mapping, path, self.outer
        made.allowed, made.left, made.spared = self.allowed, self.left, self.spared
        made.scalings = []
        return made

    def _stays(self, path: str, kinds: list[ObjectType], model: nn.Module) -> bool:
        """Whether what torch's custom settings say leaves a node in float."""
        if self.allowed is not None and not self.allowed.intersection(kinds):
            return True
        if not self.left:
            return False
        parts = path.split(".")
        if any(part in self.left for part in parts):
            return True
        homes = (".".join(parts[:i]) for i in range(1, len(parts) + 1))
        return any(type(model._submodule(home)) in self.left for home in homes)

    def tell_unknown(self, graph: Graph, model: nn.Module) -> None:
        """Warns of names that nothing has: what was to stay in float would be quantized in silence.

        Warns
        -----
        UserWarning
            With the nearest name.
        """
        if self.mapping is None or self.prefix:
            return
        self._tell_unknown_types(graph, model)
        if not self.mapping.module_name_qconfigs:
            return
        known = {path for path, _ in model.named_modules()} | {node.name.partition("#")[0] for node in graph}
        known |= {home_of(node, model) for node in graph}
        for name in self.mapping.module_name_qconfigs.keys() - known:
            if name and not any(other.startswith(f"{name}.") for other in known):
                warnings.warn(
                    f"set_module_name: the model has no module and no node {name!r}"
                    f"{nearest(name, sorted(known))}; what was said of it is said of nothing",
                    stacklevel=2,
                )

    def _tell_unknown_types(self, graph: Graph, model: nn.Module) -> None:
        """The same of operators that a file is said to have, and that are to stay in float."""
        assert self.mapping is not None
        left = [t for t, q in self.mapping.object_type_qconfigs.items() if q is None and isinstance(t, str)]
        if not left or not model._file_ops:
            return
        inner = [each for node in graph if node.kind == "formula" for each in node.value[0].graph]
        nodes = [node for node in (*graph, *inner) if node.kind not in _NO_FUNCTIONS]
        known = {getattr(name, "__name__", name) for node in nodes for name in candidates(node, model)}
        known |= {op for ops in model._file_ops.values() for op in ops}
        known |= {type(module).__name__ for module in model.modules()}
        for name in left:
            if name not in known:
                warnings.warn(
                    f"set_object_type: the model has nothing of type {name!r} but parts of other layers"
                    f"{nearest(name, sorted(map(str, known)))}; what was said of it is said of nothing",
                    stacklevel=2,
                )

    def of(self, node: Node, model: nn.Module) -> QConfig | None:
        """The QConfig of a node; None for what stays in float."""
        found = self._of(node, model)
        if found is None or node.kind != "layer":
            return found
        return found.along(1 if node.value.is_transposed else 0)

    def _of(self, node: Node, model: nn.Module) -> QConfig | None:
        home, names = home_of(node, model), candidates(node, model)
        if self._stays(home, names, model):
            return None
        if node.kind == "formula" and any(self._is_left(each, model) for each in node.value[0].graph):
            return None
        if self.mapping is None:
            return _inherited(model, home) or self.outer
        home = ".".join(part for part in (self.prefix, home) if part)
        # What a node is called in graphs and reports names it, too, where its module does more than it.
        own = ".".join(part for part in (self.prefix, node.name.partition("#")[0]) if part)
        if own in self.mapping.module_name_qconfigs:
            return self.mapping.module_name_qconfigs[own]
        known = self.mapping.object_type_qconfigs
        for name in names:
            if name in known or getattr(name, "__name__", name) in known:
                return self.mapping.resolve(home, name)
        for op in model._file_ops.get(home, ()):
            # What a file calls it may leave it in float; ranges that are said of one operator are not those
            # of a layer that stands for several.
            if op in known and known[op] is None:
                return self.mapping.resolve(home, op)
        return self.mapping.resolve(home, names[0] if names else "")

    def _is_left(self, node: Node, model: nn.Module) -> bool:
        """Whether somebody has said of this node, which a formula is made of, that it stays in float."""
        if node.kind in _NO_FUNCTIONS:
            return False
        home = home_of(node, model)
        if self.mapping is None:
            return (_inherited(model, home) or self.outer) is None
        home = ".".join(part for part in (self.prefix, home) if part)
        names: list[ObjectType] = [*candidates(node, model), *model._file_ops.get(home, ())]
        return any(self.mapping.leaves(home, name) for name in names or [""])

    def is_named(self, node: Node, model: nn.Module) -> bool:
        """Whether somebody has asked for this very node, by its name or by an attribute."""
        home = home_of(node, model)
        if self.mapping is None:
            return True
        return ".".join(part for part in (self.prefix, home) if part) in self.mapping.module_name_qconfigs

    def of_module(self, path: str, kind: ObjectType, model: nn.Module) -> QConfig | None:
        """The QConfig of a module of some class."""
        if self._stays(path, [kind], model):
            return None
        if self.mapping is None:
            return _inherited(model, path) or self.outer
        return self.mapping.resolve(".".join(part for part in (self.prefix, path) if part), kind)


def is_by_rows(node: Node, qconfig: QConfig | None) -> bool:
    """Whether a node is a linear layer that finds the range of each row of its input in each call."""
    if qconfig is None or node.kind != "layer" or node.value.kind != "linear" or node.value.fake is not None:
        return False
    observer = qconfig.activation()
    return isinstance(observer, PlaceholderObserver) and observer.is_dynamic and observer.dtype == quint8


def _inherited(model: nn.Module, path: str) -> QConfig | None:
    """The `qconfig` of the nearest module around a path that has one."""
    while True:
        module = model._submodule(path)
        if module is not None and "qconfig" in module.__dict__:
            return module.__dict__["qconfig"]
        if not path:
            return None
        path = path.rpartition(".")[0]


def home_of(node: Node, model: nn.Module) -> str:
    """The dotted name that settings call a node by: its module's, or its own."""
    if node.kind == "layer":
        return node.value.home
    if node.kind in ("module", "python"):
        return node.value
    if node.kind == "formula":
        return node.value[1].partition("#")[0]
    if node.scope and _is_leaf(model.get_submodule(node.scope)):
        return node.scope
    return node.name.partition("#")[0]


def _is_leaf(module: nn.Module) -> bool:
    """Whether a module is one of quantray's own that has no others inside: its nodes are one thing to
    users.
    """
    if not type(module).__module__.startswith("quantray."):
        return False
    return all(isinstance(child, (ObserverBase, FakeQuantizeBase)) for child in module.children())


def candidates(node: Node, model: nn.Module) -> list[ObjectType]:
    """What settings by type may call a node: its module's class, the class of its kind, the function."""
    found: list[ObjectType] = []
    if node.kind == "layer":
        layer: Layer = node.value
        home = model.get_submodule(layer.home)
        # What is said of a class is said of it where it is fused, or trained, too.
        if not isinstance(home, (nn.intrinsic.FusedWeighted, FusedQAT)):
            found.append(type(home))
        found += [getattr(nn, LAYERS[layer.kind]), layer.kind]
        return found
    if node.kind == "module":
        return [type(model.get_submodule(node.value))]
    if node.kind == "formula":
        return []
    module = model._submodule(home_of(node, model))
    if module is not None and type(module) is not nn.Module and all(map(is_attached, module._modules)):
        found.append(type(module))
    class_name = kind_of(node.kind).class_name
    if class_name:
        found.append(getattr(nn, class_name, class_name))
    found.append(node.kind.rpartition(".")[2])
    return found


def part_of(node: Node, model: nn.Module) -> Part | None:
    """The part that a node has in quantization."""
    if node.kind == "layer":
        return Part.WEIGHTED
    if node.kind == "formula":
        return Part.FOLLOWS
    if node.kind == "module":
        return module_kind(model.get_submodule(node.value)).part
    if node.kind in ("input", "parameter", "constant", "python", "tap", "hook"):
        return None
    return kind_of(node.kind).part
