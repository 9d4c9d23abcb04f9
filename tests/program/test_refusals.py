"""Programs, inputs and layers that do not fit are refused, by name."""

from __future__ import annotations

import numpy as np
import pytest
import quantray as qt
from program.steps import GRID, U8, conv, linear, normal, once, residual_steps, tensor
from quantray import ops

pytestmark = pytest.mark.usefixtures("threads")


def test_nan_is_said_of_the_input() -> None:
    steps, _ = residual_steps()
    program = ops.Program(["float32"], steps, [10], names=["image"])
    x = normal(70, 3, 12, 11)
    x[61, 1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"image must not hold NaN.* 1, the first at index \(61, 1, 2, 3\)"):
        program(x)


def test_steps_say_their_names() -> None:
    steps, _ = residual_steps()
    program = ops.Program(["float32"], steps, [10])
    with pytest.raises(ValueError, match="input"):
        program(normal(2, 4, 12, 11))
    named = [(*step[:3], {**step[3], "name": f"node{step[2]}"}) for step in steps]
    with pytest.raises(ValueError, match=r"node2: input must be with 3 channels"):
        ops.Program(["float32"], named, [10])(normal(2, 4, 12, 11))
    with pytest.raises(TypeError, match="args must be 1, one for each input, got 2"):
        program(1, 2)


@pytest.mark.parametrize(
    ("steps", "outputs", "error"),
    [
        ([("nothing", (0,), 1, {})], [1], ValueError),
        ([("flatten", (1,), 2, {})], [2], ValueError),
        ([("flatten", (0,), 0, {})], [0], ValueError),
        ([("flatten", (0,), (1, 2), {})], [1], ValueError),
        ([("flatten", (0,), 1, {})], [2], ValueError),
        ([("flatten", (0,), 1, {"begin": 1})], [1], TypeError),
        ([("flatten", (0, 0), 1, {})], [1], ValueError),
        ([("flatten", (0,), 1)], [1], TypeError),
        ([("flatten", "0", 1, {})], [1], TypeError),
        ([(3, (0,), 1, {})], [1], TypeError),
        ([("quantize", (0,), 1, {})], [1], TypeError),
        ([("quantize", (0,), 1, {"grid": (0.0, 0, U8, 0, 255)})], [1], ValueError),
        ([("quantize", (0,), 1, {"grid": (0.1, 300, U8, 0, 255)})], [1], ValueError),
        ([("quantize", (0,), 1, {"grid": (0.1, 0, qt.qint32, 0, 255)})], [1], ValueError),
        ([("quantize", (0,), 1, {"grid": (0.1, 0, U8, 9, 3)})], [1], ValueError),
        ([("quantize", (0,), 1, {"grid": "grid"})], [1], TypeError),
        ([("linear", (0,), 1, {})], [1], TypeError),
        ([("linear", (0,), 1, {"packed": 3})], [1], TypeError),
        ([("conv", (0,), 1, {"packed": 3})], [1], TypeError),
        ([("table", (0,), 1, {"table": b"12"})], [1], TypeError),
        ([("reshape", (0,), 1, {"shape": 3})], [1], TypeError),
        ([("reshape", (0,), 1, {"shape": "3"})], [1], TypeError),
        ([("reshape", (0,), 1, {"shape": (("dim", 7, 0),)})], [1], ValueError),
        ([("reshape", (0,), 1, {"shape": (("what", 7, 0),)})], [1], TypeError),
        ([("slice", (0,), 1, {"index": (slice(None, None, 0),)})], [1], ValueError),
        ([("slice", (0,), 1, {"index": (...,)})], [1], ValueError),
        ([("max_pool", (0,), 1, {"kernel_size": (2, 2, 2, 2)})], [1], ValueError),
        ([("max_pool", (0,), 1, {"kernel_size": (2, 2), "padding": (2, 2)})], [1], ValueError),
        ([("avg_pool", (0,), 1, {"kernel_size": (2, 2), "divisor_override": 0})], [1], ValueError),
        ([("interpolate", (0,), 1, {})], [1], ValueError),
        ([("call", (0,), 1, {"function": 3})], [1], TypeError),
        ([("call", (0,), 1, {"function": abs, "count": 2})], [1], ValueError),
        ([("flatten", (0,), 1, {})], ["1"], TypeError),
    ],
)
def test_programs_that_are_none(steps: list, outputs: list, error: type[Exception]) -> None:
    with pytest.raises(error):
        ops.Program(["float32"], steps, outputs)
    with pytest.raises((TypeError, ValueError)):
        ops.Program("float32", steps, outputs)


