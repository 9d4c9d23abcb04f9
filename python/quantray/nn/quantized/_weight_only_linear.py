"""A linear layer of floats whose weight has few bits, in groups with scales of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

import numpy as np

from quantray._core import (
    QTensor,
    per_channel_affine_float_qparams,
    quantize_per_channel,
    quint2x4,
    quint4x2,
    quint8,
)
from quantray.nn import _init, _linear
from quantray.nn._module import Module
from quantray.nn._tracing import whole
from quantray.nn.quantized._weights import taken_apart
from quantray.ops import PackedWeightOnlyLinear

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Config, Floats, Input, State
    from quantray.nn._state import Accepted

#: Sizes of groups that there are kernels for.
GROUPS = (16, 32, 64, 128, 256)


class WeightOnlyLinear(Module):
    """A linear layer whose weight has 2 to 8 bits, each group of it a scale of its own; inputs stay float.

    Its product reads 4 bits a weight up to 4 bits, and 8 above; files hold 2, 4 or 8. Layers that are made
    from floats are symmetric; those of ONNX files may have a zero point for each group.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the input's and the output's last axis.
    bias : bool
        Whether there is a bias, in float32.
    bits : int
        Bits of the weight: signed, from -2**(bits - 1) to 2**(bits - 1) - 1.
    group_size : int
        Weights of a row that share a scale: 16, 32, 64, 128 or 256.
    input_bits : int
        What inputs keep in the product: 24, all; 16 or 8. See `ops.PackedWeightOnlyLinear`.
    relu : bool
        Whether negative outputs become 0.

    Raises
    ------
    ValueError
        For bits and sizes that there are none of.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Linear(64, 8)
    >>> small = nn.quantized.WeightOnlyLinear.from_float(layer, bits=4, group_size=32)
    >>> x = np.random.default_rng(0).standard_normal((4, 64), np.float32)
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.2)
    True

    Source: `torch.ops.aten._weight_int4pack_mm_for_cpu`; onnxruntime's `MatMulNBits`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        bits: int = 4,
        group_size: int = 32,
        input_bits: int = 24,
        relu: bool = False,
    ) -> None:
        super().__init__()
        if bits not in range(2, 9):
            raise ValueError(f"bits must be from 2 to 8, got {bits!r}")
        if group_size not in GROUPS:
            raise ValueError(f"group_size must be one of {', '.join(map(str, GROUPS))}, got {group_size!r}")
        self.in_features, self.out_features = in_features, out_features
        self.bits, self.group_size, self.input_bits, self.relu = bits, group_size, input_bits, relu
        codes = _init.zeros((out_features, in_features), np.int8)
        self.set_codes(codes, np.ones((out_features, self.groups), np.float32))
        if bias:
            self.set_codes(
                codes, np.ones((out_features, self.groups), np.float32), _init.zeros((out_features,))
            )

    @property
    def groups(self) -> int:
        """Groups of a row; the last one may be shorter."""
        return -(-self.in_features // self.group_size)

    @property
    def code_range(self) -> tuple[int, int]:
        """The least and the greatest code."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1

    def set_codes(
        self,
        codes: ArrayLike,
        scales: ArrayLike,
        bias: ArrayLike | None = None,
        zero_points: ArrayLike | None = None,
    ) -> None:
        """Takes codes, scales, a bias, and what stands for 0 where that is not code 0.

        Parameters
        ----------
        codes : array_like of int
            Shape (out_features, in_features).
        scales : array_like of float
            Shape (out_features, groups).
        bias : array_like, optional
            Shape (out_features,).
        zero_points : array_like, optional
            Shape (out_features, groups). Codes; or floats, as half-quadratic quantization has them.

        Raises
        ------
        ValueError
            For other shapes, codes beyond the bits, and numbers that are not finite.
        """
        found = np.asarray(codes)
        if found.shape != (self.out_features, self.in_features):
            valid = (self.out_features, self.in_features)
            raise ValueError(f"codes must be of shape {valid}, got {found.shape}")
        low, high = self.code_range
        if found.size and not (low <= found.min() and found.max() <= high):
            raise ValueError(f"codes must be from {low} to {high}, got {found.min()} to {found.max()}")
        whole, self._zeros, self._shifts = None, None, None
        if zero_points is not None:
            self._zeros = zeros = np.asarray(zero_points, np.float32)
            if zeros.shape != (self.out_features, self.groups):
                valid = (self.out_features, self.groups)
                raise ValueError(f"zero_points must be of shape {valid}, got {zeros.shape}")
            if not np.isfinite(zeros).all():
                raise ValueError("zero_points must be finite")
            whole = np.clip(np.rint(zeros), low, high).astype(np.int8)
            if not np.array_equal(whole, zeros):
                # What lies between codes is multiplied by the sums of each group's inputs.
                self._shifts = (whole - zeros) * np.asarray(scales, np.float32)
        self._packed = PackedWeightOnlyLinear.from_codes(
            found.astype(np.int8),
            scales,
            whole,
            bias=bias,
            bits=4 if self.bits <= 4 else 8,
            group_size=self.group_size,
            input_bits=self.input_bits,
        )

    @classmethod
    def from_float(cls, module: Module, *, bits: int = 4, group_size: int = 32, input_bits: int = 24) -> Self:
        """The layer of a float `nn.Linear`, or of one fused with ReLU, by ranges that lose least."""
        _, weight, bias, relu = taken_apart(cls, module, _linear.Linear)
        return cls.of(weight, bias, bits=bits, group_size=group_size, input_bits=input_bits, relu=relu)

    @classmethod
    def of(
        cls,
        weight: Input,
        bias: ArrayLike | None = None,
        *,
        bits: int = 4,
        group_size: int = 32,
        input_bits: int = 24,
        relu: bool = False,
    ) -> Self:
        """The layer of a float weight, shape (out_features, in_features), and a bias."""
        from quantray.quantization.remedies._grouped import group_scales, spread
        from quantray.quantization.remedies._rounding import nearest_codes

        values = np.asarray(weight, np.float32)
        if not np.isfinite(values).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise ValueError(f"weight must be finite, got {values[at]} at {at}")
        made = cls(
            values.shape[1],
            values.shape[0],
            bits=bits,
            group_size=group_size,
            input_bits=input_bits,
            relu=relu,
        )
        scales = group_scales(values, made.code_range, group_size)
        codes = nearest_codes(values, spread(scales, group_size, values.shape[1]), made.code_range)
        made.set_codes(codes, scales, bias)
        return made

    def dequantized(self) -> Array:
        """The weight that the codes stand for: shape (out_features, in_features), float32."""
        weight = self._packed.weight()
        if self._shifts is None:
            return weight
        return weight + np.repeat(self._shifts, self.group_size, 1)[:, : self.in_features]

    def is_per_channel(self) -> bool:
        """Whether all groups of an output have one scale and one zero point."""
        parts = (self._packed.scales(), self._zeros)
        return self.groups > 0 and all(part is None or bool((part == part[:, :1]).all()) for part in parts)

    def to_float(self) -> _linear.Linear:
        """The float layer of the weight that the codes stand for."""
        if self.relu:
            raise ValueError("relu must be False for a float layer, which has none, got True")
        bias = self.bias()
        with _init.rebuilding(4 * self.out_features * (self.in_features + 1)):
            made = _linear.Linear(self.in_features, self.out_features, bias is not None)
        made.weight = self.dequantized()
        if bias is not None:
            made.bias = bias
        made._take_hooks(self)
        return made.train(self.training)

    def blocks(self) -> tuple[Array, Array, Array | None]:
        """Codes around 0, scales, and zero points or None: what `set_codes` takes."""
        codes = self._packed.codes().astype(np.int16) - (8 if self.bits <= 4 else 128)
        return codes.astype(np.int8), self._packed.scales(), self._zeros

    def bias(self) -> Floats | None:
        """The bias, shape (out_features,), or None."""
        return self._packed.bias()

    @whole
    def forward(self, input: Input) -> Array:
        """Shape (..., out_features), float32."""
        output = self._product(input)
        return np.maximum(output, np.float32(0), out=output) if self.relu else output

    def _product(self, input: Input) -> Array:
        if self._shifts is None:
            return self._packed(input)
        x = np.asarray(input, np.float32)
        sums = np.add.reduceat(x, np.arange(0, self.in_features, self.group_size), -1)
        return self._packed(x) + sums @ self._shifts.T

    def into(self, input: Floats, out: Floats, relu: bool = False) -> Floats:
        """The same, written into `out`, an array of float32; with `relu` negative numbers become 0."""
        np.copyto(out, self._product(input))
        return np.maximum(out, np.float32(0), out=out) if relu else out

    # State: a tensor per channel, whose channels are groups.

    def weight(self) -> QTensor:
        """The weight as it is saved: a row for each group, of a float zero point."""
        codes = self._packed.codes().astype(np.int16)
        middle = 8 if self.bits <= 4 else 128
        low = self.code_range[0]
        padded = np.zeros((self.out_features, self.groups * self.group_size), np.int16)
        padded[:, : self.in_features] = codes - middle - low
        padded[:, self.in_features :] = -low
        rows = padded.reshape(-1, self.group_size)
        scales = self._packed.scales().astype(np.float32).reshape(-1)
        zero_points = np.full(scales.shape, -low, np.float32)
        if self._zeros is not None:
            zero_points += self._zeros.reshape(-1)
        # Files have scales below 0, whose groups are the same mirrored, and of 0, whose groups are zeros.
        mirrored, empty = scales < 0, np.abs(scales) < np.finfo(np.float32).tiny
        last = 2**self.bits - 1
        rows[mirrored], zero_points[mirrored] = last - rows[mirrored], last - zero_points[mirrored]
        rows[empty] = zero_points[empty] = -low
        scales = np.where(empty, np.float32(1), np.abs(scales))
        dtype = quint2x4 if self.bits == 2 else quint4x2 if self.bits <= 4 else quint8
        # Codes are those of the values that they stand for, exactly.
        values = rows - zero_points[:, None]
        ones = np.ones(len(rows), np.float32)
        made = quantize_per_channel(
            values, ones, zero_points, 0, dtype, qscheme=per_channel_affine_float_qparams
        )
        return _with_scales(made, scales)

    def _own_state(self) -> State:
        bias = self.bias()
        return {"weight": self.weight(), **({} if bias is None else {"bias": bias})}

    def _assign(self, state: Accepted) -> None:
        if not state:
            return
        given = cast("QTensor | None", state.get("weight"))
        codes, scales, zeros = self.blocks()
        if given is not None:
            scales = np.asarray(given.q_per_channel_scales(), np.float32)
            shape = self.out_features, self.groups
            own = np.asarray(given.q_per_channel_zero_points(), np.float32) + np.float32(self.code_range[0])
            zeros = own.reshape(shape) if own.any() else None
            # Steps from the zero point, of scales that are not 0.
            steps = np.asarray(given.dequantize(), np.float64) / np.where(scales == 0, 1, scales)[:, None]
            flat = np.rint(steps + own[:, None]).reshape(self.out_features, -1)[:, : self.in_features]
            codes, scales = flat, scales.reshape(shape)
        self.set_codes(codes, scales, cast("Array | None", state.get("bias", self.bias())), zeros)
        self._touched()

    def _config(self) -> Config:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias() is not None,
            "bits": self.bits,
            "group_size": self.group_size,
            "input_bits": self.input_bits,
            "relu": self.relu,
        }

    def extra_repr(self) -> str:
        """Lengths, bits and groups."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bits={self.bits}, "
            f"group_size={self.group_size}{', relu' if self.relu else ''}"
        )


def _with_scales(q: QTensor, scales: Array) -> QTensor:
    """The same codes with other scales."""
    from quantray import _core

    scheme = str(q.qscheme()).rpartition(".")[2]
    zero_points = [float(z) for z in q.q_per_channel_zero_points()]
    found = [float(scale) for scale in scales]
    return _core._rebuild(q.int_repr(), q.dtype.name, scheme, found, zero_points, 0, list(q.shape))
