"""Weights of 8 bits with a scale for each output before products of floats; of 4 bits in integer layers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import quantray as qt
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("onnxruntime")

import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from patterns import expected, steps
from quantized_files import Draft, session
from quantray import nn
from quantray import quantization as tq


class Compressed(Draft):
    """A file whose weights alone are integers."""

    def codes(self, shape, axis, kind, zeros, scale_type):
        """A weight, dequantized by scales along an axis."""
        limits = np.iinfo(kind)
        codes = self.rng.integers(limits.min, limits.max + 1, shape).astype(kind)
        scales = self.rng.uniform(0.0005, 0.004, shape[axis]).astype(scale_type)
        names = [self.constant(codes), self.constant(scales)]
        if zeros:
            middle = (int(limits.min) + int(limits.max)) // 2
            names.append(self.constant(self.rng.integers(middle - 20, middle + 20, shape[axis]).astype(kind)))
        return self("DequantizeLinear", *names, axis=axis)


def compressed(rng, kind=np.uint8, zeros=True, scale_type=np.float32, outputs=300, inputs=270):
    """Rows of a table, a product with a bias, and one that is turned; sides are no multiples of anything."""
    f = Compressed(rng)
    table = f.codes((50, inputs), 0, kind, zeros, scale_type)
    x = f("Gather", table, "ids")
    near = scale_type == np.float32
    b = f.constant((rng.standard_normal(outputs) * 0.1).astype(scale_type))
    x = f("Relu", f("Add", f("MatMul", x, f.codes((inputs, outputs), -1, kind, zeros, scale_type)), b))
    turned = f("Transpose", f.codes((9, outputs), 0, kind, zeros, scale_type), perm=[1, 0])
    y = f("MatMul", x, turned)
    y = y if near else f("Cast", y, to=TensorProto.FLOAT)
    values = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "m"])]
    result = [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["n", "m", 9])]
    graph = helper.make_graph(f.nodes, "g", values, result, f.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def unfused(file, ids):
    """onnxruntime with its nodes as they are: where it fuses, it rounds inputs to 8 bits."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    run = onnxruntime.InferenceSession(file.SerializeToString(), options, ["CPUExecutionProvider"])
    return run.run(None, {"ids": ids})[0]


FORMS = [(np.uint8, True), (np.uint8, False), (np.int8, True), (np.int8, False)]


@pytest.mark.parametrize(("kind", "zeros"), FORMS)
@pytest.mark.parametrize("scale_type", [np.float32, np.float16])
def test_weights_stay_codes(rng, tmp_path, kind, zeros, scale_type):
    file = compressed(rng, kind, zeros, scale_type)
    loaded = qt.onnx.load(file.SerializeToString())
    found = steps(loaded)
    assert found.count("WeightOnlyLinear") == 2
    assert found.count("QuantizedEmbedding") == 1
    ids = rng.integers(-50, 50, (4, 7))
    want = unfused(file, ids)
    room = np.abs(want).max() * (1e-5 if scale_type == np.float32 else 2e-2)
    for _ in range(2):
        assert_allclose(loaded(ids), want, rtol=0, atol=room)
    # One row, and as many as are multiplied by floats.
    assert_allclose(loaded(ids[:1, :1]), loaded(ids)[:1, :1], rtol=1e-4, atol=room)
    qt.onnx.save(loaded, tmp_path / "again.onnx")
    codes = 50 * 270 + 270 * 300 + 300 * 9
    assert codes < (tmp_path / "again.onnx").stat().st_size < codes + 9_000
    again = qt.onnx.load(tmp_path / "again.onnx")
    assert steps(again).count("WeightOnlyLinear") == 2
    assert_allclose(again(ids), loaded(ids), rtol=1e-5, atol=1e-5)
    layer = next(m for m in again.modules() if isinstance(m, nn.quantized.WeightOnlyLinear))
    assert layer.is_per_channel()
    assert onnx.load(tmp_path / "again.onnx").opset_import[0].version < 21
    lines = str(tq.report(loaded))
    assert "w8" in lines
    assert "WeightOnlyLinear" in lines


