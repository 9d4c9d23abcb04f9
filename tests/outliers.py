"""A model whose linear layer has outliers among its inputs."""

from __future__ import annotations

import numpy as np
from quantray import nn


class Residual(nn.Module):
    """A normalization whose output a sum takes, too: its own weights cannot be scaled."""

    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x):
        x = self.norm(x)
        return x + self.down(nn.functional.gelu(self.up(x)))


def outlying_model(rng):
    """The model, and inputs of it."""
    nn.manual_seed(0)
    model = Residual().eval()
    model.norm.weight[[3, 17]] = 80
    model.up.weight[:, [3, 17]] /= 80
    return model, rng.standard_normal((256, 32)).astype(np.float32)
