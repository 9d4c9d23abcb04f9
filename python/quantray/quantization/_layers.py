"""A layer with weights and what is fused with it, as one node: `layer`.

In training its weight is fake-quantized with the batch normalization folded into it; in evaluation it
computes what integers will.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import numpy as np

from quantray import nn
from quantray._typing import Args, Array, Kwargs
from quantray.graph import Graph, Node, Ref, kind_of, run
from quantray.graph._graph import ordered
from quantray.nn import functional as F
from quantray.nn._gradients import untraced
from quantray.nn.functional._activation import _clip
from quantray.nn.functional._windows import Programs, keeping
from quantray.nn.intrinsic._fused import along, factor_of, folded_bias

if TYPE_CHECKING:
    pass

#: The range that an output is cut to, None for no end; (0, None) is ReLU. None for no range.
Limits: TypeAlias = tuple[float | None, float | None] | None
#: The limits of a ReLU.
RELU = (0.0, None)


class Layer(NamedTuple):
    """What a `layer` node is made of; its arguments are input, weight and bias, its settings those of the
    kind.
    """

    #: The kind of the layer itself: "linear", "conv2d", ...
    kind: str
    #: The path of the module that the layer is, or whose forward it is part of.
    home: str
    #: The path of the batch normalization that follows it.
    norm: str | None = None
    #: The range that its output is cut to: (0, None) is ReLU.
    limits: Limits = None
    #: The path of what fake-quantizes its weight.
    fake: str | None = None

    @property
    def is_transposed(self) -> bool:
        """Whether its weight has inputs first."""
        return "transpose" in self.kind

    def weight_and_bias(self, model: nn.Module, args: Args, settings: Kwargs) -> tuple[Array, Array | None]:
        """What integers will stand for: the normalization, as in evaluation, folded in."""
        _, weight, bias = args
        if self.norm is None:
            return weight, bias
        norm = model.get_submodule(self.norm)
        factor = along(weight, factor_of(norm), self.is_transposed, settings.get("groups", 1))
        return weight * factor, folded_bias(bias, norm)


def weights_of(node: Node, graph: Graph, model: nn.Module) -> tuple[None, Array, Array | None]:
    """A layer's arguments without its input: what is computed from parameters is computed."""
    roots = [ref for ref in node.args[1:3] if isinstance(ref, Ref)]
    part = Graph(ordered(graph, roots), (), {}, tuple(roots))
    values = iter([cast("Array", untraced(value)) for value in run(part, {}, model)])
    weight, bias = (next(values) if isinstance(arg, Ref) else arg for arg in node.args[1:3])
    return None, weight, bias


def compute_layer(model: nn.Module, node: Node, args: Args, settings: Kwargs) -> Array:
    """A `layer` node's output: Krishnamoorthi, Quantizing deep convolutional networks for efficient inference
    (2018), section 3.2.2, where a normalization trains."""
    layer: Layer = node.value
    function = kind_of(layer.kind).function
    fake = None if layer.fake is None else model.get_submodule(layer.fake)
    norm = None if layer.norm is None else model.get_submodule(layer.norm)
    x, weight, bias = args
    if norm is None or not norm.training:
        weight, bias = layer.weight_and_bias(model, args, settings)
        output = function(x, weight if fake is None else fake(weight), bias, **settings)
    elif fake is None:
        output = norm(function(x, weight, bias, **settings))
    else:
        # As running moments would have it, so that the normalization sees its batch.
        factor = factor_of(norm)
        scaled = fake(weight * along(weight, factor, layer.is_transposed, settings.get("groups", 1)))
        output = function(x, scaled, None, **settings)
        is_rows = layer.kind == "linear" and np.ndim(output) == 2
        channels = (-1,) if is_rows else (1, -1, *[1] * (np.ndim(output) - 2))
        output = output / factor.reshape(channels)
        if bias is not None:
            output = output + bias.reshape(channels)
        output = norm(output)
    return limited(output, layer.limits)


class FixedLayer:
    """A `layer` node that only evaluates, and whose weight nobody changes: it is folded and packed once."""

    def __init__(self, model: nn.Module, node: Node, args: Args, settings: Kwargs) -> None:
        self._layer: Layer = node.value
        self._weight, self._bias = self._layer.weight_and_bias(model, args, settings)
        self._programs: Programs = {}

    def __call__(self, x: object, settings: Kwargs) -> Array:
        """What `compute_layer` gives."""
        with keeping(self._programs):
            output = kind_of(self._layer.kind).function(x, self._weight, self._bias, **settings)
        return limited(output, self._layer.limits)


def limited(x: Array, limits: Limits) -> Array:
    """Floats within a range."""
    if limits is None:
        return x
    low, high = limits
    if high is None and low == 0:
        return cast("Array", F.relu(x))
    return _clip(x, -np.inf if low is None else low, np.inf if high is None else high)
