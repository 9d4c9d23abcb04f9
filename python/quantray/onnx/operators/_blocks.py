"""Products with weights of a few bits, in blocks that have a scale each."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray import graph, nn
from quantray.onnx.functions._four_bit_floats import four_bit_floats
from quantray.onnx.functions._quantized_products import block_codes, block_weight
from quantray.onnx.operators._products import linear
from quantray.onnx.operators._registry import Array, Call, Given, filled, layer, operator

_MICROSOFT = "com.microsoft"


def _settings(call: Call) -> dict[str, int]:
    names = (("k", "K"), ("n", "N"), ("block_size", "block_size"))
    settings = {name: int(call.get(key, 0)) for name, key in names}
    if min(settings.values()) <= 0:
        raise call.error(f"K, N and block_size must be above 0, got {list(settings.values())}")
    return {**settings, "bits": int(call.get("bits", 4))}


@operator("MatMulNBits", domain=_MICROSOFT)
def _matmul_blocks(call: Call, a: Array, b: Array, scales: Array, *more: Array) -> Array:
    zeros, order, bias = filled(more, 3)
    return graph.apply("onnx.matmul_blocks", a, b, scales, zeros, order, bias, **_settings(call))


@layer("MatMulNBits", domain=_MICROSOFT)
def _linear_of_blocks(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    """A layer that reads the codes as they are; with `g_idx`, one of the floats that they stand for."""
    from quantray.onnx._blocks import Blocks

    _, b, scales, zeros, order, bias = filled(constants, 6)
    if call.given != (0,) or b is None or scales is None:
        return None
    settings = _settings(call)
    if order is not None and not _is_in_order(order, settings):
        weight = block_weight(b, scales, zeros, order, **settings)
        return linear(weight, None if bias is None else np.asarray(bias))
    codes, each, own = block_codes(b, scales, zeros, **settings)
    middle = 1 << (settings["bits"] - 1)
    own = None if np.all(own == middle) else own - middle
    n, k = settings["n"], settings["k"]
    flat = (codes.reshape(n, -1)[:, :k].astype(np.int16) - middle).astype(np.int8)
    found = Blocks(flat, each, own, settings["block_size"], settings["bits"])
    # As onnxruntime does: 4 lets inputs be rounded to 8 bits.
    return found.layer(bias, 8 if int(call.get("accuracy_level", 0)) == 4 else 24)


def _is_in_order(order: Array, settings: dict[str, int]) -> bool:
    k = settings["k"]
    return bool(np.array_equal(np.asarray(order)[:k], np.arange(k) // settings["block_size"]))


@operator("MatMulBnb4", domain=_MICROSOFT)
def _matmul_four_bit_floats(call: Call, a: Array, b: Array, greatest: Array) -> Array:
    return graph.apply("onnx.matmul_four_bit_floats", a, b, greatest, **_four_bit_settings(call))


@layer("MatMulBnb4", domain=_MICROSOFT)
def _linear_of_four_bit_floats(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    """A layer of the floats that the codes stand for, which lie on no grid."""
    _, b, greatest = filled(constants, 3)
    if call.given != (0,) or b is None or greatest is None:
        return None
    weight = four_bit_floats(b, greatest, **_four_bit_settings(call))
    return linear(weight if call.get("transB", 1) else weight.T, None)


def _four_bit_settings(call: Call) -> dict[str, int]:
    settings = _settings(call)
    return {
        **{name: settings[name] for name in ("k", "n", "block_size")},
        "kind": call.choice("quant_type", (0, 1)),
    }
