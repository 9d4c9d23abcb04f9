"""Models whose faults are known by construction."""

import itertools

import numpy as np
from quantray import nn


def mlp(rng, hidden=32, outputs=6):
    """Two hidden layers of random weights, and a batch."""
    sizes = (16, hidden, hidden, outputs)
    layers = []
    for a, b in itertools.pairwise(sizes):
        layer = nn.Linear(a, b)
        layer.weight = rng.standard_normal((b, a)).astype(np.float32) / np.float32(np.sqrt(a))
        layer.bias = rng.standard_normal(b).astype(np.float32) * np.float32(0.1)
        layers += [layer, nn.ReLU()]
    x = rng.standard_normal((256, 16)).astype(np.float32)
    return nn.Sequential(*layers[:-1]).eval(), x


def imbalanced(rng, octaves=6):
    """The same function as that of `mlp`, its hidden channels scaled by known factors."""
    model, x = mlp(rng)
    for a, b in ((0, 2), (2, 4)):
        factors = (2.0 ** rng.uniform(-octaves, octaves, len(model[a].weight))).astype(np.float32)
        model[a].weight = model[a].weight * factors[:, None]
        model[a].bias = model[a].bias * factors
        model[b].weight = model[b].weight / factors
    return model, x


def outlying(rng, factor=200.0, channels=(3, 17)):
    """A normalization with some channels far beyond the others, whose linear layer takes them back."""
    model = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 8)).eval()
    factors = np.ones(32, np.float32)
    factors[list(channels)] = factor
    weight = rng.standard_normal((8, 32)).astype(np.float32)
    model[0].weight, model[0].bias = factors, np.zeros(32, np.float32)
    model[1].weight = weight / factors
    return model, rng.standard_normal((256, 32)).astype(np.float32)


def decibels(want, got):
    """SQNR by its definition, in float64."""
    want, got = np.float64(want), np.float64(got)
    return 10 * np.log10((want**2).sum() / ((got - want) ** 2).sum())
