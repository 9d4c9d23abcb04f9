"""Float models that run by a program, beside their own code: what the tests of evaluation share."""

import numpy as np
from quantray import nn
from quantray.nn import _evaluating


def by_forward(model, *args, **kwargs):
    """What the model's own code gives."""
    with _evaluating.by_forward_inside():
        return model._call(args, kwargs)


def near(got, want, **how):
    np.testing.assert_allclose(got, want, **{"rtol": 1e-5, "atol": 1e-5} | how)


def mlp():
    nn.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
