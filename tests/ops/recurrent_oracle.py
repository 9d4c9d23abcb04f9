"""LSTM and GRU in integers, in plain NumPy, by the rounding contract.

What `PackedLSTM` and `PackedGRU` must give.

Grids, codes and sums are written out here. Only the functions of the gates come from `quantray.ops`, in
float32, since their last bits are part of what is compared; `test_floats` compares those with float64.
"""

import numpy as np
from quantray import ops

GATES = {"LSTM": 4, "GRU": 3}
F32 = np.float32
LEAST_SCALE = F32(6.1e-5)


def grid(x):
    """Scale and zero point of floats by their own range, as torch's quantize_per_tensor_dynamic."""
    low, high = float(min(x.min(), F32(0))), float(max(x.max(), F32(0)))
    scale = (high - low) / 255
    with np.errstate(over="ignore", divide="ignore"):
        if F32(scale) == 0 or np.isinf(F32(1) / F32(scale)):
            scale = 0.1
    if scale < LEAST_SCALE:
        stretched = float(LEAST_SCALE)
        if low == 0:
            high = stretched * 255
        elif high == 0:
            low = -stretched * 255
        else:
            low, high = low * stretched / scale, high * stretched / scale
        scale = stretched
    from_low, from_high = 0 - low / scale, 255 - high / scale
    chosen = from_low if 0 - abs(low / scale) < 255 - abs(high / scale) else from_high
    return F32(scale), int(np.clip(np.rint(chosen), 0, 255))


def codes(x, scale, zero_point):
    """Codes of floats: by the inverse, half to even, the zero point after rounding."""
    return (np.clip(np.rint(x * (F32(1) / scale)) + zero_point, 0, 255)).astype(np.int64)


def product(x, on, weight, bias=None):
    """Floats on a grid times a weight of int8 codes: sums of integers, then float32."""
    scale, zero_point = on
    w, w_scale, w_zero = weight
    sums = (codes(x, scale, zero_point) - zero_point) @ (w.astype(np.int64) - w_zero[:, None]).T
    made = sums.astype(F32) * (scale * w_scale.astype(F32))
    return made if bias is None else made + bias


def lstm_step(x, h, c):
    """The gates' two parts, and the cell state: the new output and the new cell state."""
    i, f, g, o = np.split(h + x, 4, axis=1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(c), c


def gru_step(x, h, old):
    """The gates' two parts, and the old state: the new one."""
    (xr, xz, xn), (hr, hz, hn) = np.split(x, 3, axis=1), np.split(h, 3, axis=1)
    new = ops.tanh(xn + hn * ops.sigmoid(hr + xr))
    return (old - new) * ops.sigmoid(hz + xz) + new


def of_rows(x, on, weight, bias):
    """The product of each row, on its own grid where `on` is None."""
    if on is not None:
        return product(x, on, weight, bias)
    return np.concatenate([product(row[None], grid(row), weight, bias) for row in x])


def direction(kind, x, weights, biases, state, reverse, per_row=False):
    """One direction of a layer: outputs (steps, batch, units), and the last states."""
    made = []
    # The input has one grid for all steps, or one for each row; a state has one for the batch in each step.
    on = None if per_row else grid(x)
    h, c = state
    for step in reversed(range(len(x))) if reverse else range(len(x)):
        of_input = of_rows(x[step], on, weights[0], biases[0])
        of_state = product(h, grid(h), weights[1], biases[1])
        if kind == "GRU":
            h = gru_step(of_input, of_state, h)
        else:
            h, c = lstm_step(of_input, of_state, c)
            if len(weights) == 3:
                h = product(h, grid(h), weights[2])
        made.append(h)
    return np.stack(made[::-1] if reverse else made), (h, c)


def layers(kind, x, weights, biases, units, both, per_row=False):
    """All layers, from states of zeros: outputs, and the last states of each direction of each layer."""
    ways = 1 + both
    last = []
    for first in range(0, len(weights), ways):
        parts = []
        for way in range(ways):
            mine = weights[first + way]
            outputs = mine[1][0].shape[1]
            state = np.zeros((x.shape[1], outputs), F32), np.zeros((x.shape[1], units), F32)
            y, end = direction(kind, x, mine, biases[first + way], state, way == 1, per_row)
            parts.append(y)
            last.append(end)
        x = np.concatenate(parts, axis=2)
    return x, np.stack([h for h, _ in last]), np.stack([c for _, c in last])
