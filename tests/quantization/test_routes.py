"""Calls that are like earlier ones go the same way, as long as it is theirs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from quantray import nn
from quantray import quantization as tq


class Masked(nn.Module):
    """Decides by the numbers of one input, and by a length."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Any, mask: Any) -> Any:
        y = self.layer(x)
        if not mask.all():
            y = y * mask[..., None].astype(np.float32)
        if x.shape[0] > 2:
            y = y + 1
        return y


def arrays(rows: int, kept: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)
    return x, (np.arange(rows) < kept).astype(np.int64)


def dynamic() -> Any:
    nn.manual_seed(0)
    return tq.quantize_dynamic(Masked().eval())


def converted() -> Any:
    nn.manual_seed(0)
    model = Masked().eval()
    data = [arrays(2, 2), arrays(2, 1), arrays(4, 4), arrays(4, 1)]
    return tq.quantize(model, data, verbose=False)


@pytest.mark.parametrize("make", [dynamic, converted])
def test_numbers_choose_in_each_call(make: Any) -> None:
    model = make()
    cases = [arrays(rows, kept, seed) for rows in (2, 4) for kept in (rows, 1, 0) for seed in (0, 1)]
    # The first call of each kind looks at all that was taken for granted; those after it go the short way.
    expected = [model(*case) for case in cases]
    for case, one in zip(cases, expected, strict=True):
        kept = case[1].astype(bool)
        added = 1 if len(case[0]) > 2 else 0
        assert np.all(np.abs(one[~kept] - added) < 0.1)
        assert not kept.any() or np.ptp(one[kept]) > 0.1
    for _ in range(2):
        for case, one in zip(cases, expected, strict=True):
            np.testing.assert_array_equal(model(*case), one)
    routes = model._runner._routes
    assert all(routes.find(case) is not None for case in cases)
    # Two graphs of the same shapes are told apart by the mask alone.
    ways = {id(routes.find(case).lowered) for case in cases if len(case[0]) == 4}
    assert len(ways) == 2


def test_other_arguments_go_the_long_way() -> None:
    model = dynamic()
    x, mask = arrays(2, 2)
    for _ in range(3):
        expected = model(x, mask)
    for args in ((x.astype(np.float64), mask), (x.tolist(), mask), (x, mask.astype(np.int32))):
        for _ in range(2):
            np.testing.assert_array_equal(model(*args), expected)
    np.testing.assert_array_equal(model(x=x, mask=mask), expected)
    np.testing.assert_array_equal(model(x[:1], mask[:1]), expected[:1])
    with pytest.raises(ValueError, match="input"):
        model(x[:, :7], mask)


def test_new_weights_are_seen() -> None:
    nn.manual_seed(0)
    model = dynamic()
    case = arrays(2, 2)
    before = [model(*case) for _ in range(3)][-1]
    layer = model.layer
    weight, bias = layer.weight(), layer.bias()
    layer.set_weight_bias(weight, bias + 1)
    for _ in range(3):
        np.testing.assert_allclose(model(*case), before + 1, rtol=1e-6)


def test_copies_have_ways_of_their_own() -> None:
    model = dynamic()
    case = arrays(2, 1)
    for _ in range(3):
        expected = model(*case)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for _ in range(3):
            np.testing.assert_array_equal(other(*case), expected)
        assert other._runner._routes is not model._runner._routes


def test_ways_of_many_shapes_are_forgotten() -> None:
    from quantray.quantization import _routes

    nn.manual_seed(0)
    model = tq.quantize_dynamic(nn.Sequential(nn.Linear(8, 8)).eval())
    for rows in range(1, _routes.MOST + 20):
        x = np.ones((rows, 8), np.float32)
        model(x), model(x)
    assert len(model._runner._routes._found) <= _routes.MOST
