"""Each step of a program gives what its operator gives."""

from __future__ import annotations

import numpy as np
import pytest
import quantray as qt
from program.steps import GRID, NARROW, SIGNED, U8, conv, linear, normal, once, orders, same, tensor, within
from quantray import nn, ops

pytestmark = pytest.mark.usefixtures("threads")


@pytest.mark.parametrize("grid", [GRID, SIGNED, NARROW])
def test_quantize_and_dequantize(grid: tuple) -> None:
    for x in orders(normal(3, 4, 5, 6)):
        same(once("quantize", [x], {"grid": grid}), tensor(x, grid))
        same(once("dequantize", [tensor(x, grid)], {}), np.asarray(tensor(x, grid)))
    same(once("quantize", [x[:0]], {"grid": grid}), tensor(x[:0], grid))
    same(once("quantize", [x], {"grid": grid}, [1]), np.asarray(tensor(x, grid)))


def test_requantize() -> None:
    q = tensor(normal(200, 9))
    for grid in (GRID, SIGNED, NARROW):
        scale, zero_point, dtype, *_ = grid
        expected = within(qt.quantize_per_tensor(np.asarray(q), scale, zero_point, dtype), grid)
        same(once("requantize", [q], {"grid": grid}), expected)


@pytest.mark.parametrize("channels", [True, False])
@pytest.mark.parametrize("to", [GRID, SIGNED, NARROW, None])
@pytest.mark.parametrize("relu", [False, True])
def test_linear(channels: bool, to: tuple | None, relu: bool) -> None:
    packed = linear(37, 21, channels=channels)
    params = {"packed": packed, "relu": relu, "to": to}
    for shape in ((5, 37), (2, 3, 37), (37,), (0, 37)):
        q = tensor(normal(*shape))
        expected = packed(q, relu=relu) if to is None else within(packed(q, *to[:3], relu=relu), to)
        for own in (q, *(tensor(m) for m in orders(normal(*shape)) if len(shape) > 1)):
            same(once("linear", [own], params), expected)
    six = {"packed": packed, "relu6": True, "to": to}
    q = tensor(normal(5, 37))
    if to is None:
        same(once("linear", [q], six), np.minimum(packed(q, relu=True), np.float32(6)))
    else:
        same(once("linear", [q], six), ops.relu6(within(packed(q, *to[:3], relu=True), to)))


CONVS = [
    ("Conv1d", (3, 7, (3,), 2, 1), (4, 3, 17)),
    ("Conv2d", (3, 8, (3, 3), 1, 1), (4, 3, 9, 10)),
    ("Conv2d", (64, 65, (1, 1)), (2, 64, 5, 5)),
    ("Conv3d", (2, 5, (2, 2, 2)), (3, 2, 4, 5, 6)),
    ("ConvTranspose1d", (3, 4, (3,), 2), (2, 3, 7)),
    ("ConvTranspose2d", (4, 6, (3, 3), 2, 1), (2, 4, 5, 4)),
]


@pytest.mark.parametrize("case", range(len(CONVS) + 2))
@pytest.mark.parametrize("to", [GRID, SIGNED, None])
def test_conv(case: int, to: tuple | None) -> None:
    if case < len(CONVS):
        kind, args, shape = CONVS[case]
        packed = conv(kind, *args)
    elif case == len(CONVS):
        packed, shape = conv("Conv2d", 8, 8, (3, 3), 1, 1, groups=8), (3, 8, 7, 6)
    else:
        packed, shape = conv("Conv2d", 8, 12, (3, 3), 1, 1, groups=2), (3, 8, 7, 6)
    for x in orders(normal(*shape)):
        for relu in (False, True):
            q = tensor(x)
            params = {"packed": packed, "relu": relu, "to": to}
            expected = packed(q, relu=relu) if to is None else packed(q, *to[:3], relu=relu)
            same(once("conv", [q], params), expected)
    one = tensor(normal(*shape)[0])
    same(once("conv", [one], {"packed": packed}), packed(one))
    same(
        once("conv", [tensor(normal(0, *shape[1:]))], {"packed": packed}),
        packed(tensor(normal(0, *shape[1:]))),
    )


