"""Layers with weights of floats as steps of a program, with what comes after them in their finish.

A layer's step takes the batch normalization after it into its weights, then a sum with what there is
already, then limits, then a function; each where nothing else asks for what lies between. Layers that
quantization has left in floats have the normalization and limits with them already. Sums are added up in
another order than NumPy's: layers are steps only where last bits may differ (`is_near`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantray._typing import Doubles, QTensor, Tensor
from quantray.graph import Node, Ref
from quantray.graph._trees import is_array, is_sequence
from quantray.graph.kinds import LAYERS
from quantray.nn.intrinsic._fused import BATCH_NORMS, along
from quantray.quantization._lowering import Lowering, NotLowered, step_of
from quantray.quantization._operands import need

_FLOAT = np.dtype(np.float32)
#: Functions that a layer's finish knows.
_FUNCTIONS = ("gelu", "silu", "sigmoid", "tanh")


class Scale:
    """A factor and a number to add for each channel."""

    def __init__(self, factor: Doubles, more: Doubles) -> None:
        self.factor, self.more = factor, more


def scale_of(to: Lowering, node: Node) -> Scale | None:
    """What a batch normalization by known statistics does; None for other nodes."""
    values: list[object]
    if node.kind == "module":
        module = to.model.get_submodule(node.value)
        buffers = module._buffers
        if type(module) not in BATCH_NORMS or module.training or buffers["running_mean"] is None:
            return None
        if len(node.args) != 1 or node.kwargs:
            return None
        values = [buffers["running_mean"], buffers["running_var"], module.weight, module.bias]
        eps = module.eps
    elif node.kind == "functional.batch_norm":
        names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
        given = {"training": False, "eps": 1e-5, **dict(zip(names, node.args, strict=False)), **node.kwargs}
        if given["training"] is not False or not isinstance(given["eps"], float):
            return None
        refs = [given.get(name) for name in names[1:5]]
        if any(isinstance(ref, Ref) and ref not in to.fixed for ref in refs) or refs[0] is None:
            return None
        values = [to.fixed[ref] if isinstance(ref, Ref) else ref for ref in refs]
        eps = given["eps"]
    else:
        return None
    mean, variance = (np.asarray(value, np.float64) for value in values[:2])
    weight = 1.0 if values[2] is None else np.asarray(values[2], np.float64)
    bias = 0.0 if values[3] is None else np.asarray(values[3], np.float64)
    factor = weight / np.sqrt(variance + eps)
    return Scale(factor, bias - mean * factor)


class _Layer:
    """A layer, and how far it goes."""

    def __init__(self, to: Lowering, node: Node) -> None:
        self.to, self.last = to, node
        fused = node.value if node.kind == "layer" else None
        kind = node.kind if fused is None else fused.kind
        self.is_transposed, self.groups = "transpose" in kind, int(node.get("groups") or 1)
        x, weight, bias = node.args
        need(to.is_near and isinstance(x, Ref) and to.graph.fact(x).dtype == _FLOAT)
        self.x: Ref = x
        weight, bias = self._fixed(weight), None if bias is None else self._fixed(bias)
        if fused is not None:
            need(fused.fake is None)
            weight, bias = fused.weight_and_bias(to.model, (None, weight, bias), dict(node.kwargs))
        self.weight = np.asarray(weight)
        need(self.weight.dtype == _FLOAT and node.facts[0].dtype == _FLOAT)
        self.bias = None if bias is None else np.asarray(bias)
        self.outputs = self.weight.shape[1] * self.groups if self.is_transposed else len(self.weight)
        self.is_rows = kind == "linear"
        self.residual: Ref | None = None
        self.params: dict[str, object] = {}
        self._absorbed: list[str] = []
        if fused is not None and fused.limits is not None:
            self.params["limits"] = fused.limits
            return
        self._absorb(self._norm)
        while self._absorb(self._bias):
            pass
        self._absorb(self._sum)
        if not self._absorb(self._limits):
            self._absorb(self._function)

    def _fixed(self, value: object) -> Tensor:
        known = self.to.known(value)
        if not isinstance(known, QTensor) and not (is_array(known) and known.ndim):
            raise NotLowered("what is not always the same")
        return known

    def _absorb(self, take: Callable[[Node], bool]) -> bool:
        after = self.to.only_user(self.last)
        if after is None or after.facts[0].dtype != _FLOAT or not take(after):
            return False
        self._absorbed.append(after.name)
        self.last = after
        return True

    def _norm(self, node: Node) -> bool:
        # Of rows a linear layer's outputs are the channels; of sequences they are not.
        if self.is_rows and len(self.last.facts[0].shape) != 2:
            return False
        scale = scale_of(self.to, node)
        if scale is None:
            return False
        factors = along(self.weight, scale.factor, self.is_transposed, self.groups)
        self.weight = (self.weight * factors).astype(np.float32)
        bias = 0.0 if self.bias is None else self.bias.astype(np.float64)
        self.bias = np.asarray(bias * scale.factor + scale.more, np.float32)
        return True

    def _other(self, node: Node) -> object:
        """The other term of a sum without limits."""
        if node.kind != "add" or node.get("limits") is not None or len(node.args) != 2:
            return None
        a, b = node.args
        own = Ref(self.last.name)
        return None if a == b else b if a == own else a if b == own else None

    def _bias(self, node: Node) -> bool:
        """A sum with a number for each output, that is always the same."""
        other = self._other(node)
        if not isinstance(other, Ref) or other not in self.to.fixed:
            return False
        value = np.asarray(self.to.fixed[other])
        shape = self.last.facts[0].shape
        axis = -1 if self.is_rows else len(self.weight.shape) - 1
        lengths = (1,) * (axis - 1) if axis > 0 else ()
        fits = value.shape[-1 - len(lengths) :] == (self.outputs, *lengths)
        if value.dtype != _FLOAT or value.size != self.outputs or not fits or value.ndim > len(shape):
            return False
        self.bias = value.reshape(-1) if self.bias is None else self.bias + value.reshape(-1)
        return True

    def _sum(self, node: Node) -> bool:
        """A sum with what there is already, perhaps within limits."""
        limits = node.get("limits")
        other = self._other(node.but(kwargs={}))
        if self.is_transposed or set(node.kwargs) > {"limits"} or not isinstance(other, Ref):
            return False
        known = other in self.to.numbers or other in self.to.fixed
        fact = self.to.graph.fact(other)
        # The sum has the layer's shape.
        same = fact.shape == self.last.facts[0].shape == node.facts[0].shape
        if not known or fact.dtype != _FLOAT or not same:
            return False
        self.residual = other
        if limits is not None:
            self.params["limits"] = limits
        return True

    def _limits(self, node: Node) -> bool:
        if node.kind == "relu":
            self.params["limits"] = (0.0, None)
        elif node.kind == "clip" and len(node.args) == 1:
            self.params["limits"] = (node.get("low"), node.get("high"))
        else:
            return False
        return True

    def _function(self, node: Node) -> bool:
        if node.kind not in _FUNCTIONS or len(node.args) != 1:
            return False
        name = "gelu_tanh" if node.get("approximate") == "tanh" else node.kind
        self.params["activation"] = name
        return True

    def put(self, op: str, node: Node, x: int | None = None, **params: object) -> None:
        """The step, which takes `x` where that is not the layer's own input."""
        sources = (self.to.number(self.x) if x is None else x,)
        if self.residual is not None:
            sources += (self.to.number(self.residual),)
        params |= {"weight": self.weight, "bias": self.bias, **self.params}
        self.to.put(self.last, self.to.step(op, sources, node, **params))
        self.to.absorbed.update(self._absorbed)


