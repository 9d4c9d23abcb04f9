"""Several filters for each channel: a program copies channels, and gives the codes of the layer as it is."""

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq
from quantray.quantization import _integer_steps


class Net(nn.Module):
    """Filters of single channels, a sum with as many outputs, and a layer of all channels."""

    def __init__(self, dims, channels, filters, is_sum):
        super().__init__()
        conv, wide = getattr(nn, f"Conv{dims}d"), channels * filters
        self.filters = conv(channels, wide, 3, 1, 1, groups=channels)
        self.beside = conv(channels, wide, 1) if is_sum else None
        self.last = conv(wide, 5, 1)

    def forward(self, x):
        y = self.filters(x)
        return self.last(nn.functional.relu(y if self.beside is None else y + self.beside(x)))


CASES = [(1, 6, 3), (2, 24, 2), (2, 3, 17), (3, 4, 4)]


def quantized(dims, channels, filters, is_sum):
    nn.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((3, channels, *(9, 8, 7)[:dims]), np.float32)
    return tq.quantize(Net(dims, channels, filters, is_sum).eval(), [x], verbose=False), x


@pytest.mark.parametrize("isa", qt.cpu_info()["available"])
@pytest.mark.parametrize("is_sum", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_codes_are_those_without_copies(monkeypatch, case, is_sum, isa):
    before = qt.cpu_info()["isa"]
    qt.set_isa(isa)
    try:
        packed, of_single = [], _integer_steps._of_single_channels
        monkeypatch.setattr(
            _integer_steps, "_of_single_channels", lambda *args: packed.append(of_single(*args)) or packed[-1]
        )
        copied, x = quantized(*case, is_sum)
        got, count = copied(x), len(packed)
        assert {each.groups for each in packed} == {case[1] * case[2]}
        monkeypatch.setattr(_integer_steps, "_CONVOLUTIONS", ())
        plain, _ = quantized(*case, is_sum)
        np.testing.assert_array_equal(got, plain(x))
        assert len(packed) == count
    finally:
        qt.set_isa(before)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sums_of_products(case):
    """Within half a step of sums in float64."""
    dims, channels, filters = case
    int8, x = quantized(*case, False)
    layer = int8.filters
    codes = qt.quantize_per_tensor(x, layer.input_grid.scale, layer.input_grid.zero_point, qt.quint8)
    kernel = layer.weight().dequantize().reshape(channels, filters, *(3,) * dims).astype(np.float64)
    around = np.pad(codes.dequantize(), [(0, 0), (0, 0), *[(1, 1)] * dims])
    windows = np.lib.stride_tricks.sliding_window_view(around, (3,) * dims, tuple(range(2, 2 + dims)))
    places, inside = "xyz"[:dims], "ijk"[:dims]
    sums = np.einsum(f"nc{places}{inside},cf{inside}->ncf{places}", windows.astype(np.float64), kernel)
    y = layer(codes)
    sums = sums.reshape(y.shape) + np.reshape(layer.bias(), (-1, *[1] * dims))
    top = y.q_scale() * (255 - y.q_zero_point())
    np.testing.assert_allclose(y.dequantize(), np.clip(sums, 0, top), atol=y.q_scale() * 0.51)
    np.testing.assert_array_equal(int8(x), int8.last(y))
