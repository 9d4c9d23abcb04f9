"""Float weights as integers, for modules that are made from float ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantray._core import (
    QTensor,
    make_per_channel_quantized_tensor,
    make_per_tensor_quantized_tensor,
    per_channel_symmetric,
    per_tensor_symmetric,
    qint8,
    quantize_per_channel,
    quantize_per_tensor,
)
from quantray.nn import _init

if TYPE_CHECKING:
    from quantray._typing import Array, Input, QDType
    from quantray.nn._module import Module


def check_source(cls: type, module: Module, wanted: type) -> None:
    """Raises where a module is of another class than the float one that is replaced."""
    if isinstance(module, cls):
        raise TypeError(f"module must have float weights for {cls.__name__}, got {module._get_name()}")
    if not isinstance(module, wanted):
        raise TypeError(f"module must be a {wanted.__name__} for {cls.__name__}, got {type(module).__name__}")


if TYPE_CHECKING:
    from typing import TypeAlias

    from quantray import ops

    #: A convolution that is packed for this CPU.
    PackedConv: TypeAlias = (
        ops.PackedConv1d
        | ops.PackedConv2d
        | ops.PackedConv3d
        | ops.PackedConvTranspose1d
        | ops.PackedConvTranspose2d
        | ops.PackedConvTranspose3d
    )
    #: A linear layer or a convolution that is packed.
    Packed: TypeAlias = ops.PackedLinear | PackedConv


#: torch's other dtype of dynamic layers, and what does its work here.
NO_FLOAT16 = (
    "weights of float16 are not kept; quantization.remedies.weight_only(model, bits=8) has half as many "
    "bytes, and inputs stay floats"
)


def check_weight_dtype(dtype: object) -> None:
    """Raises for another dtype of weights than qint8."""
    if dtype is not qint8:
        hint = f": {NO_FLOAT16}" if is_float16(dtype) else ""
        raise ValueError(f"dtype must be qint8 for a weight, got {dtype}{hint}")


def is_float16(dtype: object) -> bool:
    """Whether it is NumPy's, or torch's."""
    return dtype is np.float16 or str(dtype) in ("float16", "torch.float16")


def check_qconfig(module: Module) -> None:
    """Raises where a module asks for weights that no dynamic layer has."""
    qconfig = getattr(module, "qconfig", None)
    if qconfig is not None and is_float16(getattr(qconfig.weight(), "dtype", None)):
        raise ValueError(f"qconfig must have weights of qint8, got float16: {NO_FLOAT16}")


def blank_weight(shape: tuple[int, ...], per_channel: bool = True, axis: int = 0) -> QTensor:
    """A weight of zeros, for a module that is to load its own."""
    codes = _init.zeros(shape, np.int8)
    if per_channel:
        return make_per_channel_quantized_tensor(codes, np.ones(shape[axis]), 0, axis)
    return make_per_tensor_quantized_tensor(codes, 1.0, 0)


def taken_apart(cls: type, module: Module, wanted: type) -> tuple[Module, Array, Array | None, bool]:
    """The float layer, its weight and bias, and whether ReLU follows: of a layer alone, or a fused one."""
    from quantray.nn._activation import ReLU
    from quantray.nn.intrinsic import FusedWeighted

    if not isinstance(module, FusedWeighted):
        check_source(cls, module, wanted)
        return module, module.weight, module.bias, False
    check_source(cls, module.layer, wanted)
    after = module.activation
    if after is not None and type(after) is not ReLU:
        raise ValueError(f"module must have ReLU after its layer, or nothing, got {type(after).__name__}")
    return module.layer, *module.weight_and_bias(), after is not None


def quantized_weight(
    weight: Input, dtype: QDType = qint8, per_channel: bool = True, name: str = "weight", axis: int = 0
) -> QTensor:
    """A weight as symmetric 8-bit integers, with a scale for each output, along `axis`, or one for all."""
    from quantray.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

    check_weight_dtype(dtype)
    values = np.asarray(weight, np.float32)
    if not np.isfinite(values).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(f"{name} must be finite, got {values[at]} at {at}")
    if per_channel:
        each = PerChannelMinMaxObserver(ch_axis=axis, dtype=qint8, qscheme=per_channel_symmetric)
        each(values)
        scales, zero_points = each.calculate_qparams()
        return quantize_per_channel(values, scales, zero_points, axis, qint8)
    observer = MinMaxObserver(dtype=qint8, qscheme=per_tensor_symmetric)
    observer(values)
    scale, zero_point = observer.calculate_qparams()
    return quantize_per_tensor(values, float(np.reshape(scale, ())), int(np.reshape(zero_point, ())), qint8)
