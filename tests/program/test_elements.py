"""Functions of single elements: as NumPy's, of any layout, dtype and shapes that broadcast; and chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from program.lowered import check, lowered, run
from quantray import nn, ops
from quantray.nn import functional as F

DTYPES = ("float32", "int64", "int32", "uint8", "int8")
ARITHMETIC = [
    np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.floor_divide, np.remainder, np.fmod,
]  # fmt: skip
COMPARISONS = [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal]
EXACT = [np.negative, np.absolute, np.square, np.sign, np.floor, np.ceil, np.rint, np.trunc]
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -2.5, 3e38, 1e-40, 7.0]


def values(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        made = (rng.normal(size=shape) * 4).astype(np.float32)
        return np.where(rng.random(shape) < 0.2, rng.choice(np.float32(SPECIAL), shape), made)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    low, high = (0, 20) if dtype == "uint8" else (-20, 20)
    return rng.integers(low, high, shape).astype(dtype)


@st.composite
def layouts(draw: Any, x: np.ndarray) -> np.ndarray:
    """The same array in some order of memory, with gaps, or backwards."""
    how = draw(st.sampled_from(["C", "F", "gaps", "backwards", "last"]))
    if how == "F":
        return np.asfortranarray(x)
    if how == "gaps" and x.ndim:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if how == "backwards" and x.ndim:
        return x[::-1].copy()[::-1]
    if how == "last" and x.ndim > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    return x


@st.composite
def operands(draw: Any, dtypes: tuple[str, ...] = DTYPES, count: int = 2) -> list[np.ndarray]:
    """Arrays that broadcast, of one dtype."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=4, min_side=0, max_side=5))
    dtype, seed = draw(st.sampled_from(dtypes)), draw(st.integers(0, 2**20))
    arrays = [values(dtype, shape, seed + i) for i, shape in enumerate(shapes.input_shapes)]
    return [draw(layouts(x)) for x in arrays]


@given(st.data(), st.sampled_from(ARITHMETIC + COMPARISONS))
@settings(deadline=None, max_examples=300)
def test_two_arrays(data: st.DataObject, function: Any) -> None:
    a, b = data.draw(operands())
    check(lambda a, b: function(a, b), a, b)


@given(operands(("float32",)))
@settings(deadline=None)
def test_division(both: list[np.ndarray]) -> None:
    check(lambda a, b: a / b, *both)
    check(lambda a, b: np.power(np.abs(a), b), *both, ulp=4)


@given(operands(("int64", "int32", "uint8", "int8")), st.integers(0, 5))
@settings(deadline=None)
def test_bits(both: list[np.ndarray], by: int) -> None:
    check(lambda a, b: (a & b, a | b, a ^ b, ~a, a << by, a >> by, a**2), *both)


@given(operands(("bool",)))
@settings(deadline=None)
def test_truth_values(both: list[np.ndarray]) -> None:
    check(lambda a, b: (a & b, np.logical_or(a, b), a ^ b, ~a, np.logical_not(b), a == b, a != b), *both)


@given(st.data())
@settings(deadline=None)
def test_where(data: st.DataObject) -> None:
    condition, a, b = data.draw(operands(count=3))
    condition = condition > 1
    check(lambda c, a, b: np.where(c, a, b), condition, a, b)


@given(st.data(), st.sampled_from(EXACT))
@settings(deadline=None)
def test_exact_functions(data: st.DataObject, function: Any) -> None:
    (x,) = data.draw(operands(("float32", "int64", "int32", "int8"), count=1))
    if x.dtype.kind == "i" and function in (np.floor, np.ceil, np.rint, np.trunc):
        return
    check(lambda x: function(x), x)


@given(operands(("float32",), count=1))
@settings(deadline=None)
def test_kinds_of_floats(one: list[np.ndarray]) -> None:
    check(lambda x: (np.isnan(x), np.isinf(x), np.isfinite(x), np.sqrt(x), np.reciprocal(x)), *one)


@pytest.mark.parametrize(
    ("function", "ulp"),
    [(np.exp, 4), (np.expm1, 5), (np.log, 4), (np.log1p, 4), (np.sin, 4), (np.cos, 4), (np.tanh, 8)]
    + [
        (getattr(np, name), 4)
        for name in ["tan", "arctan", "sinh", "cosh", "arcsinh", "log2", "log10", "exp2", "cbrt"]
    ],
)
def test_functions_within_ulp(function: Any, ulp: float) -> None:
    rng = np.random.default_rng(0)
    wide = (rng.normal(size=5000) * 10 ** rng.uniform(-6, 1.6, 5000)).astype(np.float32)
    x = np.concatenate([np.float32(SPECIAL), wide]).reshape(2, -1)
    with np.errstate(all="ignore"):
        exact = function(x.astype(np.float64)).astype(np.float32)
        found = run(lambda x: function(x), x)
    np.testing.assert_allclose(found, exact, rtol=ulp * 2.0**-23, atol=1e-38)


def test_far_turns() -> None:
    x = np.float32([1e6, 1.1e6, 3e7, 1e20, -1e30, 2.0**100])
    for function in (np.sin, np.cos):
        exact = function(x.astype(np.float64))
        np.testing.assert_allclose(run(lambda x: function(x), x), exact, rtol=1e-6, atol=1e-7)  # noqa: B023


