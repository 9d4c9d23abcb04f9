"""Fake quantization whose step size is learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from quantray import _core
from quantray._typing import Array, ArrayLike, Floats
from quantray.nn._gradients import is_traced, untraced
from quantray.quantization.fake_quantize._fake_quantize import FakeQuantizeBase
from quantray.quantization.fake_quantize._functions import fake_quantize_learnable
from quantray.quantization.observer import UniformQuantizationObserverBase
from quantray.quantization.observer._types import PER_CHANNEL, SYMMETRIC

if TYPE_CHECKING:
    from quantray.nn._state import Accepted


class LearnableFakeQuantize(FakeQuantizeBase):
    """Fake quantization whose scale and zero point are parameters that training learns.

    Learned step sizes keep accuracy at 2 and 3 bits, where ranges from the smallest to the largest value lose
    it.

    Parameters
    ----------
    observer : class or factory
        Makes the observer, `activation_post_process`; affine or symmetric, per tensor or per channel.
    quant_min, quant_max : int
        The codes.
    scale, zero_point : float
        To begin with, until data was seen.
    channel_len : int
        The number of channels; by default that of the first input, which then must come before gradients.
    use_grad_scaling : bool
        Whether gradients of scale and zero point are divided by `sqrt(n * quant_max)`, n the number of input
        values.
    init : {None, "observer", "lsq"}
        None: the observer's scale and zero point, anew for each input, until `enable_param_learning()`. Else
        they are set from the first input and learned from then on: the observer's; or the scale `2 mean|x| /
        sqrt(Qp)`, where Qp is the number of codes above the zero point.
    **observer_kwargs
        For the observer: `dtype`, `qscheme`, `ch_axis`, ...

    Attributes
    ----------
    scale, zero_point : ndarray
        float32, of shape (1,) or (channels,); parameters. The zero point is rounded where it is used; that of
        a symmetric scheme is a buffer, which is not learned.

    >>> import numpy as np
    >>> from quantray import quantization as tq
    >>> fake = tq.LearnableFakeQuantize(
    ...     tq.MinMaxObserver, -2, 1, dtype="qint8", qscheme="per_tensor_symmetric", init="lsq"
    ... )
    >>> fake(np.float32([-1.0, -0.25, 0.25, 0.5]))
    array([-1.,  0.,  0.,  0.], dtype=float32)
    >>> fake.scale, sorted(fake.trainable_parameters())
    (array([1.], dtype=float32), ['scale'])

    Source: Learned Step Size Quantization (Esser et al., arXiv:1902.08153), LSQ+ (Bhalgat et al.,
    arXiv:2004.09576); `torch.ao.quantization._learnable_fake_quantize._LearnableFakeQuantize`.
    """

    activation_post_process: UniformQuantizationObserverBase
    scale: Floats
    zero_point: Floats
    static_enabled: NDArray[np.uint8]
    learning_enabled: NDArray[np.uint8]

    def __init__(
        self,
        observer: Callable[..., UniformQuantizationObserverBase],
        quant_min: int = 0,
        quant_max: int = 255,
        scale: float = 1.0,
        zero_point: float = 0.0,
        channel_len: int = -1,
        use_grad_scaling: bool = False,
        init: str | None = None,
        **observer_kwargs: object,
    ) -> None:
        super().__init__()
        if init not in (None, "observer", "lsq"):
            raise ValueError(f"init must be None, 'observer' or 'lsq', got {init!r}")
        if channel_len != -1 and channel_len < 1:
            raise ValueError(
                f"channel_len must be at least 1, or -1 for that of the input, got {channel_len}"
            )
        made = observer(quant_min=quant_min, quant_max=quant_max, **observer_kwargs)
        self.activation_post_process = made
        self.quant_min, self.quant_max = made.quant_min, made.quant_max
        self.dtype, self.qscheme, self.is_dynamic = made.dtype, made.qscheme, made.is_dynamic
        if self.qscheme == _core.per_channel_affine_float_qparams:
            raise ValueError("observer must have integer zero points, got per_channel_affine_float_qparams")
        self.ch_axis: int = getattr(made, "ch_axis", -1)
        self.is_per_channel = self.qscheme in PER_CHANNEL
        self.use_grad_scaling, self.init = use_grad_scaling, init
        length = max(channel_len, 1)
        self.register_parameter("scale", np.full(length, scale))
        if self.qscheme in SYMMETRIC:
            self.register_buffer("zero_point", np.full(length, zero_point, np.float32))
        else:
            self.register_parameter("zero_point", np.full(length, zero_point))
        self.register_buffer("static_enabled", np.array([1], np.uint8))
        self.register_buffer("learning_enabled", np.array([0], np.uint8))
        self.toggle_qparam_learning(init is not None)

    @property
    def eps(self) -> float:
        """The smallest scale."""
        return float(self.activation_post_process.eps[0])

    @property
    def has_data(self) -> bool:
        """Whether something was observed."""
        return self.activation_post_process.has_data

    def enable_param_learning(self) -> Self:
        """Learns scale and zero point from here on, whatever their values now."""
        self.enable_fake_quant()
        return self.toggle_qparam_learning().toggle_observer_update(False)

    def enable_static_estimate(self) -> Self:
        """Takes the observer's scale and zero point for each input."""
        self.enable_fake_quant()
        return self.toggle_qparam_learning(False).toggle_observer_update()

    def enable_static_observation(self) -> Self:
        """Observes, and lets values pass as they are."""
        self.disable_fake_quant()
        return self.toggle_qparam_learning(False).toggle_observer_update()

    def toggle_observer_update(self, enabled: bool = True) -> Self:
        """Whether scale and zero point are set from the input."""
        self.static_enabled = np.array([enabled], np.uint8)
        return self

    def enable_observer(self, enabled: bool = True) -> None:
        """Whether scale and zero point are set from the input."""
        self.toggle_observer_update(enabled)

    def toggle_qparam_learning(self, enabled: bool = True) -> Self:
        """Whether gradients are made for scale and zero point."""
        self.learning_enabled = np.array([enabled], np.uint8)
        return self.requires_grad_(enabled)

    def toggle_fake_quant(self, enabled: bool = True) -> Self:
        """Whether the output is quantized, or the input as it is."""
        self.enable_fake_quant(enabled)
        return self

    def calculate_qparams(self) -> tuple[Floats, Array]:
        """The scale and the zero point that values are quantized by: float32 and int64.

        Raises
        ------
        RuntimeError
            Nothing was observed.
        """
        if not self.has_data:
            raise self.activation_post_process._no_data(type(self).__name__)
        zero_point = np.clip(np.rint(self.zero_point), self.quant_min, self.quant_max).astype(np.int64)
        return np.maximum(self.scale, np.float32(self.eps)), zero_point

    @property
    def _follows(self) -> np.uint8:
        return self.static_enabled[0]

    def quantize(self, X: ArrayLike) -> Floats:
        """Fake-quantizes without observing, whatever is enabled."""
        # Training may have stepped below: the parameter itself is kept positive, as torch does.
        scale = untraced(self.scale)
        np.maximum(scale, np.float32(self.eps), out=scale)
        factor = 1.0
        if self.use_grad_scaling:
            factor = 1 / math.sqrt(max(np.size(untraced(X)), 1) * max(self.quant_max, 1))
        axis = self.ch_axis if self.is_per_channel else None
        return fake_quantize_learnable(
            X, self.scale, self.zero_point, axis, self.quant_min, self.quant_max, factor
        )

    def _observe(self, x: ArrayLike) -> None:
        """Sets scale and zero point from an input."""
        self.activation_post_process(x)
        scale, zero_point = self.activation_post_process.calculate_qparams()
        if self.init == "lsq":
            scale = self._lsq(x, zero_point)
        self._set("scale", scale)
        self._set("zero_point", zero_point)
        if self.init is not None:
            self.toggle_observer_update(False)

    def _assign(self, state: Accepted) -> None:
        super()._assign(state)
        if "learning_enabled" in state:
            self.requires_grad_(bool(self.learning_enabled[0]))

    def _lsq(self, x: ArrayLike, zero_point: Array) -> Array:
        """Section 2.1 of LSQ: `2 mean|x| / sqrt(Qp)`."""
        size = np.abs(np.asarray(x, np.float32))
        axis = self.ch_axis % size.ndim
        others = tuple(d for d in range(size.ndim) if d != axis) if self.is_per_channel else None
        mean = np.atleast_1d(size.mean(axis=others, dtype=np.float64))
        steps = np.maximum(self.quant_max - zero_point, 1)
        return np.maximum(2 * mean / np.sqrt(steps), self.eps)

    def _set(self, name: str, values: Array) -> None:
        """Writes into the parameter's own memory, which a gradient in progress reads."""
        own = getattr(self, name)
        if untraced(own).shape == values.shape:
            untraced(own)[...] = values
        elif is_traced(own):
            raise ValueError(
                f"channel_len must be {values.size}, as the input's, got {untraced(own).size}: give it, or "
                f"call {type(self).__name__} with data before gradients are made"
            )
        else:
            setattr(self, name, np.asarray(values, np.float32))

    def extra_repr(self) -> str:
        """Codes, scale and zero point."""
        return (
            f"quant_min={self.quant_min}, quant_max={self.quant_max}, dtype={self.dtype}, "
            f"qscheme={self.qscheme}, learning_enabled={self.learning_enabled}, "
            f"scale={self.scale}, zero_point={self.zero_point}"
        )
