"""PRelu in files: whose slopes are those of channels, and whose are not, by onnxruntime's values."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import quantray as qt
from quantized_files import Draft, session
from quantray import nn
from quantray import quantization as tq


def loaded(f, output, shape, x):
    """The model, whose output is onnxruntime's, and the PRelus that became layers."""
    file = f.model({"x": ["n", *shape]}, output, 17)
    wanted = session(file.SerializeToString()).run(None, {"x": x})[0]
    model = qt.onnx.load(file.SerializeToString())
    np.testing.assert_allclose(model(x), wanted, rtol=1e-5, atol=1e-5)
    return model, [module for module in model.modules() if isinstance(module, nn.PReLU)]


@pytest.mark.parametrize("shape", [(16,), (1, 16)])
def test_slopes_of_rows_are_a_layer_between_layers_of_integers(rng, shape):
    """As torch exports PReLU behind a linear layer: of the columns."""
    f = Draft(rng)
    rows = f("Gemm", "x", f.weight(16, 8), f.weight(16), transB=1)
    y = f("Gemm", f("PRelu", rows, f.weight(*shape)), f.weight(3, 16), f.weight(3), transB=1)
    x = rng.standard_normal((20, 8)).astype(np.float32)
    model, layers = loaded(f, y, [8], x)
    assert [np.size(layer.weight) for layer in layers] == [16]
    made = tq.quantize(model, x, verbose=False)
    lines = tq.report(made).counted
    assert [line.kind for line in lines if line.in_integers] == ["Linear", "Linear"]
    assert {line.kind for line in lines} == {"Linear", "PReLU"}
    np.testing.assert_allclose(made(x), model(x), atol=0.03 * np.abs(model(x)).max())


@pytest.mark.parametrize(
    ("shape", "slopes", "is_layer"),
    [
        ((4, 6, 6), (4, 1, 1), True),
        # The last axis, which here is as long as that of channels.
        ((4, 4, 4), (4,), False),
        ((6, 4), (4,), False),
        ((4, 4), (1, 4), False),
    ],
)
def test_slopes_of_other_axes_are_no_channels(rng, shape, slopes, is_layer):
    f = Draft(rng)
    y = f("PRelu", f("Add", "x", f.weight(1)), f.weight(*slopes))
    _, layers = loaded(f, y, shape, rng.standard_normal((3, *shape)).astype(np.float32))
    assert bool(layers) == is_layer
