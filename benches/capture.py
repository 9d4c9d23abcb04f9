"""How long a capture takes: ResNet-50 at 224 pixels, and an encoder as large as MiniLM.

    taskset -c 1 python benches/capture.py

A capture runs `forward` at two rows and at one, so it is held beside these two forwards.
"""

import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from networks import resnet50
from quantray import graph, nn
from quantray.nn import functional as F


class Layer(nn.Module):
    """An encoder's layer, with attention written by hand."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out, self.norm1, self.norm2 = nn.Linear(width, width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, mask):
        n, length, width = x.shape

        def split(h):
            return h.reshape(n, length, self.heads, width // self.heads).transpose(0, 2, 1, 3)

        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        weights = F.softmax(q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(width // self.heads)) + mask, -1)
        x = self.norm1(x + self.out((weights @ v).transpose(0, 2, 1, 3).reshape(n, length, width)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class MiniLM(nn.Module):
    """Six layers of width 384, and the mean of what is no padding."""

    def __init__(self):
        super().__init__()
        self.words, self.positions = nn.Embedding(30522, 384), nn.Embedding(512, 384)
        self.norm = nn.LayerNorm(384)
        self.layers = nn.ModuleList([Layer(384, 12) for _ in range(6)])

    def forward(self, ids, mask):
        x = self.norm(self.words(ids) + self.positions(np.arange(ids.shape[1])))
        kept = mask.astype(np.float32)
        hidden = (1 - kept)[:, None, None, :] * np.float32(-1e9)
        for layer in self.layers:
            x = layer(x, hidden)
        return (x * kept[..., None]).sum(axis=1) / kept.sum(axis=1, keepdims=True)


def best(function, times=3):
    """The shortest of some runs, in seconds of this process: others may be at work beside it."""
    found = []
    for _ in range(times):
        begin = time.process_time()
        function()
        found.append(time.process_time() - begin)
    return min(found)


def main():
    """Prints a line for each model."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 30522, (2, 16))
    models = {
        "ResNet-50, 224x224": (resnet50(), (rng.standard_normal((2, 3, 224, 224), np.float32),), 0.6),
        "MiniLM, 16 tokens": (MiniLM(), (ids, np.ones((2, 16), np.int64)), 0.06),
    }
    print(f"{'model':20} {'nodes':>6} {'capture':>9} {'forwards':>9} {'apart':>9} {'to reach':>9}")
    for name, (model, args, limit) in models.items():
        model.eval()
        found = graph.capture(model, args)
        assert not found.refusals
        taken = best(lambda model=model, args=args: graph.capture(model, args))
        rows = [tuple(a[:1] for a in args), args]
        plain = sum(best(lambda model=model, some=some: model(*some)) for some in rows)
        print(
            f"{name:20} {len(found):6} {taken:8.3f}s {plain:8.3f}s {taken - plain:8.3f}s {limit:8.2f}s",
        )


if __name__ == "__main__":
    main()
