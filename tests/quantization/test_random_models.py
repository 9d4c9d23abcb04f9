"""Random models: as graphs they are what they were, trained they are what they become, and that is near."""

import copy

import numpy as np
from hypothesis import HealthCheck, given, settings
from quantray import graph
from quantray import quantization as tq
from quantray.graph._fitting import fitting
from quantray.graph._graph import leaves
from quantray.graph._run import run
from random_models import LAYOUT, models

MANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def arrays(tree):
    return [np.asarray(leaf) for leaf in leaves(tree)]


def call(model, args, kwargs):
    with np.errstate(all="ignore"):
        return model(*copy.deepcopy(args), **copy.deepcopy(kwargs))


@MANY
@given(models())
def test_a_graph_computes_what_forward_does(made):
    model, arguments = made
    args, kwargs = arguments(5)
    found = graph.capture(model, args, kwargs)
    assert not found.refusals
    for rows in (5, 1, 2, 9, 0):
        args, kwargs = arguments(rows, 1)
        want = call(model, args, kwargs)
        inputs = fitting(found, args, kwargs, False, model)
        assert inputs is not None
        for each in (found, graph.normalize(found)):
            before = copy.deepcopy(inputs)
            with np.errstate(all="ignore"):
                got = run(each, inputs, model)
            assert type(got) is type(want)
            for x, y in zip(arrays(got), arrays(want), strict=True):
                assert (x.shape, x.dtype) == (y.shape, y.dtype)
                if LAYOUT & {name for name, *_ in model.program}:
                    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
                else:
                    np.testing.assert_array_equal(x, y)
            for x, y in zip(arrays(inputs), arrays(before), strict=True):
                np.testing.assert_array_equal(x, y)


@MANY
@given(models())
def test_what_is_converted_is_near(made):
    model, arguments = made
    args, kwargs = arguments(64)
    want = call(model, args, kwargs)
    ready = tq.prepare(model)
    with np.errstate(all="ignore"):
        seen = ready(*args, **kwargs)
        got = tq.convert(ready)(*args, **kwargs)
    for x, y, z in zip(arrays(seen), arrays(want), arrays(got), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)
        assert (z.shape, z.dtype) == (y.shape, y.dtype)
        # Some steps of a grid, which further layers make larger or smaller.
        assert np.sqrt(((z - y) ** 2).mean()) < 0.12 * np.sqrt((y**2).mean()) + 0.02


@MANY
@given(models())
def test_trained_and_converted_are_the_same(made):
    model, arguments = made
    ready = tq.prepare_qat(model)
    for seed in range(2):
        args, kwargs = arguments(16, seed)
        call(ready, args, kwargs)
    ready.eval()
    args, kwargs = arguments(33, 5)
    want = call(ready, args, kwargs)
    made = tq.convert(ready)
    for x, y in zip(arrays(call(made, args, kwargs)), arrays(want), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(x, y)
    for rows in (1, 0):
        args, kwargs = arguments(rows)
        for x, y in zip(arrays(call(made, args, kwargs)), arrays(call(model, args, kwargs)), strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
