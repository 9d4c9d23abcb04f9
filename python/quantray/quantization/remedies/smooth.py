"""SmoothQuant: outliers of activations move into weights, as far as both bear it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from quantray import nn
from quantray._typing import Array, Floats
from quantray.graph import Node, kind_of
from quantray.quantization._batches import Batch
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping
from quantray.quantization.remedies._links import Link, input_ranges, links_of, scale, scaled_inputs
from quantray.quantization.remedies._rewriting import Rewriting
from quantray.quantization.remedies._rounding import nearest_codes, scales_of

M = TypeVar("M", bound=nn.Module)

#: Migration strengths that are tried.
ALPHAS = (0.25, 0.4, 0.5, 0.6, 0.75, 0.9)
#: Rows of a layer's input that they are tried on.
_KEPT = 512


def smooth(
    model: M,
    batches: Iterable[Batch],
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    *,
    alpha: float | Sequence[float] = ALPHAS,
    dynamic: bool = False,
    transform: Callable[[Batch], object] | None = None,
) -> M:
    """A float model that computes the same, whose activations have no channels far beyond the others.

    Channels of a layer normalization, or of a layer, that layers alone take, are divided by
    `max|X|**alpha / max|W|**(1 - alpha)`, and the weights that take them multiplied. Of several `alpha` each
    wire gets the one that rounding to the layers' bits loses least with; the wire is left as it is where
    that loses least.

    Parameters
    ----------
    model : Module
        Of floats; it is not changed.
    batches : iterable
        Arrays, or tuples of the model's arguments, like those that the model will see.
    qconfig_mapping : QConfigMapping or QConfig, optional
        What the model brings along for `prepare`.
    alpha : float, or sequence of float
        From 0, all of a difficulty left with activations, to 1, all of it moved into weights.
    dynamic : bool
        Whether activations will be quantized by the range of each row, as `quantize_dynamic` does.
    transform : callable, optional
        What makes the model's arguments of a batch.

    Raises
    ------
    ValueError
        For an alpha beyond 0 to 1.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 4))
    >>> model[0].weight = np.float32([200, 1, 1, 1, 1, 1, 1, 1])
    >>> x = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)
    >>> even = tq.remedies.smooth(model, x)
    >>> bool(even[0].weight.max() < 50), bool(np.abs(even(x) - model(x)).max() < 1e-3)
    (True, True)

    Source: "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models" (Xiao
    et al., arXiv:2211.10438), equation 4.
    """
    alphas = [float(a) for a in ([alpha] if isinstance(alpha, (int, float)) else alpha)]
    if not alphas or not all(0 <= a <= 1 for a in alphas):
        raise ValueError(f"alpha must be from 0 to 1, got {alpha!r}")
    changed = Rewriting(model, batches, qconfig_mapping, transform)
    links = links_of(changed)
    inputs = _Inputs(changed, links)
    for link in links:
        factors = _best(changed, link, inputs, alphas, dynamic)
        if factors is not None:
            scale(changed, link, factors)
            inputs.divide(link, factors)
    return changed.result()


class _Inputs:
    """What goes into the layers of links: ranges of channels over all batches, and some rows."""

    def __init__(self, model: Rewriting[nn.Module], links: list[Link]) -> None:
        self._takers = {taker.name: taker for link in links for taker in link.takers}
        makers = {link.maker for link in links if model.graph.nodes[link.maker].kind == "layer"}
        self.ranges: dict[str, Array] = {}
        self.kept: dict[str, Array] = {}

        def look(node: Node, x: Array, y: Array) -> None:
            if node.name in makers and node.name not in self.kept:
                self.kept[node.name] = _some(x)
            if node.name not in self._takers:
                return
            axis = np.ndim(x) - 1 if node.value.kind == "linear" else 1
            size = np.abs(x).max(axis=tuple(i for i in range(np.ndim(x)) if i != axis))
            size = size.reshape(-1, self._takers[node.name].repeat).max(axis=1)
            before = self.ranges.get(node.name)
            self.ranges[node.name] = size if before is None else np.maximum(before, size)
            self.kept.setdefault(node.name, _some(x))

        if links:
            model.values(look)

    def divide(self, link: Link, factors: Array) -> None:
        """A link has been scaled."""
        for taker in link.takers:
            self.ranges[taker.name] = self.ranges[taker.name] / factors
            x = self.kept[taker.name]
            self.kept[taker.name] = x / _along(x, np.repeat(factors, taker.repeat), x.ndim)


def _some(x: Array) -> Floats:
    """Some of an input, with the places of images."""
    if np.ndim(x) == 2 or np.ndim(x) == 3:
        flat = np.reshape(x, (-1, np.shape(x)[-1])) if np.ndim(x) == 2 else x
        return np.array(flat[: max(1, _KEPT // max(1, int(np.prod(np.shape(flat)[1:-1]))))], np.float32)
    return np.array(x[:16], np.float32)


def _along(x: Array, factors: Array, ndim: int) -> Floats:
    axis = 1 if ndim > 3 else ndim - 1
    shape = [1] * ndim
    shape[axis] = -1
    return np.asarray(factors, np.float32).reshape(shape)


def _best(
    model: Rewriting[nn.Module], link: Link, inputs: _Inputs, alphas: list[float], dynamic: bool
) -> Array | None:
    """The factors that lose least; None where it is best to leave the wire as it is."""
    if any(taker.name not in inputs.ranges for taker in link.takers):
        return None
    x = np.max([inputs.ranges[taker.name] for taker in link.takers], axis=0).astype(np.float64)
    w = np.max([input_ranges(model, taker) for taker in link.takers], axis=0).astype(np.float64)
    used = (x > 0) & (w > 0)
    if not used.any():
        return None
    least, best = _loss(model, link, inputs, None, dynamic), None
    for alpha in alphas:
        factors = np.ones(len(x))
        factors[used] = np.clip(x[used] ** alpha / w[used] ** (1 - alpha), 1e-5, 1e5)
        factors[used] /= np.exp(np.log(factors[used]).mean())
        found = _loss(model, link, inputs, factors, dynamic)
        if found < least:
            least, best = found, factors
    return best


def _loss(
    model: Rewriting[nn.Module], link: Link, inputs: _Inputs, factors: Array | None, dynamic: bool
) -> float:
    """What rounding loses in all layers of a link, each beside its own output's energy."""
    total = 0.0
    for taker in link.takers:
        weight, _ = model.weight_and_bias(taker.name)
        x = inputs.kept[taker.name]
        changed, given = weight, x
        if factors is not None:
            changed = scaled_inputs(model, taker, weight, factors)
            given = x / _along(x, np.repeat(factors, taker.repeat), x.ndim)
        total += _layer_loss(model, taker.name, x, weight, given, changed, dynamic)
    if model.graph.nodes[link.maker].kind == "layer" and link.maker in inputs.kept:
        weight, _ = model.weight_and_bias(link.maker)
        if factors is not None:
            shape = [1] * weight.ndim
            shape[model.weight_axis(link.maker)] = -1
            turn = np.asarray(factors, np.float32).reshape(shape)
            x = inputs.kept[link.maker]
            total += _layer_loss(model, link.maker, x, weight, x, weight / turn, dynamic, turn)
        else:
            x = inputs.kept[link.maker]
            total += _layer_loss(model, link.maker, x, weight, x, weight, dynamic)
    return total


