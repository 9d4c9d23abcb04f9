"""Inputs that are not plain floats: bytes, whole numbers, masked arrays, infinite values, dicts."""

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq


def images():
    nn.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()


def rows():
    nn.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 3)).eval()


WHOLE = {
    "images of bytes": (images, lambda u: u),
    "rows of int64": (rows, lambda u: u.astype(np.int64)),
    "rows of bool": (rows, lambda u: u > 100),
}


@pytest.fixture(params=WHOLE)
def given(request, rng):
    make, cast = WHOLE[request.param]
    return make(), cast(rng.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8))


def test_whole_numbers_are_what_their_floats_are(given):
    """Layers take them as torch's do after `.float()`; `quantize` ended in a TypeError of its own."""
    model, x = given
    floats = x.astype(np.float32)
    want = model(floats)
    int8 = tq.quantize(model, x, verbose=False)
    np.testing.assert_array_equal(int8(x), tq.quantize(model, floats, verbose=False)(floats))
    for made in (int8, tq.quantize_dynamic(model), tq.convert(trained(model, x))):
        for _ in range(2):
            assert np.abs(made(x) - want).max() < 0.03 * np.abs(want).max()


def trained(model, x):
    ready = tq.prepare_qat(model.copy().train())
    ready(x)
    return ready.eval()


@pytest.mark.parametrize("how", ["float", "static", "dynamic"])
def test_files_of_models_of_whole_numbers_are_valid(given, how, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, x = given
    made = {
        "static": lambda: tq.quantize(model, x, verbose=False),
        "dynamic": lambda: tq.quantize_dynamic(model),
    }
    made = made.get(how, lambda: model)()
    path = tmp_path / "model.onnx"
    qt.onnx.save(made, path, *([] if how == "static" else [x]))
    want, scale = made(x), np.abs(model(x)).max()
    assert np.abs(qt.onnx.load(path)(x) - want).max() < 0.02 * scale
    # As it stands: fused integers of the runtime saturate in 16 bits on CPUs without VNNI.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options)
    (name,) = (value.name for value in session.get_inputs())
    if how != "dynamic":
        assert np.abs(session.run(None, {name: x})[0] - want).max() < 0.02 * scale


def test_masked_elements_are_refused_by_models():
    model, x = rows(), np.ones((4, 8), np.float32)
    masked = np.ma.masked_array(x, mask=x > 2)
    spoiled = np.ma.masked_array(x, mask=np.arange(32).reshape(4, 8) == 5)
    for made in (model, model.forward, tq.quantize(model, x, verbose=False), tq.quantize_dynamic(model)):
        assert made(masked).shape == (4, 3)
        with pytest.raises(
            TypeError, match=r"must be without masked elements: use its .filled\(value\) first"
        ):
            made(spoiled)


def test_infinite_values_do_not_count_in_calibration(rng):
    model, x = rows(), rng.standard_normal((64, 8)).astype(np.float32)
    spoiled = x.copy()
    spoiled[3, 2] = np.inf
    with np.errstate(invalid="ignore"):
        int8 = tq.quantize(model, spoiled, verbose=False)
    assert np.abs(int8(x) - model(x)).max() < 0.03 * np.abs(model(x)).max()


def test_one_dict_is_one_batch(tmp_path, rng):
    model, x = rows(), rng.standard_normal((16, 8)).astype(np.float32)
    qt.onnx.save(model, tmp_path / "model.onnx", x)
    loaded = qt.onnx.load(tmp_path / "model.onnx")
    (name,) = (value.name for value in loaded.inputs)
    want = tq.quantize(loaded, [{name: x}], verbose=False)(x)
    np.testing.assert_array_equal(tq.quantize(loaded, {name: x}, verbose=False)(x), want)
