"""Layers trained for dynamic quantization: their weights are fake-quantized, their inputs are not.

Source: `torch.ao.nn.qat.dynamic`.
"""

from __future__ import annotations

from quantray.nn import qat

__all__ = ["Linear"]


class Linear(qat.Linear):
    """Linear with a fake-quantized weight; `nn.quantized.dynamic.Linear.from_float` makes integers of it.

    Parameters
    ----------
    in_features, out_features, bias, qconfig, device, dtype
        As for `nn.qat.Linear`.

    >>> from quantray import nn, quantization as tq
    >>> layer = nn.qat.dynamic.Linear(2, 4, qconfig=tq.default_dynamic_qat_qconfig)
    >>> layer([[1.0, 2.0]]).shape
    (1, 4)

    Source: `torch.ao.nn.qat.dynamic.Linear`.
    """
