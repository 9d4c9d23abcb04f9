"""Operators in the versions that files since opset 7 have: as onnxruntime computes each of them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto  # noqa: E402
from single_node import here, in_onnxruntime, single_node  # noqa: E402

R = np.random.default_rng(0)


def floats(*shape):
    return R.normal(size=shape).astype(np.float32)


X = floats(2, 4, 6, 6)
I64 = np.int64


def number(value, dtype=np.float32):
    return np.asarray(value, dtype)


#: By operator: first and last version, its inputs, its attributes, those of its inputs that files have as constants.
VERSIONS = {
    "Clip by attributes": ("Clip", 7, 10, {"x": X}, {"min": -0.5, "max": 0.75}, ()),
    "Clip by inputs": ("Clip", 11, 21, {"x": X, "low": number(-0.5), "high": number(0.75)}, {}, ("low", "high")),
    "Slice by attributes": ("Slice", 7, 9, {"x": X}, {"axes": [1, 2], "starts": [1, -4], "ends": [3, 9999]}, ()),
    "Slice by inputs": (
        "Slice", 10, 21,
        {"x": X, "s": number([3, -1], I64), "e": number([0, -99999], I64), "a": number([1, 2], I64), "t": number([-1, -2], I64)},
        {}, ("s", "e", "a", "t"),
    ),
    "Pad by attributes": ("Pad", 7, 10, {"x": X}, {"pads": [0, 0, 1, 2, 0, 0, 2, 1], "mode": "reflect"}, ()),
    "Pad by inputs": ("Pad", 11, 21, {"x": X, "p": number([0, 0, 1, 2, 0, 0, 2, -1], I64), "v": number(3)}, {}, ("p", "v")),
    "Pad at edges": ("Pad", 11, 21, {"x": X, "p": number([0, 1, 1, 2, 0, 0, 2, 1], I64)}, {"mode": "edge"}, ("p",)),
    "Unsqueeze by attributes": ("Unsqueeze", 7, 12, {"x": X}, {"axes": [0, 3]}, ()),
    "Unsqueeze by inputs": ("Unsqueeze", 13, 21, {"x": X, "a": number([0, -1], I64)}, {}, ("a",)),
    "Squeeze by attributes": ("Squeeze", 7, 12, {"x": X[:, :1]}, {"axes": [1]}, ()),
    "Squeeze by inputs": ("Squeeze", 13, 21, {"x": X[:, :1], "a": number([-3], I64)}, {}, ("a",)),
    "Squeeze all": ("Squeeze", 7, 21, {"x": X[:1, :1]}, {}, ()),
    "Softmax of the rest": ("Softmax", 7, 12, {"x": X}, {"axis": 1}, ()),
    "Softmax along an axis": ("Softmax", 13, 21, {"x": X}, {"axis": 1}, ()),
    "Softmax by default": ("Softmax", 7, 21, {"x": X[0]}, {}, ()),
    "LogSoftmax": ("LogSoftmax", 7, 21, {"x": X}, {"axis": 2}, ()),
    "Hardmax": ("Hardmax", 7, 21, {"x": X}, {"axis": 1}, ()),
    "ReduceSum by attributes": ("ReduceSum", 7, 12, {"x": X}, {"axes": [1, 3], "keepdims": 0}, ()),
    "ReduceSum by inputs": ("ReduceSum", 13, 21, {"x": X, "a": number([1, -1], I64)}, {"keepdims": 0}, ("a",)),
    "ReduceSum of nothing": ("ReduceSum", 13, 21, {"x": X, "a": number([], I64)}, {"noop_with_empty_axes": 1}, ("a",)),
    "ReduceMean by attributes": ("ReduceMean", 7, 17, {"x": X}, {"axes": [2, 3]}, ()),
    "ReduceMean by inputs": ("ReduceMean", 18, 21, {"x": X, "a": number([2, 3], I64)}, {}, ("a",)),
    "ReduceL2": ("ReduceL2", 7, 17, {"x": X}, {"axes": [1]}, ()),
    "ReduceLogSumExp": ("ReduceLogSumExp", 7, 17, {"x": X}, {"axes": [1]}, ()),
    "Split by attributes": ("Split", 7, 12, {"x": X}, {"axis": 1, "split": [1, 3]}, ()),
    "Split by inputs": ("Split", 13, 21, {"x": X, "s": number([1, 3], I64)}, {"axis": 1}, ("s",)),
    "Split evenly": ("Split", 7, 17, {"x": X}, {"axis": 2}, ()),
    "Upsample by attributes": ("Upsample", 7, 8, {"x": X}, {"scales": [1.0, 1.0, 2.0, 3.0]}, ()),
    "Upsample by inputs": ("Upsample", 9, 9, {"x": X, "s": number([1, 1, 2, 1.5])}, {}, ("s",)),
    "Upsample linearly": ("Upsample", 9, 9, {"x": X, "s": number([1, 1, 2, 2])}, {"mode": "linear"}, ("s",)),
    "Resize of opset 10": ("Resize", 10, 10, {"x": X, "s": number([1, 1, 0.6, 1.7])}, {"mode": "nearest"}, ("s",)),
    "Resize of opset 10, linearly": ("Resize", 10, 10, {"x": X, "s": number([1, 1, 0.5, 2])}, {"mode": "linear"}, ("s",)),
    "TopK by attributes": ("TopK", 7, 9, {"x": X}, {"k": 2, "axis": 1}, ()),
    "TopK by inputs": ("TopK", 10, 21, {"x": X, "k": number([3], I64)}, {"axis": -1}, ("k",)),
    "TopK of the smallest": ("TopK", 11, 21, {"x": X, "k": number([3], I64)}, {"axis": 1, "largest": 0}, ("k",)),
    "Dropout": ("Dropout", 7, 21, {"x": X}, {}, ()),
    "Flatten": ("Flatten", 7, 21, {"x": X}, {"axis": 2}, ()),
    "BatchNormalization": (
        "BatchNormalization", 7, 21, {"x": X, "s": floats(4), "b": floats(4), "m": floats(4), "v": np.abs(floats(4)) + 1},
        {"epsilon": 1e-3}, ("s", "b", "m", "v"),
    ),
    "BatchNormalization of elements": (
        "BatchNormalization", 7, 8,
        {"x": X, "s": floats(4, 6, 6), "b": floats(4, 6, 6), "m": floats(4, 6, 6), "v": np.abs(floats(4, 6, 6)) + 1},
        {"spatial": 0}, ("s", "b", "m", "v"),
    ),
    "PRelu": ("PRelu", 7, 21, {"x": X, "s": floats(4, 1, 1)}, {}, ("s",)),
    "Gather from the end": ("Gather", 7, 21, {"x": X, "i": number([[0, 3], [1, 2]], I64)}, {"axis": 1}, ("i",)),
    "Scatter": ("Scatter", 9, 10, {"x": X[0, 0], "i": number([[1, 0, 2]], I64), "u": floats(1, 3)}, {}, ("i",)),
    "Cast": ("Cast", 7, 21, {"x": X * 50}, {"to": TensorProto.INT8}, ()),
    "MaxPool": ("MaxPool", 7, 21, {"x": X}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 0, 1]}, ()),
    "MaxPool with holes": ("MaxPool", 10, 21, {"x": X}, {"kernel_shape": [2, 3], "dilations": [2, 1], "ceil_mode": 1, "strides": [3, 2]}, ()),
    "AveragePool": ("AveragePool", 7, 21, {"x": X}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 0, 1]}, ()),
    "AveragePool with padding": ("AveragePool", 7, 21, {"x": X}, {"kernel_shape": [3, 3], "pads": [1, 1, 2, 0], "count_include_pad": 1}, ()),
    "AveragePool of SAME": ("AveragePool", 7, 21, {"x": X}, {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}, ()),
    "AveragePool rounded up": ("AveragePool", 10, 21, {"x": X}, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, ()),
    "LpPool": ("LpPool", 11, 21, {"x": X}, {"kernel_shape": [3, 3], "strides": [2, 1], "p": 3, "pads": [1, 0, 0, 1]}, ()),
    "GlobalLpPool": ("GlobalLpPool", 7, 21, {"x": X}, {"p": 2}, ()),
    "Sum": ("Sum", 8, 21, {"a": X, "b": floats(4, 1, 1), "c": floats(6)}, {}, ()),
    "Min": ("Min", 8, 21, {"a": X, "b": floats(4, 1, 1)}, {}, ()),
    "Pow": ("Pow", 7, 21, {"a": np.abs(X), "b": floats(4, 1, 1)}, {}, ()),
    "Gemm": ("Gemm", 7, 21, {"a": floats(3, 5), "b": floats(7, 3), "c": floats(5, 1)}, {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}, ()),
    "ArgMax": ("ArgMax", 7, 21, {"x": X}, {"axis": 2, "keepdims": 0}, ()),
    "ArgMin of the last": ("ArgMin", 12, 21, {"x": np.rint(X)}, {"axis": 2, "select_last_index": 1}, ()),
    "OneHot": ("OneHot", 9, 21, {"i": number([[0, -1], [2, 5]], I64), "d": number(4, I64), "v": number([-1, 2])}, {"axis": 1}, ("d", "v")),
    "Expand": ("Expand", 8, 21, {"x": X[:, :, :1], "s": number([4, 3, 1], I64)}, {}, ("s",)),
    "DepthToSpace": ("DepthToSpace", 7, 21, {"x": X}, {"blocksize": 2}, ()),
    "DepthToSpace by columns": ("DepthToSpace", 11, 21, {"x": X}, {"blocksize": 2, "mode": "CRD"}, ()),
    "Equal": ("Equal", 7, 21, {"a": np.rint(X).astype(np.int32), "b": number(0, np.int32)}, {}, ()),
    "CumSum": ("CumSum", 11, 21, {"x": X, "a": number(1, np.int32)}, {"reverse": 1, "exclusive": 1}, ("a",)),
    "Mod": ("Mod", 10, 21, {"a": number([-7, 7, 5], np.int32), "b": number([3, -3, 2], np.int32)}, {}, ()),
    "Div of integers": ("Div", 7, 21, {"a": number([-7, 7, 5], np.int32), "b": number([3, -3, 2], np.int32)}, {}, ()),
    "LRN": ("LRN", 7, 21, {"x": X}, {"size": 3, "alpha": 0.1}, ()),
    "InstanceNormalization": ("InstanceNormalization", 7, 21, {"x": X, "s": floats(4), "b": floats(4)}, {}, ("s", "b")),
    "ConvTranspose": (
        "ConvTranspose", 7, 21, {"x": X, "w": floats(4, 2, 3, 3)},
        {"strides": [2, 2], "pads": [1, 0, 0, 1], "output_padding": [1, 1], "group": 2}, ("w",),
    ),
    "ConvTranspose of SAME": ("ConvTranspose", 7, 21, {"x": X, "w": floats(4, 2, 3, 3)}, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, ("w",)),
    "ConvTranspose to a shape": ("ConvTranspose", 7, 21, {"x": X, "w": floats(4, 2, 3, 3)}, {"strides": [2, 2], "output_shape": [12, 12]}, ("w",)),
    "Conv of SAME": ("Conv", 7, 21, {"x": X, "w": floats(3, 4, 3, 2), "b": floats(3)}, {"strides": [2, 2], "auto_pad": "SAME_LOWER"}, ("w", "b")),
    "Dropout with a ratio": ("Dropout", 7, 11, {"x": X}, {"ratio": 0.3}, ()),
    "GroupNormalization": ("GroupNormalization", 21, 21, {"x": X, "s": floats(4), "b": floats(4)}, {"num_groups": 2}, ("s", "b")),
    "Tile": ("Tile", 7, 21, {"x": X, "r": number([1, 2, 1, 3], I64)}, {}, ("r",)),
    "IsInf": ("IsInf", 10, 21, {"x": number([1, np.inf, -np.inf, np.nan])}, {"detect_negative": 0}, ()),
    "NonMaxSuppression": (
        "NonMaxSuppression", 10, 21,
        {"b": np.sort(R.random((1, 20, 4)).astype(np.float32), axis=-1)[..., [0, 1, 2, 3]], "s": R.random((1, 2, 20)).astype(np.float32),
         "n": number([5], I64), "i": number([0.3]), "t": number([0.2])},
        {}, ("n", "i", "t"),
    ),
    "RoiAlign": (
        "RoiAlign", 10, 21,
        {"x": X, "b": number([[0, 0, 4, 4], [1, 2, 5.5, 5]]), "i": number([0, 1], I64)},
        {"output_height": 3, "output_width": 2, "sampling_ratio": 2, "spatial_scale": 0.9}, (),
    ),
    "GridSample": ("GridSample", 16, 19, {"x": X, "g": R.uniform(-1.3, 1.3, (2, 3, 5, 2)).astype(np.float32)}, {"padding_mode": "reflection"}, ()),
    "Einsum": ("Einsum", 12, 21, {"a": floats(2, 3, 4), "b": floats(2, 4, 5)}, {"equation": "bij,bjk->bik"}, ()),
    "LayerNormalization": ("LayerNormalization", 17, 21, {"x": X, "s": floats(6, 6), "b": floats(6, 6)}, {"axis": 2}, ("s", "b")),
    "Trilu": ("Trilu", 14, 21, {"x": X, "k": number(-1, I64)}, {"upper": 0}, ("k",)),
    "HardSwish": ("HardSwish", 14, 21, {"x": X * 4}, {}, ()),
    "ScatterElements that adds": (
        "ScatterElements", 16, 21, {"x": X[0, 0], "i": number([[1, 1, 0], [2, 1, -1]], I64), "u": floats(2, 3)},
        {"reduction": "add"}, ("i",),
    ),
    "ScatterND that multiplies": (
        "ScatterND", 16, 21, {"x": X[0, 0], "i": number([[1], [1]], I64), "u": floats(2, 6)}, {"reduction": "mul"}, ("i",),
    ),
    "Unique": ("Unique", 11, 21, {"x": np.rint(X[0, 0, 0])}, {"sorted": 0}, ()),
    "DFT by attributes": ("DFT", 17, 19, {"x": floats(2, 8, 1)}, {"axis": 1, "onesided": 1}, ()),
    "DFT by inputs": ("DFT", 20, 21, {"x": floats(2, 8, 1), "n": None, "a": number(1, I64)}, {"onesided": 1}, ("a",)),
    "STFT": ("STFT", 17, 21, {"x": floats(2, 32, 1), "s": number(4, I64), "w": floats(8)}, {}, ("s", "w")),
}  # fmt: skip

OUTPUTS = {"TopK": 2, "Split": 2, "Unique": 4}


def cases():
    for name, (_, first, last, *_rest) in VERSIONS.items():
        versions = sorted({first, last, *(v for v in (9, 11, 13, 18) if first < v < last)})
        for version in versions:
            yield pytest.param(name, version, id=f"{name}-{version}")


@pytest.mark.parametrize(("name", "version"), list(cases()))
def test_version(name, version):
    op, _, _, inputs, attributes, constants = VERSIONS[name]
    count = OUTPUTS.get(op, 1)
    model = single_node(
        op, inputs, [f"y{i}" for i in range(count)], opset=version, constants=set(constants), **attributes
    )
    for ours, theirs in zip(here(model, inputs), in_onnxruntime(model, inputs), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)

