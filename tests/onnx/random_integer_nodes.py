"""Nodes of codes of random files, between the nodes that quantize and dequantize."""

import numpy as np
from onnx import TensorProto
from random_maker import TYPES


def integers(m, r, a, b):
    """Operators of codes between Q and DQ."""
    kind = r.choice(["uint8", "int8"])
    q, s, z, _ = m.quantized(r, a, kind)
    op = r.choice(
        [
            "QLinearAdd",
            "QLinearMul",
            "QLinearSigmoid",
            "QLinearLeakyRelu",
            "QLinearGlobalAveragePool",
            "QLinearConcat",
            "QLinearWhere",
            "QLinearConv",
            "QLinearConv",
            "QLinearMatMul",
            "QGemm",
            "DynamicQuantizeMatMul",
            "MatMulInteger",
            "ConvInteger",
            "QLinearSoftmax",
            "QLinearAveragePool",
            "MaxPool",
            "DynamicQuantizeLinear",
        ]
    )
    x = m.values[a]
    ms = {"domain": "com.microsoft"}

    def out_scale(width=4.0):
        return m.constant(np.float32(width / 255))

    mid = {"uint8": 128, "int8": 0}[kind]
    out_zero = m.constant(np.array(mid + r.randint(-9, 9), TYPES[kind]))
    if op in ("QLinearAdd", "QLinearMul"):
        if m.values[b].shape != x.shape:
            b = a
        p, t, u, _ = m.quantized(r, b, kind)
        s2 = out_scale(8.0)
        y = m.node(op, [q, s, z, p, t, u, s2, out_zero], **ms)
        return m.node("DequantizeLinear", [y, s2, out_zero])
    if op == "QLinearSigmoid":
        s2 = out_scale(2.0)
        return m.node("DequantizeLinear", [m.node(op, [q, s, z, s2, out_zero], **ms), s2, out_zero])
    if op == "QLinearLeakyRelu":
        s2 = out_scale(6.0)
        return m.node(
            "DequantizeLinear", [m.node(op, [q, s, z, s2, out_zero], alpha=0.2, **ms), s2, out_zero]
        )
    if op == "QLinearSoftmax":
        s2, z2 = m.constant(np.float32(1 / 256)), m.constant(np.array(np.iinfo(TYPES[kind]).min, TYPES[kind]))
        return m.node("DequantizeLinear", [m.node(op, [q, s, z, s2, z2], axis=3, opset=13, **ms), s2, z2])
    if op == "QLinearGlobalAveragePool":
        s2 = out_scale(3.0)
        return m.node(
            "DequantizeLinear", [m.node(op, [q, s, z, s2, out_zero], channels_last=0, **ms), s2, out_zero]
        )
    if op == "QLinearAveragePool":
        s2 = out_scale(4.0)
        y = m.node(
            op,
            [q, s, z, s2, out_zero],
            kernel_shape=[2, 2],
            pads=[1, 0, 0, 1],
            count_include_pad=r.randint(0, 1),
            ceil_mode=r.randint(0, 1),
            strides=[2, 1],
            **ms,
        )
        return m.node("DequantizeLinear", [y, s2, out_zero])
    if op == "QLinearConcat":
        p, t, u, _ = m.quantized(r, b, kind)
        s2 = out_scale(5.0)
        return m.node(
            "DequantizeLinear", [m.node(op, [s2, out_zero, q, s, z, p, t, u], axis=1, **ms), s2, out_zero]
        )
    if op == "QLinearWhere":
        p, t, u, _ = m.quantized(r, b, kind)
        s2 = out_scale(5.0)
        g = m.node("Greater", [a, m.constant(np.float32(0.1))])
        return m.node(
            "DequantizeLinear", [m.node(op, [g, q, s, z, p, t, u, s2, out_zero], **ms), s2, out_zero]
        )
    if op == "MaxPool":
        return m.node(
            "DequantizeLinear",
            [m.node(op, [q], kernel_shape=[2, 2], pads=[0, 1, 1, 0], strides=[r.randint(1, 2), 1]), s, z],
        )
    if op == "DynamicQuantizeLinear":
        y, s2, z2 = m.node(op, [a], 3)
        return m.node("DequantizeLinear", [y, s2, z2])
    rng = np.random.default_rng(r.randint(0, 999))
    signed = r.random() < 0.7

    def codes(shape):
        # Pairs of products below 2**15: onnxruntime adds them in 16 bits on CPUs without VNNI.
        made = rng.integers(-60, 60, shape) if signed else rng.integers(0, 255, shape)
        return made.astype(np.int8 if signed else np.uint8)

    wz = m.constant(
        np.array(r.randint(-5, 5) if signed else 128 + r.randint(-5, 5), np.int8 if signed else np.uint8)
    )
    ws = m.constant(np.float32(0.01))
    c, w = x.shape[1], x.shape[3]
    if op == "QLinearConv":
        group = r.choice([1, c])
        out = group * r.randint(1, 3)
        if r.random() < 0.5:
            ws = m.constant((rng.random(out) * 0.01 + 0.003).astype(np.float32))
            wz = m.constant(np.zeros(out, np.int8 if signed else np.uint8) + (0 if signed else 128))
            wz = m.constant(m.held[wz].astype(np.int8 if signed else np.uint8))
        s2 = out_scale(8.0)
        inputs = [q, s, z, m.constant(codes((out, c // group, 2, 3))), ws, wz, s2, out_zero]
        if r.random() < 0.5:
            inputs.append(m.constant(rng.integers(-2000, 2000, out).astype(np.int32)))
        return m.node(
            "DequantizeLinear",
            [
                m.node(
                    op, inputs, pads=[1, 0, r.randint(0, 1), 2], group=group, strides=[1, r.randint(1, 2)]
                ),
                s2,
                out_zero,
            ],
        )
    if op == "QLinearMatMul":
        s2 = out_scale(8.0)
        return m.node(
            "DequantizeLinear",
            [m.node(op, [q, s, z, m.constant(codes((w, 5))), ws, wz, s2, out_zero]), s2, out_zero],
        )
    if op == "QGemm":
        f = m.node("Flatten", [q], axis=1)
        s2 = out_scale(8.0)
        k = m.values[f].shape[1]
        y = m.node(
            op,
            [
                f,
                s,
                z,
                m.constant(codes((c, k))),
                ws,
                wz,
                m.constant(rng.integers(-2000, 2000, c).astype(np.int32)),
                s2,
                out_zero,
            ],
            transB=1,
            **ms,
        )
        y = m.node("Reshape", [y, m.constant(np.array([0, -1, 1, 1]))])
        return m.node("DequantizeLinear", [y, s2, out_zero])
    if op == "DynamicQuantizeMatMul":
        return m.node(op, [a, m.constant(codes((w, 6))), ws, wz, m.weight(r, (6,), 0.2, "floats")], **ms)
    if op == "MatMulInteger":
        y = m.node(op, [q, m.constant(codes((w, 6))), z, wz])
    else:
        kind8 = "uint8"
        q, s, z, _ = m.quantized(r, a, kind8)
        y = m.node(op, [q, m.constant(codes((5, c, 2, 2))), z, wz], pads=[1, 0, 0, 1])
    y = m.node("Cast", [y], to=TensorProto.FLOAT)
    return m.node("Mul", [y, m.constant(np.float32(m.held[s] * 0.01))])
