"""Random models of images and of sequences: captured, quantized, trained, saved, near what they are."""

import copy
import os
import tempfile

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quantray import graph, onnx
from quantray import quantization as tq
from quantray.graph._fitting import fitting
from quantray.graph._graph import leaves
from quantray.graph._run import run
from random_images import images
from random_images import models as image_models
from random_sequences import models as sequence_models
from random_sequences import sequences

# A model takes a second with all that is asked of it.
FEW = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=max(hypothesis.settings().max_examples // 12, 1),
    # The same ones in each run, so that chance does not hold up a change; the thorough profile makes others.
    derandomize=hypothesis.settings().max_examples < 1000,
)
MADE = st.one_of(
    image_models().map(lambda made: (made[0], lambda rows, seed=0: images(rows, made[1], seed))),
    sequence_models().map(lambda made: (made[0], lambda rows, seed=0: sequences(rows, made[1], seed))),
)


def call(model, args):
    """Arrays that a model gives; what it is given stays."""
    with np.errstate(all="ignore"):
        return [np.asarray(leaf) for leaf in leaves(model(*copy.deepcopy(args)))]


def alike(found, wanted, tolerance):
    """Of the same shapes, and as near as float32 allows."""
    for x, y in zip(found, wanted, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * (1 + np.abs(y).max(initial=0)))


def far(found, wanted):
    """The root mean square of the difference by that of what was wanted."""
    return np.sqrt(((found - wanted) ** 2).mean()) / (np.sqrt((wanted**2).mean()) + 1e-3)


@FEW
@given(MADE)
def test_a_graph_computes_what_forward_does(made):
    model, arguments = made
    found = graph.capture(model, arguments(8))
    assert not found.refusals
    for rows in (8, 1, 33, 0):
        args = arguments(rows, 1)
        want, inputs = call(model, args), fitting(found, args, {}, False, model)
        assert inputs is not None
        for each in (found, graph.normalize(found)):
            got = run(each, copy.deepcopy(inputs), model)
            alike([np.asarray(leaf) for leaf in leaves(got)], want, 3e-5)


@pytest.mark.filterwarnings("ignore:nothing of the model computes in integers")
@FEW
@given(MADE)
def test_quantized_it_is_near_for_any_number_of_rows(made):
    model, arguments = made
    int8 = tq.quantize(model, [arguments(8)], verbose=False)
    for rows in (8, 1, 33, 0):
        args = arguments(rows, 1)
        want, got = call(model, args), call(int8, args)
        # The first call may be another way to compute the same.
        alike(call(int8, args), got, 1e-4)
        for x, y in zip(got, want, strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            assert rows != 8 or far(x, y) < 0.35


@FEW
@given(MADE)
def test_trained_and_converted_are_nearly_the_same(made):
    model, arguments = made
    ready = tq.prepare_qat(model)
    call(ready, arguments(16))
    ready.eval()
    want = call(ready, arguments(9, 5))
    for x, y in zip(call(tq.convert(ready), arguments(9, 5)), want, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        # Where floats are in between, their last bits decide some roundings.
        assert np.abs(x - y).mean() < 1e-3 * (1 + np.abs(y).max())


@FEW
@given(MADE)
def test_saved_as_a_file_it_is_what_it_was(made):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, arguments = made
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "model.onnx")
        try:
            onnx.save(model, file, arguments(8))
        except ValueError as error:
            hypothesis.assume("no operator in ONNX" not in str(error))
            raise
        with open(file, "rb") as opened:
            saved = opened.read()
    session = onnxruntime.InferenceSession(saved, providers=["CPUExecutionProvider"])
    want = call(model, arguments(5, 1))
    given = {value.name: array for value, array in zip(session.get_inputs(), arguments(5, 1), strict=False)}
    alike(session.run(None, given), want, 1e-3)
    alike(call(onnx.load(saved), arguments(5, 1)), want, 1e-3)
