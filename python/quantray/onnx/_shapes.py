"""Shapes of what operators give, as far as those of what they take are known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias, TypeVar, cast

from quantray.onnx._file import NodeFile

#: A length: a number, the name of one that is free, or None where nothing is known of it.
Dim: TypeAlias = int | str | None
Dims: TypeAlias = tuple[Dim, ...]


class Known(Protocol):
    """What is known of a node's inputs."""

    def shape(self, node: NodeFile, i: int = 0) -> Dims | None:
        """The shape of an input."""
        ...

    def lengths(self, node: NodeFile, i: int, attribute: str = "") -> Dims | None:
        """An input that is an array of lengths, or an attribute where older operators have that."""
        ...

    def whole(self, node: NodeFile, i: int, attribute: str = "") -> list[int] | None:
        """The same, where all of it is known."""
        ...

    def floats(self, node: NodeFile, i: int) -> list[float] | None:
        """An input that is a few constant floats."""
        ...


def product(dims: Iterable[Dim]) -> Dim:
    """All lengths multiplied."""
    found = list(dims)
    known = [n for n in found if isinstance(n, int)]
    return math.prod(known) if len(known) == len(found) else None


Shapes: TypeAlias = "Sequence[Dims | None] | None"
_Rule: TypeAlias = Callable[["Known", NodeFile], Shapes]
SHAPES: dict[str, _Rule] = {}
R = TypeVar("R", bound=_Rule)


def _rule(*ops: str) -> Callable[[R], R]:
    def add(rule: R) -> R:
        for op in ops:
            SHAPES[op] = rule
        return rule

    return add


#: What makes each element of one element, where further inputs are single numbers.
ONE_BY_ONE = frozenset((
    "Abs", "Cast", "Ceil", "Celu", "Clip", "DequantizeLinear", "Elu", "Erf", "Exp", "Floor", "Gelu",
    "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "QuantizeLinear",
    "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt",
    "Tanh", "ThresholdedRelu",
))  # fmt: skip


@_rule(
    *ONE_BY_ONE,
    "BatchNormalization",
    "Cos",
    "CumSum",
    "Dropout",
    "GroupNormalization",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Not",
    "PRelu",
    "RMSNormalization",
    "Sin",
    "Softmax",
    "Tan",
    "Trilu",
)
def _same(known: Known, node: NodeFile) -> Shapes:
    return [known.shape(node)]


@_rule(
    *("Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min"),
    *("Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor"),
)
def _elementwise(known: Known, node: NodeFile) -> Shapes:
    shapes = [known.shape(node, i) for i in range(len(node.inputs))]
    return [_broadcast(shapes)]


def _broadcast(shapes: Sequence[Dims | None]) -> Dims | None:
    there = [shape for shape in shapes if shape is not None]
    if len(there) != len(shapes):
        return None
    ndim = max(map(len, there), default=0)
    wide = [(1,) * (ndim - len(shape)) + shape for shape in there]
    return tuple(_meet(dims) for dims in zip(*wide, strict=True))


def _meet(dims: Iterable[Dim]) -> Dim:
    """The length of what meets elementwise: one that is not 1 decides."""
    others = [n for n in dims if n != 1]
    numbers = [n for n in others if isinstance(n, int)]
    if numbers:
        return numbers[0]
    return others[0] if len(set(others)) == 1 else None if others else 1


@_rule("Conv")
def _conv(known: Known, node: NodeFile) -> Shapes:
    x, w = known.shape(node), known.shape(node, 1)
    if x is None or w is None or len(x) != len(w):
        return None
    kernel = [cast("int", n) for n in w[2:]]
    return [(x[0], w[0], *_windows(node, x[2:], kernel))]


@_rule("MaxPool", "AveragePool", "LpPool")
def _pool(known: Known, node: NodeFile) -> Shapes:
    x = known.shape(node)
    if x is None:
        return None
    kernel = list(cast("Sequence[int]", node.attributes["kernel_shape"]))
    return [(*x[:2], *_windows(node, x[2:], kernel))] * len(node.outputs)


