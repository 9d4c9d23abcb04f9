"""Observers: modules that gather the ranges of the values that pass through, and make scales and zero points.

Each keeps a small state, whatever the amount of data. All but the moving averages depend on the data alone,
not on its order or on how it was split: `merge` of observers on many machines is one observer of everything.
"""

from quantray.quantization.observer._base import ObserverBase, UniformQuantizationObserverBase
from quantray.quantization.observer._channel_mse import PerChannelMSEObserver
from quantray.quantization.observer._counting import CountingObserver
from quantray.quantization.observer._defaults import (
    default_affine_fixed_qparams_observer,
    default_debug_observer,
    default_dynamic_quant_observer,
    default_fixed_qparams_range_0to1_observer,
    default_fixed_qparams_range_neg1to1_observer,
    default_float_qparams_observer,
    default_float_qparams_observer_4bit,
    default_histogram_observer,
    default_observer,
    default_per_channel_weight_observer,
    default_placeholder_observer,
    default_reuse_input_observer,
    default_symmetric_fixed_qparams_observer,
    default_weight_observer,
    per_channel_weight_observer_range_neg_127_to_127,
    weight_observer_range_neg_127_to_127,
)
from quantray.quantization.observer._entropy import EntropyObserver
from quantray.quantization.observer._fixed import (
    FixedQParamsObserver,
    NoopObserver,
    PlaceholderObserver,
    RecordingObserver,
    ReuseInputObserver,
)
from quantray.quantization.observer._fixed_scales import FixedScalesObserver
from quantray.quantization.observer._histogram import HistogramObserver
from quantray.quantization.observer._mean_std import MeanStdObserver
from quantray.quantization.observer._min_max import MinMaxObserver, PerChannelMinMaxObserver
from quantray.quantization.observer._moving_average import (
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)
from quantray.quantization.observer._mse import MSEObserver
from quantray.quantization.observer._optimized import choose_qparams_optimized, choose_qparams_per_tensor
from quantray.quantization.observer._percentile import PercentileObserver
from quantray.quantization.observer._qparams import qparams

__all__ = [
    "CountingObserver",
    "EntropyObserver",
    "FixedQParamsObserver",
    "FixedScalesObserver",
    "HistogramObserver",
    "MSEObserver",
    "MeanStdObserver",
    "MinMaxObserver",
    "MovingAverageMinMaxObserver",
    "MovingAveragePerChannelMinMaxObserver",
    "NoopObserver",
    "ObserverBase",
    "PerChannelMSEObserver",
    "PerChannelMinMaxObserver",
    "PercentileObserver",
    "PlaceholderObserver",
    "RecordingObserver",
    "ReuseInputObserver",
    "UniformQuantizationObserverBase",
    "choose_qparams_optimized",
    "choose_qparams_per_tensor",
    "default_affine_fixed_qparams_observer",
    "default_debug_observer",
    "default_dynamic_quant_observer",
    "default_fixed_qparams_range_0to1_observer",
    "default_fixed_qparams_range_neg1to1_observer",
    "default_float_qparams_observer",
    "default_float_qparams_observer_4bit",
    "default_histogram_observer",
    "default_observer",
    "default_per_channel_weight_observer",
    "default_placeholder_observer",
    "default_reuse_input_observer",
    "default_symmetric_fixed_qparams_observer",
    "default_weight_observer",
    "per_channel_weight_observer_range_neg_127_to_127",
    "qparams",
    "weight_observer_range_neg_127_to_127",
]
