"""Losses."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from quantray import graph
from quantray.nn import functional as F
from quantray.onnx.operators._registry import Array, Call, Given, Outputs, operator


def _loss(call: Call, x: Array, target: Array, weight: Given) -> Array:
    reduction = call.choice("reduction", ("none", "sum", "mean"), "mean")
    ignored = call.get("ignore_index")
    return graph.apply("onnx.negative_log_likelihood", x, target, weight, ignored, reduction)


@operator("NegativeLogLikelihoodLoss")
def _negative_log_likelihood(call: Call, x: Array, target: Array, weight: Array | None = None) -> Array:
    return _loss(call, x, target, weight)


@operator("SoftmaxCrossEntropyLoss")
def _softmax_cross_entropy(call: Call, x: Array, target: Array, weight: Array | None = None) -> Outputs:
    logarithms = F.log_softmax(x, 1)
    loss = _loss(call, logarithms, target, weight)
    return (loss, logarithms) if len(call.wanted) > 1 else loss
