"""Makes `model-v1-*.safetensors` and `files.npz`: models in files of version 1, and what they gave.

Files of version 1 describe modules, but no graphs. They were written by the last code that wrote them:

    git worktree add /tmp/quantray-v1 0e8978f
    cp python/quantray/_core.abi3.so /tmp/quantray-v1/python/quantray/
    PYTHONPATH=/tmp/quantray-v1/python python tests/reference/make_files.py
"""

from pathlib import Path

import numpy as np
from quantray import nn
from quantray import quantization as tq

HERE = Path(__file__).parent


class Words(nn.Module):
    """A class of its own, which whoever loads its file must have."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(12, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, ids):
        return self.out(self.encoder(self.words(ids)).mean(axis=1))


def main():
    nn.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 2, 7, 7)).astype(np.float32)
    ids = rng.integers(0, 12, (3, 5))
    static = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 8),
        nn.Hardswish(), nn.Linear(8, 3),
    ).eval()  # fmt: skip
    made = tq.quantize(static, [x], verbose=False)
    made.save(HERE / "model-v1-static.safetensors")
    words = tq.quantize_dynamic(Words().eval())
    words.save(HERE / "model-v1-dynamic.safetensors")
    np.savez(HERE / "files.npz", x=x, static=made(x), ids=ids, dynamic=words(ids))


if __name__ == "__main__":
    main()
