"""How a layer is to be quantized: what observes its output, and what its weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self, TypeAlias

import numpy as np

from quantray import _core
from quantray.nn import Module
from quantray.quantization.fake_quantize import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    LearnableFakeQuantize,
    default_dynamic_fake_quant,
    default_embedding_fake_quant,
    default_embedding_fake_quant_4bit,
    default_fake_quant,
    default_fused_act_fake_quant,
    default_fused_per_channel_wt_fake_quant,
    default_fused_wt_fake_quant,
    default_per_channel_weight_fake_quant,
    default_weight_fake_quant,
    fused_per_channel_wt_fake_quant_range_neg_127_to_127,
    fused_wt_fake_quant_range_neg_127_to_127,
)
from quantray.quantization.observer import (
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    NoopObserver,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    default_debug_observer,
    default_dynamic_quant_observer,
    default_float_qparams_observer,
    default_float_qparams_observer_4bit,
    default_observer,
    default_per_channel_weight_observer,
    default_placeholder_observer,
    default_reuse_input_observer,
    default_weight_observer,
    per_channel_weight_observer_range_neg_127_to_127,
    weight_observer_range_neg_127_to_127,
)

#: torch's names of CPU libraries. They differ here in one thing alone: qnnpack has weights per tensor.
BACKENDS = ("x86", "fbgemm", "onednn", "qnnpack")


#: What makes observers, or fake quantization: a class, or one with some of its arguments.
Factory: TypeAlias = Callable[..., Module]


class _Pair(NamedTuple):
    activation: Factory
    weight: Factory


class QConfig(_Pair):
    """How a layer is to be quantized.

    Parameters
    ----------
    activation, weight : class or factory
        Each makes an observer, or a fake quantization, for the layer's output and for its weight.

    Raises
    ------
    ValueError
        For an observer in place of what makes one.

    >>> from quantray import quantization as tq
    >>> qconfig = tq.QConfig(
    ...     activation=tq.MinMaxObserver.with_args(dtype="qint8"), weight=tq.default_weight_observer
    ... )
    >>> qconfig.activation().dtype
    qint8

    Source: `torch.ao.quantization.QConfig`.
    """

    __slots__ = ()

    def __new__(cls, activation: Factory, weight: Factory) -> Self:
        given: dict[str, object] = {"activation": activation, "weight": weight}
        for name, value in given.items():
            if isinstance(value, Module):
                kind = type(value).__name__
                raise ValueError(
                    f"{name} must make observers, and each layer has its own: give the class {kind}, or "
                    f"{kind}.with_args(...), got one {kind}"
                )
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be callable, got {value!r}")
        return super().__new__(cls, activation, weight)

    def along(self, axis: int) -> QConfig:
        """The same for weights whose output channels are on an axis: those of transposed convolutions on 1.

        An observer that has a scale for each channel is made for the first axis unless it is told.

        >>> from quantray import quantization as tq
        >>> tq.default_per_channel_qconfig.along(1).weight().ch_axis
        1
        """
        told = getattr(self.weight, "with_args", None)
        if axis == 0 or told is None:
            return self
        made = self.weight()
        of_channels = getattr(made, "qscheme", None) in (
            _core.per_channel_affine,
            _core.per_channel_symmetric,
        )
        if not of_channels or getattr(made, "ch_axis", axis) != 0:
            return self
        return QConfig(self.activation, told(ch_axis=axis))


class QConfigDynamic(QConfig):
    """torch's former QConfig of dynamic quantization: a QConfig whose halves are nothing by default.

    >>> from quantray import quantization as tq
    >>> tq.QConfigDynamic(weight=tq.default_weight_observer).weight().dtype
    qint8

    Source: `torch.ao.quantization.QConfigDynamic`.
    """

    __slots__ = ()

    def __new__(cls, activation: Factory = NoopObserver, weight: Factory = NoopObserver) -> Self:
        return super().__new__(cls, activation, weight)


#: What `qconfig` attributes hold.
QConfigAny = QConfig | None


def qconfig_equals(q1: QConfig | None, q2: QConfig | None) -> bool:
    """Whether two say the same; None is equal to None alone.

    Source: `torch.ao.quantization.qconfig.qconfig_equals`.
    """
    return q1 == q2


default_qconfig = QConfig(default_observer, default_weight_observer)
default_debug_qconfig = QConfig(default_debug_observer, default_weight_observer)
default_per_channel_qconfig = QConfig(default_observer, default_per_channel_weight_observer)
default_quint8_weight_qconfig = QConfig(HistogramObserver, MinMaxObserver)
default_reuse_input_qconfig = QConfig(default_reuse_input_observer, NoopObserver)

# Activations by the range of each input, at run time.
default_dynamic_qconfig = QConfig(default_dynamic_quant_observer, default_weight_observer)
per_channel_dynamic_qconfig = QConfig(default_dynamic_quant_observer, default_per_channel_weight_observer)
float16_dynamic_qconfig = QConfig(
    PlaceholderObserver.with_args(dtype=np.float16, is_dynamic=True),
    PlaceholderObserver.with_args(dtype=np.float16),
)
float16_static_qconfig = QConfig(
    PlaceholderObserver.with_args(dtype=np.float16), PlaceholderObserver.with_args(dtype=np.float16)
)

# Embedding tables: rows with float zero points, outputs in float32.
float_qparams_weight_only_qconfig = QConfig(default_placeholder_observer, default_float_qparams_observer)
float_qparams_weight_only_qconfig_4bit = QConfig(
    default_placeholder_observer, default_float_qparams_observer_4bit
)

# Signed activations, weights without -128.
default_symmetric_qnnpack_qconfig = QConfig(
    HistogramObserver.with_args(dtype=_core.qint8, eps=2.0**-12), weight_observer_range_neg_127_to_127
)
default_per_channel_symmetric_qnnpack_qconfig = QConfig(
    HistogramObserver.with_args(dtype=_core.qint8, eps=2.0**-12),
    per_channel_weight_observer_range_neg_127_to_127,
)

# Training.
default_qat_qconfig = QConfig(default_fake_quant, default_weight_fake_quant)
default_qat_qconfig_v2 = QConfig(default_fused_act_fake_quant, default_fused_wt_fake_quant)
default_dynamic_qat_qconfig = QConfig(default_dynamic_fake_quant, default_weight_fake_quant)
default_weight_only_qconfig = QConfig(NoopObserver.with_args(dtype=np.float32), default_weight_fake_quant)
default_activation_only_qconfig = QConfig(default_fake_quant, NoopObserver.with_args(dtype=np.float32))
default_embedding_qat_qconfig = QConfig(
    NoopObserver.with_args(dtype=np.float32), default_embedding_fake_quant
)
default_embedding_qat_qconfig_4bit = QConfig(
    NoopObserver.with_args(dtype=np.float32), default_embedding_fake_quant_4bit
)
_signed_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, quant_min=-128, quant_max=127, dtype=_core.qint8, eps=2.0**-12
)
default_symmetric_qnnpack_qat_qconfig = QConfig(_signed_fake_quant, fused_wt_fake_quant_range_neg_127_to_127)
default_per_channel_symmetric_qnnpack_qat_qconfig = QConfig(
    _signed_fake_quant, fused_per_channel_wt_fake_quant_range_neg_127_to_127
)


def _check_backend(backend: str, version: int, versions: tuple[int, ...]) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if version not in versions:
        raise ValueError(f"version must be one of {', '.join(map(str, versions))}, got {version!r}")


def get_default_qconfig(backend: str = "x86", version: int = 0) -> QConfig:
    """How to quantize after training: activations by histograms, in all 8 bits, weights per channel.

    torch leaves a bit of activations unused on x86, since its kernels could saturate there; these do not.

    Parameters
    ----------
    backend : str
        "x86", "fbgemm", "onednn", alike; or "qnnpack": weights per tensor.
    version : int
        0.

    >>> from quantray import quantization as tq
    >>> qconfig = tq.get_default_qconfig("fbgemm")
    >>> qconfig.activation().quant_max, qconfig.weight().qscheme
    (255, per_channel_symmetric)

    Source: `torch.ao.quantization.get_default_qconfig`.
    """
    _check_backend(backend, version, (0,))
    weight = default_weight_observer if backend == "qnnpack" else default_per_channel_weight_observer
    return QConfig(HistogramObserver.with_args(reduce_range=False), weight)


def get_default_qat_qconfig(backend: str = "x86", version: int = 1) -> QConfig:
    """How to train for quantization: activations by moving averages, in all 8 bits, weights per channel.

    Parameters
    ----------
    backend : str
        "x86", "fbgemm", "onednn", alike; or "qnnpack": weights per tensor.
    version : int
        1, or 0: `FakeQuantize` in place of `FusedMovingAvgObsFakeQuantize`, with the same numbers.

    >>> from quantray import quantization as tq
    >>> tq.get_default_qat_qconfig().weight().qscheme
    per_channel_symmetric

    Source: `torch.ao.quantization.get_default_qat_qconfig`.
    """
    _check_backend(backend, version, (0, 1))
    if version == 0:
        per_tensor, per_channel = default_weight_fake_quant, default_per_channel_weight_fake_quant
        return QConfig(default_fake_quant, per_tensor if backend == "qnnpack" else per_channel)
    per_tensor, per_channel = default_fused_wt_fake_quant, default_fused_per_channel_wt_fake_quant
    return QConfig(default_fused_act_fake_quant, per_tensor if backend == "qnnpack" else per_channel)


def qconfig_for_bits(
    weight: int = 8,
    activation: int = 8,
    *,
    qat: bool = True,
    learnable: bool = False,
    per_channel: bool = True,
    averaging_constant: float = 0.01,
) -> QConfig:
    """A QConfig for a number of bits: W4A4 is `qconfig_for_bits(4, 4)`.

    Parameters
    ----------
    weight : int
        Bits of weights, from 2 to 8: signed and symmetric.
    activation : int
        Bits of activations, from 2 to 16: unsigned and affine, quint8; above 8 bits signed, in qint32.
    qat : bool
        For training, with fake quantization; else observers, of ranges from the smallest to the largest
        value.
    learnable : bool
        Whether training learns the scales, from LSQ's start: what 2 and 3 bits need.
    per_channel : bool
        Whether each output channel of a weight has a scale of its own.
    averaging_constant : float
        How much a new batch counts in the range of activations, where training does not learn it.

    >>> from quantray import quantization as tq
    >>> qconfig = tq.qconfig_for_bits(weight=4, activation=2)
    >>> made = qconfig.weight(), qconfig.activation()
    >>> [(m.quant_min, m.quant_max) for m in made]
    [(-8, 7), (0, 3)]
    """
    for name, bits, most in (("weight", weight, 8), ("activation", activation, 16)):
        if bits not in range(2, most + 1):
            raise ValueError(f"{name} must be from 2 to {most} bits, got {bits!r}")
    weights: dict[str, object] = {
        "dtype": _core.qint8,
        "qscheme": _core.per_channel_symmetric if per_channel else _core.per_tensor_symmetric,
        "quant_min": -(2 ** (weight - 1)),
        "quant_max": 2 ** (weight - 1) - 1,
    }
    activations: dict[str, object] = {"dtype": _core.quint8, "quant_min": 0, "quant_max": 2**activation - 1}
    if activation > 8:
        half = 2 ** (activation - 1)
        activations = {"dtype": _core.qint32, "quant_min": -half, "quant_max": half - 1}
    observer = PerChannelMinMaxObserver if per_channel else MinMaxObserver
    if not qat:
        if learnable:
            raise ValueError("learnable must be False without qat, got True")
        return QConfig(MinMaxObserver.with_args(**activations), observer.with_args(**weights))
    if learnable:
        learned: dict[str, object] = {"init": "lsq", "use_grad_scaling": True}
        return QConfig(
            LearnableFakeQuantize.with_args(observer=MinMaxObserver, **activations, **learned),
            LearnableFakeQuantize.with_args(observer=observer, **weights, **learned),
        )
    moving = MovingAveragePerChannelMinMaxObserver if per_channel else MovingAverageMinMaxObserver
    return QConfig(
        FakeQuantize.with_args(
            observer=MovingAverageMinMaxObserver, averaging_constant=averaging_constant, **activations
        ),
        FakeQuantize.with_args(observer=moving, averaging_constant=1, **weights),
    )
