"""Recurrent layers step by step: with peepholes, lengths, clipping, and activations of every kind."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from quantray import ops
from quantray._typing import Array
from quantray.onnx._rows import rows_of

#: How many gates each operator has, and the activations that it has by default.
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}


def _sigmoid(x: Array) -> Array:
    return (1 / (1 + np.exp(-np.clip(x, -88, None)))).astype(np.float32)


#: Each with the defaults of its alpha and beta; None where it has none.
_ACTIVATIONS: dict[str, tuple[Callable[[Array, float, float], Array], float | None, float | None]] = {
    "relu": (lambda x, a, b: np.maximum(x, 0), None, None),
    "tanh": (lambda x, a, b: np.tanh(x), None, None),
    "sigmoid": (lambda x, a, b: _sigmoid(x), None, None),
    "affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "leakyrelu": (lambda x, a, b: np.where(x >= 0, x, a * x), 0.01, None),
    "thresholdedrelu": (lambda x, a, b: np.where(x > a, x, 0), 1.0, None),
    "scaledtanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "hardsigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "elu": (lambda x, a, b: np.where(x >= 0, x, a * np.expm1(np.minimum(x, 0))), 1.0, None),
    "softsign": (lambda x, a, b: x / (1 + np.abs(x)), None, None),
    "softplus": (lambda x, a, b: np.logaddexp(0, x), None, None),
}

Activation: TypeAlias = Callable[[Array], Array]


def _with_numbers(
    function: Callable[[Array, float, float], Array], alpha: float | None, beta: float | None
) -> Activation:
    # What has none of these numbers does not look at them.
    first, second = alpha or 0.0, beta or 0.0
    return lambda x: function(x, first, second).astype(np.float32)


def activations_of(names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]) -> list[Activation]:
    """Functions by name; alphas and betas belong to those that have one, in order."""
    more, less = list(alphas), list(betas)
    made: list[Activation] = []
    for name in names:
        if name.lower() not in _ACTIVATIONS:
            raise ValueError(f"activations must be of {', '.join(_ACTIVATIONS)}, got {name!r}")
        function, alpha, beta = _ACTIVATIONS[name.lower()]
        if alpha is not None and more:
            alpha = more.pop(0)
        if beta is not None and less:
            beta = less.pop(0)

        made.append(_with_numbers(function, alpha, beta))
    return made


@dataclass
class _Settings:
    """What the steps of one direction do."""

    op: str
    activations: list[Activation]
    clip: float | None
    input_forget: bool
    linear_before_reset: bool

    def bounded(self, x: Array) -> Array:
        return x if not self.clip else np.clip(x, -self.clip, self.clip)


#: A product with the weights of a direction.
Product: TypeAlias = Callable[[Array], Array]


def recurrent(
    op: str,
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    lengths: Array | None = None,
    h: Array | None = None,
    c: Array | None = None,
    peepholes: Array | None = None,
    *,
    direction: str = "forward",
    activations: Sequence[str] = (),
    alpha: Sequence[float] = (),
    beta: Sequence[float] = (),
    clip: float | None = None,
    input_forget: bool = False,
    linear_before_reset: bool = False,
    layout: int = 0,
) -> tuple[Array, ...]:
    """A recurrent layer: all outputs, and the last state; of LSTM also the last cells.

    Parameters
    ----------
    op : str
        "LSTM", "GRU" or "RNN".
    x : array
        Shape (steps, batch, inputs); (batch, steps, inputs) where `layout` is 1.
    w, r : array
        Shapes (directions, gates * units, inputs), (directions, gates * units, units).
    b : array, optional
        Shape (directions, 2 * gates * units).
    lengths : array of integers, optional
        For each row of the batch how many steps it has; after them outputs are 0.
    h, c : array, optional
        States at the beginning, of shape (directions, batch, units).
    peepholes : array, optional
        Shape (directions, 3 * units).

    Source: the ONNX operators LSTM, GRU and RNN.
    """

    def products(weight: Array) -> list[Product]:
        return [lambda rows, m=m: np.matmul(rows, m.T) for m in weight]

    return _layer(
        op,
        x,
        products(w),
        products(r),
        r.shape[2],
        b,
        lengths,
        h,
        c,
        peepholes,
        direction,
        activations,
        alpha,
        beta,
        clip,
        input_forget,
        linear_before_reset,
        layout,
    )


def dynamic_quantize_lstm(
    x: Array,
    w: Array,
    r: Array,
    b: Array,
    lengths: Array | None,
    h: Array | None,
    c: Array | None,
    peepholes: Array | None,
    w_scale: Array,
    w_zero: Array,
    r_scale: Array,
    r_zero: Array,
    *,
    direction: str = "forward",
    activations: Sequence[str] = (),
    alpha: Sequence[float] = (),
    beta: Sequence[float] = (),
    clip: float | None = None,
    input_forget: bool = False,
    layout: int = 0,
) -> tuple[Array, ...]:
    """An LSTM of integer weights, of shape (directions, inputs, 4 * units).

    Both are quantized by their own ranges: all steps of the input together, the state in each step.

    Source: onnxruntime's operator DynamicQuantizeLSTM.
    """

    def products(weight: Array, scale: Array, zero: Array) -> list[Product]:
        def make(way: int) -> Product:
            scales, zeros = (x.reshape(len(weight), -1)[way] for x in (scale, zero))
            # Packed once for all steps.
            packed = ops.PackedLinear(rows_of(weight[way].T, scales, zeros))
            return lambda rows: packed.dynamic(rows, onnx=True)

        return [make(way) for way in range(len(weight))]

    return _layer(
        "LSTM",
        x,
        products(w, w_scale, w_zero),
        products(r, r_scale, r_zero),
        r.shape[1],
        b,
        lengths,
        h,
        c,
        peepholes,
        direction,
        activations,
        alpha,
        beta,
        clip,
        input_forget,
        False,
        layout,
    )


def _layer(
    op: str,
    x: Array,
    inputs: list[Product],
    states: list[Product],
    units: int,
    b: Array | None,
    lengths: Array | None,
    h: Array | None,
    c: Array | None,
    peepholes: Array | None,
    direction: str,
    names: Sequence[str],
    alpha: Sequence[float],
    beta: Sequence[float],
    clip: float | None,
    input_forget: bool,
    linear_before_reset: bool,
    layout: int,
) -> tuple[Array, ...]:
    ways = len(inputs)
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ValueError(f"direction must be forward, reverse or bidirectional, got {direction!r}")
    if ways != (2 if direction == "bidirectional" else 1):
        raise ValueError(f"weights are of {ways} directions, and the layer is {direction}")
    if layout:
        x = np.swapaxes(x, 0, 1)
        h, c = (None if s is None else np.swapaxes(s, 0, 1) for s in (h, c))
    steps, batch = x.shape[:2]
    each = len(DEFAULTS[op])
    names = list(names) or list(DEFAULTS[op]) * ways
    if op == "RNN" and ways == 1:
        # Files that onnxruntime has optimized have its default, which is for two directions.
        names = names[:1]
    if len(names) != each * ways:
        raise ValueError(f"there must be {each * ways} activations, got {len(names)}")
    functions = activations_of(names, alpha, beta)
    counts = np.full(batch, steps) if lengths is None else np.asarray(lengths).astype(np.int64)
    outputs = np.zeros((steps, ways, batch, units), np.float32)
    last = [np.zeros((ways, batch, units), np.float32) for _ in range(2)]
    for way in range(ways):
        settings = _Settings(
            op, functions[way * each : (way + 1) * each], clip, input_forget, linear_before_reset
        )
        state = [
            np.zeros((batch, units), np.float32) if s is None else s[way].astype(np.float32) for s in (h, c)
        ]
        bias = np.zeros(2 * GATES[op] * units, np.float32) if b is None else b[way]
        peep = None if peepholes is None else peepholes[way].reshape(3, units)
        back = direction == "reverse" or way == 1
        order = _turned(x, counts) if back else x
        found = _steps(
            settings, order, inputs[way], states[way], bias, counts, state, peep, outputs.shape[-1]
        )
        outputs[:, way] = _turned(found, counts) if back else found
        last[0][way], last[1][way] = state
    made = [outputs, *last[: 2 if op == "LSTM" else 1]]
    if layout:
        made = [np.transpose(outputs, (2, 0, 1, 3)), *(np.swapaxes(s, 0, 1) for s in made[1:])]
    return tuple(made)


def _turned(x: Array, counts: Array) -> Array:
    """Each row of the batch from its last step to its first; what is after these stays."""
    if (counts == len(x)).all():
        return x[::-1]
    made = x.copy()
    for row, count in enumerate(counts):
        made[:count, row] = x[:count, row][::-1]
    return made


def _steps(
    settings: _Settings,
    x: Array,
    inputs: Product,
    states: Product,
    bias: Array,
    counts: Array,
    state: list[Array],
    peepholes: Array | None,
    units: int,
) -> Array:
    """All outputs of one direction; `state` becomes the last one."""
    steps, batch = x.shape[:2]
    outputs = np.zeros((steps, batch, units), np.float32)
    half = GATES[settings.op] * units
    rows = inputs(x.reshape(steps * batch, -1)).reshape(steps, batch, -1)
    step = {"LSTM": _lstm_step, "GRU": _gru_step, "RNN": _rnn_step}[settings.op]
    for t in range(steps):
        new = step(settings, rows[t], states, bias[:half], bias[half:], state, peepholes, units)
        going = (t < counts)[:, None]
        outputs[t] = np.where(going, new[0], 0)
        state[0] = np.where(going, new[0], state[0])
        state[1] = np.where(going, new[1], state[1])
    return outputs


def _lstm_step(
    s: _Settings,
    row: Array,
    states: Product,
    wb: Array,
    rb: Array,
    state: list[Array],
    peep: Array | None,
    units: int,
) -> tuple[Array, Array]:
    h, c = state
    gates = row + states(h) + wb + rb
    i, o, f, g = (gates[:, k * units : (k + 1) * units] for k in range(4))
    if peep is not None:
        i, f = i + peep[0] * c, f + peep[2] * c
    first, second, third = s.activations
    i = first(s.bounded(i))
    f = 1 - i if s.input_forget else first(s.bounded(f))
    c = f * c + i * second(s.bounded(g))
    if peep is not None:
        o = o + peep[1] * c
    # The cells are not clipped: onnxruntime clips what comes from products alone.
    return first(s.bounded(o)) * third(c), c


def _gru_step(
    s: _Settings,
    row: Array,
    states: Product,
    wb: Array,
    rb: Array,
    state: list[Array],
    peep: Array | None,
    units: int,
) -> tuple[Array, Array]:
    h = state[0]
    first, second = s.activations
    two = 2 * units
    # Products by the recurrent weights are made for all gates, of the state as each gate wants it.
    rows = states(h)
    z, r = np.split(first(s.bounded(row[:, :two] + rows[:, :two] + wb[:two] + rb[:two])), 2, axis=1)
    after = r * (rows[:, two:] + rb[two:]) if s.linear_before_reset else states(r * h)[:, two:] + rb[two:]
    new = second(s.bounded(row[:, two:] + after + wb[two:]))
    made = (1 - z) * new + z * h
    return made, made


def _rnn_step(
    s: _Settings,
    row: Array,
    states: Product,
    wb: Array,
    rb: Array,
    state: list[Array],
    peep: Array | None,
    units: int,
) -> tuple[Array, Array]:
    made = s.activations[0](s.bounded(row + states(state[0]) + wb + rb))
    return made, made