def _layer_loss(
    model: Rewriting[nn.Module],
    name: str,
    x: Array,
    weight: Array,
    given: Array,
    changed: Array,
    dynamic: bool,
    turn: Array | float = 1.0,
) -> float:
    scheme = model.scheme(name)
    if scheme is None:
        return 0.0
    node = model.layers[name]
    function = kind_of(node.value.kind).function
    settings = dict(node.kwargs)
    scales = scales_of(changed, scheme.code_range, model.weight_axis(name), scheme.per_channel)
    rounded = nearest_codes(changed, scales, scheme.code_range) * scales * turn
    exact = function(x, weight, None, **settings)
    found = function(_rounded(given, dynamic, node.value.kind), rounded.astype(np.float32), None, **settings)
    energy = float((exact.astype(np.float64) ** 2).sum())
    return float(((found - exact).astype(np.float64) ** 2).sum()) / max(energy, 1e-30)


def _rounded(x: Array, dynamic: bool, kind: str) -> Floats:
    """An input on 256 codes of its range, or of each row's."""
    axes = None
    if dynamic:
        axes = (x.ndim - 1,) if kind == "linear" else tuple(range(1, x.ndim))
    low = np.minimum(x.min(axis=axes, keepdims=True), 0)
    high = np.maximum(x.max(axis=axes, keepdims=True), 0)
    step = np.maximum((high - low) / 255, np.finfo(np.float32).tiny)
    zero = np.rint(-low / step)
    return ((np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step).astype(np.float32)
