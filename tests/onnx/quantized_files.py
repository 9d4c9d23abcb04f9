"""Small float models, what onnxruntime quantizes of them, and each node of integers beside onnxruntime's."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import quantray as qt
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from quantray.graph import Ref
from quantray.graph._run import run
from quantray.quantization._integers import compute

FORMATS = {"qdq": QuantFormat.QDQ, "qoperator": QuantFormat.QOperator}
TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


class Draft:
    """A file node by node."""

    def __init__(self, rng):
        self.rng, self.nodes, self.constants = rng, [], []

    def __call__(self, op, *inputs, **settings):
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], f"/{op}_{len(self.nodes)}", **settings))
        return name

    def weight(self, *shape, size=None):
        size = size or (2 / max(np.prod(shape[1:]), 1)) ** 0.5
        return self.constant((self.rng.standard_normal(shape) * size).astype(np.float32))

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def model(self, inputs, output, opset):
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()
        ]
        graph = helper.make_graph(
            self.nodes,
            "g",
            values,
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        return onnx.shape_inference.infer_shapes(made)


def images(rng, opset):
    """Convolutions, a residual sum, a gate for each channel, a joint, hardswish, a classifier."""
    f = Draft(rng)
    x = f("Relu", f("Conv", "x", f.weight(8, 3, 3, 3), f.weight(8, size=0.1), pads=[1] * 4, strides=[2, 2]))
    x = f("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    y = f("Conv", x, f.weight(8, 1, 3, 3), f.weight(8, size=0.1), pads=[1] * 4, group=8)
    x = f("Add", x, y)
    gate = f("GlobalAveragePool", x)
    gate = f("Relu", f("Conv", gate, f.weight(4, 8, 1, 1)))
    gate = f("Sigmoid", f("Conv", gate, f.weight(8, 4, 1, 1)))
    x = f("Concat", f("Mul", x, gate), y, axis=1)
    x = f("Conv", x, f.weight(12, 16, 1, 1), f.weight(12, size=0.1))
    three, six = (f.constant(np.float32(n)) for n in (3, 6))
    zero = f.constant(np.float32(0))
    x = f("Div", f("Mul", x, f("Clip", f("Add", x, three), zero, six)), six)
    x = f("Flatten", f("GlobalAveragePool", x))
    y = f("Gemm", x, f.weight(5, 12), f.weight(5, size=0.1), transB=1)
    return f.model({"x": ["n", 3, 32, 32]}, y, opset), {"x": (4, 3, 32, 32)}


def resized(rng, opset):
    """Uneven padding, maxima, images made larger, a transposed convolution, means, movements."""
    f = Draft(rng)
    x = f("Relu", f("Conv", "x", f.weight(6, 3, 2, 2), auto_pad="SAME_UPPER"))
    x = f("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1])
    y = f("Conv", x, f.weight(6, 6, 3, 3), strides=[2, 2], pads=[1] * 4)
    scales = f.constant(np.float32([1, 1, 2, 2]))
    y = f("Resize", y, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric",
          nearest_mode="floor")  # fmt: skip
    x = f("Add", x, y)
    x = f("LeakyRelu", f("ConvTranspose", x, f.weight(6, 4, 2, 2), strides=[2, 2]), alpha=0.1)
    x = f("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = f("Transpose", x, perm=[0, 2, 3, 1])
    y = f("MatMul", x, f.weight(4, 7, size=0.5))
    return f.model({"x": ["n", 3, 8, 12]}, y, opset), {"x": (3, 3, 8, 12)}


def tokens(rng, opset):
    """A layer of a transformer: products of activations, a softmax, normalizations, gelu by its formula."""
    f = Draft(rng)

    def linear(x, n, k):
        return f("Add", f("MatMul", x, f.weight(k, n, size=k**-0.5)), f.weight(n, size=0.1))

    def heads(x, perm):
        shape = f.constant(np.int64([0, -1, 2, 8]))
        return f("Transpose", f("Reshape", x, shape), perm=perm)

    q, v = (heads(linear("x", 16, 16), [0, 2, 1, 3]) for _ in range(2))
    k = heads(linear("x", 16, 16), [0, 2, 3, 1])
    scores = f("Softmax", f("Div", f("MatMul", q, k), f.constant(np.float32(8**0.5))), axis=-1)
    y = f("Transpose", f("MatMul", scores, v), perm=[0, 2, 1, 3])
    y = linear(f("Reshape", y, f.constant(np.int64([0, -1, 16]))), 16, 16)
    x = f("Add", "x", y)
    if opset >= 17:
        ones = f.constant(np.ones(16, np.float32))
        x = f("LayerNormalization", x, ones, f.weight(16, size=0.1), axis=-1)
    y = linear(x, 32, 16)
    inner = f("Erf", f("Div", y, f.constant(np.float32(2**0.5))))
    half = f("Mul", y, f("Add", inner, f.constant(np.float32(1))))
    y = linear(f("Mul", half, f.constant(np.float32(0.5))), 16, 32)
    y = f("Add", x, y)
    return f.model({"x": ["n", "m", 16]}, y, opset), {"x": (4, 9, 16)}


MODELS = {"images": images, "resized": resized, "tokens": tokens}


class _Data(CalibrationDataReader):
    def __init__(self, batches):
        self._rest = iter(batches)

    def get_next(self):
        return next(self._rest, None)


def quantized(rng, folder, name, *, form="qdq", activations="uint8", weights="int8", opset=13, **settings):
    """A file that onnxruntime has quantized, and inputs for it."""
    model, shapes = MODELS[name](rng, opset)
    batches = [{k: rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()} for _ in range(4)]
    before, after = folder / f"{name}.onnx", folder / f"{name}.q.onnx"
    onnx.save(model, before)
    quantize_static(
        before,
        after,
        _Data(batches),
        quant_format=FORMATS[form],
        activation_type=TYPES[activations],
        weight_type=TYPES[weights],
        **settings,
    )
    return after, batches


def session(file):
    """onnxruntime, computing a file operator by operator."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(file, options)


