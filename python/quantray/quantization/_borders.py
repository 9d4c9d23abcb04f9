"""Where a prepared model's values are quantized: found from its graph, and kept up call by call.

Each weighted module's input is quantized once: by whoever made it, or, at the border to floats, by an
observer of its own. A module's output is quantized if another module takes it in integers; so a last layer
gives floats, unless a DeQuantStub follows it. So does a layer whose output a fused sum alone takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantray.nn._gradients import untraced
from quantray.nn._module import Module
from quantray.nn.intrinsic import Add
from quantray.quantization._graph import Graph, Node, arrays_in, memory_of, trace
from quantray.quantization._roles import BATCH_NORMS, WEIGHTED, Role, role_of
from quantray.quantization.fake_quantize import FakeQuantizeBase

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The observers, or fake quantizations, of what goes in and of what comes out.
PRE, POST = "activation_pre_process", "activation_post_process"


class Tape:
    """Which arrays of the model's present call are quantized, and by whom."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int], tuple[Any, Module]] = {}
        #: Off while the graph is looked for.
        self.running = True

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": {}, "running": True}

    def clear(self) -> None:
        """Forgets all: another call begins."""
        self._made.clear()

    def put(self, value: Any, quantizer: Module | None) -> None:
        """Notes that a value is quantized, or that it is not."""
        key = memory_of(value)
        if key is not None and quantizer is None:
            self._made.pop(key, None)
        elif key is not None and quantizer is not None:
            # The array is kept, so that its address is not another one's.
            self._made[key] = (untraced(value), quantizer)

    def find(self, value: Any) -> Module | None:
        """Who quantized a value; None where nobody has."""
        key = memory_of(value)
        found = None if key is None else self._made.get(key)
        return None if found is None else found[1]


def again(quantizer: Module, value: Any) -> Any:
    """A value that was computed from a quantizer's, on its grid again, without being observed."""
    if isinstance(quantizer, FakeQuantizeBase) and quantizer.fake_quant_enabled[0]:
        return quantizer.quantize(value)
    return value


class _Border:
    """A hook of one module of a prepared model."""

    def __init__(self, name: str, tape: Tape) -> None:
        self.name, self.tape = name, tape

    def observe(self, quantizer: Module, value: Any) -> Any:
        """Quantizes a value, or only looks at it."""
        try:
            return quantizer(value)
        except ValueError as error:
            raise ValueError(f"{self.name or 'model'}: {error}") from None


