"""Linear layers with weights of few bits in groups: as modules, in files, in models."""

import numpy as np
import pytest
import quantray as qt
from faulty_models import decibels
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray import quantization as tq

Layer = nn.quantized.WeightOnlyLinear


@pytest.fixture
def layer(rng):
    nn.manual_seed(0)
    return nn.Linear(72, 16), rng.standard_normal((5, 72)).astype(np.float32)


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_are_codes_times_scales_of_groups(layer, bits):
    layer, x = layer
    small = Layer.from_float(layer, bits=bits, group_size=32)
    weight = small.dequantized()
    assert_allclose(small(x), np.float64(x) @ weight.T + layer.bias, atol=1e-5)
    # 72 inputs are two groups of 32 and one of 8; in each, weights are whole multiples of a step.
    for begin, end in ((0, 32), (32, 64), (64, 72)):
        group, other = layer.weight[:, begin:end], weight[:, begin:end]
        step = np.abs(group).max(1, keepdims=True) / (2 ** (bits - 1) - 0.5)
        # With the least squared error: no worse than the whole range has.
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        whole = np.clip(np.rint(group / step), low, high) * step
        assert (((other - group) ** 2).sum(1) <= ((whole - group) ** 2).sum(1) + 1e-12).all()
        assert all(len(np.unique(row)) <= 2**bits for row in other)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_files_hold_as_few_bits(layer, bits, tmp_path):
    layer, x = layer
    model = nn.Sequential(Layer.from_float(layer, bits=bits), nn.ReLU())
    model.save(tmp_path / "model.safetensors")
    back = qt.load(tmp_path / "model.safetensors")
    assert_array_equal(back(x), model(x))
    assert (back[0].bits, back[0].group_size) == (bits, 32)
    stored = model[0].weight()
    assert stored.nbytes == 16 * 96 * {2: 2, 3: 4, 4: 4, 8: 8}[bits] // 8
    other = Layer(72, 16, bits=bits)
    other.load_state_dict(model[0].state_dict())
    assert_array_equal(other(x), model[0](x))
    assert_array_equal(model.copy()(x), model(x))


def test_bad_input(layer):
    layer, _ = layer
    with pytest.raises(ValueError, match="bits must be from 2 to 8, got 9"):
        Layer(8, 8, bits=9)
    with pytest.raises(ValueError, match="group_size must be one of 16, 32, 64, 128, 256, got 24"):
        Layer.from_float(layer, group_size=24)
    layer.weight[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"weight must be finite, got nan at \(1, 2\)"):
        Layer.from_float(layer)
    small = Layer(32, 2, bits=3)
    with pytest.raises(ValueError, match="codes must be from -4 to 3, got 0 to 5"):
        small.set_codes(np.full((2, 32), 5) * np.arange(2)[:, None], np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"codes must be of shape \(2, 32\)"):
        small.set_codes(np.zeros((2, 31)), np.ones((2, 1)))
    model = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(ValueError, match="in_8_bits needs batches"):
        tq.remedies.weight_only(model, in_8_bits=1)
    with pytest.raises(ValueError, match="batches must hold at least one batch"):
        tq.remedies.weight_only(model, [])


def transformer(rng):
    nn.manual_seed(0)
    model = nn.Sequential(
        nn.TransformerEncoderLayer(32, 2, 64, activation="gelu", batch_first=True), nn.Linear(32, 4)
    )
    mixed = rng.standard_normal((6, 32))
    return model.eval(), (rng.standard_normal((24, 10, 6)) @ mixed).astype(np.float32)


def test_a_transformer_of_them(rng, tmp_path):
    model, x = transformer(rng)
    want = model(x[16:])
    plain = tq.remedies.weight_only(model)
    better = tq.remedies.weight_only(model, [x[:8], x[8:16]])
    mixed = tq.remedies.weight_only(model, x[:16], in_8_bits=2)
    found = [decibels(want, each(x[16:])) for each in (plain, better, mixed)]
    assert found[1] > found[0] + 2
    assert found[2] > found[1]
    layers = [m for m in mixed.modules() if isinstance(m, Layer)]
    assert sorted(m.bits for m in layers) == [4, 4, 4, 8, 8]
    lines = {line.name: line for line in tq.report(mixed).lines}
    assert {lines[name].weight_bits for name, m in mixed.named_modules() if m in layers} == {4, 8}
    mixed.save(tmp_path / "model.safetensors")
    assert_allclose(qt.load(tmp_path / "model.safetensors")(x), mixed(x), atol=1e-6)
    # The whole of it, and each layer by its name, is compared.
    result = qt.analysis.compare(model, mixed, x)
    assert {name for name, m in mixed.named_modules() if m in layers} <= {row.name for row in result}
    assert_array_equal(model(x[16:]), want)