def _windows(node: NodeFile, lengths: Dims, kernel: Sequence[int]) -> list[Dim]:
    """How many windows there are along each axis."""
    dims = len(kernel)
    strides, dilations, pads = (
        [int(n) for n in cast("Sequence[int]", node.attributes.get(name) or (default,) * count)]
        for name, default, count in (("strides", 1, dims), ("dilations", 1, dims), ("pads", 0, 2 * dims))
    )
    auto = node.attributes.get("auto_pad", "NOTSET")
    made: list[Dim] = []
    for axis, n in enumerate(lengths):
        reach, step = dilations[axis] * (kernel[axis] - 1) + 1, strides[axis]
        more = pads[axis] + pads[dims + axis] if auto == "NOTSET" else 0
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            made.append(-(-n // step) if isinstance(n, int) else n if step == 1 else None)
        elif not isinstance(n, int):
            made.append(n if step == 1 and more == reach - 1 else None)
        elif node.attributes.get("ceil_mode"):
            # Whether the last window is one is a matter of its own.
            made.append((n + more - reach) // step + 1 if (n + more - reach) % step == 0 else None)
        else:
            made.append((n + more - reach) // step + 1)
    return made


@_rule("GlobalAveragePool", "GlobalMaxPool")
def _global(known: Known, node: NodeFile) -> Shapes:
    x = known.shape(node)
    return None if x is None else [(*x[:2], *(1,) * (len(x) - 2))]


@_rule("MatMul")
def _matmul(known: Known, node: NodeFile) -> Shapes:
    a, b = known.shape(node), known.shape(node, 1)
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return None
    lead = _broadcast([a[:-2], b[:-2]])
    return None if lead is None else [(*lead, a[-2], b[-1])]


@_rule("Gemm")
def _gemm(known: Known, node: NodeFile) -> Shapes:
    a, b = known.shape(node), known.shape(node, 1)
    if a is None or b is None:
        return None
    rows = a[1] if node.attributes.get("transA") else a[0]
    return [(rows, b[0] if node.attributes.get("transB") else b[1])]


@_rule("Transpose")
def _transpose(known: Known, node: NodeFile) -> Shapes:
    x = known.shape(node)
    if x is None:
        return None
    order = cast("Sequence[int]", node.attributes.get("perm") or range(len(x))[::-1])
    return [tuple(x[axis] for axis in order)]


@_rule("Flatten")
def _flatten(known: Known, node: NodeFile) -> Shapes:
    x, axis = known.shape(node), cast("int", node.attributes.get("axis", 1))
    return None if x is None else [(_joined(x[:axis]), _joined(x[axis:]))]


def _joined(dims: Dims) -> Dim:
    others = [n for n in dims if n != 1]
    return others[0] if len(others) == 1 else product(dims)


@_rule("Reshape")
def _reshape(known: Known, node: NodeFile) -> Shapes:
    x, target = known.shape(node), known.lengths(node, 1, "shape")
    if target is None:
        return None
    made = list(target)
    if not node.attributes.get("allowzero"):
        for axis, n in enumerate(made):
            if n == 0:
                made[axis] = None if x is None else x[axis]
    if -1 in made:
        at = made.index(-1)
        made[at] = None if x is None else _left_over(x, [*made[:at], *made[at + 1 :]])
    return [tuple(made)]


def _left_over(x: Dims, others: Sequence[Dim]) -> Dim:
    """What is left of some lengths where others are taken out."""
    names = Counter(n for n in x if isinstance(n, str))
    names.subtract(n for n in others if isinstance(n, str))
    if None in x or None in others or min(names.values(), default=0) < 0:
        return None
    own, taken = (math.prod(n for n in dims if isinstance(n, int)) for dims in (x, others))
    left = list(names.elements())
    if not left:
        return own // taken if taken and own % taken == 0 else None
    return left[0] if len(left) == 1 and own == taken else None


@_rule("Squeeze")
def _squeeze(known: Known, node: NodeFile) -> Shapes:
    x, axes = known.shape(node), known.whole(node, 1, "axes")
    if x is None or axes is None:
        return None
    gone = {axis % len(x) for axis in axes}
    return [tuple(n for axis, n in enumerate(x) if axis not in gone)]


@_rule("Unsqueeze")
def _unsqueeze(known: Known, node: NodeFile) -> Shapes:
    x, axes = known.shape(node), known.whole(node, 1, "axes")
    if x is None or axes is None:
        return None
    ndim = len(x) + len(axes)
    new, rest = {axis % ndim for axis in axes}, iter(x)
    return [tuple(1 if axis in new else next(rest) for axis in range(ndim))]


@_rule("Concat")
def _concat(known: Known, node: NodeFile) -> Shapes:
    shapes = [known.shape(node, i) for i in range(len(node.inputs))]
    there = [shape for shape in shapes if shape is not None]
    if len(there) != len(shapes):
        return None
    axis = cast("int", node.attributes["axis"]) % len(there[0])
    parts = [shape[axis] for shape in there]
    known_parts = [n for n in parts if isinstance(n, int)]
    total = sum(known_parts) if len(known_parts) == len(parts) else None
    return [tuple(total if a == axis else _meet(dims) for a, dims in enumerate(zip(*there, strict=True)))]


@_rule("Split")
def _split(known: Known, node: NodeFile) -> Shapes:
    x, axis = known.shape(node), cast("int", node.attributes.get("axis", 0))
    if x is None:
        return None
    axis, count, n = axis % len(x), len(node.outputs), x[axis % len(x)]
    parts = known.whole(node, 1, "split")
    if parts is None:
        if len(node.inputs) > 1 or not isinstance(n, int) or n % count:
            return None
        parts = [n // count] * count
    return [(*x[:axis], part, *x[axis + 1 :]) for part in parts]


@_rule("Slice")
def _slice(known: Known, node: NodeFile) -> Shapes:
    x = known.shape(node)
    starts, ends = known.whole(node, 1, "starts"), known.whole(node, 2, "ends")
    if x is None or starts is None or ends is None:
        return None
    named = "axes" in node.attributes or (len(node.inputs) > 3 and node.inputs[3])
    axes = known.whole(node, 3, "axes") if named else list(range(len(starts)))
    steps = known.whole(node, 4) if len(node.inputs) > 4 and node.inputs[4] else [1] * len(starts)
    made = list(x)
    for start, end, axis, step in zip(starts, ends, axes or (), steps or (), strict=True):
        n = x[axis]
        is_all = start == 0 and step == 1 and end >= 2**31 - 1
        made[axis] = len(range(n)[start:end:step]) if isinstance(n, int) else n if is_all else None
    return [tuple(made)]


@_rule("Gather")
def _gather(known: Known, node: NodeFile) -> Shapes:
    x, places = known.shape(node), known.shape(node, 1)
    if x is None or places is None:
        return None
    axis = cast("int", node.attributes.get("axis", 0)) % len(x)
    return [(*x[:axis], *places, *x[axis + 1 :])]


@_rule("Expand")
def _expand(known: Known, node: NodeFile) -> Shapes:
    return [_broadcast([known.shape(node), known.lengths(node, 1)])]


@_rule("Pad")
def _pad(known: Known, node: NodeFile) -> Shapes:
    x, pads = known.shape(node), known.whole(node, 1, "pads")
    if x is None or pads is None or len(pads) != 2 * len(x):
        return None
    sides = [a + b for a, b in zip(pads, pads[len(x) :], strict=False)]
    return [
        tuple(n + m if isinstance(n, int) else n if m == 0 else None for n, m in zip(x, sides, strict=True))
    ]


@_rule(
    *(
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
    ),
    "ReduceSumSquare",
)
def _reduced(known: Known, node: NodeFile) -> Shapes:
    x, axes = known.shape(node), known.whole(node, 1, "axes")
    if x is None or axes is None or not axes:
        return None
    gone = {axis % len(x) for axis in axes}
    if node.attributes.get("keepdims", 1):
        return [tuple(1 if axis in gone else n for axis, n in enumerate(x))]
    return [tuple(n for axis, n in enumerate(x) if axis not in gone)]


@_rule("Resize", "Upsample")
def _resize(known: Known, node: NodeFile) -> Shapes:
    sizes = known.lengths(node, 3) if node.op == "Resize" and len(node.inputs) > 3 else None
    x = known.shape(node)
    if x is None or node.attributes.get("axes"):
        return None
    if sizes is not None:
        return [sizes] if len(sizes) == len(x) else None
    scales = known.floats(node, 2 if len(node.inputs) > 2 else 1)
    return [tuple(map(_scaled, x, scales))] if scales is not None and len(scales) == len(x) else None


def _scaled(n: Dim, by: float) -> Dim:
    """A length that a scale makes, where that is whole: how others are rounded is a matter of its own."""
    if by == 1:
        return n
    made = n * by if isinstance(n, int) else 0.5
    return int(made) if made.is_integer() else None
