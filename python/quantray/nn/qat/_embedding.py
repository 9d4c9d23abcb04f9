"""Tables that are fake-quantized in every call, so that training learns to live with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from quantray import nn
from quantray._core import per_channel_affine_float_qparams
from quantray.nn._factory import check_factory
from quantray.nn._tracing import whole
from quantray.nn.functional._embedding import embedding, embedding_bag
from quantray.nn.qat._weighted import Trained, check_qconfig

if TYPE_CHECKING:
    from quantray._typing import ArrayLike, Floats
    from quantray.nn.qat._weighted import QConfig


def is_for_tables(qconfig: QConfig) -> bool:
    """Whether a QConfig fake-quantizes rows with float zero points."""
    made = qconfig.weight()
    return (
        isinstance(made, nn.Module)  # pyright: ignore[reportUnnecessaryIsInstance] # a user's may be another
        and made.qscheme == per_channel_affine_float_qparams
        and hasattr(made, "fake_quant_enabled")
    )


def check_table_qconfig(cls: type, qconfig: QConfig | None) -> None:
    """Raises where rows would not get float zero points."""
    scheme = getattr(check_qconfig(cls, qconfig).weight(), "qscheme", None)
    if scheme != per_channel_affine_float_qparams:
        raise ValueError(
            "qconfig must quantize weights by per_channel_affine_float_qparams for a table, as "
            f"quantization.default_embedding_qat_qconfig does, got {scheme}"
        )


class _Table(Trained):
    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """From a float table with a `qconfig`: the table is shared, not copied."""
        check_table_qconfig(cls, getattr(mod, "qconfig", None))
        return super().from_float(mod, use_precomputed_fake_quant)


class Embedding(_Table, nn.Embedding):
    """Embedding with a fake-quantized table.

    Parameters
    ----------
    num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight
        As for `nn.Embedding`, as is `from_end`.
    device, dtype
        For torch's sake: "cpu" and float32, or None.
    qconfig : QConfig
        Its weight half makes the fake quantization, of rows with float zero points.

    >>> from quantray import nn, quantization as tq
    >>> table = nn.qat.Embedding(10, 4, qconfig=tq.default_embedding_qat_qconfig)
    >>> table([1, 2]).shape
    (2, 4)

    Source: `torch.ao.nn.qat.Embedding`.
    """

    float_module = nn.Embedding

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: ArrayLike | None = None,
        device: object = None,
        dtype: object = None,
        qconfig: QConfig | None = None,
        *,
        from_end: bool = False,
    ) -> None:
        check_factory(device, dtype)
        check_table_qconfig(type(self), qconfig)
        sizes = (num_embeddings, embedding_dim, padding_idx, max_norm, norm_type)
        super().__init__(*sizes, scale_grad_by_freq, sparse, _weight, from_end=from_end)
        self._train_with(qconfig)

    @whole
    def forward(self, input: ArrayLike) -> Floats:
        """Shape (*input.shape, embedding_dim)."""
        weight = self.weight_fake_quant(self.weight)
        return embedding(input, weight, self.padding_idx, self.max_norm, from_end=self.from_end)


class EmbeddingBag(_Table, nn.EmbeddingBag):
    """EmbeddingBag with a fake-quantized table.

    Parameters
    ----------
    num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, mode, sparse, _weight
        As for `nn.EmbeddingBag`, as are `include_last_offset` and `padding_idx`.
    qconfig : QConfig
        Its weight half makes the fake quantization, of rows with float zero points.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> from quantray import nn, quantization as tq
    >>> table = nn.qat.EmbeddingBag(10, 4, qconfig=tq.default_embedding_qat_qconfig)
    >>> table([[1, 2]]).shape
    (1, 4)

    Source: `torch.ao.nn.qat.EmbeddingBag`.
    """

    float_module = nn.EmbeddingBag

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: Literal["sum", "mean", "max"] = "mean",
        sparse: bool = False,
        _weight: ArrayLike | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        qconfig: QConfig | None = None,
        device: object = None,
        dtype: object = None,
    ) -> None:
        check_factory(device, dtype)
        check_table_qconfig(type(self), qconfig)
        sizes = (num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, mode, sparse)
        super().__init__(*sizes, _weight, include_last_offset, padding_idx)
        self._train_with(qconfig)

    @whole
    def forward(
        self, input: ArrayLike, offsets: ArrayLike | None = None, per_sample_weights: ArrayLike | None = None
    ) -> Floats:
        """Shape (bags, embedding_dim)."""
        return embedding_bag(
            input,
            self.weight_fake_quant(self.weight),
            offsets,
            self.max_norm,
            self.norm_type,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )


#: Which tables have a twin for training.
QAT_TABLES: dict[type[nn.Module], type[_Table]] = {nn.Embedding: Embedding, nn.EmbeddingBag: EmbeddingBag}
