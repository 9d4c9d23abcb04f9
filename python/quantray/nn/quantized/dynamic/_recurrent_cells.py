"""Recurrent cells with 8-bit weights, of floats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from quantray._core import PackedGRUCell, PackedLSTMCell, PackedRNNCell, QTensor, qint8
from quantray.nn import _recurrent_cells
from quantray.nn._recurrent_cells import RecurrentCell
from quantray.nn._recurrent_states import states_out
from quantray.nn.quantized._weights import check_weight_dtype
from quantray.nn.quantized.dynamic._packed import PackedRecurrent

if TYPE_CHECKING:
    from quantray._typing import Floats, Input, QDType


class _Cell(PackedRecurrent, RecurrentCell):
    """One direction, packed as an operator of one step."""

    _packed: PackedLSTMCell | PackedGRUCell | PackedRNNCell

    def _parts(self) -> list[dict[str, tuple[int, ...]]]:
        return [self._shapes()]

    def _pack(self, state: Mapping[str, Input]) -> None:
        w_ih, w_hh = cast("QTensor", state["weight_ih"]), cast("QTensor", state["weight_hh"])
        self._packed = self._operator(w_ih, w_hh, state.get("bias_ih"), state.get("bias_hh"))

    def _operator(
        self, w_ih: QTensor, w_hh: QTensor, b_ih: Input | None, b_hh: Input | None
    ) -> PackedLSTMCell | PackedGRUCell | PackedRNNCell:
        """The operator of weights and biases."""
        raise NotImplementedError

    def _unpacked(self) -> list[tuple[tuple[QTensor, ...], tuple[Floats | None, ...]]]:
        return [(self._packed.weights(), self._packed.biases())]

    def _run(
        self, x: Floats, states: tuple[Floats, ...] | None, size: tuple[int, ...]
    ) -> Floats | tuple[Floats, ...]:
        call = cast("Callable[..., Floats | tuple[Floats, ...]]", self._packed)
        return call(x, states_out(states) if states else None)


class LSTMCell(_Cell, _recurrent_cells.LSTMCell):
    """One step of a long short-term memory whose weights are qint8, called as `nn.LSTMCell` is.

    Inputs and hidden states are quantized to quint8 as they come, with one scale for the whole batch.

    Parameters
    ----------
    input_size, hidden_size, bias
        As for `nn.LSTMCell`.
    dtype : dtype
        Of the weights: qint8.
    per_channel : bool
        Whether each row of weights has a scale of its own.

    >>> import numpy as np
    >>> from quantray import nn
    >>> cell = nn.LSTMCell(4, 16)
    >>> h, c = nn.quantized.dynamic.LSTMCell.from_float(cell)(np.ones((1, 4)))
    >>> bool(np.abs(h - cell(np.ones((1, 4)))[0]).max() < 0.02)
    True

    Source: `torch.ao.nn.quantized.dynamic.LSTMCell`.
    """

    _arguments = (*RecurrentCell._arguments, "per_channel")
    _source = _recurrent_cells.LSTMCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: QDType = qint8,
        *,
        per_channel: bool = True,
    ) -> None:
        check_weight_dtype(dtype)
        super().__init__(input_size, hidden_size, bias)
        self._empty(per_channel)

    def _operator(
        self, w_ih: QTensor, w_hh: QTensor, b_ih: Input | None, b_hh: Input | None
    ) -> PackedLSTMCell:
        return PackedLSTMCell(w_ih, w_hh, b_ih, b_hh)


class GRUCell(_Cell, _recurrent_cells.GRUCell):
    """One step of a gated recurrent unit whose weights are qint8; quantized as `LSTMCell` is.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, per_channel
        As for `LSTMCell`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> cell = nn.GRUCell(4, 16)
    >>> h = nn.quantized.dynamic.GRUCell.from_float(cell)(np.ones((1, 4)))
    >>> bool(np.abs(h - cell(np.ones((1, 4)))).max() < 0.02)
    True

    Source: `torch.ao.nn.quantized.dynamic.GRUCell`.
    """

    _arguments = (*RecurrentCell._arguments, "per_channel")
    _source = _recurrent_cells.GRUCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: QDType = qint8,
        *,
        per_channel: bool = True,
    ) -> None:
        check_weight_dtype(dtype)
        super().__init__(input_size, hidden_size, bias)
        self._empty(per_channel)

    def _operator(
        self, w_ih: QTensor, w_hh: QTensor, b_ih: Input | None, b_hh: Input | None
    ) -> PackedGRUCell:
        return PackedGRUCell(w_ih, w_hh, b_ih, b_hh)


class RNNCell(_Cell, _recurrent_cells.RNNCell):
    """One step of Elman's network whose weights are qint8; quantized as `LSTMCell` is.

    Parameters
    ----------
    input_size, hidden_size, bias, nonlinearity
        As for `nn.RNNCell`.
    dtype : dtype
        Of the weights: qint8.
    per_channel : bool
        Whether each row of weights has a scale of its own.

    >>> import numpy as np
    >>> from quantray import nn
    >>> cell = nn.RNNCell(4, 16)
    >>> h = nn.quantized.dynamic.RNNCell.from_float(cell)(np.ones((1, 4)))
    >>> bool(np.abs(h - cell(np.ones((1, 4)))).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.dynamic.RNNCell`.
    """

    _arguments = (*_recurrent_cells.RNNCell._arguments, "per_channel")
    _source = _recurrent_cells.RNNCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: QDType = qint8,
        *,
        per_channel: bool = True,
    ) -> None:
        check_weight_dtype(dtype)
        super().__init__(input_size, hidden_size, bias, nonlinearity)
        self._empty(per_channel)

    def _operator(
        self, w_ih: QTensor, w_hh: QTensor, b_ih: Input | None, b_hh: Input | None
    ) -> PackedRNNCell:
        return PackedRNNCell(w_ih, w_hh, b_ih, b_hh, self.nonlinearity)
