"""Makes operators.json and operators.npz: what torch 2.15's quantized operators return in 200 random cases.

Shapes, memory orders, scales, zero points and arguments are random, with a fixed seed. Needs torch.
`python tests/reference/make_operators.py` in the repository's folder.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
CASES = 200
rng = np.random.default_rng(0)
cases, arrays = [], {}


def qparams(signed):
    """A scale and a zero point, now and then at an end."""
    low = -128 if signed else 0
    return float(np.float32(10 ** rng.uniform(-3, 0))), int(
        rng.choice([low, low + 128, low + 255, rng.integers(low, low + 256)])
    )


def tensor(case, key, shape, signed, last=False, params=None):
    """Random codes for torch, put into the case."""
    scale, zero = params or qparams(signed)
    low = -128 if signed else 0
    x = rng.integers(low, low + 256, shape).astype(np.int8 if signed else np.uint8)
    arrays[name := f"{len(cases):03}.{key}"] = x
    case |= {key: {"array": name}, f"{key}_scale": scale, f"{key}_zero_point": zero}
    t = torch._make_per_tensor_quantized_tensor(torch.tensor(x), scale, zero)
    return t.contiguous(memory_format=torch.channels_last) if last else t


def lengths(n, least, most):
    return [int(v) for v in rng.integers(least, most + 1, n)]


def pooling(case, signed):
    last = case["last"] = bool(rng.integers(2))
    kernel = lengths(2, 1, 3)
    shape = [int(rng.integers(1, 3)), int(rng.choice([1, 3, 8, 16, 17, 33])), *lengths(2, 4, 9)]
    t = tensor(case, "x0", shape, signed, last)
    kind = rng.integers(3)
    if kind == 2:
        case["op"], settings = "adaptive_avg_pool2d", {"output_size": lengths(2, 1, 4)}
    else:
        case["op"] = ["max_pool2d", "avg_pool2d"][kind]
        settings = {
            "kernel_size": kernel,
            "stride": lengths(2, 1, 3),
            "padding": [int(rng.integers(0, k // 2 + 1)) for k in kernel],
            "ceil_mode": bool(rng.integers(2)),
        }
        if kind == 1:
            settings["count_include_pad"] = bool(rng.integers(2))
    case["settings"] = settings
    case["exact"] = bool(kind == 0)
    return getattr(F, case["op"])(t, **settings)


def resizing(case, signed):
    last = case["last"] = bool(rng.integers(2))
    mode = ["nearest", "bilinear"][rng.integers(2)]
    t = tensor(case, "x0", [1, int(rng.choice([1, 3, 16])), *lengths(2, 2, 7)], signed, last)
    settings = {"size": lengths(2, 1, 12), "mode": mode}
    if mode == "bilinear":
        settings["align_corners"] = bool(rng.integers(2))
    case |= {"op": "interpolate", "settings": settings, "exact": mode == "nearest"}
    return F.interpolate(t, **settings)


def padding(case, signed):
    t = tensor(case, "x0", [2, 3, *lengths(2, 2, 7)], signed)
    case |= {"op": "pad", "settings": {"pad": lengths(4, 0, 3)}, "exact": True}
    return F.pad(t, case["settings"]["pad"])


def joining(case, signed):
    dim = int(rng.integers(3))
    shape = lengths(3, 1, 7)
    first = tensor(case, "x0", shape, signed)
    shape[dim] = int(rng.integers(1, 7))
    second = tensor(case, "x1", shape, signed)
    scale, zero = qparams(signed)
    case |= {"op": "cat", "settings": {"dim": dim, "scale": scale, "zero_point": zero}, "exact": False}
    return torch.ops.quantized.cat([first, second], dim, scale, zero)


def binary(case, signed):
    shape = lengths(2, 1, 20)
    a, b = tensor(case, "x0", shape, signed), tensor(case, "x1", shape, signed)
    scale, zero = qparams(signed)
    op = ["add", "mul", "add_relu", "mul_relu"][rng.integers(4)]
    case |= {
        "op": op[:3],
        "settings": {"scale": scale, "zero_point": zero, "relu": "relu" in op},
        "exact": False,
    }
    return getattr(torch.ops.quantized, op)(a, b, scale, zero)


def unary(case, signed):
    t = tensor(case, "x0", lengths(2, 1, 20), signed)
    scale, zero = qparams(signed)
    given = {"scale": scale, "zero_point": zero}
    op = str(rng.choice(["sigmoid", "hardswish", "leaky_relu", "elu", "relu6", "softmax", "layer_norm"]))
    case |= {"op": op, "settings": given, "exact": False}
    quantized = torch.ops.quantized
    match op:
        case "leaky_relu":
            slope = case["settings"]["negative_slope"] = 0.125
            return quantized.leaky_relu(t, slope, False, scale, zero)
        case "relu6":
            case["settings"] = {}
            return quantized.relu6(t, False)
        case "softmax":
            return quantized.softmax(t, -1, scale, zero)
        case "layer_norm":
            n = t.shape[-1]
            case["settings"] |= {"normalized_shape": n}
            return quantized.layer_norm(t, [n], torch.ones(n), torch.zeros(n), 1e-5, scale, zero)
    return getattr(quantized, op)(t, scale, zero)


def rows(case, signed):
    bits = int(rng.choice([4, 8]))
    table = rng.normal(size=(lengths(1, 2, 30)[0], 2 * lengths(1, 1, 40)[0])).astype(np.float32)
    low = table.min(1)
    scales = ((table.max(1) - low) / (2**bits - 1) + 1e-3).astype(np.float32)
    zeros = (-low / scales).astype(np.float32)
    if bits == 4:
        # Torch keeps them, and the product of both, in float16: such as fit.
        scales, zeros = np.ceil(scales * 256) / np.float32(256), np.rint(zeros)
    indices = rng.integers(0, len(table), lengths(1, 1, 12)[0])
    offsets = np.sort(np.append(0, rng.integers(0, len(indices), 2)))
    kind = torch.quint8 if bits == 8 else torch.quint4x2
    t = torch.quantize_per_channel(torch.tensor(table), torch.tensor(scales), torch.tensor(zeros), 0, kind)
    packed = torch.ops.quantized.embedding_bag_prepack(t)
    name = "byte" if bits == 8 else "4bit"
    bag = getattr(torch.ops.quantized, f"embedding_bag_{name}")
    for key, value in {
        "table": table,
        "scales": scales,
        "zeros": zeros,
        "indices": indices,
        "offsets": offsets,
    }.items():
        arrays[where := f"{len(cases):03}.{key}"] = value
        case[key] = {"array": where}
    case |= {"op": "embedding_bag", "bits": bits, "exact": False}
    return bag(packed, torch.tensor(indices), torch.tensor(offsets))


KINDS = [pooling, pooling, pooling, resizing, resizing, binary, unary, unary, joining, padding, rows]

while len(cases) < CASES:
    case = {}
    y = KINDS[len(cases) % len(KINDS)](case, bool(rng.integers(2)))
    if y.is_quantized:
        case |= {"y_scale": y.q_scale(), "y_zero_point": y.q_zero_point()}
        y = y.int_repr()
    arrays[name := f"{len(cases):03}.y"] = y.contiguous().numpy()
    cases.append(case | {"name": case["op"], "y": {"array": name}})

(HERE / "operators.json").write_text(json.dumps(cases, indent=1) + "\n")
np.savez_compressed(HERE / "operators.npz", **arrays)
