"""Operators beside those of `operators.json`: torch 2.15's results, stored by `reference/make_more.py`."""

import json

import numpy as np
import pytest
import quantray as qt
from golden import REFERENCE
from numpy.testing import assert_allclose, assert_array_equal
from quantray.nn import functional as F

CASES = json.loads((REFERENCE / "more.json").read_text())
NUMPY = {"qint8": np.int8, "quint8": np.uint8, "qint32": np.int32}
#: Torch rounds these through float32 sums in another order, or at ties.
NEAR = {"grid_sample", "interpolate", "avg_pool2d", "add_scalar"}


def tensor(x):
    codes = np.array(x["codes"], NUMPY[x["dtype"]])
    return qt.make_per_tensor_quantized_tensor(codes, x["scale"], x["zero_point"])


def of(op=None):
    """The cases of one operator, or of all those that take tensors."""
    found = [case for case in CASES if (case["op"] == op if op else "inputs" in case)]
    return pytest.mark.parametrize("case", found, ids=[f"{i}-{case['op']}" for i, case in enumerate(found)])


@of("choose_qparams_optimized")
def test_ranges_of_least_loss(case):
    got = qt.choose_qparams_optimized(*case["args"])
    assert_allclose(np.ravel(got), np.ravel(case["result"]), rtol=1e-6)


@of("fused_moving_avg_obs_fake_quant")
def test_fused_observing_and_rounding(case):
    x, (low, high), rows, symmetric = case["args"]
    x, n = np.float32(x), 4 if case["args"][2] else 1
    state = [np.full(n, v, np.float32) for v in (np.inf, -np.inf)]
    state += [np.ones(n, np.float32), np.zeros(n, np.int32)]
    for k, wanted in zip((1.0, -0.5), case["result"], strict=True):
        settings = (0.01, low, high, 0, rows, symmetric)
        y = qt.fused_moving_avg_obs_fake_quant(x * np.float32(k), 1, 1, *state, *settings)
        for got, other in zip((y, *state), wanted, strict=True):
            assert_allclose(got, other, rtol=1e-5, atol=1e-9)


@of()
def test_equal_to_torchs(case):
    inputs, args, wanted = [tensor(x) for x in case["inputs"]], case["args"], case["result"]
    dtype = case["inputs"][0]["dtype"]
    space = F if case["op"] in ("celu", "threshold", "grid_sample") else qt.ops
    options = {"ceil_mode": True} if case.get("ceil") else {}
    got = getattr(space, case["op"])(*inputs, *args, **options)
    assert got.dtype.name == dtype
    assert got.zero_point == wanted["zero_point"]
    assert_allclose(got.scale, wanted["scale"], rtol=1e-7)
    codes, theirs = got.int_repr().astype(np.int64), np.array(wanted["codes"], np.int64)
    if dtype == "qint32":
        # Torch's own float32 has 24 bits.
        assert_allclose(codes, theirs, rtol=3e-7, atol=1)
    elif case["op"] in NEAR:
        assert np.abs(codes - theirs).max() <= 1
        assert np.sum(codes != theirs) <= max(2, 0.05 * codes.size)
    else:
        assert_array_equal(codes, theirs)
