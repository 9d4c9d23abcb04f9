"""Recurrent layers with 8-bit weights, of floats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self, cast

from quantray._core import PackedGRU, PackedLSTM, QTensor, qint8
from quantray.nn import _recurrent
from quantray.nn._module import Module
from quantray.nn._recurrent_layer import RecurrentLayer
from quantray.nn._recurrent_states import states_out
from quantray.nn.quantized._weights import check_weight_dtype
from quantray.nn.quantized.dynamic._packed import PackedRecurrent

if TYPE_CHECKING:
    from quantray._typing import Floats, Input, QDType
    from quantray.nn._recurrent_states import Sequences


class _Layer(PackedRecurrent, RecurrentLayer):
    """All layers and directions, packed as one operator."""

    #: The operator's class.
    _operation: ClassVar[type[PackedLSTM] | type[PackedGRU]]
    _packed: PackedLSTM | PackedGRU
    per_row: bool

    @classmethod
    def from_float(
        cls,
        module: Module,
        use_precomputed_fake_quant: bool = False,
        *,
        dtype: QDType = qint8,
        per_channel: bool = True,
        per_row: bool = True,
    ) -> Self:
        """The module of a float one.

        Parameters
        ----------
        module : Module
            Of the float class of the same name. Its weights must be finite.
        use_precomputed_fake_quant : bool
            As `nn.quantized.dynamic.Linear.from_float` has it.
        dtype : dtype
            Of the weights: qint8.
        per_channel : bool
            Whether each row of weights has a scale of its own.
        per_row : bool
            Whether each row of each step of the input has one: frames of speech are silent and loud. torch
            has one for all steps.
        """
        made = super().from_float(module, use_precomputed_fake_quant, dtype=dtype, per_channel=per_channel)
        made.per_row = per_row
        return made

    def _parts(self) -> list[dict[str, tuple[int, ...]]]:
        return [self._shapes(end) for end in self._ends()]

    def _pack(self, state: Mapping[str, Input]) -> None:
        weights: list[list[QTensor]] = []
        biases: list[list[Input]] = []
        for names in self._parts():
            values = {name: state[name] for name in names}
            weights.append([cast("QTensor", v) for name, v in values.items() if name.startswith("weight")])
            biases.append([v for name, v in values.items() if name.startswith("bias")])
        how = (self.batch_first, self.bidirectional)
        self._packed = self._operation(weights, biases if self.bias else None, *how)

    def _unpacked(self) -> list[tuple[tuple[QTensor, ...], tuple[Floats | None, ...]]]:
        return list(zip(self._packed.weights(), self._packed.biases(), strict=True))

    def _run(
        self, x: Floats, states: tuple[Floats, ...] | None
    ) -> tuple[Floats, Floats | tuple[Floats, ...]]:
        call = cast("Sequences", self._packed)
        return call(x, states_out(states) if states else None, per_row=self.per_row)


class LSTM(_Layer, _recurrent.LSTM):
    """A long short-term memory whose weights are qint8, called as `nn.LSTM` is.

    Made from a float layer by `from_float`, or empty, to load a state_dict; names are the float layer's.
    Activations are quantized to quint8 as they come: the input of a layer with one scale for all steps, and
    in each step the hidden state of the whole batch with one. Gates and states are float32.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        As for `nn.LSTM`; nothing is dropped.
    dtype : dtype
        Of the weights: qint8.
    per_channel : bool
        Whether each row of weights has a scale of its own.
    per_row : bool
        Whether each row of each step of the input has a scale of its own, as `from_float` sets it; by
        default all steps have one.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.LSTM(4, 16)
    >>> small = nn.quantized.dynamic.LSTM.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(10, 1, 4))
    >>> bool(np.abs(small(x)[0] - layer(x)[0]).max() < 0.02)
    True

    Source: `torch.ao.nn.quantized.dynamic.LSTM`.
    """

    _arguments = (*_recurrent.LSTM._arguments, "per_channel", "per_row")
    _source = _recurrent.LSTM
    _operation = PackedLSTM

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: QDType = qint8,
        *,
        per_channel: bool = True,
        per_row: bool = False,
    ) -> None:
        check_weight_dtype(dtype)
        how = (num_layers, bias, batch_first, dropout, bidirectional, proj_size)
        super().__init__(input_size, hidden_size, *how)
        self.per_row = per_row
        self._empty(per_channel)


class GRU(_Layer, _recurrent.GRU):
    """A gated recurrent unit whose weights are qint8, called as `nn.GRU` is; quantized as `LSTM` is.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `nn.GRU`; nothing is dropped.
    dtype : dtype
        Of the weights: qint8.
    per_channel : bool
        Whether each row of weights has a scale of its own.
    per_row : bool
        Whether each row of each step of the input has a scale of its own, as `from_float` sets it; by
        default all steps have one.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.GRU(4, 16)
    >>> small = nn.quantized.dynamic.GRU.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(10, 1, 4))
    >>> bool(np.abs(small(x)[0] - layer(x)[0]).max() < 0.02)
    True

    Source: `torch.ao.nn.quantized.dynamic.GRU`.
    """

    _arguments = (*_recurrent.GRU._arguments, "per_channel", "per_row")
    _source = _recurrent.GRU
    _operation = PackedGRU

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: QDType = qint8,
        *,
        per_channel: bool = True,
        per_row: bool = False,
    ) -> None:
        check_weight_dtype(dtype)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.per_row = per_row
        self._empty(per_channel)
