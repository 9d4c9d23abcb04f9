"""Tables of 8- or 4-bit rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, cast

import numpy as np

from quantray import _core
from quantray._core import (
    QTensor,
    per_channel_affine_float_qparams,
    quantize_per_channel,
    quint4x2,
    quint8,
)
from quantray.nn import _embedding, _init
from quantray.nn._factory import check_sizes
from quantray.nn._module import Module
from quantray.nn._tracing import whole
from quantray.nn.functional._embedding import embedding, embedding_bag, padding_row
from quantray.nn.quantized._weights import check_source

if TYPE_CHECKING:
    from quantray._typing import ArrayLike, Config, Floats, Input, QDType, Scalar, Tensor

_DTYPES = {"quint8": quint8, "quint4x2": quint4x2}


def quantized_table(weight: Input, dtype: QDType = quint8) -> QTensor:
    """A table whose rows have a float scale and zero point of their own, so that each uses all of its codes.

    Source: torch's `default_float_qparams_observer`, for which zero points need not be integers.
    """
    if dtype not in _DTYPES.values():
        raise ValueError(f"dtype must be quint8 or quint4x2 for a table, got {dtype}")
    kind = cast("_core.dtype", dtype)
    values = np.asarray(weight, np.float32)
    low = np.minimum(values.min(1), 0).astype(np.float32)
    high = np.maximum(values.max(1), 0).astype(np.float32)
    eps = np.finfo(np.float32).eps
    scales = np.maximum((high - low) / np.float32(2**kind.bits - 1), eps).astype(np.float32)
    return quantize_per_channel(
        values, scales, -low / scales, 0, dtype, qscheme=per_channel_affine_float_qparams
    )


class _Table(Module):
    """What both share: the table, and what it is made from."""

    weight: QTensor

    def _make(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        weight: QTensor | None,
        dtype: QDType,
    ) -> None:
        super().__init__()
        if not _init.is_rebuilding():
            check_sizes(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if max_norm is not None:
            raise ValueError(f"max_norm must be None, got {max_norm}: rows of integers are not scaled again")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_row(padding_idx, num_embeddings)
        dtype = dtype if isinstance(dtype, _core.dtype) else _DTYPES.get(str(dtype), dtype)
        self.register_buffer("weight", quantized_table(_init.zeros((num_embeddings, embedding_dim)), dtype))
        if weight is not None:
            self.set_weight(weight)

    @staticmethod
    def _table_of(mod: Module, dtype: QDType | None) -> QTensor:
        """The table of a float module: by its fake quantization, its QConfig, or each row's own range."""
        trained = getattr(mod, "weight_fake_quant", None)
        if trained is not None:
            if not trained.has_data:
                trained.forward(mod.weight)
            scales, zero_points = trained.calculate_qparams()
            return quantize_per_channel(
                mod.weight, scales, zero_points, 0, trained.dtype, qscheme=per_channel_affine_float_qparams
            )
        qconfig = getattr(mod, "qconfig", None)
        if dtype is not None:
            return quantized_table(mod.weight, dtype)
        return quantized_table(mod.weight, quint8 if qconfig is None else qconfig.weight().dtype)

    @property
    def dtype(self) -> _core.dtype:
        """Of the table: quint8 or quint4x2."""
        return self.weight.dtype

    def set_weight(self, weight: QTensor) -> None:
        """Takes a table of shape (num_embeddings, embedding_dim), of any dtype and scheme."""
        valid = (self.num_embeddings, self.embedding_dim)
        if tuple(weight.shape) != valid:
            raise ValueError(f"weight must be of shape {valid}, got {tuple(weight.shape)}")
        self.weight = weight

    def _accept(self, name: str, value: object) -> Tensor | Scalar:
        accepted = cast("QTensor", super()._accept(name, value))
        if accepted.dtype != self.weight.dtype:
            raise TypeError(f"must be of {self.weight.dtype}, got {accepted.dtype}")
        return accepted

    def _settings(self) -> Config:
        name = next(name for name, dtype in _DTYPES.items() if dtype == self.weight.dtype)
        return {
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "padding_idx": self.padding_idx,
            "dtype": name,
        }

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"

    def extra_repr(self) -> str:
        """Lengths and dtype."""
        return f"{self.num_embeddings}, {self.embedding_dim}, dtype={self._settings()['dtype']}"