def test_workflows_make_integers_of_them(rng, tmp_path):
    file = compressed(rng, np.int8, zeros=False)
    loaded = qt.onnx.load(file.SerializeToString())
    ids = rng.integers(0, 50, (16, 12))
    want = loaded(ids)
    room = 0.04 * np.abs(want).max()
    small = tq.quantize_dynamic(loaded)
    assert steps(small).count("DynamicQuantizedLinear") == 2
    static = tq.quantize(loaded, [ids], verbose=False)
    assert [line.in_integers for line in tq.report(static).lines if "Linear" in line.kind] == [True, True]
    for made in (small, static):
        assert_allclose(made(ids), want, rtol=0, atol=room)
    trained = tq.prepare_qat(loaded)
    assert any(isinstance(m, nn.qat.Linear) for m in trained.modules())
    # The model itself is as it was, and so is what nobody asked for.
    assert steps(loaded).count("WeightOnlyLinear") == 2
    assert_array_equal(loaded(ids), want)
    with pytest.warns(UserWarning, match="nothing was quantized"):
        kept = tq.quantize_dynamic(loaded, {nn.LSTM})
    assert steps(kept).count("WeightOnlyLinear") == 2
    changed = loaded.copy()
    assert tq.quantize(changed, [ids], verbose=False, inplace=True) is changed


@pytest.mark.parametrize("quantize", [tq.prepare, tq.prepare_qat, tq.quantize_dynamic])
def test_a_layer_under_two_names_stays_one(rng, quantize):
    held = nn.quantized.WeightOnlyLinear(24, 24, bits=8, group_size=32)
    assert held.is_per_channel()
    model = nn.Sequential(held, nn.ReLU(), held)
    made = quantize(model)
    assert made[0] is made[2]
    assert not isinstance(made[0], nn.quantized.WeightOnlyLinear)
    assert model[0] is model[2] is held


def test_files_in_integers_have_layers_of_integers(rng):
    """The same weights, behind values that are rounded."""
    f = Compressed(rng)
    grid = [f.constant(np.float32(0.02)), f.constant(np.uint8(128))]
    x = f("DequantizeLinear", f("QuantizeLinear", "x", *grid), *grid)
    y = f("MatMul", x, f.codes((64, 32), 1, np.int8, False, np.float32))
    y = f("DequantizeLinear", f("QuantizeLinear", y, *grid), *grid)
    loaded = qt.onnx.load(f.model({"x": ["n", 64]}, y, 17).SerializeToString())
    loaded(rng.standard_normal((3, 64), np.float32))
    assert not any(isinstance(m, nn.quantized.WeightOnlyLinear) for m in loaded.modules())
    assert any(line.in_integers and "Linear" in line.kind for line in tq.report(loaded).lines)


def test_a_scale_for_each_input_is_no_layer_of_codes(rng):
    f = Compressed(rng)
    y = f("MatMul", "x", f.codes((24, 24), 0, np.int8, False, np.float32))
    made = f.model({"x": ["n", 24]}, y, 17).SerializeToString()
    loaded, x = qt.onnx.load(made), rng.standard_normal((5, 24), np.float32)
    assert steps(loaded) == ["Linear"]
    assert_allclose(loaded(x), expected(made, {"x": x})[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [qt.qint8, qt.quint8])
def test_weights_of_4_bits_lie_two_to_a_byte(rng, tmp_path, dtype):
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.Flatten(), nn.Linear(1024, 6)
    )
    x = rng.standard_normal((8, 3, 8, 8)).astype(np.float32)
    qconfig = tq.qconfig_for_bits(weight=4, activation=8)
    if dtype is qt.quint8:
        weight = tq.PerChannelMinMaxObserver.with_args(dtype=qt.quint8, quant_min=0, quant_max=15)
        qconfig = tq.QConfig(qconfig.activation, weight)
    ready = tq.prepare(model, tq.QConfigMapping().set_global(qconfig), x)
    ready(x)
    small = tq.convert(ready)
    qt.onnx.save(small, tmp_path / "four.onnx")
    qt.onnx.save(small, tmp_path / "eight.onnx", opset=17)
    numbers = 32 * 27 + 64 * 32 * 9 + 1024 * 6
    assert (tmp_path / "four.onnx").stat().st_size < numbers / 2 + 6_000
    assert (tmp_path / "eight.onnx").stat().st_size > numbers
    held = {t.data_type for t in onnx.load(tmp_path / "four.onnx").graph.initializer}
    assert (TensorProto.INT4 if dtype is qt.qint8 else TensorProto.UINT4) in held
    eight = onnx.load(tmp_path / "eight.onnx")
    assert eight.opset_import[0].version == 17
    assert not {TensorProto.INT4, TensorProto.UINT4} & {t.data_type for t in eight.graph.initializer}
    want = small(x)
    for name in ("four", "eight"):
        again = qt.onnx.load(tmp_path / f"{name}.onnx")
        assert_allclose(again(x), want, rtol=0, atol=0.02 * np.abs(want).max())
        run = session(tmp_path / f"{name}.onnx").run(None, {"input": x})[0]
        assert_allclose(run, want, rtol=0, atol=0.02 * np.abs(want).max())
    assert any(numpy_helper.to_array(t).size == 64 * 32 * 9 for t in eight.graph.initializer)
