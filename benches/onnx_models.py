"""A float network as an ONNX model: what peers of whole models are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from peers import onnx
from quantray import graph, nn


def as_onnx(model: nn.Module, x: np.ndarray) -> Any:
    """The ONNX model of a network in evaluation mode that takes images like `x`, any number of them.

    As exporters write it: normalizations stand by themselves, for the peer to fold.
    """
    writer = _Writer(model)
    captured = graph.normalize(graph.capture(model, (x,)))
    for node in captured:
        writer.add(node)
    assert isinstance(captured.output, graph.Ref)
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    end = writer.node("Identity", [writer.names[captured.output]], "y")
    made = make.make_graph(
        writer.nodes,
        "network",
        [make.make_tensor_value_info(captured.inputs[0], kind, ["N", *x.shape[1:]])],
        [make.make_tensor_value_info(end, kind, None)],
        writer.constants,
    )
    whole = make.make_model(made, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(whole)


class _Writer:
    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        #: What values are called in the file.
        self.names: dict[graph.Ref, str] = {}

    def add(self, node: graph.Node) -> None:
        """Writes a node, by its kind."""
        write = _KINDS.get(node.kind)
        if write is None:
            raise TypeError(f"{node.kind} ({node.name}) is not known here")
        self.names[graph.Ref(node.name)] = write(self, node)

    def node(self, op: str, inputs: list[str], name: str, **settings: Any) -> str:
        self.nodes.append(onnx.helper.make_node(op, inputs, [name], name, **settings))
        return name

    def constant(self, array: Any, name: str) -> str:
        value = np.ascontiguousarray(array)
        # A contiguous array has one axis at least.
        self.constants.append(onnx.numpy_helper.from_array(value.reshape(np.shape(array)), name))
        return name

    def inputs(self, node: graph.Node) -> list[str]:
        """The names of what a node takes, without those that it does not have."""
        return [self.names[ref] for ref in node.args if isinstance(ref, graph.Ref)]


def _input(to: _Writer, node: graph.Node) -> str:
    return node.name


def _parameter(to: _Writer, node: graph.Node) -> str:
    module, _, attribute = node.name.rpartition(".")
    return to.constant(getattr(to.model.get_submodule(module), attribute), node.name)


def _conv(to: _Writer, node: graph.Node) -> str:
    settings = {name: list(node.kwargs[name]) for name in ("dilation", "stride", "padding")}
    return to.node(
        "Conv",
        to.inputs(node),
        node.name,
        strides=settings["stride"],
        pads=settings["padding"] * 2,
        dilations=settings["dilation"],
        group=node.kwargs["groups"],
    )


def _linear(to: _Writer, node: graph.Node) -> str:
    return to.node("Gemm", to.inputs(node), node.name, transB=1)


def _module(to: _Writer, node: graph.Node) -> str:
    norm = to.model.get_submodule(node.value)
    if not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"{type(norm).__name__} ({node.name}) is not known here")
    arrays = {name: getattr(norm, name) for name in ("weight", "bias", "running_mean", "running_var")}
    more = [to.constant(array, f"{node.name}.{name}") for name, array in arrays.items()]
    return to.node("BatchNormalization", to.inputs(node) + more, node.name, epsilon=norm.eps)


def _max_pool(to: _Writer, node: graph.Node) -> str:
    def pair(name: str) -> list[int]:
        value = node.kwargs[name]
        return [value] * 2 if isinstance(value, int) else list(value)

    strides = "kernel_size" if node.kwargs["stride"] is None else "stride"
    settings = {"kernel_shape": pair("kernel_size"), "strides": pair(strides), "pads": pair("padding") * 2}
    return to.node("MaxPool", to.inputs(node), node.name, **settings)


def _average(to: _Writer, node: graph.Node) -> str:
    pooled = to.node("GlobalAveragePool", to.inputs(node), node.name)
    if node.kind == "mean":
        return to.node("Flatten", [pooled], f"{node.name}.flat")
    return pooled


def _clip(to: _Writer, node: graph.Node) -> str:
    limits = [to.constant(np.float32(node.kwargs[name]), f"{node.name}.{name}") for name in ("low", "high")]
    return to.node("Clip", to.inputs(node) + limits, node.name)


def _one(op: str) -> Callable[[_Writer, graph.Node], str]:
    return lambda to, node: to.node(op, to.inputs(node), node.name)


_KINDS: dict[str, Callable[[_Writer, graph.Node], str]] = {
    "input": _input,
    "parameter": _parameter,
    "conv2d": _conv,
    "linear": _linear,
    "module": _module,
    "max_pool2d": _max_pool,
    "adaptive_avg_pool2d": _average,
    "mean": _average,
    "clip": _clip,
    "relu": _one("Relu"),
    "add": _one("Add"),
    # Networks for images have one kind of reshape: to one row an image.
    "reshape": _one("Flatten"),
}
