"""`torch.ops.quantized`: its calls as they are written, torch 2.15's codes, and names that are left out."""

import json

import numpy as np
import pytest
import quantray as qt
from golden import REFERENCE
from numpy.testing import assert_array_equal
from quantray.ops import quantized

STORED = json.loads((REFERENCE / "quantized_operators.json").read_text())


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: case["call"])
def test_calls_give_torchs_codes(case):
    names = {"o": quantized, "bias": np.float32(STORED["bias"])}
    for name, (codes, scale, zero, dtype) in STORED["inputs"].items():
        kind = np.uint8 if dtype == "quint8" else np.int8
        names[name] = qt.make_per_tensor_quantized_tensor(np.array(codes, kind), scale, zero)
    y = eval(case["call"], names)
    assert_array_equal(y.int_repr(), case["codes"])
    assert (y.q_scale(), y.q_zero_point()) == (pytest.approx(case["scale"]), case["zero_point"])


def test_dynamic_products_have_one_scale_for_the_input():
    rng = np.random.default_rng(0)
    w = qt.quantize_per_tensor(rng.standard_normal((6, 5)), 0.02, 0, qt.qint8)
    x = rng.standard_normal((4, 5), np.float32)
    codes = qt.quantize_per_tensor_dynamic(x, qt.quint8, False).dequantize()
    want = np.float64(codes) @ np.float64(w.dequantize()).T
    packed = quantized.linear_prepack(w)
    np.testing.assert_allclose(quantized.linear_dynamic(x, packed), want, atol=1e-5)
    np.testing.assert_allclose(quantized.linear_relu_dynamic(x, packed), np.maximum(want, 0), atol=1e-5)
    with pytest.raises(ValueError, match="reduce_range must be False, got True"):
        quantized.linear_dynamic(x, packed, True)


@pytest.mark.parametrize("name", ["celu", "embedding_bag_byte", "batch_norm2d", "conv2d_stride"])
def test_names_left_out_say_what_does_their_work(name):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}': \\w"):
        getattr(quantized, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'$"):
        getattr(quantized, "nonsense")  # noqa: B009 - it is read, which is the point


def test_a_slope_in_place_is_refused():
    q = qt.quantize_per_tensor([-1.0], 0.1, 100, qt.quint8)
    with pytest.raises(ValueError, match="inplace must be False, got True"):
        quantized.leaky_relu(q, 0.1, True, 0.1, 100)
    assert quantized.relu6(q, True).data_ptr() == q.data_ptr()
    assert q.tolist() == [0.0]
