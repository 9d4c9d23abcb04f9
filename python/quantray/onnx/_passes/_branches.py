"""Layers of one input whose outputs are added up: one layer."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft
from quantray.onnx._passes._layers import bias_of, foldable, normalized
from quantray.onnx.operators import Array

#: How a file says that a convolution pads what `pads` says.
_PLAIN = ("NOTSET", b"NOTSET")


class _Taps(NamedTuple):
    """A convolution: what it takes, its weight and bias, and what it pads before and after each axis."""

    node: NodeFile
    source: str
    weight: Array
    bias: Array
    before: tuple[int, ...]
    after: tuple[int, ...]


def sum_of_convolutions(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`conv(x) + conv(x)`, or `conv(x) - batch_norm(x)`: one convolution, where one kernel has room for both.

    Networks that are trained with branches (RepVGG, MobileOne, FastViT) are exported with them.
    """
    if node.op not in ("Add", "Sub"):
        return None
    found = [_taps(draft, name) for name in node.inputs]
    signs = (1, 1 if node.op == "Add" else -1)
    for at in (0, 1):
        wide, narrow = found[at], found[1 - at]
        if wide is None:
            continue
        if narrow is None:
            narrow = _of_channels(draft, node.inputs[1 - at], wide)
        if narrow is None:
            continue
        made = _together(draft, node, (wide, signs[at]), (narrow, signs[1 - at]))
        if made is not None:
            return made
    return None


def _taps(draft: Draft, name: str) -> _Taps | None:
    conv = foldable(draft, name)
    if conv is None or conv.op != "Conv" or conv.attributes.get("auto_pad", "NOTSET") not in _PLAIN:
        return None
    if any(n != 1 for n in conv.attributes.get("dilations", ())):
        return None
    if conv.inputs[1] in draft.stored:
        # The file says on which grid the weight of each is.
        return None
    weight = draft.constants[conv.inputs[1]]
    bias = bias_of(draft, conv, len(weight))
    axes = weight.ndim - 2
    pads = tuple(map(int, conv.attributes.get("pads", (0,) * (2 * axes))))
    return _Taps(conv, conv.inputs[0], weight, bias, pads[:axes], pads[axes:])


def _of_channels(draft: Draft, name: str, like: _Taps) -> _Taps | None:
    """A batch normalization of what a convolution takes, as another one: one tap for each channel alone."""
    node = draft.producer(name, "BatchNormalization")
    if node is None or node.inputs[0] != like.source or not draft.is_used_once(name):
        return None
    if any(n != 1 for n in like.node.attributes.get("strides", ())):
        return None
    found = normalized(draft, node)
    outputs, inputs = like.weight.shape[:2]
    groups = int(like.node.attributes.get("group", 1))
    if found is None or not outputs == len(found[0]) == groups * inputs:
        return None
    scale, shift = found
    axes = like.weight.ndim - 2
    weight = np.zeros((outputs, inputs, *[1] * axes))
    for channel in range(outputs):
        weight[channel, channel % inputs] = scale[channel]
    return _Taps(like.node, like.source, weight, shift, (0,) * axes, (0,) * axes)


def _together(
    draft: Draft, node: NodeFile, first: tuple[_Taps, int], second: tuple[_Taps, int]
) -> NodeFile | None:
    """The convolution of both, times a sign each, whose kernel is that of the first one."""
    (wide, sign), (narrow, other) = first, second
    if wide.source != narrow.source or wide.weight.shape[:2] != narrow.weight.shape[:2]:
        return None
    axes = wide.weight.ndim - 2
    settings = [
        [int(n) for n in each.node.attributes.get("strides", (1,) * axes)]
        + [int(each.node.attributes.get("group", 1))]
        for each in (wide, narrow)
    ]
    if settings[0] != settings[1]:
        return None
    places: list[slice] = [slice(None), slice(None)]
    for at in range(axes):
        size, own = wide.weight.shape[2 + at], narrow.weight.shape[2 + at]
        begin = wide.before[at] - narrow.before[at]
        if begin < 0 or begin + own > size:
            return None
        # As many windows.
        if wide.before[at] + wide.after[at] - size != narrow.before[at] + narrow.after[at] - own:
            return None
        places.append(slice(begin, begin + own))
    weight = sign * wide.weight.astype(np.float64)
    weight[tuple(places)] += other * narrow.weight
    bias = sign * wide.bias.astype(np.float64) + other * narrow.bias
    names = (
        draft.add(wide.node.inputs[1], weight.astype(np.float32)),
        draft.add(f"{wide.node.inputs[1]}.bias", bias.astype(np.float32)),
    )
    return replace(wide.node, inputs=(wide.source, *names), outputs=node.outputs[:1])