@pytest.mark.parametrize("per_row", [True, False])
def test_dynamic_layers(per_row: bool) -> None:
    packed = linear(37, 21)
    for shape in ((5, 37), (2, 3, 37), (37,), (0, 37)):
        x = normal(*shape)
        params = {"packed": packed, "per_row": per_row, "relu": True}
        same(once("linear", [x], params), packed.dynamic(x, per_row=per_row, relu=True))
    x = normal(5, 37)
    reduced = packed(qt.quantize_per_tensor_dynamic(x, U8, True))
    same(once("linear", [x], {"packed": packed, "reduce_range": True}), reduced)
    same(
        once("linear", [x], {"packed": packed, "to": GRID}),
        tensor(packed.dynamic(x, per_row=True)),
    )
    layer = nn.Conv2d(3, 5, 3, padding=1)
    module = nn.quantized.dynamic.Conv2d.from_float(layer, per_row=per_row)
    for batch in (0, 1, 4):
        for x in orders(normal(batch, 3, 6, 7)):
            same(once("conv", [x], {"packed": module._packed, "per_row": per_row}), module(x))
    same(once("conv", [x[0] if len(x) else x], {"packed": module._packed}), module(x[0] if len(x) else x))


@pytest.mark.parametrize("codes", [GRID, SIGNED, None])
@pytest.mark.parametrize("to", [GRID, SIGNED, NARROW, None])
@pytest.mark.parametrize("relu", [False, True])
def test_residuals(codes: tuple | None, to: tuple | None, relu: bool) -> None:
    cases = [(linear(16, 67), "linear", (33, 16), (33, 67)), (linear(16, 3), "linear", (33, 16), (33, 3))]
    for kind, args, shape in CONVS:
        packed = conv(kind, *args)
        cases.append((packed, "conv", shape, packed(tensor(normal(*shape))).shape))
    wise = conv("Conv2d", 8, 8, (3, 3), 1, 1, groups=8)
    cases.append((wise, "conv", (3, 8, 7, 6), (3, 8, 7, 6)))
    grouped = conv("Conv2d", 8, 12, (3, 3), 1, 1, groups=2)
    cases.append((grouped, "conv", (3, 8, 7, 6), (3, 12, 7, 6)))
    for packed, op, shape, out in cases:
        q, y = tensor(normal(*shape)), normal(*out, seed=5)
        other = y if codes is None else tensor(y, codes)
        floats = packed(q)
        if to is None:
            expected = floats + np.asarray(other, np.float32)
            expected = np.maximum(expected, np.float32(0)) if relu else expected
        elif codes is None:
            total = floats + y
            expected = tensor(np.maximum(total, np.float32(0)) if relu else total, to)
        else:
            expected = within(ops.add(floats, other, *to[:3], relu=relu), to)
        params = {"packed": packed, "to": to, "relu": relu}
        same(once(op, [q, other], params), expected)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_pooling(dims: int) -> None:
    shape = (3, 5, 9, 8, 7)[: dims + 2]
    size = (3, 2, 2)[:dims]
    for x in orders(normal(*shape)):
        q = tensor(x)
        for op, extra in (
            ("max_pool", {"stride": (2,) * dims, "padding": (1,) * dims, "dilation": (1,) * dims}),
            ("avg_pool", {"stride": (1,) * dims, "padding": (1,) * dims, "count_include_pad": False}),
            ("avg_pool", {"ceil_mode": True}),
            ("avg_pool", {"divisor_override": 5}),
        ):
            expected = getattr(ops, f"{op}{dims}d")(q, size, **extra)
            same(once(op, [q], {"kernel_size": size, **extra}), expected)
        for op in ("adaptive_max_pool", "adaptive_avg_pool"):
            for output in ((1,) * dims, (2, None, 3)[:dims]):
                expected = getattr(ops, f"{op}{dims}d")(q, output)
                same(once(op, [q], {"output_size": output}), expected)
    same(once("max_pool", [q[:0]], {"kernel_size": size}), getattr(ops, f"max_pool{dims}d")(q[:0], size))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_interpolate(dims: int) -> None:
    q = tensor(normal(2, 3, *(4, 5, 3)[:dims]))
    linear_mode = ("linear", "bilinear", "trilinear")[dims - 1]
    for mode in ("nearest", "nearest-exact", linear_mode):
        for corners in (False, True) if mode == linear_mode else (False,):
            size = (7, 3, 5)[:dims]
            expected = ops.interpolate(q, size=size, mode=mode, align_corners=corners)
            same(once("interpolate", [q], {"size": size, "mode": mode, "align_corners": corners}), expected)
            factors = (2.0, 0.7, 1.3)[:dims]
            expected = ops.interpolate(q, scale_factor=factors, mode=mode, align_corners=corners)
            same(
                once("interpolate", [q], {"scale": factors, "mode": mode, "align_corners": corners}), expected
            )


