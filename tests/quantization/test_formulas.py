"""Activations that are formulas of others are one table between integers; padding and shuffles move codes."""

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq

X = np.random.default_rng(0).standard_normal((32, 4, 8, 8), np.float32)


def between(*modules, channels=8):
    nn.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), *modules, nn.Conv2d(channels, 4, 1)).eval()


@pytest.mark.parametrize(
    "name", ["CELU", "SELU", "Mish", "Softsign", "LogSigmoid", "Tanhshrink", "Hardshrink", "Softshrink"]
)
def test_formulas_are_one_table(name):
    model = between(getattr(nn, name)())
    int8 = tq.quantize(model, X, verbose=False)
    assert [node.kind for node in int8.graph] == [
        "input",
        "int.quantize",
        "int.layer",
        "int.table",
        "int.layer",
    ]
    # Of the codes the formula is right but for one rounding.
    q = qt.quantize_per_tensor(X, 0.05, 120, qt.quint8)
    module = getattr(nn, name)()
    want = q.quantizer.quantize(module(q.dequantize()))
    np.testing.assert_array_equal(module(q).int_repr(), want.int_repr())


@pytest.mark.parametrize(
    ("module", "channels"),
    [
        (nn.ZeroPad2d((1, 2, 3, 1)), 8),
        (nn.ReflectionPad2d((1, 2, 3, 1)), 8),
        (nn.ReplicationPad2d(2), 8),
        (nn.CircularPad2d(1), 8),
        (nn.UpsamplingNearest2d(scale_factor=2), 8),
        (nn.PixelShuffle(2), 2),
        (nn.PixelUnshuffle(2), 32),
        (nn.ChannelShuffle(4), 8),
        (nn.AlphaDropout(), 8),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "",
)
def test_codes_pass_on_their_grid(module, channels):
    int8 = tq.quantize(between(module, channels=channels), X, verbose=False)
    kinds = {node.kind for node in int8.graph}
    assert kinds <= {"input", "int.quantize", "int.layer", "int.move"}
    assert not any(line.is_call for line in tq.report(int8).lines)
    # By NumPy, on the codes of the layer before, which rounds as it did.
    first, last = (int8.get_submodule(name) for name in ("0", "2"))
    q = first(qt.quantize_per_tensor(X, first.input_grid.scale, first.input_grid.zero_point, qt.quint8))
    np.testing.assert_array_equal(int8(X), np.asarray(last(module(q))))
    np.testing.assert_array_equal(int8(X[:3]), int8(X)[:3])


def test_a_padding_of_the_wrong_number_says_what_is_meant():
    with pytest.raises(ValueError, match="padding must be an integer or 4 of them, last axis first"):
        nn.ZeroPad2d((1, 2))
    with pytest.raises(ValueError, match=r"input must be of shape \(N, C, H, W\) or \(C, H, W\)"):
        nn.ReflectionPad2d(1)(np.zeros((3, 4)))


def test_probabilities_are_asked_for_where_logits_are_given():
    with pytest.raises(ValueError, match="of logits: binary_cross_entropy_with_logits"):
        nn.BCELoss()([3.0], [1.0])
