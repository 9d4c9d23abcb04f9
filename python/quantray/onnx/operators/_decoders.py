"""onnxruntime's operators of language models: attention with a cache."""

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
