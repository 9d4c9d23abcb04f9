"""Float nodes of random files: each a function of a maker, a random generator and two images."""

import numpy as np


def conv(m, r, a, b):
    c = m.values[a].shape[1]
    group = r.choice([1, 1, c] + [g for g in (2, 3) if c % g == 0])
    out = group * r.randint(1, 3)
    k = [r.randint(1, 3), r.randint(1, 3)]
    w = m.weight(r, (out, c // group, *k))
    inputs = [a, w]
    if r.random() < 0.5:
        inputs.append(
            m.weight(r, (out,), 0.2, r.choice(["floats", "codes"]) if r.random() < 0.3 else "floats")
        )
    more = (
        {"auto_pad": r.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])}
        if r.random() < 0.2
        else {"pads": [r.randint(0, n - 1) for n in k + k], "dilations": [r.randint(1, 2), 1]}
    )
    return m.node("Conv", inputs, strides=[r.randint(1, 2), r.randint(1, 2)], group=group, **more)


def turned(m, r, a, b):
    c = m.values[a].shape[1]
    w = m.weight(r, (c, r.randint(1, 3), 2, 3), axis=1)
    return m.node("ConvTranspose", [a, w], strides=[r.randint(1, 2)] * 2, pads=[0, 1, r.randint(0, 1), 1])


def matmul(m, r, a, b):
    k, n = m.values[a].shape[-1], r.randint(1, 6)
    y = m.node("MatMul", [a, m.weight(r, (k, n), 1 / k**0.5, axis=1)])
    return m.node("Add", [y, m.weight(r, (n,), 0.3)]) if r.random() < 0.5 else y


def attention(m, r, a, b):
    t = m.node("Transpose", [a], perm=[0, 1, 3, 2])
    if r.random() < 0.5:
        t = m.there_and_back(r, t)
    s = m.node("MatMul", [a, t])
    s = m.node("Mul", [s, m.constant(np.float32(0.3))])
    s = m.node("Softmax", [s], axis=-1 if m.opset >= 13 else 3)
    if r.random() < 0.5:
        s = m.there_and_back(r, s)
    return m.node("MatMul", [s, a])


def gemm(m, r, a, b):
    c = m.values[a].shape[1]
    p = m.node("GlobalAveragePool", [a]) if r.random() < 0.5 else a
    f = m.node("Flatten", [p], axis=1)
    k = m.values[f].shape[1]
    f = m.there_and_back(r, f) if r.random() < 0.5 else f
    turned = r.randint(0, 1)
    out = c
    shape = (out, k) if turned else (k, out)
    y = m.node(
        "Gemm",
        [f, m.weight(r, shape, 1 / k**0.5, axis=0 if turned else 1), m.weight(r, (out,), 0.3, "floats")],
        transB=turned,
        alpha=r.choice([1.0, 1.0, 0.5]),
    )
    y = m.there_and_back(r, y) if r.random() < 0.5 else y
    y = m.node("Reshape", [y, m.constant(np.array([0, -1, 1, 1]))])
    return m.node("Mul", [a, m.node("Sigmoid", [y])]) if r.random() < 0.7 else m.node("Add", [y, a])


def alone(m, r, a, b):
    op = r.choice(
        [
            "Relu",
            "LeakyRelu",
            "Sigmoid",
            "Tanh",
            "HardSigmoid",
            "Elu",
            "Softplus",
            "Erf",
            "Abs",
            "Neg",
            "HardSwish",
            "Softmax",
            "Clip",
            "PRelu",
            "Gelu",
            "Selu",
            "Identity",
            "Floor",
            "Swish",
        ]
    )
    if op == "Swish":
        return m.node("Mul", [a, m.node("Sigmoid", [a])])
    if op == "Clip":
        return m.node(
            op, [a, m.constant(np.float32(r.choice([0, -1]))), m.constant(np.float32(r.choice([6, 1])))]
        )
    if op == "PRelu":
        return m.node(op, [a, m.weight(r, (m.values[a].shape[1], 1, 1), 0.3, "floats")])
    if op == "Softmax":
        return m.node(op, [a], axis=r.choice([1, 3, -1]))
    if op == "LeakyRelu":
        return m.node(op, [a], alpha=r.choice([0.01, 0.3]))
    return m.node(op, [a])


def two(m, r, a, b):
    op = r.choice(["Add", "Add", "Mul", "Sub", "Max", "Min", "Where", "Pow"])
    c = m.values[a].shape[1]
    if op == "Pow":
        return m.node(op, [a, m.constant(np.float32(2))])
    if op == "Where":
        return m.node(op, [m.node("Greater", [a, m.constant(np.float32(0.1))]), a, b])
    if m.values[a].shape != m.values[b].shape or r.random() < 0.3:
        shape = r.choice([(c, 1, 1), (1,), (), (1, c, 1, 1), (m.values[a].shape[-1],)])
        b = m.weight(r, shape, 1.0, r.choice(["floats", "codes"]))
    return m.node(op, [a, b] if r.random() < 0.6 else [b, a])


