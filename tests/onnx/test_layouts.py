"""Files whose images have channels last: what stands between layers computes before it is turned."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from quantray import quantization as tq
from quantray.onnx import load

LAST = {1: (0, 2, 1), 2: (0, 2, 3, 1), 3: (0, 2, 3, 4, 1)}
FIRST = {1: (0, 2, 1), 2: (0, 3, 1, 2), 3: (0, 4, 1, 2, 3)}


class File:
    """A model that is written down node by node; each method gives the name of what it makes."""

    def __init__(self, rng, shape):
        self.rng, self.shape, self.axes = rng, shape, len(shape) - 2
        self.nodes, self.held, self.inputs = [], [], "x"

    def add(self, op, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        self.nodes.append(helper.make_node(op, names, [name], **attributes))
        return name

    def constant(self, array):
        self.held.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.held)}"))
        return self.held[-1].name

    def floats(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def conv(self, x, inputs, outputs):
        """A convolution of images with channels last."""
        weight = self.floats(outputs, inputs, *(3,) * self.axes) / 5
        made = self.add("Transpose", x, perm=FIRST[self.axes])
        made = self.add("Conv", made, weight, pads=[1] * (2 * self.axes))
        return self.add("Transpose", made, perm=LAST[self.axes])

    def model(self, *outputs):
        sides = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, self.shape)]
        made = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "images", sides, made, self.held)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)

    def agrees(self, *outputs):
        """The loaded model, which computes what onnxruntime does."""
        proto = self.model(*outputs)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        x = self.floats(*self.shape)
        model = load(proto.SerializeToString())
        for got, want in zip(model.run(None, {"x": x}), session.run(None, {"x": x}), strict=True):
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        return model


def steps(model):
    """How often each operator is left."""
    return Counter(
        type(m).__name__ if m._modules else m._get_name() for m in model.modules() if not m._modules
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_what_scales_and_shifts_channels_is_part_of_the_layer(rng, axes):
    file = File(rng, (2, *(6, 5, 4)[:axes], 3))
    made = file.conv("x", 3, 8)
    made = file.add("Mul", made, file.floats(8))
    made = file.add("Add", made, file.floats(*(1,) * axes, 8))
    made = file.add("Relu", made)
    made = file.conv(made, 8, 4)
    made = file.add("Sub", made, file.floats(1, *(1,) * axes, 4))
    found = steps(file.agrees(made))
    assert found[f"Conv{axes}d"] == 2
    assert found["Transpose"] == 2
    assert not {"Mul", "Add", "Sub"} & set(found)


def test_sums_of_layers_and_means_of_images(rng):
    file = File(rng, (2, 6, 5, 8))
    one = file.add("Add", file.conv("x", 8, 8), file.floats(8))
    two = file.conv(file.add("Clip", one, np.float32(0), np.float32(6)), 8, 8)
    total = file.add("Add", one, two)
    mean = file.add("ReduceMean", total, axes=[1, 2], keepdims=1)
    gate = file.add("HardSigmoid", file.conv(mean, 8, 8))
    gated = file.add("Mul", total, gate)
    padded = file.add("Pad", gated, np.array([0, 1, 2, 0, 0, 3, 1, 0]))
    joined = file.add("Concat", padded, padded, axis=3)
    file.add("ReduceMax", joined, axes=[-2, -3], keepdims=0)
    model = file.agrees(f"v{len(file.nodes) - 1}")
    found = steps(model)
    # One before the first layer: nothing has to be turned behind it.
    assert found["Transpose"] == 1
    int8 = tq.quantize(model, [file.floats(*file.shape) for _ in range(4)], verbose=False)
    lines = {line.name: line for line in tq.report(int8).lines}
    assert all(lines[name].in_integers for name in lines if lines[name].kind.startswith(("Conv", "Add")))


def test_reductions_that_keep_an_axis(rng):
    file = File(rng, (2, 6, 5, 3))
    made = file.add("Add", file.conv("x", 3, 4), np.float32(0.5))
    outputs = [file.add("ReduceSum", made, np.array([2]), keepdims=k) for k in (0, 1)]
    outputs += [file.add("ReduceMin", made, axes=[1], keepdims=0)]
    file.agrees(*outputs)


def test_values_that_others_take_stay_as_they_are(rng):
    """An output, a normalization along channels, a shape: they need channels last."""
    file = File(rng, (2, 6, 5, 3))
    made = file.conv("x", 3, 4)
    scaled = file.add("Mul", made, file.floats(4))
    file.agrees(made, scaled, file.add("Relu", file.add("Reshape", scaled, np.array([2, -1]))))
    file = File(rng, (2, 6, 5, 3))
    made = file.add("Add", file.conv("x", 3, 8), file.floats(8))
    mean = file.add("ReduceMean", made, axes=[-1])
    apart = file.add("Sub", made, mean)
    variance = file.add("ReduceMean", file.add("Pow", apart, np.float32(2)), axes=[-1])
    root = file.add("Sqrt", file.add("Add", variance, np.float32(1e-5)))
    normal = file.add("Mul", file.add("Div", apart, root), file.floats(8))
    found = steps(file.agrees(file.add("Add", normal, file.floats(8))))
    assert found["LayerNorm"] == 1


def test_codes_are_turned_as_what_they_stand_for(rng):
    file = File(rng, (2, 6, 5, 3))
    made = file.add("Add", file.conv("x", 3, 4), file.floats(4))
    codes = file.add("QuantizeLinear", made, np.float32(0.05), np.uint8(128))
    made = file.add("DequantizeLinear", codes, np.float32(0.05), np.uint8(128))
    file.agrees(file.add("LeakyRelu", made, alpha=0.2))
