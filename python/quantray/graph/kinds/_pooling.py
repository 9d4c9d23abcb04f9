"""Windows of images, and reductions over whole axes."""

from __future__ import annotations

import numpy as np

from quantray._typing import Array
from quantray.graph._graph import Graph, Node, Ref
from quantray.graph.kinds._gradients import differentiable_of
from quantray.graph.kinds._table import Kind, Part, axes_of, bound, register, spelling
from quantray.nn import functional as F

#: Pooling functions and their classes.
POOLS = {
    f"{name}{n}d": f"{class_name}{n}d"
    for n in (1, 2, 3)
    for name, class_name in (
        ("max_pool", "MaxPool"),
        ("avg_pool", "AvgPool"),
        ("adaptive_max_pool", "AdaptiveMaxPool"),
        ("adaptive_avg_pool", "AdaptiveAvgPool"),
    )
}
for _name, _class in POOLS.items():
    # A mean over all of an image lies in a small part of the range of its pixels: it has a grid of its own.
    _part = Part.FOLLOWS if _name.startswith("adaptive_avg_pool") else Part.KEEPS
    register(Kind(_name, getattr(F, _name), part=_part, class_name=_class))


@spelling(*(f"functional.{name}" for name in POOLS))
def _pool(node: Node, graph: Graph) -> Node | None:
    name = node.kind.rpartition(".")[2]
    args, settings = bound(getattr(F, name), node, ("input",))
    return node.but(kind=name, args=args, kwargs=settings)


def mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The mean over some axes."""
    return np.mean(x, axes, keepdims=keepdims)


def _mean_of_traced(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return differentiable_of("numpy.mean")(x, axis=axes, keepdims=keepdims)  # type: ignore[misc]


register(Kind("mean", mean, _mean_of_traced, part=Part.FOLLOWS, class_name="mean"))


@spelling("ndarray.mean", "numpy.mean")
def _mean(node: Node, graph: Graph) -> Node | None:
    """Means over the lengths of images, as `adaptive_avg_pool(1)` gives them."""
    given = {**dict(zip(("a", "axis", "dtype", "out", "keepdims"), node.args, strict=False)), **node.kwargs}
    x = given.get("a")
    if not isinstance(x, Ref) or any(given.get(name) is not None for name in ("dtype", "out", "where")):
        return None
    fact = graph.fact(x)
    axes = axes_of(given.get("axis"), len(fact.shape))
    if fact.dtype != np.float32 or axes is None or len(fact.shape) not in (3, 4, 5):
        return None
    if sorted(axes) != list(range(2, len(fact.shape))):
        return None
    return node.but(kind="mean", args=(x,), kwargs={"axes": axes, "keepdims": bool(given.get("keepdims"))})
