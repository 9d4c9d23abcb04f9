"""Tables whose rows are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from quantray.nn import _init
from quantray.nn._module import Module
from quantray.nn._registry import Parameter
from quantray.nn.functional._embedding import embedding, embedding_bag, padding_row

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Config, Floats, Input


class _Table(Module):
    """What Embedding and EmbeddingBag share: the table, and how it begins."""

    weight: Array
    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    max_norm: float | None
    norm_type: float
    scale_grad_by_freq: bool
    sparse: bool

    def _make(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, given: ArrayLike | None
    ) -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_row(padding_idx, num_embeddings)
        shape = (num_embeddings, embedding_dim)
        if given is None:
            weight = _init.normal(shape)
            if self.padding_idx is not None:
                weight[self.padding_idx] = 0
        else:
            weight = given
            if np.shape(weight) != shape:
                raise ValueError(f"_weight must be of shape {shape}, got {np.shape(weight)}")
        self.weight = Parameter(weight)

    def reset_parameters(self) -> None:
        """Draws the table anew, from a standard normal distribution; the padding's row is 0."""
        self._make(self.num_embeddings, self.embedding_dim, self.padding_idx, None)

    @classmethod
    def from_pretrained(cls, embeddings: ArrayLike, freeze: bool = True, **kwargs: Any) -> Self:
        """A module with a table that exists.

        Parameters
        ----------
        embeddings : array
            Shape (rows, width).
        freeze : bool
            Whether it gets no gradients.
        **kwargs
            The constructor's other arguments.
        """
        shape = np.shape(embeddings)
        if len(shape) != 2:
            raise ValueError(f"embeddings must be of shape (rows, width), got {shape}")
        build: Any = cls
        made: Self = build(*shape, _weight=embeddings, **kwargs)
        made.requires_grad_(not freeze)
        return made

    def _settings(self) -> Config:
        """Arguments that both have, apart from the lengths."""
        return {
            "padding_idx": self.padding_idx,
            "max_norm": self.max_norm,
            "norm_type": self.norm_type,
            "scale_grad_by_freq": self.scale_grad_by_freq,
            "sparse": self.sparse,
        }

    def _config(self) -> Config:
        lengths = {"num_embeddings": self.num_embeddings, "embedding_dim": self.embedding_dim}
        return lengths | self._settings()

    def _text(self, settings: Mapping[str, object], defaults: Mapping[str, object]) -> str:
        """Lengths, and the settings that are not their defaults."""
        changed = [f"{name}={value!r}" for name, value in settings.items() if value != defaults[name]]
        return ", ".join([str(self.num_embeddings), str(self.embedding_dim), *changed])


_DEFAULTS: Config = {
    "padding_idx": None,
    "max_norm": None,
    "norm_type": 2.0,
    "scale_grad_by_freq": False,
    "sparse": False,
    "from_end": False,
}


class Embedding(_Table):
    """Rows of a table of vectors.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows of the table, and their length.
    padding_idx : int, optional
        A row that begins as 0 and gets no gradient; counted from the end where negative.
    max_norm, norm_type : float, optional
        Rows that are looked up and longer than `max_norm` become as long as it, in the table itself.
    scale_grad_by_freq : bool
        Whether a row's gradient is divided by how often it is looked up.
    sparse : bool
        Has no effect: gradients are arrays.
    from_end : bool
        Whether rows may be counted from the end, -1 being the last one, as in ONNX files. torch refuses them.

    >>> from quantray import nn
    >>> nn.Embedding(10, 3)([[1, 2, 4, 5], [4, 3, 2, 9]]).shape
    (2, 4, 3)

    Source: `torch.nn.Embedding`.
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
        _weight: ArrayLike | None = None,
        *,
        from_end: bool = False,
    ) -> None:
        super().__init__()
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.from_end = from_end
        self._make(num_embeddings, embedding_dim, padding_idx, _weight)

    def forward(self, input: ArrayLike) -> Floats:
        """Shape (*input.shape, embedding_dim)."""
        return embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
            from_end=self.from_end,
        )

    def _settings(self) -> Config:
        return super()._settings() | {"from_end": self.from_end}

    def extra_repr(self) -> str:
        """Lengths, and what is not by default."""
        return self._text(self._settings(), _DEFAULTS)


class EmbeddingBag(_Table):
    """Sums, means or maxima of some rows of a table of vectors.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows of the table, and their length.
    max_norm, norm_type, scale_grad_by_freq, sparse
        As for `Embedding`.
    mode : str
        "sum", "mean" or "max".
    include_last_offset : bool
        Whether the last one of the offsets is where the last bag ends.
    padding_idx : int, optional
        A row that belongs to no bag.

    >>> from quantray import nn
    >>> nn.EmbeddingBag(10, 3, mode="sum")([1, 2, 4, 5, 4, 3, 2, 9], [0, 4]).shape
    (2, 3)

    Source: `torch.nn.EmbeddingBag`.
    """

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
    ) -> None:
        super().__init__()
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f'mode must be "sum", "mean" or "max", got {mode!r}')
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.mode: Literal["sum", "mean", "max"] = mode
        self.include_last_offset = include_last_offset
        self._make(num_embeddings, embedding_dim, padding_idx, _weight)

    def forward(
        self, input: ArrayLike, offsets: ArrayLike | None = None, per_sample_weights: Input | None = None
    ) -> Floats:
        """Shape (bags, embedding_dim)."""
        return embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def _config(self) -> Config:
        return super()._config() | {"mode": self.mode, "include_last_offset": self.include_last_offset}

    def extra_repr(self) -> str:
        """Lengths, the mode, and what is not by default."""
        settings = self._settings() | {"include_last_offset": self.include_last_offset, "mode": self.mode}
        return self._text(settings, _DEFAULTS | {"include_last_offset": False, "mode": None})