@step_of("layer")
def _fused(to: Lowering, node: Node) -> None:
    (_linear if node.value.kind == "linear" else _conv)(to, node)


@step_of("linear")
def _linear(to: Lowering, node: Node) -> None:
    _Layer(to, node).put("linear", node)


@step_of(*(kind for kind in LAYERS if kind != "linear"))
def _conv(to: Lowering, node: Node) -> None:
    layer = _Layer(to, node)
    dims = layer.weight.ndim - 2

    def each(name: str) -> list[int]:
        given = node.get(name)
        numbers = list(given) if is_sequence(given) else [given] * dims
        need(all(isinstance(n, (int, np.integer)) for n in numbers), name)
        return [int(n) for n in numbers]

    dilation = each("dilation")
    params: dict[str, object] = {
        "stride": each("stride"),
        "dilation": dilation,
        "groups": layer.groups,
    }
    padding = node.get("padding")
    if padding == "same":
        reach = [d * (k - 1) for k, d in zip(layer.weight.shape[2:], dilation, strict=True)]
        params["padding"] = [(n // 2, n - n // 2) for n in reach]
    elif padding != "valid":
        params["padding"] = each("padding")
    x = None
    if layer.is_transposed:
        params |= {"transposed": True, "output_padding": each("output_padding")}
    elif 1 < layer.groups < layer.outputs and layer.weight.shape[1] == 1:
        # Several filters of one channel each: as many copies of it are filtered as other single channels are.
        copies = layer.outputs // layer.groups
        axis = len(node.facts[0].shape) - dims - 1
        x = to.step("repeat", (to.number(layer.x),), node, axis=axis, repeats=copies)
        params["groups"] = layer.outputs
    layer.put("conv", node, x, **params)


@step_of("matmul", "numpy.matmul")
def _matmul(to: Lowering, node: Node) -> None:
    need(to.is_near and len(node.args) == 2 and not node.kwargs)
    need(all(isinstance(ref, Ref) and to.graph.fact(ref).dtype == _FLOAT for ref in node.args))
    to.put(node, to.step("matmul", tuple(to.number(ref) for ref in node.args), node))


@step_of("functional.batch_norm")
def put_batch_norm(to: Lowering, node: Node) -> None:
    """A factor and a sum for each channel, where no layer before has taken them."""
    need(to.is_near)
    scale = scale_of(to, node)
    x = node.inputs[0]
    need(scale is not None and to.graph.fact(x).dtype == _FLOAT)
    assert scale is not None
    wide = (-1, *[1] * (len(to.graph.fact(x).shape) - 2))
    factor, more = (np.asarray(a, np.float32).reshape(wide) for a in (scale.factor, scale.more))
    made = to.step("mul", (to.number(x), to.constant(factor)), node)
    after = to.only_user(node)
    relu = after is not None and after.kind == "relu"
    made = to.step("add", (made, to.constant(more)), node, relu=relu)
    to.put(node, made)
    if after is not None and relu:
        to.put(after, made)
        to.absorbed.add(after.name)
