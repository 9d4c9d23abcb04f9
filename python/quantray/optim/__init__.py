"""Optimizers: they move a model's parameters by the gradients of `nn.value_and_grad`.

>>> import numpy as np
>>> from quantray import nn, optim
>>> nn.manual_seed(0)
>>> model, opt = nn.Linear(2, 1), optim.Adam(0.1)
>>> step = nn.value_and_grad(model, lambda model, x, y: nn.functional.mse_loss(model(x), y))
>>> for _ in range(200):
...     loss, grads = step(model, [[1.0, 0.0], [0.0, 1.0]], [[1.0], [2.0]])
...     opt.update(model, grads)
>>> bool(loss < 1e-3)
True
"""

import sys
from typing import Never

from quantray._advice import advice
from quantray.optim._clip import clip_grad_norm, clip_grad_value
from quantray.optim._optimizers import SGD, Adam, AdamW, Optimizer
from quantray.optim._schedules import cosine_decay, join_schedules, linear_schedule, step_decay

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimizer",
    "clip_grad_norm",
    "clip_grad_value",
    "cosine_decay",
    "join_schedules",
    "linear_schedule",
    "step_decay",
]


def __getattr__(name: str) -> Never:
    text = f"module 'quantray.optim' has no attribute {name!r}{advice(name)}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])
