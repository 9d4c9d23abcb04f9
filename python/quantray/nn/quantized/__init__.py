"""Modules with 8-bit weights, or less: `dynamic` ones take and give floats."""

from quantray.nn.quantized import dynamic
from quantray.nn.quantized._embedding import Embedding, EmbeddingBag

__all__ = ["Embedding", "EmbeddingBag", "dynamic"]
