"""AdaRound: whether each weight is rounded up or down is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from quantray import nn
from quantray._typing import Array, Doubles
from quantray.quantization._batches import Batch
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping
from quantray.quantization.remedies._hessian import as_matrices, as_weight
from quantray.quantization.remedies._reconstruction import reconstruct
from quantray.quantization.remedies._rewriting import Rewriting

M = TypeVar("M", bound=nn.Module)

#: Ends that a sigmoid is stretched to, so that 0 and 1 are reached.
_GAMMA, _ZETA = -0.1, 1.1


def adaround(
    model: M,
    batches: Iterable[Batch],
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    *,
    iterations: int = 600,
    with_activations: bool = True,
    transform: Callable[[Batch], object] | None = None,
    show_progress: bool = False,
) -> M:
    """A float model whose weights lie on the grids that they will be quantized on: up or down as learned.

    Like `gptq`, with another way to codes: for each weight a number from 0, down, to 1, up, descends the
    error of the layer's output, which the moments of its inputs give in closed form, and is pushed to either
    end as it goes.

    Parameters
    ----------
    model, batches, qconfig_mapping, with_activations, transform, show_progress
        See `gptq`.
    iterations : int
        Steps of Adam for each layer.

    Returns
    -------
    Module
        A copy with other weights; `model.qconfig_mapping` has their scales.

    Raises
    ------
    ValueError
        For fewer iterations than one.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model, x = nn.Sequential(nn.Linear(64, 8)), np.random.default_rng(0).random((256, 64), np.float32)
    >>> bits = tq.qconfig_for_bits(3, 8, qat=False)
    >>> plain = tq.quantize(model, x, bits, verbose=False)
    >>> better = tq.quantize(tq.remedies.adaround(model, x, bits), x, verbose=False)
    >>> bool(np.square(better(x) - model(x)).mean() < 0.5 * np.square(plain(x) - model(x)).mean())
    True

    Source: "Up or Down? Adaptive Rounding for Post-Training Quantization" (Nagel et al., arXiv:2004.10568),
    equations 21 to 25.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations!r}")
    changed = Rewriting(model, batches, qconfig_mapping, transform)

    def rounding(
        weight: Array, scale: Array, codes: tuple[int, int], moments: list[Doubles], axis: int
    ) -> Array:
        groups = len(moments)
        scales = as_matrices(np.broadcast_to(scale, weight.shape).astype(np.float64), groups)
        parts = zip(as_matrices(np.asarray(weight, np.float64), groups), scales, moments, strict=True)
        return as_weight([_learned(w, s, codes, h, iterations) for w, s, h in parts], weight.shape)

    reconstruct(changed, rounding, with_activations=with_activations, show_progress=show_progress)
    return changed.result()


def _learned(w: Doubles, scale: Doubles, code_range: tuple[int, int], h: Doubles, iterations: int) -> Doubles:
    low, high = code_range
    down = np.floor(w / scale)
    rest = np.clip(w / scale - down, 0.01, 0.99)
    # Where the stretched sigmoid is what is left over: rounding begins exact.
    v = -np.log((_ZETA - _GAMMA) / (rest - _GAMMA) - 1)
    norm = max(float(((w @ h) * w).sum()) / len(w), 1e-30)
    first, second, up = np.zeros_like(v), np.zeros_like(v), rest
    for step in range(1, iterations + 1):
        sigmoid = 1 / (1 + np.exp(-v))
        stretched = sigmoid * (_ZETA - _GAMMA) + _GAMMA
        up = np.clip(stretched, 0, 1)
        inside = (stretched > 0) & (stretched < 1)
        within = (down + up >= low) & (down + up <= high)
        error = np.clip(down + up, low, high) * scale - w
        gradient = 2 * (error @ h) * scale * within / norm
        # A fifth of the steps is without pressure; then the power falls, and only ends are left.
        share = (step / iterations - 0.2) / 0.8
        if share > 0:
            beta = 2 + 18 * (1 - share)
            slope = np.abs(2 * up - 1) ** (beta - 1) * np.sign(2 * up - 1)
            gradient = gradient - 0.01 * 2 * beta * slope / w.shape[1]
        gradient = gradient * inside * (_ZETA - _GAMMA) * sigmoid * (1 - sigmoid)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        rate = 0.05 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        v = v - rate * first / (np.sqrt(second) + 1e-12)
    return np.clip(down + (up >= 0.5), low, high)
