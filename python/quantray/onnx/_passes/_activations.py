"""Activations as exporters write them out."""

from __future__ import annotations

import math
from dataclasses import replace

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft, is_close, made


def gelu(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`0.5 * x * (1 + erf(x / sqrt(2)))`, the factors in any order."""
    factors = _factors(draft, node)
    if factors is None:
        return None
    number, names = factors
    if not is_close(number, 0.5) or len(names) != 2:
        return None
    for x, other in (names, names[::-1]):
        inner = _one_plus(draft, other)
        if inner is None:
            continue
        erf = draft.producer(inner, "Erf")
        if erf is not None and _is_scaled(draft, erf.inputs[0], x, 1 / math.sqrt(2)):
            return made(node, "Gelu", (x,))
        tanh = draft.producer(inner, "Tanh")
        if tanh is not None and _is_tanh_argument(draft, tanh.inputs[0], x):
            return made(node, "Gelu", (x,), approximate="tanh")
    return None


def _factors(draft: Draft, node: NodeFile) -> tuple[float, tuple[str, ...]] | None:
    """A product of a number and values: the number, and the names of the values."""
    if node.op not in ("Mul", "Div") or node.domain not in ("", "ai.onnx"):
        return None
    number, names = 1.0, list[str]()

    def take(name: str, inverse: bool, depth: int) -> None:
        nonlocal number
        value = draft.number(name)
        inner = draft.producer(name, "Mul", "Div")
        if value is not None:
            number *= 1 / value if inverse and value else value
        elif inner is not None and not inverse and depth < 3 and draft.is_used_once(name):
            take(inner.inputs[0], False, depth + 1)
            take(inner.inputs[1], inner.op == "Div", depth + 1)
        else:
            names.append(f"1/{name}" if inverse else name)

    take(node.inputs[0], False, 0)
    take(node.inputs[1], node.op == "Div", 0)
    return number, tuple(names)


def _one_plus(draft: Draft, name: str) -> str | None:
    """What is added to 1."""
    node = draft.producer(name, "Add")
    if node is None:
        return None
    for a, b in draft.terms(node):
        if draft.number(a) == 1:
            return b
    return None


def _is_scaled(draft: Draft, name: str, x: str, factor: float) -> bool:
    """Whether a value is another one times a number."""
    node = draft.producer(name, "Mul", "Div")
    found = None if node is None else _factors(draft, node)
    return found is not None and found[1] == (x,) and is_close(found[0], factor)


def _is_tanh_argument(draft: Draft, name: str, x: str) -> bool:
    """Whether a value is `sqrt(2 / pi) * (x + 0.044715 * x**3)`, in either way of writing it."""
    node = draft.producer(name, "Mul")
    found = None if node is None else _factors(draft, node)
    if found is None:
        return False
    number, names = found
    if not is_close(number, math.sqrt(2 / math.pi)):
        return False
    if len(names) == 2:
        # x * (1 + 0.044715 * x * x)
        for a, b in (names, names[::-1]):
            inner = _one_plus(draft, b)
            if a == x and inner is not None and _is_power(draft, inner, x, 2, 0.044715):
                return True
        return False
    total = draft.producer(names[0], "Add") if len(names) == 1 else None
    if total is None:
        return False
    return any(a == x and _is_power(draft, b, x, 3, 0.044715) for a, b in draft.terms(total))


def _is_power(draft: Draft, name: str, x: str, power: int, factor: float) -> bool:
    node = draft.producer(name, "Mul", "Pow")
    if node is None:
        return False
    if node.op == "Pow":
        return factor == 1 and node.inputs[0] == x and draft.number(node.inputs[1]) == power
    found = _factors(draft, node)
    if found is None or not is_close(found[0], factor):
        return False
    count = 0
    for each in found[1]:
        inner = draft.producer(each, "Pow")
        if each == x:
            count += 1
        elif inner is not None and inner.inputs[0] == x:
            count += int(draft.number(inner.inputs[1]) or 99)
        else:
            product = draft.producer(each, "Mul")
            if product is None or any(name != x for name in product.inputs):
                return False
            count += 2
    return count == power


def silu(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`x * sigmoid(x)`."""
    if node.op != "Mul":
        return None
    for x, other in draft.terms(node):
        gate = draft.producer(other, "Sigmoid")
        if gate is not None and gate.inputs[0] == x:
            return made(node, "Swish", (x,))
    return None


def hard_swish(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`x * clip(x + 3, 0, 6) / 6`, in any order, or with a hard sigmoid."""
    found = _factors(draft, node)
    if found is None or len(found[1]) != 2:
        return None
    number, names = found
    for x, other in (names, names[::-1]):
        gate = draft.producer(other, "HardSigmoid")
        if gate is not None and gate.inputs[0] == x and number == 1:
            alpha, beta = gate.attributes.get("alpha", 0.2), gate.attributes.get("beta", 0.5)
            if is_close(float(alpha), 1 / 6) and beta == 0.5:
                return made(node, "HardSwish", (x,))
        if is_close(number, 1 / 6) and _is_relu6_of_plus_3(draft, other, x):
            return made(node, "HardSwish", (x,))
    return None


def _is_relu6_of_plus_3(draft: Draft, name: str, x: str) -> bool:
    clip = draft.producer(name, "Clip")
    if clip is None or limits(draft, clip) != (0.0, 6.0):
        return False
    total = draft.producer(clip.inputs[0], "Add")
    return total is not None and any(a == x and draft.number(b) == 3 for a, b in draft.terms(total))


def hard_sigmoid(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`clip(x + 3, 0, 6) / 6`."""
    found = _factors(draft, node)
    if found is None or len(found[1]) != 1 or not is_close(found[0], 1 / 6):
        return None
    clip = draft.producer(found[1][0], "Clip")
    if clip is None or limits(draft, clip) != (0.0, 6.0) or not draft.is_used_once(found[1][0]):
        return None
    total = draft.producer(clip.inputs[0], "Add")
    for x, other in draft.terms(total) if total is not None else ():
        if draft.number(other) == 3:
            return made(node, "HardSigmoid", (x,), alpha=1 / 6, beta=0.5)
    return None


def slopes_of_rows(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`PRelu` of rows with a slope for each column: these are channels, which its shape does not say."""
    if node.op != "PRelu" or "axis" in node.attributes:
        return None
    slope, shape = draft.constant(node.inputs[1]), draft.shape(node.inputs[0])
    if slope is None or shape is None or len(shape) != 2 or slope.ndim > 2 or slope.size < 2:
        return None
    if slope.size != slope.shape[-1] or shape[1] != slope.size:
        return None
    return replace(node, attributes={**node.attributes, "axis": 1})


def limits(draft: Draft, clip: NodeFile) -> tuple[float | None, float | None]:
    """The limits of a Clip: attributes before opset 11, and inputs after it."""
    given = [*clip.inputs[1:], "", ""]
    low = draft.number(given[0]) if given[0] else clip.attributes.get("min")
    high = draft.number(given[1]) if given[1] else clip.attributes.get("max")
    return low, high
