"""Versions of the standard's operators: which one a node needs, and its form in a later one.

Writers write the forms of opset 13. What a file had is written in the form of its own opset. The file that is
written has one opset for all of them: the least that has every operator, to which older forms are brought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quantray.onnx._element_types import ElementTypes
from quantray.onnx._file import GraphFile, NodeFile

#: The least opset that is written, and the greatest one.
LEAST, GREATEST = 13, 28

#: Versions of the format that opsets came with.
_FORMATS = ((28, 14), (25, 13), (24, 12), (23, 11), (21, 10), (19, 9), (0, 8))

#: Operators that came after opset 13.
_FIRST: Mapping[str, int] = {
    **dict.fromkeys(("HardSwish", "Trilu"), 14),
    **dict.fromkeys(("Bernoulli", "CastLike"), 15),
    "GridSample": 16,
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow", "DFT", "STFT"), 17),
    **dict.fromkeys(("LayerNormalization", "MelWeightMatrix"), 17),
    **dict.fromkeys(("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CenterCropPad"), 18),
    **dict.fromkeys(("Col2Im", "GroupNormalization", "Mish"), 18),
    "DeformConv": 19,
    "SequenceMap": 17,
    **dict.fromkeys(("AffineGrid", "Gelu", "ImageDecoder", "RegexFullMatch"), 20),
    **dict.fromkeys(("StringConcat", "StringSplit"), 20),
    **dict.fromkeys(("Attention", "RMSNormalization", "RotaryEmbedding"), 23),
    **dict.fromkeys(("Swish", "TensorScatter"), 24),
    **dict.fromkeys(("BitCast", "CumProd"), 26),
    **dict.fromkeys(("CausalConvWithState", "LinearAttention"), 27),
    "SwiGLU": 28,
}

#: Attributes that operators have from a version on; other nodes of them are what they were before.
_ATTRIBUTES: Mapping[str, tuple[tuple[int, tuple[str, ...]], ...]] = {
    "Attention": ((25, ("left_window_size", "right_window_size")),),
    "AveragePool": ((19, ("dilations",)),),
    "Cast": ((19, ("saturate",)), (24, ("round_mode",))),
    "CastLike": ((19, ("saturate",)), (24, ("round_mode",))),
    "DequantizeLinear": ((21, ("block_size",)), (23, ("output_dtype",))),
    "GRU": ((14, ("layout",)),),
    "LSTM": ((14, ("layout",)),),
    "LpPool": ((18, ("dilations", "ceil_mode")),),
    "QuantizeLinear": ((19, ("saturate",)), (21, ("block_size", "output_dtype")), (23, ("precision",))),
    "RNN": ((14, ("layout",)),),
    "Reshape": ((14, ("allowzero",)),),
    "Resize": ((18, ("antialias", "axes", "keep_aspect_ratio_policy")),),
    "RoiAlign": ((16, ("coordinate_transformation_mode",)),),
    "Shape": ((15, ("start", "end")),),
    "SpaceToDepth": ((28, ("mode",)),),
    "Split": ((18, ("num_outputs",)),),
}

#: Values of attributes that there are from a version on.
_VALUES: Mapping[tuple[str, str], Mapping[str, int]] = {
    ("Pad", "mode"): {"wrap": 19},
    ("Resize", "coordinate_transformation_mode"): {"half_pixel_symmetric": 19},
    ("ScatterElements", "reduction"): {"add": 16, "mul": 16, "max": 18, "min": 18},
    ("ScatterND", "reduction"): {"add": 16, "mul": 16, "max": 18, "min": 18},
}

#: More inputs than so many come with a version.
_INPUTS: Mapping[str, tuple[int, int]] = {"Pad": (3, 18), "Attention": (6, 24)}

_SHORT = ("int8", "uint8", "int16", "uint16")
#: Types of inputs that operators take from a version on.
_TYPES: Mapping[str, tuple[tuple[int, tuple[str, ...]], ...]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), ((14, _SHORT),)),
    "BitShift": ((28, ("int8", "int16", "int32", "int64")),),
    "Equal": ((19, ("string",)),),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), ((21, ("int16", "uint16")),)),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), ((20, ("bool",)),)),
    "Relu": ((14, ("int8", "int16", "int32", "int64")),),
}

#: Versions that types of elements came with.
_ELEMENTS: Mapping[str, int] = {
    **dict.fromkeys(("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"), 19),
    **dict.fromkeys(("int4", "uint4"), 21),
    "float4e2m1": 23,
    "float8e8m0": 24,
    **dict.fromkeys(("int2", "uint2"), 25),
}

_AXES_13 = ("ReduceSum", "Squeeze", "Unsqueeze")
_AXES_18 = tuple(
    f"Reduce{kind}" for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
)

#: Versions from which on a node of an older one means something else, or nothing.
CHANGED: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(_AXES_13, (13,)),
    **dict.fromkeys(_AXES_18, (18,)),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), (13,)),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "And", "Or", "Xor", "Equal", "Less", "Greater"), (7,)),
    **dict.fromkeys(("AveragePool", "MaxPool"), (22,)),
    "BatchNormalization": (9, 14),
    "Clip": (11,),
    "DFT": (20,),
    "Dropout": (12,),
    "GridSample": (20,),
    "GroupNormalization": (21,),
    "Pad": (11,),
    "Resize": (11,),
    "RoiAlign": (16,),
    "Scan": (9,),
    "Scatter": (11,),
    "Slice": (10,),
    "Split": (13, 18),
    "TopK": (10,),
    "Upsample": (9, 10),
}


def format_of(opset: int) -> int:
    """The version of the format that files of an opset have."""
    return next(version for least, version in _FORMATS if opset >= least)


def least(node: NodeFile, version: int, types: ElementTypes) -> int:
    """The least opset, from 13 on, that a node can be written in which is in the form of a version."""
    if node.domain not in ("", "ai.onnx"):
        return LEAST
    needed = [LEAST, _FIRST.get(node.op, 0)]
    needed += [since for since in CHANGED.get(node.op, ()) if since <= version]
    for since, names in _ATTRIBUTES.get(node.op, ()):
        if any(name in node.attributes for name in names):
            needed.append(since)
    for name, value in node.attributes.items():
        if isinstance(value, str):
            needed.append(_VALUES.get((node.op, name), {}).get(value, 0))
        elif isinstance(value, GraphFile):
            within = types.inner()
            within.of_graph(value)
            for inner in value.nodes:
                within.of_node(inner)
                needed.append(least(inner, version, within))
    taken = types.of_inputs(node)
    needed += [since for since, known in _TYPES.get(node.op, ()) if set(taken).intersection(known)]
    needed += [_ELEMENTS.get(kind or "", 0) for kind in (*taken, *map(types.of, node.outputs))]
    count, since = _INPUTS.get(node.op, (0, 0))
    if since and len(node.inputs) > count:
        needed.append(since)
    return max(needed)


#: What attributes that later versions alone have are where a node does not say.
_USUAL: Mapping[str, Mapping[str, object]] = {
    "Cast": {"saturate": 1, "round_mode": "up"},
    "CastLike": {"saturate": 1, "round_mode": "up"},
    "DequantizeLinear": {"block_size": 0, "output_dtype": 0},
    **{name: {"layout": 0} for name in ("GRU", "LSTM", "RNN")},
    "LpPool": {"ceil_mode": 0},
    "QuantizeLinear": {"saturate": 1, "block_size": 0, "output_dtype": 0, "precision": 0},
    "Reshape": {"allowzero": 0},
    "Resize": {"antialias": 0, "keep_aspect_ratio_policy": "stretch"},
    **{name: {"reduction": "none"} for name in ("ScatterElements", "ScatterND")},
    "SpaceToDepth": {"mode": "DCR"},
}


def plain(node: NodeFile) -> NodeFile:
    """Without attributes that say what is so anyway, and that later versions alone have."""
    usual = _USUAL.get(node.op)
    if usual is None or node.domain not in ("", "ai.onnx"):
        return node
    kept = {k: value for k, value in node.attributes.items() if k not in usual or usual[k] != value}
    return replace(node, attributes=kept)
