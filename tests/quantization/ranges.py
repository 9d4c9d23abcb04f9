"""Arrays that observers of ranges tell apart: what layers give, with and without an outlier."""

import numpy as np


def distributions(n=5000):
    """Names and float32 arrays, the same on every machine."""
    normal = np.random.default_rng(0).standard_normal(n)
    laplace = np.random.default_rng(1).laplace(size=n)
    heavy = np.random.default_rng(2).standard_t(3, n)
    uniform = np.random.default_rng(3).uniform(-1, 1, n)
    made = {
        "normal": normal,
        "laplace": laplace,
        "heavy": heavy,
        "uniform": uniform,
        "shifted": 2 + normal,
        "relu": np.maximum(normal, 0),
        "relu_sparse": np.maximum(normal - 1.5, 0),
        "relu_laplace": np.maximum(laplace, 0),
        "relu_heavy": np.maximum(heavy, 0),
        "relu6": np.clip(3 * normal + 2, 0, 6),
        "relu_negated": -np.maximum(normal, 0),
        "hardswish": normal * np.clip(normal + 3, 0, 6) / 6,
        "padded": np.append(np.full(n, -0.4242), uniform),
    }
    return {name: x.astype(np.float32) for name, x in made.items()}


def with_outliers(n=5000):
    """The same, and each with one value far outside."""
    plain = distributions(n)
    far = {
        f"{name}+{value:g}": np.append(x, np.float32(value))
        for name, x in plain.items()
        for value in (30, 1e4)
    }
    return {**plain, **far}
