"""Fused modules with 8-bit weights whose inputs are floats, quantized as they come.

Source: `torch.ao.nn.intrinsic.quantized.dynamic`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantray._core import qint8
from quantray.nn.quantized import dynamic

if TYPE_CHECKING:
    from quantray._typing import QDType

__all__ = ["LinearReLU"]


class LinearReLU(dynamic.Linear):
    """A linear layer with 8-bit weights, then ReLU; `quantize_dynamic` makes `dynamic.Linear` with `relu`.

    Parameters
    ----------
    in_features, out_features, bias, dtype
        As for `nn.quantized.dynamic.Linear`.
    per_channel, per_row, reduce_range : bool
        As there.
    relu : bool
        True.

    >>> from quantray import nn
    >>> nn.intrinsic.quantized.dynamic.LinearReLU(2, 3)([[1.0, 2.0]]).tolist()
    [[0.0, 0.0, 0.0]]

    Source: `torch.ao.nn.intrinsic.quantized.dynamic.LinearReLU`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: QDType = qint8,
        *,
        per_channel: bool = True,
        per_row: bool = True,
        reduce_range: bool = False,
        relu: bool = True,
    ) -> None:
        if not relu:
            raise ValueError("relu must be True for LinearReLU, got False")
        options = {"per_channel": per_channel, "per_row": per_row, "reduce_range": reduce_range}
        super().__init__(in_features, out_features, bias, dtype, relu=True, **options)