def pool(m, r, a, b):
    if r.random() < 0.15:
        return m.node(r.choice(["GlobalAveragePool", "GlobalMaxPool"]), [a])
    op = r.choice(["MaxPool", "AveragePool"])
    if min(m.values[a].shape[2:]) < 3:
        # onnxruntime rounds how many windows fit towards 0, and finds one where none does.
        raise ValueError("too small")
    more = {"count_include_pad": r.randint(0, 1)} if op == "AveragePool" else {}
    return m.node(
        op,
        [a],
        kernel_shape=[2, 3],
        strides=[r.randint(1, 2), r.randint(1, 2)],
        pads=[r.randint(0, 1) for _ in range(4)],
        ceil_mode=r.randint(0, 1),
        **more,
    )


def mean(m, r, a, b):
    op = r.choice(["ReduceMean", "ReduceMean", "ReduceMax", "ReduceSum"])
    axes = r.choice([[2, 3], [1], [-1]])
    if m.opset >= 18 or (op == "ReduceSum" and m.opset >= 13):
        y = m.node(op, [a, m.constant(np.array(axes))], keepdims=1)
    else:
        y = m.node(op, [a], axes=axes, keepdims=1)
    return m.node(r.choice(["Sub", "Add"]), [a, y]) if r.random() < 0.5 else y


def concat(m, r, a, b):
    axis = r.choice([1, 1, -1, 2])
    return m.node("Concat", [a, b] + ([a] if r.random() < 0.2 else []), axis=axis)


def split(m, r, a, b):
    more = {"num_outputs": 2} if m.opset >= 18 else {}
    one, two = m.node("Split", [a], 2, axis=r.choice([1, 3]), **more)
    return (
        m.node("Mul", [one, m.node("Sigmoid", [two])])
        if r.random() < 0.5
        else m.node("Concat", [two, one], axis=1)
    )


def move(m, r, a, b):
    op = r.choice(
        [
            "Transpose",
            "Slice",
            "Pad",
            "Pad",
            "Resize",
            "DepthToSpace",
            "SpaceToDepth",
            "Gather",
            "Reshape",
            "Squeeze",
            "Back",
        ]
    )
    _, c, h, w = m.values[a].shape
    if op == "Transpose":
        return m.node(op, [a], perm=r.choice([[0, 1, 3, 2], [0, 2, 3, 1], [0, 3, 1, 2]]))
    if op == "Slice":
        axis = r.randint(1, 3)
        back = r.random() < 0.3
        start, end, step = (-1, -1000, -1) if back else (r.randint(0, 1), 1000, r.randint(1, 2))
        return m.node(op, [a, *(m.constant(np.array([v])) for v in (start, end, axis, step))])
    if op == "Pad":
        mode = r.choice(["constant", "constant", "reflect", "edge"])
        pads = [0, 0, r.randint(0, 1), r.randint(0, 1), 0, 0, 1, r.randint(0, 1)]
        more = [m.constant(np.float32(r.choice([0, 0.5])))] if mode == "constant" and r.random() < 0.5 else []
        return m.node(op, [a, m.constant(np.array(pads)), *more], mode=mode)
    if op == "Resize":
        mode, how = r.choice(
            [
                ("nearest", "asymmetric"),
                ("nearest", "half_pixel"),
                ("linear", "half_pixel"),
                ("linear", "align_corners"),
            ]
        )
        more = {"nearest_mode": r.choice(["floor", "round_prefer_floor"])} if mode == "nearest" else {}
        return m.node(
            op,
            [
                a,
                "",
                m.constant(
                    np.array(
                        [1, 1, 2, r.choice([1, 2] if how == "align_corners" else [1, 2, 1.5])], np.float32
                    )
                ),
            ],
            mode=mode,
            coordinate_transformation_mode=how,
            **more,
        )
    if op == "DepthToSpace":
        return m.node(op, [a], blocksize=2, mode=r.choice(["DCR", "CRD"]))
    if op == "SpaceToDepth":
        return m.node(op, [a], blocksize=2)
    if op == "Gather":
        return m.node(op, [a, m.constant(np.array([0, -1, 0]))], axis=r.randint(1, 3))
    if op == "Reshape":
        return m.node(op, [a, m.constant(np.array([0, -1, c, r.choice([1, w])]))])
    if op == "Squeeze":
        if m.opset < 13:
            return m.node("Unsqueeze", [m.node("ReduceMean", [a], axes=[1], keepdims=0)], axes=[1])
        y = m.node("Unsqueeze", [a, m.constant(np.array([1]))])
        y = m.there_and_back(r, y) if r.random() < 0.5 else y
        return m.node("Squeeze", [y, m.constant(np.array([1]))])
    y = m.node("Flatten", [a], axis=r.choice([1, 2]))
    return m.node("Reshape", [y, m.constant(np.array([-1, c, h, w]))])


def norm(m, r, a, b):
    c = m.values[a].shape[1]
    scale, bias = m.weight(r, (c,), 1.0, "floats"), m.weight(r, (c,), 0.3, "floats")
    op = r.choice(["BatchNormalization", "InstanceNormalization", "LayerNormalization"])
    if op == "BatchNormalization":
        var = m.constant(np.random.default_rng(0).random(c).astype(np.float32) + np.float32(0.5))
        return m.node(op, [a, scale, bias, m.weight(r, (c,), 0.3, "floats"), var])
    if op == "LayerNormalization":
        w = m.values[a].shape[-1]
        return m.node(op, [a, m.weight(r, (w,), 1.0, "floats"), m.weight(r, (w,), 0.3, "floats")], axis=-1)
    return m.node(op, [a, scale, bias])
