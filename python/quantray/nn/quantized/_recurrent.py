"""The long short-term memory of integers that an observed one becomes."""

from __future__ import annotations

from typing import Never, Self, TypeVar, cast

from quantray import nn
from quantray.nn.quantizable import LSTM as QuantizableLSTM

M = TypeVar("M", bound=nn.Module)


class LSTM(QuantizableLSTM):
    """A long short-term memory whose layers, sums and products compute in integers.

    Made by `from_observed` from an `nn.quantizable.LSTM` that `prepare` and data have been through.
    `nn.quantized.dynamic.LSTM` needs no data and is faster.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, split_gates
        As for `nn.quantizable.LSTM`.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.LSTM(4, 8)
    >>> layer.qconfig = tq.get_default_qconfig()
    >>> x = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    >>> ready = tq.prepare(nn.quantizable.LSTM.from_float(layer))
    >>> _ = ready(x)
    >>> small = nn.quantized.LSTM.from_observed(ready)
    >>> bool(np.abs(small(x)[0] - layer(x)[0]).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.LSTM`.
    """

    @classmethod
    def from_float(cls, *args: object, **kwargs: object) -> Never:
        """Not from floats: it needs to be observed first."""
        raise NotImplementedError(
            "nn.quantized.LSTM is made from an observed nn.quantizable.LSTM: from_float of that, "
            "quantization.prepare, a call with data, then nn.quantized.LSTM.from_observed"
        )

    @classmethod
    def from_observed(cls, other: nn.Module) -> Self:
        """The layer of integers of a prepared `nn.quantizable.LSTM` that has seen data."""
        return converted_as(cls, other, QuantizableLSTM)

    def _get_name(self) -> str:
        return "QuantizedLSTM"


def converted_as(cls: type[M], other: nn.Module, wanted: type) -> M:
    """A prepared module, converted, of a class of integers."""
    from quantray.quantization.convert import convert

    if not isinstance(other, wanted) or isinstance(other, cls):
        raise TypeError(f"other must be an nn.quantizable.{wanted.__name__}, got {type(other).__name__}")
    made = convert(other)
    made.__class__ = cls
    return cast("M", made)