#: Where operators have the scale and the zero point of their result.
_GRIDS = {"QuantizeLinear": (1, 2), "QGemm": (7, 8), "QLinearConcat": (0, 1)}
_GRIDS |= dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), (6, 7))
_MOVES = ("MaxPool", "Reshape", "Transpose", "Flatten", "Resize", "Squeeze", "Unsqueeze")


def with_integers(file):
    """A file that returns all of its integers, and the grids that they are on."""
    model = onnx.load(file)
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    grids = {}
    for node in model.graph.node:
        at = _GRIDS.get(node.op_type, (3, 4) if node.op_type.startswith("QLinear") else None)
        if at and node.input[at[0]] in known:
            scale, zero = (known[node.input[i]].reshape(-1) for i in at)
            grids[node.output[0]] = float(scale[0]), int(zero[0]), zero.dtype
        elif node.op_type in _MOVES and node.input[0] in grids:
            grids[node.output[0]] = grids[node.input[0]]
    have = {value.name for value in model.graph.output}
    for name, (_, _, dtype) in grids.items():
        if name not in have:
            kind = helper.np_dtype_to_tensor_dtype(dtype)
            model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return model.SerializeToString(), grids


def steps_apart(loaded, file, inputs):
    """For each node of integers that the file has too, how many steps it is from onnxruntime's at most.

    Each is given onnxruntime's own integers. Also the kinds of all nodes that compute.
    """
    whole, grids = with_integers(file)
    runtime = session(whole)
    values = dict(zip((v.name for v in runtime.get_outputs()), runtime.run(None, inputs), strict=True))
    theirs = [(*grid[:2], values[name]) for name, grid in grids.items()]
    runner = loaded._runner
    graph, arrays = runner.find(loaded, loaded.arranged((), inputs), {})
    own = runner.made(loaded, graph).grids
    found = {}

    def each(node, environment):
        codes = environment.values.get(Ref(node.name))
        if not isinstance(codes, qt.QTensor):
            return
        grid = own[Ref(node.name)]
        same = [
            array
            for scale, zero, array in theirs
            if (np.float32(scale), zero, array.shape)
            == (np.float32(grid.scale), grid.zero_point, tuple(codes.shape))
        ]
        if not same:
            return
        mine = codes.int_repr().astype(int)
        apart = [np.abs(mine - array.astype(int)).max(initial=0) for array in same]
        best = int(np.argmin(apart))
        found[node.name] = int(apart[best])
        array = np.ascontiguousarray(same[best])
        environment.values[Ref(node.name)] = qt.make_per_tensor_quantized_tensor(
            array, codes.q_scale(), codes.q_zero_point()
        )

    def one(node, args, kwargs):
        return compute(loaded, node, args, kwargs, own)

    run(graph, arrays, loaded, compute=one, each=each)
    return found, {node.kind for node in graph}
