"""One direction of a recurrent layer over whole sequences, and its gradient: backpropagation through time.

Arrays are of shape (steps, batch, elements). For the gradient the gates are computed again, those of all
steps in two products. What is left to do step by step is linear in the gradient of the hidden state, so that
its factors are made for all steps at once, too.

Source: Werbos, Backpropagation Through Time: What It Does and How to Do It (1990).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantray import ops
from quantray.nn._gradients import differentiable
from quantray.nn.functional._arguments import floats
from quantray.nn.functional._linear import linear

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input
    from quantray.nn._gradients import Vjp


def _in_order(x: Floats, reverse: bool) -> Floats:
    """Steps in the order in which they are taken."""
    return x[::-1] if reverse else x


@differentiable
def lstm_pass(
    x: Array,
    h: Array,
    c: Array,
    w_ih: Input,
    w_hh: Input,
    b_ih: Input | None,
    b_hh: Input | None,
    w_hr: Input | None,
    reverse: bool,
) -> tuple[Floats, Floats, Floats]:
    """The outputs of all steps, the last hidden state and the last cell state; gates i, f, g, o."""
    weights = (w_ih, w_hh) if w_hr is None else (w_ih, w_hh, w_hr)
    y, (last_h, last_c) = ops.lstm(_in_order(x, reverse), [weights], [(b_ih, b_hh)], (h[None], c[None]))
    return _in_order(y, reverse), last_h[0], last_c[0]


@lstm_pass.gradient
def _lstm_gradient(
    wanted: Sequence[int],
    out: tuple[Floats, Floats, Floats],
    x: Array,
    h: Array,
    c: Array,
    w_ih: Input,
    w_hh: Input,
    b_ih: Input | None,
    b_hh: Input | None,
    w_hr: Input | None,
    reverse: bool,
) -> Vjp[tuple[Floats, Floats, Floats]]:
    x, h, c, w_ih, w_hh = map(floats, (x, h, c, w_ih, w_hh))
    x = _in_order(x, reverse)
    before = _before(h, _in_order(out[0], reverse))

    def vjp(gradients: tuple[Floats, Floats, Floats]) -> list[Array]:
        gy, dh, dc = map(floats, gradients)
        gy, dh, dc = _in_order(gy, reverse), dh.copy(), dc.copy()
        sums = linear(x, w_ih, b_ih)
        sums += linear(before, w_hh, b_hh)
        i, f, g, o = _split(sums, 4)
        i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
        cells = _cells(c, i * g, f)
        active = ops.tanh(cells[1:])
        to_cell = o * (1 - active * active)
        # What the gradient of the cell state (of the output, for gate o) becomes at each gate's sum.
        gates = sums.reshape(*sums.shape[:2], 4, c.shape[-1])
        for k, (factor, slope) in enumerate(
            ((g, i * (1 - i)), (cells[:-1], f * (1 - f)), (i, 1 - g * g), (active, o * (1 - o)))
        ):
            np.multiply(factor, slope, out=gates[:, :, k])
        steps, batch, _, units = gates.shape
        outputs = np.empty((steps, batch, before.shape[-1]), np.float32)
        for t in reversed(range(steps)):
            dh += gy[t]
            outputs[t] = dh
            if w_hr is not None:
                dh = dh @ floats(w_hr)
            dc += dh * to_cell[t]
            gates[t, :, :3] *= dc[:, None]
            gates[t, :, 3] *= dh
            dc *= f[t]
            dh = gates[t].reshape(batch, 4 * units) @ w_hh
        rows = gates.reshape(-1, 4 * units)
        each: dict[int, Callable[[], Array]] = {
            0: lambda: _in_order((rows @ w_ih).reshape(x.shape), reverse),
            1: lambda: dh,
            2: lambda: dc,
            3: lambda: rows.T @ _rows(x),
            4: lambda: rows.T @ _rows(before),
            5: lambda: _sums(rows),
            6: lambda: _sums(rows),
            7: lambda: _rows(outputs).T @ _rows(o * active),
        }
        return [each[position]() for position in wanted]

    return vjp


def _cells(c: Floats, new: Floats, kept: Floats) -> Floats:
    """The cell state before the first step, and behind each."""
    cells = np.empty((len(new) + 1, *c.shape), np.float32)
    cells[0] = c
    for t in range(len(new)):
        np.multiply(kept[t], cells[t], out=cells[t + 1])
        cells[t + 1] += new[t]
    return cells


@differentiable
def gru_pass(
    x: Array, h: Array, w_ih: Input, w_hh: Input, b_ih: Input | None, b_hh: Input | None, reverse: bool
) -> tuple[Floats, Floats]:
    """The outputs of all steps and the last hidden state; gates r, z, n."""
    y, last = ops.gru(_in_order(x, reverse), [(w_ih, w_hh)], [(b_ih, b_hh)], h[None])
    return _in_order(y, reverse), last[0]


@gru_pass.gradient
def _gru_gradient(
    wanted: Sequence[int],
    out: tuple[Floats, Floats],
    x: Array,
    h: Array,
    w_ih: Input,
    w_hh: Input,
    b_ih: Input | None,
    b_hh: Input | None,
    reverse: bool,
) -> Vjp[tuple[Floats, Floats]]:
    x, h, w_ih, w_hh = map(floats, (x, h, w_ih, w_hh))
    x = _in_order(x, reverse)
    before = _before(h, _in_order(out[0], reverse))

    def vjp(gradients: tuple[Floats, Floats]) -> list[Array]:
        gy, dh = map(floats, gradients)
        of_x, of_h = linear(x, w_ih, b_ih), linear(before, w_hh, b_hh)
        (xr, xz, xn), (hr, hz, hn) = _split(of_x, 3), _split(of_h, 3)
        r, z = ops.sigmoid(xr + hr), ops.sigmoid(xz + hz)
        n = ops.tanh(xn + r * hn)
        to_n = (1 - z) * (1 - n * n)
        gates = np.stack([to_n * hn * r * (1 - r), (before - n) * z * (1 - z), to_n * r], axis=2)
        dh, outputs = _back(gates, z, _in_order(gy, reverse), dh, w_hh)
        rows = gates.reshape(-1, len(w_hh))
        # The input's sum of gate n is not multiplied by r.
        gates_x = gates.copy()
        np.multiply(outputs, to_n, out=gates_x[:, :, 2])
        return _gradients(wanted, gates_x.reshape(rows.shape), rows, dh, x, before, w_ih, reverse)

    return vjp


@differentiable
def rnn_pass(
    x: Array,
    h: Array,
    w_ih: Input,
    w_hh: Input,
    b_ih: Input | None,
    b_hh: Input | None,
    reverse: bool,
    nonlinearity: str,
) -> tuple[Floats, Floats]:
    """The outputs of all steps and the last hidden state."""
    y, last = ops.rnn(
        _in_order(x, reverse), [(w_ih, w_hh)], [(b_ih, b_hh)], h[None], nonlinearity=nonlinearity
    )
    return _in_order(y, reverse), last[0]


@rnn_pass.gradient
def _rnn_gradient(
    wanted: Sequence[int],
    out: tuple[Floats, Floats],
    x: Array,
    h: Array,
    w_ih: Input,
    w_hh: Input,
    b_ih: Input | None,
    b_hh: Input | None,
    reverse: bool,
    nonlinearity: str,
) -> Vjp[tuple[Floats, Floats]]:
    x, h, w_ih, w_hh = map(floats, (x, h, w_ih, w_hh))
    x, y = _in_order(x, reverse), _in_order(out[0], reverse)

    def vjp(gradients: tuple[Floats, Floats]) -> list[Array]:
        gy, dh = map(floats, gradients)
        slope = 1 - y * y if nonlinearity == "tanh" else (y > 0).astype(np.float32)
        gates = np.expand_dims(slope, 2)
        dh, _ = _back(gates, None, _in_order(gy, reverse), dh, w_hh)
        rows = gates.reshape(-1, len(w_hh))
        return _gradients(wanted, rows, rows, dh, x, _before(h, y), w_ih, reverse)

    return vjp


def _back(gates: Floats, kept: Floats | None, gy: Floats, dh: Floats, w_hh: Floats) -> tuple[Floats, Floats]:
    """Goes from the last step to the first: the gradient of the first state, and those of all outputs.

    `gates`, of shape (steps, batch, gates, units), are the derivatives of outputs by each gate's sum, and
    become the gradients of these sums; `kept` is the share of a state that the next one holds of it directly.
    """
    outputs = np.empty_like(gy)
    dh = dh.copy()
    for t in reversed(range(len(gates))):
        dh += gy[t]
        outputs[t] = dh
        gates[t] *= dh[:, None]
        through = gates[t].reshape(len(dh), len(w_hh)) @ w_hh
        dh = through if kept is None else through + dh * kept[t]
    return dh, outputs


def _gradients(
    wanted: Sequence[int],
    of_x: Floats,
    of_h: Floats,
    dh: Floats,
    x: Floats,
    before: Floats,
    w_ih: Floats,
    reverse: bool,
) -> list[Array]:
    """What is wanted, from the gradients of the sums that the input, and the hidden state, take part in."""
    each: dict[int, Callable[[], Array]] = {
        0: lambda: _in_order((of_x @ w_ih).reshape(x.shape), reverse),
        1: lambda: dh,
        2: lambda: of_x.T @ _rows(x),
        3: lambda: of_h.T @ _rows(before),
        4: lambda: _sums(of_x),
        5: lambda: _sums(of_h),
    }
    return [each[position]() for position in wanted]


def _before(h: Floats, y: Floats) -> Floats:
    """The hidden state before each step."""
    return np.concatenate([h[None], y[:-1]])


def _split(sums: Floats, gates: int) -> list[Floats]:
    return np.split(sums, gates, axis=-1)


def _rows(values: Floats) -> Floats:
    """Steps and batch as one axis."""
    return values.reshape(-1, values.shape[-1])


def _sums(rows: Floats) -> Floats:
    return rows.sum(0, dtype=np.float64)