def test_tables_and_clamps() -> None:
    q = tensor(normal(3, 70))
    table = bytes(np.random.default_rng(0).integers(0, 256, 256, dtype=np.uint8))
    made = once("table", [q], {"table": table, "grid": SIGNED})
    expected = np.frombuffer(table, np.int8)[q.int_repr()]
    np.testing.assert_array_equal(made.int_repr(), expected)
    assert made.q_scale() == SIGNED[0]
    same(once("clamp", [q], {"lo": 100, "hi": 130}), q.clamp((100 - 120) * 0.05, (130 - 120) * 0.05))


@pytest.mark.parametrize("op", ["add", "sub", "mul"])
@pytest.mark.parametrize("to", [GRID, SIGNED, NARROW])
def test_sums(op: str, to: tuple) -> None:
    for shapes in (((3, 4, 5), (3, 4, 5)), ((3, 4, 5), (5,)), ((3, 1, 5), (1, 4, 1)), ((0, 4), (1, 4))):
        x, y = (normal(*shape, seed=i) for i, shape in enumerate(shapes))
        a, b = tensor(x), tensor(y, SIGNED)
        for relu in (False, True):
            params = {"grid": to, "relu": relu}
            expected = within(getattr(ops, op)(a, b, *to[:3], relu=relu), to)
            same(once(op, [a, b], params), expected)
            if op == "add":
                expected = within(ops.add(x, b, *to[:3], relu=relu), to)
                same(once(op, [x, b], params), expected)
                same(once(op, [a, y], params), within(ops.add(a, y, *to[:3], relu=relu), to))
        floats = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[op](x, y)
        same(once(op, [x, y], {"grid": to}), tensor(floats, to))
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(normal(2, 3, 4, 5), 1, -1)), -1, 1)
    a, b = tensor(last), tensor(normal(2, 3, 4, 5, seed=3), SIGNED)
    same(once(op, [a, b], {"grid": to}), within(getattr(ops, op)(a, b, *to[:3]), to))


def test_cat() -> None:
    a, b, c = tensor(normal(2, 3, 4)), tensor(normal(2, 5, 4), SIGNED), tensor(normal(2, 0, 4))
    for grid in (GRID, SIGNED, NARROW):
        expected = within(ops.cat([a, b, c], 1, *grid[:3]), grid)
        same(once("cat", [a, b, c], {"axis": 1, "grid": grid}), expected)
        same(once("cat", [a, b, c], {"axis": -2, "grid": grid}), expected)
    for axis in (0, 1, 2, 3):
        first, second = orders(normal(2, 3, 4, 5)), orders(normal(2, 3, 4, 5, seed=1))
        for x, y in zip(first, reversed(second), strict=True):
            same(once("cat", [x, y, x], {"axis": axis}), np.concatenate([x, y, x], axis))


def test_matmul() -> None:
    for left, right in (
        ((5, 7), (7, 3)),
        ((2, 4, 5, 7), (2, 4, 7, 3)),
        ((2, 1, 5, 7), (4, 7, 3)),
        ((3, 5, 7), (7, 3)),
        ((7,), (7, 3)),
        ((3, 5, 7), (7,)),
        ((0, 5, 7), (0, 7, 3)),
    ):
        a, b = tensor(normal(*left)), tensor(normal(*right, seed=1), SIGNED)
        same(once("matmul", [a, b], {"grid": GRID}), ops.matmul(a, b, *GRID[:3]))
    a, b = tensor(normal(4, 5, 7)), tensor(normal(4, 3, 7), SIGNED)
    steps = [
        ("transpose", (1,), 2, {"axes": (0, 2, 1)}),
        ("matmul", (0, 2), 3, {"grid": SIGNED}),
    ]
    program = ops.Program(["quint8", "qint8"], steps, [("codes", 3)])
    same(program(a, b)[0], ops.matmul(a, b.transpose(1, 2), *SIGNED[:3]))
