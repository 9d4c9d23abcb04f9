"""What torch's own tests of quantization do, with the values that torch 2.15 gives."""

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F

#: Values, `reduce_range`, and what `torch._choose_qparams_per_tensor` gives for them.
DYNAMIC = [
    ([-1.25, 0.5, 3.0], False, 0.016666666666666666, 75),
    ([-1.25, 0.5, 3.0], True, 0.03346456692913386, 37),
    ([0.1, 7.3], False, 0.028627451728372014, 0),
    ([0.1, 7.3], True, 0.05748031646247924, 0),
    ([-300.0, -10.0], False, 1.1764705882352942, 255),
    ([-300.0, -10.0], True, 2.3622047244094486, 127),
    ([0.0, 0.0], False, 0.1, 0),
]


@pytest.mark.parametrize(("x", "reduce_range", "scale", "zero_point"), DYNAMIC)
def test_the_grid_of_a_dynamic_input(x, reduce_range, scale, zero_point):
    assert qt.choose_qparams_per_tensor(x, reduce_range) == (scale, zero_point)
    assert qt._choose_qparams_per_tensor(np.float32(x), reduce_range) == (scale, zero_point)


def test_the_least_scale_of_a_dynamic_input_is_said():
    with pytest.warns(RuntimeWarning, match="all values of input become 0"):
        assert qt.choose_qparams_per_tensor([-2e-07, 1e-07]) == (6.0999998822808266e-05, 170)


def test_prelu_of_codes_is_a_tensor_on_their_grid():
    codes = np.uint8(
        [
            [[171, 206, 5, 206], [120, 131, 161, 73], [250, 13, 71, 98]],
            [[146, 104, 33, 11], [0, 12, 38, 255], [48, 167, 192, 60]],
        ]
    )
    want = [
        [[171, 206, 168, 206], [120, 131, 161, 93], [250, 0, 44, 96]],
        [[146, 104, 148, 163], [75, 78, 85, 255], [0, 167, 192, 23]],
    ]
    q = qt.make_per_tensor_quantized_tensor(codes, 0.1, 100)
    weight = qt.quantize_per_tensor([-0.713, 0.2511, 1.917], 0.0137, 60, qt.quint8)
    for made in (qt.prelu(q, weight), F.prelu(q, weight), F.prelu(q, weight.dequantize())):
        assert (made.q_scale(), made.q_zero_point()) == (0.1, 100)
        assert_array_equal(made.int_repr(), want)


@pytest.mark.parametrize("dtype", [qt.quint8, qt.quint4x2])
def test_tables_say_their_dtype(dtype):
    for kind in (nn.quantized.Embedding, nn.quantized.EmbeddingBag):
        assert kind(10, 12, dtype=dtype).dtype == dtype
    qconfig = tq.float_qparams_weight_only_qconfig
    bag = nn.EmbeddingBag(10, 4, mode="sum")
    assert tq.quantize_dynamic(nn.Sequential(bag), {nn.EmbeddingBag: qconfig})[0].dtype == qt.quint8