class BeforeWeighted(_Border):
    """Quantizes what comes in as floats."""

    def __init__(self, name: str, tape: Tape) -> None:
        super().__init__(name, tape)
        #: Whether the module has been called with data.
        self.seen = False

    def __call__(self, module: Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not self.tape.running:
            return None
        self.seen = True
        if self.tape.find(args[0]) is not None:
            return None
        if PRE not in module._modules:
            module.add_module(PRE, module.qconfig.activation())
        # Not for the tape: to all others that take it, it is floats.
        return (self.observe(module.get_submodule(PRE), args[0]), *args[1:])


class After(_Border):
    """Quantizes what comes out, if it is to be."""

    def __call__(self, module: Module, args: tuple[Any, ...], output: Any) -> Any:
        if not self.tape.running:
            return None
        role = role_of(module)
        if role is Role.KEEPS:
            found = [self.tape.find(a) for a in arrays_in(args)]
            if not found or found[0] is None:
                return None
            output = again(found[0], output)
            self.tape.put(output, found[0])
        elif role is Role.ENDS:
            self.tape.put(output, None)
        elif POST in module._modules:
            output = self.observe(module.get_submodule(POST), output)
            self.tape.put(output, module.get_submodule(POST))
        return output


class Root:
    """Hooks of the whole model: the borders are found at its first call."""

    def __init__(self, tape: Tape) -> None:
        self.tape, self.planned = tape, False

    def plan(self, model: Module, args: Sequence[Any]) -> None:
        """Finds the borders: runs the model once."""
        self.tape.running = False
        try:
            graph = trace(model, args)
        finally:
            self.tape.running = True
        place(graph)
        self.planned = True

    def before(self, model: Module, args: tuple[Any, ...]) -> None:
        """Before each call of the model."""
        if self.tape.running and not self.planned:
            self.plan(model, args)
        self.tape.clear()

    def after(self, model: Module, args: tuple[Any, ...], output: Any) -> None:
        """After each call of the model."""
        self.tape.clear()


def root_of(model: Module) -> Root | None:
    """What finds a prepared model's borders; None where the model is not prepared."""
    return next((root for root in map(_root, model._pre_hooks.values()) if root is not None), None)


def _root(hook: Any) -> Root | None:
    """Whose method a hook is, if a root's."""
    owner = getattr(hook, "__self__", None)
    return owner if isinstance(owner, Root) else None


def unhook(module: Module) -> None:
    """Takes away the hooks that preparing a model has put on a module."""
    for hooks in (module._pre_hooks, module._hooks):
        for key in [k for k, h in hooks.items() if isinstance(h, _Border) or _root(h) is not None]:
            del hooks[key]


def _active(node: Node) -> bool:
    """Whether a node's module is to be quantized."""
    return getattr(node.module, "qconfig", None) is not None


def unrounded(graph: Graph) -> set[int]:
    """The nodes whose output goes into a sum as it is: one term of each fused sum, taken by it alone."""
    nodes = graph.nodes
    names = [node.name for node in nodes]
    found: set[int] = set()
    for j, node in enumerate(nodes):
        if not isinstance(node.module, Add) or not _active(node) or len(set(node.inputs)) != 2:
            continue
        for i in node.inputs:
            if (
                i is not None
                and nodes[i].role is Role.WEIGHTED
                and _active(nodes[i])
                and names.count(nodes[i].name) == 1
                and graph.consumers(i) == [j]
                and i not in graph.outputs
            ):
                found.add(i)
                break
    return found


def quantized_outputs(graph: Graph) -> set[int]:
    """The nodes whose output is quantized."""
    nodes = graph.nodes
    floats = unrounded(graph)
    can: list[bool] = []
    for node in nodes:
        active = _active(node)
        if node.role in (Role.WEIGHTED, Role.BEGINS):
            can.append(active)
        elif node.role is Role.ENDS:
            can.append(False)
        else:
            given = all(i is not None and can[i] for i in node.inputs)
            can.append(given and bool(node.inputs) and (active or node.role is Role.KEEPS))
    wanted: set[int] = set()
    for i in reversed(range(len(nodes))):
        if not can[i] or i in floats:
            continue
        for j in graph.consumers(i):
            taker = nodes[j]
            if (
                taker.role is Role.ENDS
                or (taker.role is Role.WEIGHTED and _active(taker))
                or (taker.role in (Role.KEEPS, Role.FOLLOWS) and j in wanted)
            ):
                wanted.add(i)
    return wanted | {i for i, node in enumerate(nodes) if node.role is Role.BEGINS and can[i]}


def place(graph: Graph) -> None:
    """Gives each module whose output is quantized what quantizes it.

    Raises
    ------
    ValueError
        For a batch normalization that follows a layer that it could be fused with.
    """
    for node in graph.nodes:
        if isinstance(node.module, BATCH_NORMS) and _active(node):
            for i in node.inputs:
                if i is not None and isinstance(graph.nodes[i].module, WEIGHTED):
                    pair = [graph.nodes[i].name, node.name]
                    raise ValueError(
                        f"{node.name} ({type(node.module).__name__}) must be fused with {pair[0]} "
                        f"({type(graph.nodes[i].module).__name__}) before the model is prepared: "
                        f"fuse_modules(model, {[pair]})"
                    )
    for i in sorted(quantized_outputs(graph)):
        node = graph.nodes[i]
        if node.role is not Role.KEEPS and POST not in node.module._modules:
            node.module.add_module(POST, node.module.qconfig.activation())
