"""Gradients kept small."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quantray._typing import Array


def clip_grad_norm(grads: Mapping[str, Array], max_norm: float) -> tuple[dict[str, Array], float]:
    """Gradients made shorter where all of them, as one vector, are longer than `max_norm`.

    Returns
    -------
    grads : dict
        New arrays; those given are left as they were.
    norm : float
        The length before.

    >>> import numpy as np
    >>> from quantray import optim
    >>> grads, norm = optim.clip_grad_norm({"weight": np.float32([3.0, 4.0])}, 1.0)
    >>> norm, np.round(grads["weight"], 3)
    (5.0, array([0.6, 0.8], dtype=float32))

    Source: `torch.nn.utils.clip_grad_norm_`, `mlx.optimizers.clip_grad_norm`.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be greater than 0, got {max_norm}")
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in grads.values()))
    factor = np.float32(min(1.0, max_norm / (norm + 1e-6)))
    return {name: g * factor for name, g in grads.items()}, norm


def clip_grad_value(grads: Mapping[str, Array], clip_value: float) -> dict[str, Array]:
    """Gradients, each element kept from `-clip_value` to `clip_value`; new arrays.

    >>> import numpy as np
    >>> from quantray import optim
    >>> optim.clip_grad_value({"weight": np.float32([3.0, -4.0])}, 3.5)
    {'weight': array([ 3. , -3.5], dtype=float32)}

    Source: `torch.nn.utils.clip_grad_value_`.
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_value must be at least 0, got {clip_value}")
    limit = np.float32(clip_value)
    return {name: np.clip(g, -limit, limit) for name, g in grads.items()}