class Embedding(_Table):
    """Rows of a table of 8- or 4-bit integers, as floats.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows of the table, and their length.
    padding_idx : int, optional
        Kept from the float module; look-ups do not depend on it.
    max_norm, norm_type, scale_grad_by_freq, sparse
        For torch's sake: None, and without effect.
    _weight : QTensor, optional
        The table; zeros by default.
    dtype : dtype or str
        quint8 or quint4x2.

    >>> import numpy as np
    >>> from quantray import nn
    >>> table = nn.Embedding(10, 4)
    >>> small = nn.quantized.Embedding.from_float(table)
    >>> bool(np.abs(small([1, 2]) - table([1, 2])).max() < 0.02)
    True

    Source: `torch.ao.nn.quantized.Embedding`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: QTensor | None = None,
        dtype: QDType = quint8,
        *,
        from_end: bool = False,
    ) -> None:
        self._make(num_embeddings, embedding_dim, padding_idx, max_norm, _weight, dtype)
        self.from_end = from_end

    @classmethod
    def from_float(
        cls, mod: Module, use_precomputed_fake_quant: bool = False, *, dtype: QDType | None = None
    ) -> Self:
        """The table of a float `nn.Embedding`, each row with a scale and zero point of its own.

        Parameters
        ----------
        mod : nn.Embedding
            Or one of `nn.qat`, whose table is quantized as it was trained.
        use_precomputed_fake_quant : bool
            Accepted for torch's sake.
        dtype : dtype, optional
            By default that of the `qconfig`, or quint8.
        """
        check_source(cls, mod, _embedding.Embedding)
        table = cls._table_of(mod, dtype)
        sizes = (mod.num_embeddings, mod.embedding_dim, mod.padding_idx)
        made = cls(*sizes, _weight=table, dtype=table.dtype, from_end=mod.from_end)
        made.training = mod.training
        return made

    @whole
    def forward(self, input: ArrayLike) -> Floats:
        """Shape (*input.shape, embedding_dim), float32."""
        return embedding(input, self.weight, from_end=self.from_end)

    def _config(self) -> Config:
        return self._settings() | {"from_end": self.from_end}


class EmbeddingBag(_Table):
    """Sums, means or maxima of some rows of a table of 8- or 4-bit integers.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows of the table, and their length.
    max_norm, norm_type, scale_grad_by_freq, sparse
        For torch's sake: None, and without effect.
    mode : str
        "sum", "mean" or "max".
    _weight : QTensor, optional
        The table; zeros by default.
    include_last_offset : bool
        Whether the last one of the offsets is where the last bag ends.
    dtype : dtype or str
        quint8 or quint4x2.
    padding_idx : int, optional
        A row that belongs to no bag.

    >>> import numpy as np
    >>> from quantray import nn
    >>> table = nn.EmbeddingBag(10, 4, mode="sum")
    >>> small = nn.quantized.EmbeddingBag.from_float(table)
    >>> bool(np.abs(small([[1, 2]]) - table([[1, 2]])).max() < 0.04)
    True

    Source: `torch.ao.nn.quantized.EmbeddingBag`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: Literal["sum", "mean", "max"] = "sum",
        sparse: bool = False,
        _weight: QTensor | None = None,
        include_last_offset: bool = False,
        dtype: QDType = quint8,
        padding_idx: int | None = None,
    ) -> None:
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f'mode must be "sum", "mean" or "max", got {mode!r}')
        self._make(num_embeddings, embedding_dim, padding_idx, max_norm, _weight, dtype)
        self.mode: Literal["sum", "mean", "max"] = mode
        self.include_last_offset = include_last_offset

    @classmethod
    def from_float(
        cls, mod: Module, use_precomputed_fake_quant: bool = False, *, dtype: QDType | None = None
    ) -> Self:
        """The table of a float `nn.EmbeddingBag`; see `Embedding.from_float`."""
        check_source(cls, mod, _embedding.EmbeddingBag)
        table = cls._table_of(mod, dtype)
        made = cls(
            mod.num_embeddings,
            mod.embedding_dim,
            mode=mod.mode,
            include_last_offset=mod.include_last_offset,
            padding_idx=mod.padding_idx,
            _weight=table,
            dtype=table.dtype,
        )
        made.training = mod.training
        return made

    @whole
    def forward(
        self, input: ArrayLike, offsets: ArrayLike | None = None, per_sample_weights: ArrayLike | None = None
    ) -> Floats:
        """Shape (bags, embedding_dim), float32."""
        return embedding_bag(
            input,
            self.weight,
            offsets,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )

    def _config(self) -> Config:
        return self._settings() | {"mode": self.mode, "include_last_offset": self.include_last_offset}
