"""Products with weights, and of two arrays."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from quantray.graph import Node, Ref
from quantray.nn.functional._arguments import per_axis
from quantray.onnx._export._writing import NotExported, Writing, writes

if TYPE_CHECKING:
    from quantray.graph._graph import Settings

#: What is known of a wire's lengths: numbers, or names of those that are free.
Shape: TypeAlias = tuple[int | str, ...]
#: A weight or a bias: a wire, or the name of what is written already.
Weight: TypeAlias = Ref | str


@writes("linear", "functional.linear")
def _linear(to: Writing, node: Node) -> None:
    x, weight, bias, *_ = (*node.args, None)
    to.put(node, linear(to, node, to.floats(x), len(to.fact(x).shape), weight, bias))


def linear(to: Writing, node: Node, x: str, ndim: int, weight: Weight, bias: Weight | None) -> str:
    """`x @ weight.T + bias`, of names; weight and bias are wires, or names already."""
    if ndim == 2:
        inputs = [x, _name(to, weight)] + ([] if bias is None else [_name(to, bias)])
        return to.op("Gemm", inputs, node=node, transB=1)
    known = None if isinstance(weight, str) else to.array(weight)
    if known is not None:
        turned = to.constant(np.ascontiguousarray(known.T), name=f"{node.name}.weight")
    else:
        turned = to.op("Transpose", [_name(to, weight)], perm=[1, 0])
    y = to.op("MatMul", [x, turned], node=node)
    return y if bias is None else to.op("Add", [y, _name(to, bias)], node=node)


def _name(to: Writing, value: object) -> str:
    return value if isinstance(value, str) else to.value(value)


@writes("matmul", "numpy.matmul", "functional.matmul")
def _matmul(to: Writing, node: Node) -> None:
    to.put(node, to.op("MatMul", [to.value(arg) for arg in node.args], node=node))


@writes(*(f"conv{n}d" for n in (1, 2, 3)), *(f"conv_transpose{n}d" for n in (1, 2, 3)))
def _conv(to: Writing, node: Node) -> None:
    x, weight, bias = node.args
    inputs = [to.floats(x), to.value(weight)] + ([] if bias is None else [to.value(bias)])
    # Weights have lengths that are known.
    kernel = cast("tuple[int, ...]", to.fact(weight).shape[2:])
    to.put(node, conv(to, node, inputs, node.kind, node.kwargs, kernel, len(to.fact(x).shape)))


def conv(
    to: Writing,
    node: Node,
    inputs: list[str],
    kind: str,
    settings: Settings,
    kernel: Sequence[int],
    ndim: int,
) -> str:
    """A convolution of names, with the settings of the kind."""
    dims = int(kind[-2])
    is_single = ndim == dims + 1
    if is_single:
        first = to.op("Unsqueeze", [inputs[0], to.constant(np.array([0], np.int64))])
        inputs = [first, *inputs[1:]]
    stride = per_axis(settings.get("stride", 1), dims, "stride")
    dilation = per_axis(settings.get("dilation", 1), dims, "dilation")
    attributes: dict[str, object] = {
        "kernel_shape": list(kernel),
        "strides": list(stride),
        "dilations": list(dilation),
        "group": int(settings.get("groups", 1)),
    }
    padding = settings.get("padding", 0)
    if isinstance(padding, str):
        reach = (
            [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)] if padding == "same" else [0] * dims
        )
        attributes["pads"] = [r // 2 for r in reach] + [r - r // 2 for r in reach]
    else:
        attributes["pads"] = list(per_axis(padding, dims, "padding", 0)) * 2
    if "transpose" in kind:
        attributes["output_padding"] = list(
            per_axis(settings.get("output_padding", 0), dims, "output_padding", 0)
        )
    op = "ConvTranspose" if "transpose" in kind else "Conv"
    y = to.op(op, inputs, node=node, settings=attributes)
    return to.op("Squeeze", [y, to.constant(np.array([0], np.int64))]) if is_single else y


@writes(*(f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)))
def _pool(to: Writing, node: Node) -> None:
    (x,) = node.inputs
    to.put(node, pool(to, node, to.value(x), to.fact(x).shape, node.kind, node.kwargs))


def pool(to: Writing, node: Node, x: str, shape: Shape, kind: str, settings: Settings) -> str:
    """A pool of names."""
    dims = int(kind[-2])
    if len(shape) != dims + 2:
        raise NotExported("a pool of one image without its batch")
    kernel = per_axis(settings["kernel_size"], dims, "kernel_size")
    stride = settings.get("stride")
    padding = per_axis(settings.get("padding", 0), dims, "padding", 0)
    attributes: dict[str, Sequence[int] | int] = {
        "kernel_shape": list(kernel),
        "strides": list(kernel if stride is None else per_axis(stride, dims, "stride")),
        "pads": [*padding, *padding],
        "ceil_mode": int(bool(settings.get("ceil_mode"))),
    }
    if kind.startswith("max"):
        attributes["dilations"] = list(per_axis(settings.get("dilation", 1), dims, "dilation"))
        return to.op("MaxPool", [x], node=node, version=_version(shape, attributes), settings=attributes)
    if settings.get("divisor_override") is not None:
        raise NotExported("divisor_override of an average")
    attributes["count_include_pad"] = int(bool(settings.get("count_include_pad", True)))
    return to.op("AveragePool", [x], node=node, version=_version(shape, attributes), settings=attributes)


def _version(shape: Shape, attributes: Mapping[str, Sequence[int] | int]) -> int:
    """Before opset 22 the standard counts windows that begin on the padding of the end, which nobody does."""
    if not attributes["ceil_mode"]:
        return 13
    kernel, strides, pads = (
        cast("Sequence[int]", attributes[name]) for name in ("kernel_shape", "strides", "pads")
    )
    dilations = cast("Sequence[int]", attributes.get("dilations", [1] * len(shape)))
    for n, k, s, p, d in zip(shape[2:], kernel, strides, pads, dilations, strict=False):
        if isinstance(n, int) and -(-(n + 2 * p - d * (k - 1) - 1) // s) * s >= n + p:
            return 22
    return 13


@writes(*(f"adaptive_{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)))
def _adaptive(to: Writing, node: Node) -> None:
    (x,) = node.inputs
    to.put(node, adaptive(to, node, to.value(x), to.fact(x).shape, node.kind, node.kwargs))


def adaptive(to: Writing, node: Node, x: str, shape: Shape, kind: str, settings: Settings) -> str:
    """A pool to a given size: of everything, or of equal windows."""
    dims = int(kind[-2])
    sizes = settings["output_size"]
    sizes = list(sizes) if isinstance(sizes, (tuple, list)) else [sizes] * dims
    is_max = "max" in kind
    if all(size == 1 for size in sizes):
        return to.op("GlobalMaxPool", [x], node=node) if is_max else _of_all(to, node, x, len(shape))
    lengths = shape[-dims:]
    sizes = [n if size is None else size for size, n in zip(sizes, lengths, strict=True)]
    window: list[int] = []
    for n, m in zip(lengths, sizes, strict=True):
        if not isinstance(n, int) or not isinstance(m, int) or n % m:
            raise NotExported(f"an adaptive pool of lengths {lengths} to {sizes}, whose windows differ")
        window.append(n // m)
    return to.op("MaxPool" if is_max else "AveragePool", [x], node=node, kernel_shape=window, strides=window)


@writes("mean")
def _mean(to: Writing, node: Node) -> None:
    (x,) = node.inputs
    to.put(node, mean(to, node, to.value(x), len(to.fact(x).shape), bool(node.get("keepdims"))))


def _of_all(to: Writing, node: Node, x: str, ndim: int) -> str:
    """The mean over all lengths of an image, which keeps its axes.

    onnxruntime refuses to run pools whose result has a grid 256 times as fine as the image, as where the mean
    was taken off before; other means it computes in floats.
    """
    image, made = to.grids.get(node.inputs[0]), to.grids.get(Ref(node.name))
    if image is not None and made is not None and float(image.scale) >= 256 * float(made.scale):
        return to.op("ReduceMean", [x], node=node, axes=list(range(2, ndim)), keepdims=1)
    return to.op("GlobalAveragePool", [x], node=node)


def mean(to: Writing, node: Node, x: str, ndim: int, keepdims: bool) -> str:
    """The mean over all lengths of an image."""
    y = _of_all(to, node, x, ndim)
    axes = to.constant(np.arange(2, ndim))
    return y if keepdims else to.op("Squeeze", [y, axes], node=node)