@pytest.mark.parametrize(
    ("kind", "step", "args"),
    [
        ("float32", ("dequantize", {}), ("text",)),
        ("float32", ("clamp", {"lo": 0, "hi": 1}), ([1.0],)),
        ("int64", ("quantize", {"grid": GRID}), (np.int64([1]),)),
        ("int64", ("dequantize", {}), ([1.5],)),
        ("bool", ("dequantize", {}), ([1],)),
        ("quint8", ("dequantize", {}), ([1],)),
        ("qint8", ("dequantize", {}), (tensor(normal(2)),)),
        ("float32", ("reshape", {"shape": (4, -1)}), (normal(3, 5),)),
        ("float32", ("reshape", {"shape": (-1, -1)}), (normal(3, 5),)),
        ("float32", ("reshape", {"shape": (0, -1)}), (normal(3, 5),)),
        ("float32", ("reshape", {"shape": (1 << 62, 1 << 62)}), (normal(3, 5),)),
        ("float32", ("reshape", {"shape": (("floordiv", 3, 0),)}), (normal(3, 5),)),
        ("float32", ("reshape", {"shape": (("in", 3, 0),)}), (normal(3, 5),)),
        ("float32", ("reshape", {"shape": (("in", 0, 5),)}), (normal(3, 5),)),
        ("float32", ("expand", {"shape": (1 << 40, 1 << 40, -1, -1)}), (normal(3, 5),)),
        ("float32", ("expand", {"shape": (2, 5)}), (normal(3, 5),)),
        ("float32", ("transpose", {"axes": (0, 0)}), (normal(3, 5),)),
        ("float32", ("transpose", {"axes": (0,)}), (normal(3, 5),)),
        ("float32", ("slice", {"index": (7,)}), (normal(3, 5),)),
        ("float32", ("slice", {"index": (0, 0, 0)}), (normal(3, 5),)),
        ("float32", ("squeeze", {"axes": 0}), (normal(3, 5),)),
        ("float32", ("unsqueeze", {"axes": (0, 0)}), (normal(3, 5),)),
        ("float32", ("unsqueeze", {"axes": 7}), (normal(3, 5),)),
        ("float32", ("flip", {"axes": 2}), (normal(3, 5),)),
        ("float32", ("flatten", {"start": 1, "end": 0}), (normal(3, 5),)),
        ("float32", ("pad", {"pairs": ((1, 1),)}), (normal(3, 5),)),
        ("float32", ("pad", {"pairs": ((-2, -2), (0, 0))}), (normal(3, 5),)),
        ("float32", ("pad", {"pairs": ((1 << 39, 0), (1 << 39, 0))}), (normal(3, 5),)),
        ("float32", ("matmul", {}), (normal(3, 5),)),
        ("quint8", ("max_pool", {"kernel_size": (9, 9)}), (tensor(normal(2, 2, 4, 4)),)),
        ("quint8", ("adaptive_avg_pool", {"output_size": (1, 1)}), (tensor(normal(2, 2, 0, 4)),)),
        ("quint8", ("interpolate", {"size": (0, 2)}), (tensor(normal(2, 2, 4, 4)),)),
        ("quint8", ("interpolate", {"scale": (0.1, 0.1)}), (tensor(normal(2, 2, 4, 4)),)),
    ],
)
def test_inputs_that_do_not_fit(kind: str, step: tuple, args: tuple) -> None:
    op, params = step
    with pytest.raises((TypeError, ValueError)):
        ops.Program([kind], [(op, (0,) * (2 if op == "matmul" else 1), 1, params)], [1])(*args)


def test_layers_that_do_not_fit() -> None:
    packed, images = linear(4, 3), conv("Conv2d", 3, 8, (3, 3))
    for op, layer, args in (
        ("linear", packed, [tensor(normal(2, 5))]),
        ("linear", packed, [normal(2, 5)]),
        ("linear", packed, [np.float32(3)]),
        ("linear", packed, [tensor(normal(2, 4)), normal(5, 3)]),
        ("linear", packed, [tensor(normal(2, 4)), normal(1, 2, 3)]),
        ("linear", packed, [normal(2, 4), normal(2, 3)]),
        ("linear", packed, [np.full((2, 4), np.inf, np.float32)]),
        ("linear", packed, [np.full((2, 4), np.nan, np.float32)]),
        ("conv", images, [tensor(normal(2, 3, 2, 9))]),
        ("conv", images, [tensor(normal(3, 9))]),
        ("conv", images, [normal(2, 4, 9, 9)]),
        ("conv", images, [tensor(normal(2, 3, 9, 9)), np.arange(3)]),
    ):
        with pytest.raises((TypeError, ValueError)):
            once(op, args, {"packed": layer})
    with pytest.raises(ValueError, match="scale"):
        once("linear", [tensor(normal(2, 4))], {"packed": packed, "to": (1e-38, 0, U8, 0, 255)})
