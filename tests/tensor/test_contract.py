"""The test suite's own formulas reproduce torch's golden integers, so that they may be used in its place."""

import numpy as np
from contract import along, dequantize, pack, quantize
from test_golden import cases


@cases("quantize_per_tensor")
def test_per_tensor(case):
    codes = quantize(case["x"], case["scale"], case["zero_point"], case["dtype"])
    np.testing.assert_array_equal(codes, case["int_repr"])
    np.testing.assert_array_equal(dequantize(codes, case["scale"], case["zero_point"]), case["dequantize"])


@cases("quantize_per_channel")
def test_per_channel(case):
    params = [along(case[k], case["axis"], case["x"].ndim) for k in ("scales", "zero_points")]
    np.testing.assert_array_equal(quantize(case["x"], *params, case["dtype"]), case["int_repr"])


def test_pack():
    assert pack([1, 2, 3], 4).tolist() == [0x21, 0x03]
    assert pack([1, 2, 3, 0, 1], 2).tolist() == [0b00111001, 0b01]
