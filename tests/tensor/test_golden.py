"""torch 2.15's own results, bit for bit, on every instruction set, with one thread and with two."""

import re

import numpy as np
import pytest
import quantray as qt
from contract import along, dequantize, inverse
from golden import cases

# More elements than one thread keeps to itself: golden inputs are repeated up to here.
SHARED = 700_000


def assert_codes(got, case):
    """The same integers; one step apart where torch contradicts itself."""
    expected = case["int_repr"]
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if case.get("exact", True):
        np.testing.assert_array_equal(got, expected)
    else:
        assert np.abs(got.astype(np.int64) - expected.astype(np.int64)).max() <= 1


def channels(case):
    """Scales and zero points in shapes that broadcast with the input."""
    ndim = case["x"].ndim
    return along(case["scales"], case["axis"], ndim), along(case["zero_points"], case["axis"], ndim)


@cases("quantize_per_tensor")
def test_quantize_per_tensor(kernels, case):
    q = qt.quantize_per_tensor(case["x"], case["scale"], case["zero_point"], case["dtype"])
    assert_codes(q.int_repr(), case)
    np.testing.assert_array_equal(q.dequantize(), case["dequantize"])
    assert q.dequantize().dtype == np.float32
    assert (q.q_scale(), q.q_zero_point(), str(q.dtype)) == (case["scale"], case["zero_point"], case["dtype"])


@cases("quantize_per_tensor")
def test_quantize_per_tensor_shared_by_threads(kernels, case):
    times = SHARED // case["x"].size + 1
    x = np.tile(case["x"].ravel(), times)
    q = qt.quantize_per_tensor(x, case["scale"], case["zero_point"], case["dtype"])
    assert_codes(q.int_repr(), {**case, "int_repr": np.tile(case["int_repr"].ravel(), times)})
    np.testing.assert_array_equal(q.dequantize(), np.tile(case["dequantize"].ravel(), times))


@cases("quantize_per_channel")
def test_quantize_per_channel(kernels, case):
    q = qt.quantize_per_channel(case["x"], case["scales"], case["zero_points"], case["axis"], case["dtype"])
    assert_codes(q.int_repr(), case)
    np.testing.assert_array_equal(q.q_per_channel_scales(), case["scales"])
    np.testing.assert_array_equal(q.q_per_channel_zero_points(), case["zero_points"])
    # torch multiplies by the float64 scale per channel; here a channel has the values that it has on its own.
    np.testing.assert_array_equal(q.dequantize(), dequantize(case["int_repr"], *channels(case)))
    np.testing.assert_array_max_ulp(q.dequantize(), case["dequantize"], maxulp=1)


@cases("quantize_per_channel")
def test_channel_axis_in_any_place(kernels, case):
    """The same channels along each other axis: the kernels' ways of walking must agree."""
    for axis in range(case["x"].ndim):
        x = np.moveaxis(case["x"], case["axis"], axis)
        q = qt.quantize_per_channel(x, case["scales"], case["zero_points"], axis, case["dtype"])
        np.testing.assert_array_equal(q.int_repr(), np.moveaxis(case["int_repr"], case["axis"], axis))


@pytest.mark.filterwarnings("ignore:all values of input become 0")
@cases("quantize_per_tensor_dynamic")
def test_quantize_per_tensor_dynamic(kernels, case):
    q = qt.quantize_per_tensor_dynamic(case["x"], case["dtype"], case["reduce_range"])
    assert (q.q_scale(), q.q_zero_point()) == (case["scale"], case["zero_point"])
    assert_codes(q.int_repr(), case)


def fake(case, function, *first):
    limits = case["quant_min"], case["quant_max"]
    if case["kind"] == "per_channel":
        args = case["scales"], case["zero_points"], case["axis"]
        return getattr(qt, function.format("per_channel"))(*first, case["x"], *args, *limits)
    return getattr(qt, function.format("per_tensor"))(
        *first, case["x"], case["scale"], case["zero_point"], *limits
    )


@cases("fake_quantize")
def test_fake_quantize(kernels, case):
    y = fake(case, "fake_quantize_{}_affine")
    np.testing.assert_array_equal(y, case["y"])
    assert y.dtype == np.float32
    assert not np.signbit(y[y == 0]).any()


@cases("fake_quantize")
def test_fake_quantize_backward(kernels, case):
    dx = fake(case, "fake_quantize_{}_affine_backward", case["dy"])
    np.testing.assert_array_equal(dx, case["dx"])
    assert dx.dtype == np.float32


@cases("fake_quantize")
def test_fake_quantize_learnable_backward(kernels, case):
    """The gradients of scale and zero point by their formula, and as torch's, which adds up in float32."""
    dx, dscale, dzero_point = fake(case, "fake_quantize_learnable_{}_affine_backward", case["dy"])
    np.testing.assert_array_equal(dx, case["dx"])

    if case["kind"] == "per_channel":
        scale, zero_point = channels(case)
        others = tuple(d for d in range(case["x"].ndim) if d != case["axis"])
    else:
        scale, zero_point, others = case["scale"], case["zero_point"], None
    x, y, dy = (case[k].astype(np.float64) for k in ("x", "y", "dy"))
    code = np.rint(case["x"] * inverse(scale)).astype(np.float64) + zero_point
    below, above = code < case["quant_min"], code > case["quant_max"]
    s = np.asarray(scale, np.float32).astype(np.float64)
    ds = np.where(
        below, case["quant_min"] - zero_point, np.where(above, case["quant_max"] - zero_point, (y - x) / s)
    )
    dz = np.where(below | above, -s, 0.0)
    for got, terms in ((dscale, dy * ds), (dzero_point, dy * dz)):
        size = float(np.abs(terms).sum())
        np.testing.assert_allclose(got, np.ravel(terms.sum(axis=others)), rtol=1e-6, atol=1e-6 * size)
        assert got.dtype == np.float32
    if "dscale" in case:
        np.testing.assert_allclose(dscale, np.ravel(case["dscale"]), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(dzero_point, np.ravel(case["dzero_point"]), rtol=1e-4, atol=1e-4)


def from_codes(case):
    if "axis" in case:
        return qt.make_per_channel_quantized_tensor(
            case["int_repr"], case["scales"], case["zero_points"], case["axis"]
        )
    return qt.make_per_tensor_quantized_tensor(case["int_repr"], case["scale"], case["zero_point"])


@cases("repr")
def test_repr(case):
    """torch's text without `torch.`; the name is one column wider, and so is the indent of later lines."""
    name, rest = case["repr"].replace("torch.", "").split("(", 1)
    assert name == "tensor"
    expected = re.sub(r"\n(?=.)", "\n ", "QTensor(" + rest)
    got = repr(from_codes(case))
    assert got.split() == expected.split()
    widest = max(len(line) for line in expected.splitlines() if "=tensor(" not in line)
    if widest <= 80:
        assert got == expected
    # Lists of scales are wider than 80 in torch too.
    assert all(len(line) <= 80 for line in got.splitlines() if "=tensor(" not in line)
    assert all(line.startswith("        ") for line in got.splitlines()[1:] if line)
