"""Runs a graph node by node: the meaning of every graph, and what training and calibration are.

The same function computes with NumPy's arrays, with autograd's boxes, and, in a converted model, beside the
program.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from quantray._typing import Array, Tensor
from quantray.graph._graph import Expr, Graph, Guard, Node, Ref, leaves, map_tree, wires
from quantray.graph._lengths import evaluate
from quantray.graph._trees import is_array, is_dict, is_sequence, is_tuple
from quantray.nn._gradients import is_traced, untraced
from quantray.nn._module import Module

#: What computes a node: given it and its arguments, as arrays and numbers.
Compute: TypeAlias = Callable[[Node, tuple[object, ...], dict[str, object]], object]
#: What computes a node of a module.
OfModule: TypeAlias = Callable[[Module, Node, tuple[object, ...], dict[str, object]], object]


T = TypeVar("T")


class Environment:
    """The arrays on a graph's wires while it runs."""

    def __init__(self, graph: Graph, model: Module | None) -> None:
        self.graph, self.model = graph, model
        #: Arrays, codes, autograd's boxes; of a model that runs as Python, whatever it gives.
        self.values: dict[Ref, Any] = {}

    def shape(self, ref: Ref) -> tuple[int, ...]:
        """The shape of what is on a wire."""
        return tuple(self.values[ref].shape)

    def resolve(self, tree: T) -> T:
        """Arguments with arrays in the place of wires, and numbers in that of lengths."""

        def leaf(value: object) -> object:
            if type(value) is Ref:
                return self.values[value]
            return evaluate(value, self.shape) if type(value) is Expr else value

        return map_tree(leaf, tree)

    def put(self, node: Node, result: object) -> None:
        """Notes what a node has made."""
        if node.kind == "python" and not node.value:
            # What the whole model gives back, whatever that is.
            self.values[Ref(node.name)] = result
        elif is_sequence(result) or is_dict(result):
            for out, item in enumerate(leaf for leaf in leaves(result) if leaf is not None):
                self.values[Ref(node.name, out)] = item
        else:
            self.values[Ref(node.name)] = result


def parameter_of(model: Module, node: Node) -> Array:
    """A parameter or a buffer, where it lives now."""
    path, key = node.value
    home = model.get_submodule(path)
    found = home._parameters.get(key)
    return cast("Array", home._buffers.get(key) if found is None else found)


def run(
    graph: Graph,
    inputs: Mapping[str, Tensor],
    model: Module | None = None,
    *,
    compute: Compute | None = None,
    each: Callable[[Node, Environment], None] | None = None,
) -> Any:
    """What the graph's model returns for some inputs.

    Parameters
    ----------
    graph : Graph
    inputs : mapping of str to array
        By the names of `graph.inputs`.
    model : Module, optional
        Whose parameters and modules the nodes read.
    compute : callable, optional
        What computes a node, instead of its own function.
    each : callable, optional
        Called after each node.
    """
    environment = Environment(graph, model)
    compute = compute or (lambda node, args, kwargs: call(node, args, kwargs, model))
    last = last_uses(graph)
    for node in graph:
        if node.kind == "input":
            environment.values[Ref(node.name)] = inputs[node.name]
        elif node.kind == "constant":
            environment.values[Ref(node.name)] = node.value
        elif node.kind == "parameter" and model is not None:
            environment.values[Ref(node.name)] = parameter_of(model, node)
        else:
            args, kwargs = environment.resolve((node.args, dict(node.kwargs)))
            try:
                environment.put(node, compute(node, args, kwargs))
            except (ValueError, TypeError, IndexError) as error:
                raise _named(error, node) from None
        if each is not None:
            each(node, environment)
        for ref in last.get(node.name, ()):
            environment.values.pop(ref, None)
    return environment.resolve(graph.output)


#: What marks an error that says already where it is from.
_SAID = "_quantray_node"


def _named(error: Exception, node: Node) -> Exception:
    """An error of a node's work with the node's name, and where it stands in the model's code."""
    known = node.kind in ("python", "tap", "hook", "observe") or hasattr(error, _SAID)
    if known or type(error) not in (ValueError, TypeError, IndexError):
        return error
    made = type(error)(f"{named(node)}: {error}").with_traceback(error.__traceback__)
    setattr(made, _SAID, node.name)
    return made


def named(node: Node) -> str:
    """A node's name, and where it stands in the model's code."""
    return f"{node.name} ({node.at})" if node.at is not None and node.at.line else node.name


