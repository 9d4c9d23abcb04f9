"""Makes quantized_operators.json: what torch 2.15's `torch.ops.quantized` returns, by its own calls.

Weights are small, so that sums in 16 bits do not saturate on CPUs without VNNI. Needs torch.
`python tests/reference/make_quantized_operators.py` in the repository's folder.
"""

import json
import pathlib

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)
INPUTS = {
    "a": (rng.integers(0, 256, (4, 5)), 0.02, 128, "quint8"),
    "b": (rng.integers(0, 256, (4, 5)), 0.03, 100, "quint8"),
    "bt": (rng.integers(0, 256, (5, 3)), 0.03, 100, "quint8"),
    "w": (rng.integers(-30, 31, (6, 5)), 0.02, 0, "qint8"),
    "x": (rng.integers(0, 256, (2, 3, 6, 6)), 0.004, 7, "quint8"),
    "k": (rng.integers(-30, 31, (4, 3, 3, 3)), 0.02, 0, "qint8"),
    "kt": (rng.integers(-30, 31, (3, 4, 2, 2)), 0.02, 0, "qint8"),
}
#: What is written in notebooks: `o` is `torch.ops.quantized`.
CALLS = """
    o.add(a, b, 0.04, 120)
    o.add(a, b, scale=0.04, zero_point=120)
    o.add_relu(a, b, 0.04, 3)
    o.mul(a, b, 0.05, 128)
    o.mul_relu(a, b, 0.05, 0)
    o.cat([a, b], dim=0, scale=0.04, zero_point=120)
    o.cat_relu([a, b], 1, 0.04, 120)
    o.add_scalar(a, 1.0)
    o.add_scalar_relu(a, 1.0)
    o.mul_scalar(a, -2.0)
    o.mul_scalar_relu(a, 2.0)
    o.matmul(a, bt, 0.1, 128)
    o.clamp(a, -0.5, 1.0)
    o.relu6(a, False)
    o.sigmoid(a, 1 / 256, 0)
    o.hardswish(a, 0.02, 10)
    o.leaky_relu(a, 0.01, False, 0.02, 128)
    o.elu(a, 0.02, 60)
    o.softmax(a, 1, 1 / 256, 0)
    o.linear(a, o.linear_prepack(w, None), 0.05, 100)
    o.linear_relu(X=a, W_prepack=o.linear_prepack(w, bias), Y_scale_i=0.05, Y_zero_point_i=0)
    o.linear_unpack(o.linear_prepack(w, bias))[0]
    o.conv2d(x, o.conv2d_prepack(k, None, [1, 1], [1, 1], [1, 1], 1), 0.05, 100)
    o.conv2d_relu(x, o.conv2d_prepack(k, None, [2, 1], [0, 1], [1, 1], 1), 0.05, output_zero_point=3)
    o.conv2d_unpack(o.conv2d_prepack(k, None, [1, 1], [1, 1], [1, 1], 1))[0]
    o.conv_transpose2d(x, o.conv_transpose2d_prepack(kt, None, [2, 2], [0, 0], [0, 0], [1, 1], 1), 0.05, 100)
    o.max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], False)
""".strip().splitlines()

if __name__ == "__main__":
    names = {"o": torch.ops.quantized, "bias": torch.arange(6) / 8 - 0.25}
    for name, (codes, scale, zero, dtype) in INPUTS.items():
        kind = torch.uint8 if dtype == "quint8" else torch.int8
        names[name] = torch._make_per_tensor_quantized_tensor(torch.tensor(codes).to(kind), scale, zero)
    cases = []
    for call in map(str.strip, CALLS):
        y = eval(call, names)
        cases.append(
            {
                "call": call,
                "codes": y.int_repr().tolist(),
                "scale": y.q_scale(),
                "zero_point": y.q_zero_point(),
            }
        )
    inputs = {name: [codes.tolist(), *rest] for name, (codes, *rest) in INPUTS.items()}
    text = json.dumps({"inputs": inputs, "bias": names["bias"].tolist(), "cases": cases})
    (HERE / "quantized_operators.json").write_text(text + "\n")
