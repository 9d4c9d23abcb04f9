"""Builds an ONNX file node by node, onnxruntime judging each, and quantizes its values."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SHAPE = (2, 4, 6, 5)
TYPES = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16}


def session(proto, optimized=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class Maker:
    """A file node by node, and what each value is for some input."""

    def __init__(self, opset, inputs=1):
        self.opset, self.nodes, self.constants = opset, [], []
        self.count = 0
        rng = np.random.default_rng(0)
        self.inputs = {f"x{i}": rng.standard_normal(SHAPE).astype(np.float32) for i in range(inputs)}
        self.values = dict(self.inputs)
        self.held = {}
        self.images = list(self.inputs)

    def name(self, of):
        self.count += 1
        return f"{of}_{self.count}"

    def constant(self, array):
        name = self.name("c")
        array = np.asarray(array)
        self.constants.append(numpy_helper.from_array(array, name))
        self.held[name] = array
        return name

    def node(self, op, inputs, outputs=1, domain="", **settings):
        """Adds it and gives the names of its outputs; raises what onnxruntime says of it."""
        names = [self.name(op.lower()) for _ in range(outputs)]
        made = helper.make_node(op, inputs, names, self.name(op), domain=domain, **settings)
        values = []
        for at in dict.fromkeys(i for i in inputs if i in self.values):
            x = self.values[at]
            kind = helper.np_dtype_to_tensor_dtype(x.dtype)
            values.append(helper.make_tensor_value_info(at, kind, x.shape))
        held = [c for c in self.constants if c.name in inputs]
        proto = self.file([made], values, [helper.make_empty_tensor_value_info(n) for n in names], held)
        found = session(proto, False).run(None, {v.name: self.values[v.name] for v in values})
        if any(x.size == 0 or x.size > 6000 for x in found):
            raise ValueError("too small or too large")
        if any(x.dtype == np.float32 and not (np.abs(x) < 200).all() for x in found):
            raise ValueError("too large")
        self.nodes.append(made)
        self.values.update(zip(names, found, strict=True))
        return names if outputs > 1 else names[0]

    def file(self, nodes, inputs, outputs, constants):
        graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10 if self.opset > 20 else 8)

    def model(self, outputs):
        used, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if used & set(node.output):
                used.update(node.input)
                nodes.insert(0, node)
        inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", *SHAPE[1:]]) for n in self.inputs]
        made = [
            helper.make_tensor_value_info(
                n, helper.np_dtype_to_tensor_dtype(self.values[n].dtype), [None] * self.values[n].ndim
            )
            for n in outputs
        ]
        return self.file(nodes, inputs, made, [c for c in self.constants if c.name in used])

    # Quantization.

    def grid(self, r, x, kind=None, axis=None):
        """Scale, zero point and their type for an array."""
        kinds = ["int8", "uint8", "uint8"] + (["int16", "uint16"] if self.opset >= 21 else [])
        kind = kind or r.choice(kinds)
        info = np.iinfo(TYPES[kind])
        if axis is not None:
            x = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
            low, high = np.minimum(x.min(1), 0), np.maximum(x.max(1), 0)
        else:
            low, high = min(x.min(), 0), max(x.max(), 0)
        scale = np.asarray(
            (high - low) / (int(info.max) - int(info.min)) * r.choice([1, 1, 0.7, 1.3]), np.float32
        )
        scale = np.maximum(scale, np.float32(1e-3 if kind.endswith("8") else 1e-5))
        zero = np.clip(np.rint(info.min - low / scale), info.min, info.max).astype(TYPES[kind])
        if r.random() < 0.2:
            zero = zero * 0
        return self.constant(scale), self.constant(zero), kind

    def quantized(self, r, name, kind=None, axis=None):
        scale, zero, kind = self.grid(r, self.values[name], kind, axis)
        more = {} if axis is None else {"axis": axis}
        return self.node("QuantizeLinear", [name, scale, zero], **more), scale, zero, kind

    def there_and_back(self, r, name):
        x = self.values[name]
        axis = r.randrange(x.ndim) if r.random() < 0.06 and self.opset >= 13 else None
        axis = None if axis == 0 else axis
        q, scale, zero, _ = self.quantized(r, name, axis=axis)
        more = {} if axis is None else {"axis": axis}
        return self.node("DequantizeLinear", [q, scale, zero], **more)

    def weight(self, r, shape, size=None, form=None, axis=0):
        """A constant: floats, codes, floats that the file quantizes."""
        rng = np.random.default_rng(r.randint(0, 999))
        size = size or (2 / max(np.prod(shape[1:]), 1)) ** 0.5
        w = (rng.standard_normal(shape) * size).astype(np.float32)
        form = form or r.choice(["floats", "codes", "channels", "channels", "quantized here"])
        if form == "floats":
            return self.constant(w)
        if form == "quantized here":
            name = self.constant(w)
            scale, zero, _ = self.grid(r, w, "int8")
            q = self.node("QuantizeLinear", [name, scale, zero])
            return self.node("DequantizeLinear", [q, scale, zero])
        if form == "channels" and self.opset >= 13:
            m = np.abs(np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)).max(1) / 127 + np.float32(1e-6)
            along = m.reshape([-1 if i == axis else 1 for i in range(w.ndim)])
            q = np.rint(w / along).astype(np.int8)
            zero = np.zeros(len(m), np.int8)
            return self.node(
                "DequantizeLinear",
                [self.constant(q), self.constant(m.astype(np.float32)), self.constant(zero)],
                axis=axis,
            )
        scale, zero, _ = self.grid(r, w, r.choice(["int8", "uint8"]))
        s, z = self.held[scale], self.held[zero]
        info = np.iinfo(z.dtype)
        q = np.clip(np.rint(w / s) + z, info.min, info.max).astype(z.dtype)
        return self.node("DequantizeLinear", [self.constant(q), scale, zero])
