"""A program gives, in one call, what its steps give one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import quantray as qt
from hypothesis import given, settings
from hypothesis import strategies as st
from quantray import nn, ops

U8, I8 = qt.quint8, qt.qint8
GRID = (0.05, 120, U8, 0, 255)
SIGNED = (0.04, -3, I8, -128, 127)
NARROW = (0.06, 100, U8, 20, 200)


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = qt.get_num_threads()
    qt.set_num_threads(request.param)
    yield request.param
    qt.set_num_threads(before)


def normal(*shape: int, seed: int = 0, scale: float = 2.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def tensor(x: np.ndarray, grid: tuple = GRID) -> qt.QTensor:
    return nn.quantized.Grid(grid[0], grid[1], grid[2].name, grid[3], grid[4]).quantize(x)


def within(q: qt.QTensor, grid: tuple) -> qt.QTensor:
    return nn.quantized.Grid(grid[0], grid[1], grid[2].name, grid[3], grid[4]).clamp(q)


def same(one: Any, other: Any) -> None:
    if isinstance(other, qt.QTensor):
        assert isinstance(one, qt.QTensor)
        assert (one.q_scale(), one.q_zero_point(), one.dtype) == (
            other.q_scale(),
            other.q_zero_point(),
            other.dtype,
        )
        one, other = one.int_repr(), other.int_repr()
    other = np.asarray(other)
    assert type(one) is np.ndarray
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    np.testing.assert_array_equal(one, other)


def orders(x: np.ndarray) -> list[np.ndarray]:
    """The same array in several orders of memory."""
    made = [x, np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2]]
    if x.ndim > 2:
        made.append(np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1))
    made.append(x[::-1].copy()[::-1])
    assert all((m == x).all() for m in made)
    return made


def linear(inputs: int, outputs: int, seed: int = 0, channels: bool = True) -> ops.PackedLinear:
    w = normal(outputs, inputs, seed=seed, scale=0.3)
    if channels:
        scales = np.abs(w).max(1) / 127 + 1e-3
        weight = qt.quantize_per_channel(w, scales, np.zeros(outputs, int), 0, I8)
    else:
        weight = qt.quantize_per_tensor(w, 0.01, 3, I8)
    return ops.PackedLinear(weight, normal(outputs, seed=seed + 1))


def conv(
    kind: str, inputs: int, outputs: int, kernel: tuple, *args: Any, seed: int = 0, groups: int = 1
) -> Any:
    packer = getattr(ops, f"Packed{kind}")
    transposed = "Transpose" in kind
    shape = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    w = normal(*shape, *kernel, seed=seed, scale=0.3)
    weight = qt.quantize_per_tensor(w, 0.01, 0, I8)
    return packer(weight, normal(outputs, seed=seed + 1), *args, groups=groups)


def once(op: str, args: list, params: dict, outputs: list | None = None, kinds: list | None = None) -> Any:
    """The result of one step, of arrays and of tensors as they are given."""
    n = len(args)
    kinds = kinds or [a.dtype.name if isinstance(a, qt.QTensor) else str(a.dtype) for a in args]
    program = ops.Program(kinds, [(op, tuple(range(n)), n, params)], outputs or [("codes", n)])
    return program(*args)[0]


# --- each step beside its operator


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


# --- movement


def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    floats = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    return [floats, (floats * 9).astype(np.int64), (floats * 9).astype(np.int32), floats > 0]


MOVES: list[tuple[str, dict, Any]] = [
    ("reshape", {"shape": (6, 20)}, lambda x: x.reshape(6, 20)),
    ("reshape", {"shape": (2, -1, 5)}, lambda x: x.reshape(2, -1, 5)),
    (
        "reshape",
        {"shape": (("in", 0, 0), ("mul", ("in", 0, 1), ("in", 0, -1)), -1)},
        lambda x: x.reshape(2, 15, 4),
    ),
    ("flatten", {"start": 1}, lambda x: x.reshape(2, -1)),
    ("flatten", {"start": 1, "end": 2}, lambda x: x.reshape(2, 12, 5)),
    ("transpose", {}, lambda x: x.T),
    ("transpose", {"axes": (0, 2, 3, 1)}, lambda x: x.transpose(0, 2, 3, 1)),
    ("transpose", {"axes": (3, -3, 0, 2)}, lambda x: x.transpose(3, 1, 0, 2)),
    ("slice", {"index": (slice(None), 1)}, lambda x: x[:, 1]),
    ("slice", {"index": ((None, None, None), -1, (1, None, 2))}, lambda x: x[:, -1, 1::2]),
    ("slice", {"index": (slice(None, None, -1), slice(2, 0, -1))}, lambda x: x[::-1, 2:0:-1]),
    (
        "slice",
        {"index": (None, 0, None, slice(0, ("sub", ("in", 0, 1), 1)))},
        lambda x: x[None, 0, None, 0:2],
    ),
    ("slice", {"index": (slice(1, 3),), "axes": (2,)}, lambda x: x[:, :, 1:3]),
    ("slice", {"index": (slice(5, 9), None)}, lambda x: x[5:9, None]),
    ("flip", {"axes": (1, -1)}, lambda x: np.flip(x, (1, -1))),
    ("flip", {}, np.flip),
    ("unsqueeze", {"axes": (0, -1)}, lambda x: x[None, ..., None]),
    ("squeeze", {}, np.squeeze),
    ("expand", {"shape": (7, -1, 3, 4, 5)}, lambda x: np.broadcast_to(x, (7, 2, 3, 4, 5))),
    ("pad", {"pairs": ((0, 0), (1, 2), (0, 0), (-1, 1)), "value": 1}, None),
]


@pytest.mark.parametrize("case", range(len(MOVES)))
def test_movement(case: int) -> None:
    op, params, expected = MOVES[case]
    for array in arrays():
        for x in orders(array):
            made = once(op, [x], params, [1])
            if op == "pad":
                want = np.pad(x, ((0, 0), (1, 2), (0, 0), (0, 1)), constant_values=1)[..., 1:]
            else:
                want = expected(x)
            same(made, want)
            assert not np.shares_memory(made, x)
    q = tensor(arrays()[0])
    if op != "pad":
        same(once(op, [q], params, [("codes", 1)]).int_repr(), expected(q.int_repr()))
    else:
        padded = once(op, [q], params, [("codes", 1)])
        same(padded, ops.pad(q, (-1, 1, 0, 0, 1, 2), value=1.0))


def test_an_empty_batch_keeps_its_shapes() -> None:
    steps = [
        ("quantize", (0,), 1, {"grid": GRID}),
        ("conv", (1,), 2, {"packed": conv("Conv2d", 3, 8, (3, 3)), "to": GRID}),
        ("reshape", (2,), 3, {"shape": (("in", 0, 0), -1)}),
        ("linear", (3,), 4, {"packed": linear(8 * 4 * 3, 5)}),
        ("reshape", (2,), 5, {"shape": (-1, 4, 2)}),
    ]
    program = ops.Program(["float32"], steps, [4, 3, 5])
    for n in (0, 1, 7):
        a, b, c = program(normal(n, 3, 6, 5))
        assert (a.shape, b.shape, c.shape) == ((n, 5), (n, 96), (12 * n, 4, 2))


# --- whole programs


def test_an_input_may_come_out() -> None:
    x = normal(3, 4)
    program = ops.Program(["float32"], [("transpose", (0,), 1, {})], [0, 1, 0])
    a, b, c = program(x)
    for got, expected in ((a, x), (b, x.T), (c, x)):
        same(got, expected)
        assert not np.shares_memory(got, x)
        got += 1
    q = tensor(x)
    out = ops.Program(["quint8"], [], [("codes", 0), 0])(q)
    same(out[0], q)
    same(out[1], np.asarray(q))


def test_calls() -> None:
    seen = []

    def split(a: Any, b: Any) -> tuple:
        seen.append((type(a), type(b)))
        return np.concatenate([a, b]), np.float64(3), a.astype(np.int16)

    steps = [
        ("quantize", (0,), 1, {"grid": GRID}),
        ("call", (1, 0), (2, 3, 4), {"function": split, "name": "split"}),
        ("reshape", (2,), 5, {"shape": (2, ("dim", 1, 0), 6)}),
        ("quantize", (5,), 6, {"grid": SIGNED}),
        ("call", (6,), 7, {"function": lambda q: q.int_repr() > 0, "codes": True, "count": 1}),
    ]
    program = ops.Program(["float32"], steps, [5, 3, 4, 7, ("codes", 6)])
    for n in (4, 2, 0):
        x = normal(n, 6)
        a, b, c, d, e = program(x)
        q = np.asarray(tensor(x))
        same(a, np.concatenate([q, x]).reshape(2, n, 6))
        same(b, np.float32(3))
        same(c, q.astype(np.int16).astype(np.int64))
        same(e, tensor(a, SIGNED))
        same(d, e.int_repr() > 0)
    assert seen[0] == (np.ndarray, np.ndarray)
    rows = program.steps((4, 6))
    assert rows[0] == ("", "quantize", (4, 6), "quint8", 24)
    assert rows[1][0] == "split"
    assert rows[2][2] is None
    twice = ops.Program(
        ["object"], [("call", (0,), 1, {"function": lambda text: np.int64([len(text)])})], [1]
    )
    same(twice("four")[0], np.int64([4]))


def test_a_call_that_raises_or_returns_too_much() -> None:
    def fails(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        once("call", [normal(2)], {"function": fails})
    program = ops.Program(
        ["float32"], [("call", (0,), (1, 2), {"function": lambda x: (x,), "name": "f"})], [1]
    )
    with pytest.raises(ValueError, match="f: results must be 2 of them, got 1"):
        program(normal(2))


def residual_steps() -> tuple[list, Any]:
    first = conv("Conv2d", 3, 8, (3, 3), 1, 1)
    second = conv("Conv2d", 8, 8, (3, 3), 1, 1, seed=3)
    down = conv("Conv2d", 3, 8, (1, 1), seed=4)
    last = linear(8, 4)
    steps = [
        ("quantize", (0,), 1, {"grid": GRID}),
        ("conv", (1,), 2, {"packed": first, "relu": True, "to": GRID}),
        ("conv", (1,), 3, {"packed": down, "to": SIGNED}),
        ("conv", (2, 3), 4, {"packed": second, "relu": True, "to": GRID}),
        ("conv", (4, 2), 5, {"packed": second, "to": SIGNED, "name": "again"}),
        ("cat", (4, 5), 6, {"axis": 1, "grid": GRID}),
        ("slice", (6,), 7, {"index": (slice(None), slice(4, 12))}),
        ("adaptive_avg_pool", (7,), 8, {"output_size": (1, 1)}),
        ("flatten", (8,), 9, {"start": 1}),
        ("linear", (9,), 10, {"packed": last}),
    ]

    def by_steps(x: np.ndarray) -> tuple:
        q = tensor(x)
        a = first(q, *GRID[:3], relu=True)
        b = ops.add(second(a), down(q, *SIGNED[:3]), *GRID[:3], relu=True)
        c = ops.add(second(b), a, *SIGNED[:3])
        d = ops.cat([b, c], 1, *GRID[:3])[:, 4:12]
        e = ops.adaptive_avg_pool2d(d, 1)
        return last(e.reshape(len(x), 8)), c

    return steps, by_steps


def test_residual_networks() -> None:
    steps, by_steps = residual_steps()
    program = ops.Program(["float32"], steps, [10, ("codes", 5)])
    for n in (1, 2, 3, 40, 131):
        for x in orders(normal(n, 3, 12, 11, seed=n)):
            for got, expected in zip(program(x), by_steps(x), strict=True):
                same(got, expected)
    assert 0 < program.memory((1, 3, 12, 11)) < 20 * 8 * 12 * 11
    assert [row[1] for row in program.steps((1, 3, 12, 11))] == [step[0] for step in steps]


def test_results_do_not_share_memory_with_later_ones() -> None:
    steps, _ = residual_steps()
    program = ops.Program(["float32"], steps, [10, 4])
    x = normal(5, 3, 12, 11)
    first = program(x)
    kept = [y.copy() for y in first]
    program(-x)
    for one, other in zip(first, kept, strict=True):
        same(one, other)


# --- refusals


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


# --- random programs


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list, list]:
    """Steps over images of codes with 4 channels, branches and sums and all, and which values come out."""
    steps: list = [("quantize", (0,), 1, {"grid": GRID})]
    images, rows = [1], []
    grids = [GRID, SIGNED, NARROW]
    for made in range(2, draw(st.integers(3, 14))):
        grid = draw(st.sampled_from(grids))
        kinds = ["conv", "residual", "depthwise", "add", "mul", "cat", "pool", "shuffle", "table", "flat"]
        kind = draw(st.sampled_from(kinds + (["linear", "join"] if rows else [])))
        pick = lambda of=images: draw(st.sampled_from(of))  # noqa: E731
        seed = draw(st.integers(0, 5))
        match kind:
            case "conv" | "residual":
                layer = conv("Conv2d", 4, 4, (3, 3), 1, 1, seed=seed)
                sources = (pick(), pick()) if kind == "residual" else (pick(),)
                params = {"packed": layer, "to": grid, "relu": draw(st.booleans())}
                step = ("conv", sources, made, params)
            case "depthwise":
                layer = conv("Conv2d", 4, 4, (3, 3), 1, 1, seed=seed, groups=4)
                step = ("conv", (pick(),), made, {"packed": layer, "to": grid, "relu6": draw(st.booleans())})
            case "add" | "mul":
                step = (kind, (pick(), pick()), made, {"grid": grid, "relu": draw(st.booleans())})
            case "cat":
                layer = conv("Conv2d", 8, 4, (1, 1), seed=seed)
                joined = 1000 + made
                steps.append(("cat", (pick(), pick()), joined, {"axis": 1, "grid": grid}))
                step = ("conv", (joined,), made, {"packed": layer, "to": grid})
            case "pool":
                size = {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1)}
                step = (draw(st.sampled_from(["max_pool", "avg_pool"])), (pick(),), made, size)
            case "shuffle":
                one, two = 1000 + made, 2000 + made
                shape = (("in", 0, 0), 2, 2, ("dim", 1, 2), -1)
                steps.append(("reshape", (pick(),), one, {"shape": shape}))
                steps.append(("transpose", (one,), two, {"axes": (0, 2, 1, 3, 4)}))
                step = ("reshape", (two,), made, {"shape": (-1, 4, ("in", 0, 2), ("in", 0, 3))})
            case "table":
                table = bytes(np.random.default_rng(seed).integers(0, 256, 256, dtype=np.uint8))
                step = ("table", (pick(),), made, {"table": table, "grid": grid})
            case "flat":
                pooled = 1000 + made
                steps.append(("adaptive_avg_pool", (pick(),), pooled, {"output_size": (1, 2)}))
                step = ("flatten", (pooled,), made, {"start": 1})
            case "linear":
                step = ("linear", (pick(rows),), made, {"packed": linear(8, 8, seed), "to": grid})
            case _:
                step = ("add", (pick(rows), pick(rows)), made, {"grid": grid})
        (rows if kind in ("flat", "linear", "join") else images).append(made)
        steps.append(step)
    values = [v for step in steps for v in [step[2]]]
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    return steps, outputs


def one_by_one(steps: list, x: np.ndarray) -> dict[int, Any]:
    """Every value, each made by a program of one step, from arrays and tensors."""
    values: dict[int, Any] = {0: x}
    shape = x.shape
    for op, sources, made, params in steps:
        own = dict(params)
        if "shape" in own:
            lengths = {("in", 0, a): n for a, n in enumerate(shape)} | {("dim", 1, 2): shape[2]}
            own["shape"] = tuple(lengths.get(n, n) for n in own["shape"])
            # By itself, a step does not know what -1 is of nothing.
            ends = {0: shape[0], 4: shape[3]}
            own["shape"] = tuple(ends[i] if n == -1 else n for i, n in enumerate(own["shape"]))
        values[made] = once(op, [values[v] for v in sources], own)
    return values


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 3), st.integers(0, 4), st.integers(0, 100))
def test_random_programs(graph: tuple[list, list], size: int, order: int, seed: int) -> None:
    steps, outputs = graph
    n = (0, 1, 3, 37)[size]
    x = normal(n, 4, 6, 7, seed=seed)
    expected = one_by_one(steps, x)
    program = ops.Program(["float32"], steps, [("codes", v) for v in outputs])
    for _ in range(2):
        for got, v in zip(program(orders(x)[order]), outputs, strict=True):
            same(got, expected[v])


# --- floats


def random_order(x: np.ndarray) -> list[np.ndarray]:
    return orders(x) if x.ndim > 1 and x.size else [x]


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "sigmoid", "tanh"])
def test_functions_of_floats(name: str) -> None:
    function = (lambda x: ops.gelu(x, approximate="tanh")) if name == "gelu_tanh" else getattr(ops, name)
    for x in (*random_order(normal(3, 5, 70)), normal(0, 4), np.float32([np.nan, np.inf, -np.inf])):
        same(once(name, [x], {}, [1]), function(x))
    if name == "gelu":
        same(once("gelu", [x], {"approximate": "tanh"}, [1]), ops.gelu(x, approximate="tanh"))


def test_plain_functions_are_numpys() -> None:
    x = np.concatenate([normal(99), np.float32([0, -0.0, np.inf, -np.inf, np.nan])])
    with np.errstate(invalid="ignore"):
        for name, expected in (
            ("relu", np.maximum(x, np.float32(0))),
            ("negative", -x),
            ("absolute", np.abs(x)),
            ("sqrt", np.sqrt(x)),
            ("square", x * x),
        ):
            same(once(name, [x], {}, [1]), expected)


SHAPES = [
    ((3, 4, 70), (3, 4, 70)),
    ((3, 4, 70), (70,)),
    ((70,), (3, 1, 70)),
    ((3, 4, 70), ()),
    ((3, 1, 5), (4, 1)),
    ((0, 4), (1, 4)),
    ((2, 3, 1, 1), (2, 3, 4, 5)),
]


@pytest.mark.parametrize("shapes", SHAPES)
def test_two_arrays(shapes: tuple) -> None:
    x, y = (normal(*shape, seed=i) for i, shape in enumerate(shapes))
    functions: dict[str, Any] = {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "equal": np.equal,
        "less": np.less,
        "greater_equal": np.greater_equal,
    }
    for name, function in functions.items():
        for a, b in zip(random_order(x), reversed(random_order(y)), strict=False):
            same(once(name, [a, b], {}, [2]), function(a, b))
        if name != "div":
            ints = [(v * 5).astype(np.int64) for v in (x, y)]
            same(once(name, ints, {}, [2]), function(*ints))
            same(
                once(name, [v.astype(np.int32) for v in ints], {}, [2]),
                function(*(v.astype(np.int32) for v in ints)),
            )
    power = once("pow", [np.abs(x), y], {}, [2])
    np.testing.assert_allclose(power, np.power(np.abs(x), y), rtol=1e-6)
    relu = once("add", [x, y], {"relu": True}, [2])
    same(relu, np.maximum(x + y, np.float32(0)))
    for name, function in (("logical_and", np.logical_and), ("logical_or", np.logical_or)):
        same(once(name, [x > 0, y > 0], {}, [2]), function(x > 0, y > 0))
    same(once("where", [x > 0, x, y], {}, [3]), np.where(x > 0, x, y))
    q = tensor(y)
    same(once("where", [x > 0, q, q], {}, [3]), np.where(x > 0, np.asarray(q), np.asarray(q)))


def test_nan_goes_through_extremes() -> None:
    x, y = np.float32([np.nan, 1, np.nan]), np.float32([1, np.nan, np.nan])
    for name in ("maximum", "minimum"):
        assert np.isnan(once(name, [x, y], {}, [2])).all()
    for name in ("max", "min"):
        assert np.isnan(once(name, [np.stack([x, y])], {"axes": 1}, [1])).all()


def test_casts() -> None:
    x = normal(3, 40, scale=9)
    for dtype in ("float32", "int32", "int64", "bool"):
        for own in (x, x.astype(np.int64), x.astype(np.int32), x > 0):
            same(once("cast", [own], {"dtype": dtype}, [1]), own.astype(dtype))


@pytest.mark.parametrize("axes", [None, 0, 1, -1, (0, 1), (0, 2), (1, 2), (0, 1, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(axes: Any, keepdims: bool) -> None:
    for shape in ((3, 4, 70), (3, 40, 7), (2, 1, 33)):
        for x in orders(normal(*shape)):
            for name in ("sum", "mean", "max", "min"):
                made = once(name, [x], {"axes": axes, "keepdims": keepdims}, [1])
                exact = getattr(np, name)(x.astype(np.float64), axis=axes, keepdims=keepdims)
                assert made.shape == exact.shape
                np.testing.assert_allclose(made, exact, rtol=1e-6, atol=1e-6)
        ints = (normal(*shape) * 5).astype(np.int64)
        same(
            once("sum", [ints], {"axes": axes, "keepdims": keepdims}, [1]), ints.sum(axes, keepdims=keepdims)
        )
    empty = np.zeros((0, 3), np.float32)
    same(once("sum", [empty], {"axes": 0}, [1]), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="input"):
        once("max", [empty], {"axes": 0}, [1])


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax(axis: int) -> None:
    for x in orders(normal(3, 4, 17)):
        same(once("softmax", [x], {"axis": axis}, [1]), ops.softmax(x, axis))
        for shape in ((17,), (3, 1, 17), (4, 1), (3, 4, 17)):
            mask = np.where(normal(*shape, seed=4) > 1, -np.inf, 0).astype(np.float32)
            expected = ops.softmax(x, axis, factor=0.3, mask=mask)
            same(once("softmax", [x, mask], {"axis": axis, "factor": 0.3}, [2]), expected)


def test_layer_norm() -> None:
    w, b = normal(20, seed=1), normal(20, seed=2)
    for x in orders(normal(3, 4, 20)):
        params = {"normalized_shape": 20, "weight": w, "bias": b, "eps": 1e-6}
        same(once("layer_norm", [x], params, [1]), ops.layer_norm(x, 20, w, b, 1e-6))
        y = normal(3, 4, 20, seed=3)
        same(once("layer_norm", [x, y], params, [2]), ops.layer_norm(x, 20, w, b, 1e-6, residual=y))
        same(once("layer_norm", [x], {"normalized_shape": (4, 20)}, [1]), ops.layer_norm(x, (4, 20)))
        exact = x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6) * w
        made = once("rms_norm", [x], {"normalized_shape": 20, "weight": w, "eps": 1e-6}, [1])
        np.testing.assert_allclose(made, exact, rtol=2e-6, atol=1e-6)


def test_embedding() -> None:
    table = normal(50, 24)
    ids = np.random.default_rng(0).integers(0, 50, (3, 7))
    codes = (
        qt.quantize_per_tensor(table, 0.05, 0, I8),
        qt.quantize_per_channel(table, np.full(50, 0.05), np.zeros(50, int), 0, U8),
    )
    for own in (ids, ids.astype(np.int32), ids[:0], ids.T, ids[0]):
        same(once("embedding", [own], {"table": table}, [1]), table[own])
        for q in codes:
            same(once("embedding", [own], {"table": q}, [1]), ops.embedding(q, own))
    with pytest.raises(IndexError, match="input must be from 0 to 49"):
        once("embedding", [ids + 44], {"table": table}, [1])


def test_attention() -> None:
    for n, length in ((1, 5), (3, 17), (0, 4)):
        qkv = normal(n, length, 3 * 24)
        same(once("attention", [qkv], {"heads": 3}, [1]), ops.self_attention(qkv, 3))
        for shape in ((n, 1, 1, length), (length, length), (1, 3, length, 1), (n, 3, length, length)):
            mask = np.where(normal(*shape, seed=4) > 1, -np.inf, 0).astype(np.float32)
            expected = ops.self_attention(qkv, 3, mask)
            same(once("attention", [qkv, mask], {"heads": 3}, [2]), expected)
    qkv[:] = np.inf
    with pytest.raises(ValueError, match="heads"):
        once("attention", [qkv], {"heads": 5}, [1])
    with pytest.raises(ValueError, match="finite"):
        once("attention", [np.full((1, 2, 6), np.inf, np.float32)], {"heads": 1}, [1])


def encoder(width: int = 24, heads: int = 3) -> tuple[list, Any]:
    """An encoder layer over embeddings, and its mean over the tokens that count."""
    table, places = normal(50, width, scale=0.5), normal(1, 40, width, scale=0.1)
    w, b = normal(width, seed=7), normal(width, seed=8)
    qkv, out = linear(width, 3 * width, 1), linear(width, width, 2)
    up, down = linear(width, 4 * width, 3), linear(4 * width, width, 4)
    norm = {"normalized_shape": width, "weight": w, "bias": b}
    steps = [
        ("embedding", (0,), 2, {"table": table}),
        ("constant", (), 3, {"value": places}),
        ("slice", (3,), 4, {"index": (slice(None), slice(0, ("in", 0, 1)))}),
        ("add", (2, 4), 5, {}),
        ("layer_norm", (5,), 6, norm),
        ("linear", (6,), 7, {"packed": qkv}),
        ("cast", (1,), 8, {"dtype": "float32"}),
        ("constant", (), 9, {"value": np.float32(1)}),
        ("sub", (9, 8), 10, {}),
        ("constant", (), 11, {"value": np.float32(-1e9)}),
        ("mul", (10, 11), 12, {}),
        ("unsqueeze", (12,), 13, {"axes": (1, 2)}),
        ("attention", (7, 13), 14, {"heads": heads}),
        ("linear", (14,), 15, {"packed": out}),
        ("layer_norm", (15, 6), 16, norm),
        ("linear", (16,), 17, {"packed": up}),
        ("gelu", (17,), 18, {}),
        ("linear", (18,), 19, {"packed": down}),
        ("layer_norm", (19, 16), 20, norm),
        ("unsqueeze", (8,), 21, {"axes": -1}),
        ("mul", (20, 21), 22, {}),
        ("sum", (22,), 23, {"axes": 1}),
        ("sum", (8,), 24, {"axes": 1, "keepdims": True}),
        ("div", (23, 24), 25, {}),
    ]

    def by_steps(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        x = ops.layer_norm(table[ids] + places[:, : ids.shape[1]], width, w, b)
        keep = mask.astype(np.float32)
        added = ((np.float32(1) - keep) * np.float32(-1e9))[:, None, None]
        h = out.dynamic(ops.self_attention(qkv.dynamic(x, per_row=True), heads, added), per_row=True)
        x = ops.layer_norm(h, width, w, b, residual=x)
        h = down.dynamic(ops.gelu(up.dynamic(x, per_row=True)), per_row=True)
        x = ops.layer_norm(h, width, w, b, residual=x)
        total = (x * keep[..., None]).astype(np.float64).sum(1).astype(np.float32)
        return total / keep.sum(1, keepdims=True)

    return steps, by_steps


def test_an_encoder() -> None:
    steps, by_steps = encoder()
    program = ops.Program(["int64", "int64"], steps, [25], names=["input_ids", "attention_mask"])
    rng = np.random.default_rng(0)
    for n, length in ((1, 5), (2, 11), (7, 23), (64, 9), (0, 6)):
        ids = rng.integers(0, 50, (n, length))
        mask = (rng.random((n, length)) > 0.2).astype(np.int64)
        mask[:, 0] = 1
        same(program(ids, mask)[0], by_steps(ids, mask))


def test_products_of_floats() -> None:
    w, b = normal(33, 20, scale=0.3), normal(33, seed=1)
    for shape in ((5, 20), (2, 70, 20), (20,), (0, 20)):
        for x in random_order(normal(*shape)):
            exact = x.astype(np.float64) @ w.T.astype(np.float64) + b
            made = once("linear", [x], {"weight": w, "bias": b}, [1])
            assert made.dtype == np.float32
            np.testing.assert_allclose(made, exact, rtol=1e-5, atol=1e-5)
            made = once("linear", [x], {"weight": w, "relu": True}, [1])
            np.testing.assert_allclose(made, np.maximum(exact - b, 0), rtol=1e-5, atol=1e-5)
    for left, right in (
        ((5, 7), (7, 3)),
        ((2, 4, 5, 7), (2, 4, 7, 3)),
        ((2, 1, 5, 7), (4, 7, 3)),
        ((7,), (7,)),
    ):
        x, y = normal(*left), normal(*right, seed=1)
        for a, c in zip(random_order(x), reversed(random_order(y)), strict=False):
            made = once("matmul", [a, c], {}, [2])
            np.testing.assert_allclose(made, x @ y, rtol=1e-5, atol=1e-5)
            same(once("matmul", [a, c], {"grid": GRID}), tensor(once("matmul", [a, c], {}, [2])))
    with pytest.raises(ValueError, match="as deep as the weight"):
        once("linear", [normal(2, 3)], {"weight": w})
    with pytest.raises(ValueError, match="bias"):
        once("linear", [x], {"weight": w, "bias": b[:3]})
