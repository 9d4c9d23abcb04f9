"""onnxruntime's operators of language models: attention with a cache, tables of a few bits."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray import graph
from quantray.onnx.operators._registry import Array, Call, Outputs, filled, operator

_MICROSOFT = "com.microsoft"


@operator("GroupQueryAttention", domain=_MICROSOFT)
def _group_query(
    call: Call, query: Array, key: Array | None = None, value: Array | None = None, *more: Array
) -> Outputs:
    past_key, past_value, lengths, total, *last = filled(more, 14)
    cos, sin, positions, bias, sinks, k_scale, v_scale, q_norm, k_norm, counts = last
    if lengths is None or total is None:
        raise call.error("seqlens_k and total_sequence_length must be given")
    for name, given in (("k_scale", k_scale), ("v_scale", v_scale)):
        if given is not None:
            raise call.error(f"{name} must be left out: caches of codes are not computed with")
    for name, given in (("q_norm_weight", q_norm), ("k_norm_weight", k_norm)):
        if given is not None:
            raise call.error(f"{name} must be left out: onnxruntime computes it on GPUs alone")
    if call.get("sliding_window_cache"):
        raise call.error("sliding_window_cache must be 0: caches that forget are not computed with")
    if len(call.wanted) > 3 and call.wanted[3]:
        raise call.error("output_qk must not be used: scores are not given out")
    heads, own = int(call.need("num_heads")), int(call.need("kv_num_heads"))
    if own <= 0 or heads <= 0 or heads % own:
        raise call.error(f"num_heads must be a multiple of kv_num_heads, got {heads} and {own}")
    if not call.get("do_rotary"):
        cos, sin = None, None
    elif cos is None or sin is None:
        raise call.error("do_rotary needs cos_cache and sin_cache")
    if sinks is None and call.get("smooth_softmax"):
        sinks = np.zeros(heads, np.float32)
    made = graph.apply(
        "onnx.group_query_attention",
        *(query, key, value, past_key, past_value, lengths, total, cos, sin, positions, bias, sinks, counts),
        heads,
        own,
        float(call.get("scale") or 0.0),
        float(call.get("softcap", 0.0)),
        int(call.get("local_window_size", -1)),
        bool(call.get("rotary_interleaved")),
        bool(call.get("causal", 1)),
    )
    return made[: max(len(call.wanted), 1)] if len(call.wanted) > 1 else made[0]


@operator("GatherBlockQuantized", domain=_MICROSOFT)
def _gather_blocks(
    call: Call, codes: Array, indices: Array, scales: Array, zeros: Array | None = None
) -> Array:
    """Some rows of a table of a few bits, as floats."""
    kind = call.type_of(0, codes)
    packed = int(call.get("bits", 4)) if kind == "uint8" else 0
    if packed not in (0, 2, 4, 8):
        raise call.error(f"bits must be 2, 4 or 8, got {packed}")
    if not packed and kind not in ("int4", "uint4"):
        raise call.error(f"data must be of uint8, int4 or uint4, got {kind}")
    size = int(call.get("block_size", 128))
    if size < 1:
        raise call.error(f"block_size must be above 0, got {size}")
    axis, along = (call.axis(call.get(name, at), np.ndim(codes)) for name, at in _AXES)
    if axis == along or (packed and (axis or along != np.ndim(codes) - 1)):
        raise call.error(
            f"gather_axis must be another axis than quantize_axis, and of uint8 the first one where blocks "
            f"lie along the last, got {axis} and {along}"
        )
    return graph.apply("onnx.gather_blocks", codes, indices, scales, zeros, axis, along, size, packed)


#: The axes of a table, and which they are where a node does not say.
_AXES = (("gather_axis", 0), ("quantize_axis", 1))
