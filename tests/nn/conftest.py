"""Fixtures of the tests of evaluation."""

import numpy as np
import pytest
from quantray.nn import _evaluating


@pytest.fixture
def small_models_too(monkeypatch):
    """Programs for models of any size."""
    monkeypatch.setattr(_evaluating, "LEAST", 0)


@pytest.fixture
def x(rng):
    """An input of `evaluation.mlp`."""
    return rng.standard_normal((5, 8), np.float32)
