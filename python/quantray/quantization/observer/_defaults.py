"""Ready-made observers, by torch's names."""

from __future__ import annotations

from quantray import _core
from quantray.quantization.observer._fixed import (
    FixedQParamsObserver,
    PlaceholderObserver,
    RecordingObserver,
    ReuseInputObserver,
)
from quantray.quantization.observer._histogram import HistogramObserver
from quantray.quantization.observer._min_max import MinMaxObserver, PerChannelMinMaxObserver

_symmetric = {"dtype": _core.qint8, "qscheme": _core.per_tensor_symmetric}
_channels = {"dtype": _core.qint8, "qscheme": _core.per_channel_symmetric}
_no_minus_128 = {"quant_min": -127, "quant_max": 127, "eps": 2.0**-12}
_float_qparams = {"qscheme": _core.per_channel_affine_float_qparams, "ch_axis": 0}

#: Activations in all 8 bits; torch's has 7, since its kernels could saturate.
default_observer = MinMaxObserver.with_args(quant_min=0, quant_max=255)
default_histogram_observer = HistogramObserver.with_args(quant_min=0, quant_max=255)

default_placeholder_observer = PlaceholderObserver
default_debug_observer = RecordingObserver
default_reuse_input_observer = ReuseInputObserver

default_weight_observer = MinMaxObserver.with_args(**_symmetric)
default_per_channel_weight_observer = PerChannelMinMaxObserver.with_args(**_channels)
weight_observer_range_neg_127_to_127 = MinMaxObserver.with_args(**_symmetric, **_no_minus_128)
per_channel_weight_observer_range_neg_127_to_127 = PerChannelMinMaxObserver.with_args(
    **_channels, **_no_minus_128
)

#: Ranges of activations at run time.
default_dynamic_quant_observer = PlaceholderObserver.with_args(
    dtype=_core.quint8, quant_min=0, quant_max=255, is_dynamic=True
)

#: Embedding tables, with float zero points.
default_float_qparams_observer = PerChannelMinMaxObserver.with_args(dtype=_core.quint8, **_float_qparams)
default_float_qparams_observer_4bit = PerChannelMinMaxObserver.with_args(
    dtype=_core.quint4x2, **_float_qparams
)

#: Outputs of tanh, and of sigmoid and softmax.
default_fixed_qparams_range_neg1to1_observer = FixedQParamsObserver.with_args(
    scale=2.0 / 256.0, zero_point=128, dtype=_core.quint8, quant_min=0, quant_max=255
)
default_fixed_qparams_range_0to1_observer = FixedQParamsObserver.with_args(
    scale=1.0 / 256.0, zero_point=0, dtype=_core.quint8, quant_min=0, quant_max=255
)
default_symmetric_fixed_qparams_observer = default_fixed_qparams_range_neg1to1_observer
default_affine_fixed_qparams_observer = default_fixed_qparams_range_0to1_observer
