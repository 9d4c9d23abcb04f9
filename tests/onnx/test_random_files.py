"""Random ONNX files, in floats and quantized in strange places: what onnxruntime makes of them, we do."""

import os
import tempfile

import hypothesis
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from hypothesis import HealthCheck, assume, given, settings  # noqa: E402
from quantray import quantization as tq  # noqa: E402
from quantray.onnx import load, save  # noqa: E402
from random_files import SHAPE, files, session  # noqa: E402

FEW = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    max_examples=max(hypothesis.settings().max_examples // 3, 1),
    # The same ones in each run, so that chance does not hold up a change; the thorough profile makes others.
    derandomize=hypothesis.settings().max_examples < 1000,
)


def feeds_of(proto, rows):
    rng = np.random.default_rng(rows)
    return {v.name: rng.standard_normal((rows, *SHAPE[1:])).astype(np.float32) for v in proto.graph.input}


def taken(runner, feeds):
    """What onnxruntime gives; it refuses inputs that it has found not to need."""
    names = {value.name for value in runner.get_inputs()}
    return runner.run(None, {name: x for name, x in feeds.items() if name in names})


def is_quantized(proto):
    return any("Quantize" in node.op_type for node in proto.graph.node)


def near(found, wanted, tolerance):
    for x, y in zip(found, wanted, strict=True):
        x = np.asarray(x)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if x.size:
            x, y = x.astype(np.float64), y.astype(np.float64)
            assert np.sqrt(((x - y) ** 2).mean()) <= tolerance * (np.sqrt((y**2).mean()) + 1e-3)


@FEW
@given(files())
def test_loaded_saved_and_loaded_again_it_computes_what_onnxruntime_does(proto):
    assume(proto is not None)
    # Some steps of a grid, where integers round once what floats between them round twice.
    tolerance = 0.03 if is_quantized(proto) else 1e-4
    runner, model = session(proto, False), load(proto.SerializeToString())
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        save(model, path)
        saved = onnx.load(path)
    onnx.checker.check_model(saved)
    again, theirs = load(saved.SerializeToString()), session(saved, False)
    for rows in (2, 1, 5):
        feeds = feeds_of(proto, rows)
        try:
            want = taken(runner, feeds)
        except Exception:
            continue
        for made in (model, model, again, again):
            near(made.run(None, feeds), want, tolerance)
        near(taken(theirs, feeds), want, tolerance)


@pytest.mark.filterwarnings("ignore:nothing of the model computes in integers")
@FEW
@given(files())
def test_float_files_are_quantized_and_near(proto):
    assume(proto is not None and not is_quantized(proto))
    model, given = load(proto.SerializeToString()), feeds_of(proto, 9)
    int8 = tq.quantize(model, [tuple(given.values())], verbose=False)
    assert str(tq.report(int8))
    for rows in (9, 2, 1):
        feeds = feeds_of(proto, rows)
        try:
            want = taken(session(proto, False), feeds)
        except Exception:
            continue
        near(int8.run(None, feeds), want, 0.35)
        near(int8.run(None, feeds), want, 0.35)