def last_uses(graph: Graph) -> dict[str, list[Ref]]:
    """For each node the wires that nothing after it needs."""
    from quantray.graph._graph import wires

    cached = graph.__dict__.get("_last_uses")
    if cached is not None:
        return cached
    seen: set[Ref] = set(wires(graph.output))
    for guard in graph.guards:
        seen |= set(wires(guard.subject))
    found: dict[str, list[Ref]] = {}
    for node in reversed(list(graph)):
        for ref in (
            *wires((node.args, dict(node.kwargs))),
            *(Ref(node.name, i) for i in range(len(node.facts))),
        ):
            if ref not in seen:
                seen.add(ref)
                found.setdefault(node.name, []).append(ref)
    graph.__dict__["_last_uses"] = found
    return found


# What a node gives its kind says.
def call(node: Node, args: tuple[object, ...], kwargs: dict[str, object], model: Module | None) -> Any:
    """One node's own function."""
    kind = node.kind
    if kind in ("module", "python", "tap", "hook"):
        assert model is not None, "a graph with modules needs its model"
        return _call_module(node, args, kwargs, model)
    from quantray.graph.kinds import kind_of

    found = kind_of(kind)
    if "autograd" in sys.modules and any(map(is_traced, leaves((args, kwargs)))):
        return found.differentiable(*args, **kwargs)
    # As in a program: NumPy's warnings would name a line of quantray's, and tell nobody which node it is.
    with np.errstate(all="ignore"):
        return found.function(*args, **kwargs)


def _call_module(node: Node, args: tuple[object, ...], kwargs: dict[str, object], model: Module) -> object:
    if node.kind == "python" and not node.value:
        # The caller's arrays stay as they are, whatever forward does to its arguments.
        args, kwargs = map_tree(_copied, args), map_tree(_copied, kwargs)
    if node.kind in ("module", "python"):
        return model.get_submodule(node.value).forward(*args, **kwargs)
    path, when, key = node.value
    module = model.get_submodule(path)
    hooks = module._pre_hooks if when == "pre" else module._hooks
    hook = hooks.get(key)
    given, output = args
    if hook is None:
        return given if when == "pre" else output
    own, own_output = map_tree(_copied, given), map_tree(_copied, output)
    look = cast("Callable[..., object]", hook)
    changed = look(module, own) if when == "pre" else look(module, own, own_output)
    if node.kind == "tap":
        if changed is not None or not (_are_equal(own, given) and _are_equal(own_output, output)):
            raise HookChanges(path, when, key)
        return None
    if changed is None:
        return own if when == "pre" else own_output
    return changed if when == "post" or is_tuple(changed) else (changed,)


def _copied(leaf: object) -> object:
    return cast("Array", leaf).copy() if isinstance(leaf, np.ndarray) else leaf


def _are_equal(a: object, b: object) -> bool:
    """Whether arrays are what they were."""
    return all(
        x is y or not is_array(y) or np.array_equal(cast("Array", x), y, equal_nan=y.dtype.kind in "fc")
        for x, y in zip(leaves(a), leaves(b), strict=True)
    )


class HookChanges(Exception):
    """A hook that was taken to look only has changed what it was given."""

    def __init__(self, path: str, when: str, key: int) -> None:
        super().__init__(path)
        self.hook = path, when, key


def holds(guard: Guard, environment: Environment) -> bool:
    """Whether what a graph took for granted is so."""
    if isinstance(guard.subject, Ref):
        return bool(untraced(environment.values[guard.subject])) == guard.outcome
    return bool(evaluate(guard.subject, environment.shape) == guard.outcome)


class DoesNotHold(Exception):
    """Something that a graph takes for granted, known only while it runs, is not so."""


def checker(guards: Iterable[Guard], graph: Graph) -> Callable[[Node, Environment], None] | None:
    """What looks, after each node, at the guards that can be looked at then; None where there are none."""
    late: dict[str, list[Guard]] = {}
    places = {name: place for place, name in enumerate(graph.nodes)}
    for guard in guards:
        named = {ref.node for ref in wires(guard.subject)} & places.keys()
        if named:
            late.setdefault(max(named, key=places.__getitem__), []).append(guard)

    def check(node: Node, environment: Environment) -> None:
        for guard in late.get(node.name, ()):
            if not holds(guard, environment):
                raise DoesNotHold(str(guard))

    return check if late else None