@given(st.sampled_from(("bool", *DTYPES)), st.sampled_from(("bool", *DTYPES)), st.integers(0, 2**20))
@settings(deadline=None)
def test_casts(source: str, target: str, seed: int) -> None:
    x = values(source, (3, 7), seed)
    if source == "float32":
        # What an integer does not hold is nobody's promise.
        x = np.clip(np.nan_to_num(x), 0 if target == "uint8" else -100, 100)
    check(lambda x: x.astype(target), x)


ACTIVATIONS: list[Callable[[Any], Any]] = [
    F.relu, F.relu6, F.hardsigmoid, F.hardswish, F.leaky_relu, F.sigmoid, F.tanh, F.silu, F.gelu,
    lambda x: F.gelu(x, "tanh"), lambda x: F.hardtanh(x, -0.5, 2.0), lambda x: F.leaky_relu(x, 0.3),
    lambda x: np.clip(x, -1, 2), lambda x: np.maximum(x, 0),
    lambda x: F.prelu(x, np.float32([0.1, 0.2, 0.3])),
]  # fmt: skip


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations_are_the_nodes_own(function: Any) -> None:
    x = values("float32", (2, 3, 4, 5), 0)
    check(function, np.nan_to_num(x, posinf=9, neginf=-9, nan=3))


@pytest.mark.parametrize(("least", "other"), [(0.5, 0.0), (-1.0, 9.0)])
def test_thresholds(least: float, other: float) -> None:
    check(lambda x: F.threshold(x, least, other), values("float32", (3, 7, 50), 0))


@pytest.mark.parametrize(
    "function", [F.elu, F.softplus, F.celu, lambda x: F.elu(x, 0.7), lambda x: F.celu(x, 2.0)]
)
def test_activations_within_ulp(function: Any) -> None:
    check(function, values("float32", (2, 3, 50), 1).clip(-30, 30), ulp=8, atol=1e-9)


# Chains


def chain(x: Any, scale: Any, bias: Any) -> Any:
    y = x * scale + bias
    y = y * np.clip(y + 3, 0, 6) / 6
    z = np.maximum(y, 0.1) - np.sqrt(np.abs(x))
    return z * z, np.where(y > 0, y, -1), np.exp(z) > 1


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 64, 40, 40), (3, 7, 1, 1), (0, 3, 2, 2), (2, 600, 9, 1)])
@pytest.mark.parametrize("last", [False, True])
def test_chains_of_functions(shape: tuple[int, ...], last: bool) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if last:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    scale, bias = (values("float32", (shape[1], 1, 1), i) for i in (1, 2))
    scale, bias = np.nan_to_num(scale, posinf=1, neginf=2), np.nan_to_num(bias, posinf=1, neginf=2)
    check(chain, x, scale.clip(-5, 5), bias.clip(-5, 5))


def test_chains_become_one_task() -> None:
    x = np.ones((4, 256, 256), np.float32)
    made = lowered(lambda x: F.sigmoid((x * 2 + 1) / 3) * x - 4, x)
    # Nothing between the steps needs memory.
    assert made.program.memory(x.shape) == 0
    # What two take is made once.
    made = lowered(lambda x: (lambda y: (y + 1, y.sum()))(x * 2), x)
    assert made.program.memory(x.shape) >= x.nbytes


def test_a_value_that_the_caller_gets_is_made() -> None:
    def both(x: Any) -> Any:
        y = x + 1
        return y, y * 2, np.concatenate([y, y])

    check(both, np.arange(6, dtype=np.float32))


def test_lengths_are_numbers() -> None:
    check(lambda x: x * x.shape[1] + x.shape[0], np.ones((2, 3), np.float32))
    check(lambda x: x.sum(1) / x.shape[1], np.ones((2, 3), np.float32), ulp=2)


def test_dtypes_that_steps_do_not_know_are_calls() -> None:
    from program.lowered import Function
    from quantray import graph
    from quantray.quantization._lowering import lower

    x = np.arange(6)
    model = Function(lambda x: x / 2).eval()
    made = lower(graph.normalize(graph.capture(model, (x,))), model, {}, is_near=True)
    assert made.called
    np.testing.assert_array_equal(made([x]), x / 2)


def test_errors_name_the_step() -> None:
    with pytest.raises(TypeError, match=r"half.*bool"):
        ops.Program(["float32"], [("logical_not", (0,), 1, {"name": "half"})], [1])(np.float32([1]))
    total = ops.Program(["float32", "float32"], [("add", (0, 1), 2, {"name": "total"})], [2])
    with pytest.raises(ValueError, match=r"total.*broadcast"):
        total(np.ones(2), np.ones(3))


def test_small_integers_are_inputs_and_outputs() -> None:
    program = ops.Program(
        ["uint8", "int8"], [("cast", (0,), 2, {"dtype": "int8"}), ("add", (1, 2), 3, {})], [3]
    )
    (made,) = program(np.uint8([1, 200]), np.int8([1, 2]))
    assert made.dtype == np.int8
    assert made.tolist() == [2, -54]
    with pytest.raises(TypeError, match="uint8"):
        program(np.int64([1]), np.int8([1]))


del nn
