"""PackedLSTM and PackedGRU beside their oracle, bit for bit, on every instruction set."""

import numpy as np
import pytest
import quantray as qt
from recurrent_oracle import GATES, grid, layers

SHAPES = [
    # Steps, batch, inputs, units, layers, both directions, outputs of the projection.
    (1, 1, 1, 1, 1, False, None),
    (7, 3, 5, 6, 1, False, None),
    (40, 1, 12, 33, 1, True, None),
    (9, 17, 20, 70, 2, True, None),
    (25, 4, 8, 16, 3, False, None),
    (11, 5, 9, 20, 2, True, 7),
]


def weight(rng, rows, columns, channels):
    """Codes, scales and zero points: symmetric with one scale, or of each row with zero points of its own."""
    w = rng.integers(-128, 128, (rows, columns)).astype(np.int8)
    size = 1 / (100 * np.sqrt(columns))
    if not channels:
        return w, np.full(rows, size), np.zeros(rows, np.int64)
    return w, rng.uniform(0.5, 1, rows) * size, rng.integers(-9, 9, rows)


def packable(made, channels):
    w, scales, zeros = made
    if not channels:
        return qt.make_per_tensor_quantized_tensor(w, float(scales[0]), 0)
    return qt.make_per_channel_quantized_tensor(w, scales, zeros, axis=0)


@pytest.mark.parametrize("per_row", [False, True], ids=["one scale", "per row"])
@pytest.mark.parametrize("channels", [False, True], ids=["per tensor", "per channel"])
# A GRU has no projection.
@pytest.mark.parametrize(
    ("kind", "shape"),
    [(kind, shape) for kind in GATES for shape in SHAPES if kind == "LSTM" or not shape[-1]],
)
def test_as_the_oracle(kernels, rng, kind, shape, channels, per_row):
    steps, batch, inputs, units, count, both, projected = shape
    ways, outputs, rows = 1 + both, projected or units, GATES[kind] * units
    weights, biases = [], []
    for i in range(count * ways):
        shapes = [(rows, inputs if i < ways else ways * outputs), (rows, outputs)]
        shapes += [(projected, units)] if projected else []
        weights.append([weight(rng, *s, channels) for s in shapes])
        biases.append([rng.uniform(-0.5, 0.5, rows).astype(np.float32) for _ in range(2)])
    # Rows of all sizes.
    x = rng.standard_normal((steps, batch, inputs), dtype=np.float32)
    x *= np.exp(rng.uniform(-5, 1, (steps, batch, 1))).astype(np.float32)

    packed = [tuple(packable(w, channels) for w in pair) for pair in weights]
    op = getattr(qt.ops, f"Packed{kind}")(packed, biases, False, both)
    y, last = op(x, per_row=per_row)
    want, h, c = layers(kind, x, weights, biases, units, both, per_row)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(last[0] if kind == "LSTM" else last, h)
    if kind == "LSTM":
        np.testing.assert_array_equal(last[1], c)


@pytest.mark.parametrize(
    "values",
    [[0.0], [1e-7, 2e-7], [-3e-8, 5e-8], [-1e-9], [3.0, 4.0], [-1.5, 0.2], [-7.0], [1e-40], [200.0, -3e-4]],
)
# That all of these become 0 is what quantray says of them, and so it should.
@pytest.mark.filterwarnings("ignore:all values of input become 0")
def test_grids_are_those_of_dynamic_quantization(values):
    x = np.float32(values)
    scale, zero_point = grid(x)
    q = qt.quantize_per_tensor_dynamic(x, qt.quint8)
    assert (scale, zero_point) == (np.float32(q.q_scale()), q.q_zero_point())
