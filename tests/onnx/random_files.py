"""ONNX files made at random: nodes over images, quantized wherever a file may be."""

import random

import numpy as np
import random_nodes as nodes
from hypothesis import strategies as st
from random_integer_nodes import integers
from random_maker import SHAPE, Maker, session

STEPS = {
    "conv": nodes.conv,
    "turned": nodes.turned,
    "matmul": nodes.matmul,
    "attention": nodes.attention,
    "gemm": nodes.gemm,
    "alone": nodes.alone,
    "two": nodes.two,
    "pool": nodes.pool,
    "mean": nodes.mean,
    "concat": nodes.concat,
    "split": nodes.split,
    "move": nodes.move,
    "norm": nodes.norm,
    "integers": integers,
}


def build(program, opset=17, inputs=1, often=0.6, codes_out=False):
    """The file of a program of (step, which, which, number), without the steps that onnxruntime refuses."""
    m = Maker(opset, inputs)
    made = []
    for name, i, j, p in program:
        r = random.Random(p)
        a, b = m.images[-1 - i % len(m.images)], m.images[-1 - j % len(m.images)]
        before = len(m.nodes)
        try:
            q = m.there_and_back(r, a) if r.random() < often / 2 and a in m.inputs else a
            y = STEPS[name](m, r, q, b)
            if r.random() < often:
                y = m.there_and_back(r, y)
        except Exception:
            del m.nodes[before:]
            continue
        if m.values[y].ndim == 4 and m.values[y].dtype == np.float32 and m.values[y].shape[0] == SHAPE[0]:
            m.images.append(y)
            made.append(y)
    if not made:
        return None
    outputs = [made[-1]] + ([made[-2]] if len(made) > 2 and program[0][3] % 3 == 0 else [])
    if codes_out:
        for node in m.nodes:
            if (
                node.op_type == "QuantizeLinear"
                and node.input[0] in m.values
                and m.values[node.output[0]].ndim == 4
                and m.values[node.output[0]].shape[0] == SHAPE[0]
            ):
                outputs.append(node.output[0])
                break
    return m.model(outputs)


@st.composite
def files(draw):
    """A file, or None where onnxruntime takes none of its nodes."""
    step = st.tuples(
        st.sampled_from([*STEPS, "conv", "integers"]),
        st.integers(0, 2),
        st.integers(0, 3),
        st.integers(0, 999),
    )
    program = draw(st.lists(step, min_size=1, max_size=6))
    opset, inputs = draw(st.sampled_from([11, 13, 15, 17, 18, 19, 20, 21])), draw(st.integers(1, 2))
    return build(program, opset, inputs, draw(st.sampled_from([0.0, 0.5, 0.8, 1.0])), draw(st.booleans()))


__all__ = ["SHAPE", "STEPS", "build", "files", "session"]
