"""Ready-made fake quantization, by torch's names, with all 8 bits of activations.

Weights follow the range of each step: torch's documentation says so too, but its moving averages lag behind.
"""

from __future__ import annotations

from quantray import _core
from quantray.quantization.fake_quantize._fake_quantize import (
    FakeQuantize,
    FixedQParamsFakeQuantize,
    FusedMovingAvgObsFakeQuantize,
)
from quantray.quantization.observer import (
    HistogramObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    default_fixed_qparams_range_0to1_observer,
    default_fixed_qparams_range_neg1to1_observer,
)

_activation: dict[str, object] = {
    "observer": MovingAverageMinMaxObserver,
    "quant_min": 0,
    "quant_max": 255,
    "dtype": _core.quint8,
    "qscheme": _core.per_tensor_affine,
}
_weight: dict[str, object] = {
    "observer": MovingAverageMinMaxObserver,
    "averaging_constant": 1,
    "quant_min": -128,
    "quant_max": 127,
    "dtype": _core.qint8,
    "qscheme": _core.per_tensor_symmetric,
}
_channels: dict[str, object] = {
    **_weight,
    "observer": MovingAveragePerChannelMinMaxObserver,
    "qscheme": _core.per_channel_symmetric,
    "ch_axis": 0,
}
_table: dict[str, object] = {
    "observer": MovingAveragePerChannelMinMaxObserver,
    "averaging_constant": 1,
    "qscheme": _core.per_channel_affine_float_qparams,
    "ch_axis": 0,
}
_no_minus_128: dict[str, object] = {"quant_min": -127, "quant_max": 127, "eps": 2.0**-12}

default_fake_quant = FakeQuantize.with_args(**_activation)
default_weight_fake_quant = FakeQuantize.with_args(**_weight)
default_per_channel_weight_fake_quant = FakeQuantize.with_args(**_channels)
default_dynamic_fake_quant = FakeQuantize.with_args(**_activation, is_dynamic=True, averaging_constant=1)
default_histogram_fake_quant = FakeQuantize.with_args(**{**_activation, "observer": HistogramObserver})
default_embedding_fake_quant = FakeQuantize.with_args(
    **_table, dtype=_core.quint8, quant_min=0, quant_max=255
)
default_embedding_fake_quant_4bit = FakeQuantize.with_args(**_table, dtype=_core.quint4x2)

default_fixed_qparams_range_neg1to1_fake_quant = FixedQParamsFakeQuantize.with_args(
    observer=default_fixed_qparams_range_neg1to1_observer
)
default_fixed_qparams_range_0to1_fake_quant = FixedQParamsFakeQuantize.with_args(
    observer=default_fixed_qparams_range_0to1_observer
)
default_symmetric_fixed_qparams_fake_quant = default_fixed_qparams_range_neg1to1_fake_quant
default_affine_fixed_qparams_fake_quant = default_fixed_qparams_range_0to1_fake_quant

default_fused_act_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(**_activation)
default_fused_wt_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(**_weight)
default_fused_per_channel_wt_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(**_channels)
fused_wt_fake_quant_range_neg_127_to_127 = FusedMovingAvgObsFakeQuantize.with_args(
    **{**_weight, **_no_minus_128}
)
fused_per_channel_wt_fake_quant_range_neg_127_to_127 = FusedMovingAvgObsFakeQuantize.with_args(
    **{**_channels, **_no_minus_128}
)
