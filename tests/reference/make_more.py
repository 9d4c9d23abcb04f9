"""Makes more.json: what torch 2.15 returns for operators beside those of operators.json, in small cases.

A number added to or multiplied with a tensor, functions by tables, images read at given places, windows that
are longer than their input, 32-bit codes, ranges. Needs torch.
`python tests/reference/make_more.py` in the repository's folder.
"""

import json
import pathlib
import warnings

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)
RANGES = {"qint8": (-128, 127), "quint8": (0, 255), "qint32": (-(2**14), 2**14)}
NUMPY = {"qint8": np.int8, "quint8": np.uint8, "qint32": np.int32}


def tensor(shape, dtype):
    """Random codes, with a random scale and zero point, for torch and as JSON."""
    low, high = RANGES[dtype]
    codes = rng.integers(low, high, shape, endpoint=True).astype(NUMPY[dtype])
    scale, zero = float(np.float32(10 ** rng.uniform(-3, 0))), int(rng.integers(low, high))
    q = torch._make_per_tensor_quantized_tensor(torch.tensor(codes), scale, zero)
    return q, {"codes": codes.tolist(), "scale": scale, "zero_point": zero, "dtype": dtype}


def stored(q):
    """A quantized result as JSON."""
    return {"codes": q.int_repr().tolist(), "scale": q.q_scale(), "zero_point": q.q_zero_point()}


def scalars():
    for dtype in RANGES:
        for function in ("add_scalar", "mul_scalar"):
            for other in (0.0, 0.3, -0.3, 2.0, -2.0, 40.0, -40.0, 1000.0):
                q, x = tensor((5,), dtype)
                made = getattr(torch.ops.quantized, function)(q, other)
                yield {"op": function, "inputs": [x], "args": [other], "result": stored(made)}


def tables():
    for dtype in ("qint8", "quint8"):
        for op, args in (
            ("celu", [1.0]),
            ("celu", [0.5]),
            ("threshold", [0.25, -1.0]),
            ("threshold", [0.0, 2.0]),
        ):
            q, x = tensor((64,), dtype)
            if op == "celu":
                made = torch.ops.quantized.celu(q, q.q_scale(), q.q_zero_point(), *args)
            else:
                made = F.threshold(q, *args)
            yield {"op": op, "inputs": [x], "args": args, "result": stored(made)}


def places():
    for corners in (True, False):
        for padding in ("zeros", "border", "reflection"):
            q, x = tensor((2, 3, 4, 5), "quint8")
            grid = rng.uniform(-1.3, 1.3, (2, 3, 4, 2)).astype(np.float32)
            made = F.grid_sample(q, torch.tensor(grid), "bilinear", padding, corners)
            args = [grid.tolist(), "bilinear", padding, corners]
            yield {"op": "grid_sample", "inputs": [x], "args": args, "result": stored(made)}


def windows():
    for dtype in RANGES:
        for op in ("max_pool2d", "avg_pool2d"):
            for kernel, stride in ((3, 2), (4, 3), (2, 2), (3, 1)):
                q, x = tensor((1, 2, 2, 5), dtype)
                try:
                    made = getattr(F, op)(q, kernel, stride, ceil_mode=True)
                except RuntimeError:
                    continue
                if not made.numel():
                    continue  # No window fits: an error here.
                yield {
                    "op": op,
                    "inputs": [x],
                    "args": [kernel, stride],
                    "ceil": True,
                    "result": stored(made),
                }


def wide():
    for op in ("add", "mul"):
        (a, x), (b, y) = tensor((7,), "qint32"), tensor((7,), "qint32")
        # Codes are small: torch's products wrap around where they leave 32 bits.
        scale = 0.25
        made = getattr(torch.ops.quantized, op)(a, b, scale, 3)
        yield {"op": op, "inputs": [x, y], "args": [scale, 3], "result": stored(made)}
    q, x = tensor((9,), "qint32")
    yield {"op": "sigmoid", "inputs": [x], "args": [], "result": stored(torch.sigmoid(q))}
    q, x = tensor((9,), "qint32")
    yield {"op": "tanh", "inputs": [x], "args": [], "result": stored(torch.tanh(q))}
    q, x = tensor((1, 2, 3, 4), "qint32")
    made = F.interpolate(q, scale_factor=2.0, mode="nearest")
    yield {"op": "interpolate", "inputs": [x], "args": [None, 2.0, "nearest"], "result": stored(made)}
    q, x = tensor((1, 2, 3, 4), "qint32")
    made = F.interpolate(q, size=(5, 7), mode="bilinear", align_corners=True)
    yield {
        "op": "interpolate",
        "inputs": [x],
        "args": [[5, 7], None, "bilinear", True],
        "result": stored(made),
    }


def ranges():
    x = rng.standard_normal((4, 6)).astype(np.float32) * np.float32([[1], [3], [0.1], [1e-6]])
    for bits, bins, ratio in ((4, 200, 0.16), (2, 64, 0.5), (8, 200, 0.16), (3, 10, 0.9)):
        for n in (24, 6):
            made = torch.choose_qparams_optimized(torch.tensor(x), n, bins, ratio, bits)
            args = [x.ravel().tolist(), n, bins, ratio, bits]
            yield {"op": "choose_qparams_optimized", "args": args, "result": [v.tolist() for v in made]}
    for symmetric in (False, True):
        for rows in (False, True):
            for low, high in ((0, 255), (-128, 127), (0, 127)):
                n = 4 if rows else 1
                state = [torch.full((n,), v) for v in (np.inf, -np.inf)]
                state += [torch.ones(n), torch.zeros(n, dtype=torch.int32)]
                outs = []
                for k in (1.0, -0.5):
                    on = torch.tensor([1])
                    settings = (0.01, low, high, 0, rows, symmetric)
                    y = torch.fused_moving_avg_obs_fake_quant(torch.tensor(x * k), on, on, *state, *settings)
                    outs.append([y.tolist(), *(v.tolist() for v in state)])
                yield {
                    "op": "fused_moving_avg_obs_fake_quant",
                    "args": [x.tolist(), [low, high], rows, symmetric],
                    "result": outs,
                }


def main():
    cases = [case for make in (scalars, tables, places, windows, wide, ranges) for case in make()]
    (HERE / "more.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
