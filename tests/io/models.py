"""Models of all kinds that files have: classes of their own among them."""

import numpy as np
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F


class Block(nn.Module):
    """A residual block as torchvision writes it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.down = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(3, 6, 1)
        self.gate, self.out = nn.Hardswish(), nn.Linear(6, 4)

    def forward(self, x):
        h = F.relu(self.norm(self.conv1(x)))
        h = self.conv2(h)
        h += self.down(x)
        return self.out(self.gate(h).mean(axis=(2, 3)))


class Attention(nn.Module):
    """Attention by hand: lengths, masks, parameters and buffers of its own, a dict as its output."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out, self.norm = nn.Linear(8, 24), nn.Linear(8, 8), nn.LayerNorm(8)
        positions = np.linspace(-1, 1, 40).reshape(5, 8).astype(np.float32)
        self.register_buffer("positions", positions, persistent=False)
        self.scale = nn.Parameter(np.linspace(0.5, 1.5, 8))
        self.head = nn.Parameter(np.random.default_rng(1).standard_normal((8, 8)))

    def forward(self, x, mask=None):
        h = self.norm(x * self.scale + self.positions[: x.shape[1]])
        q, k, v = np.split(self.qkv(h), 3, axis=-1)
        scores = q @ k.transpose(0, 2, 1) / np.float32(np.sqrt(8))
        if mask is not None:
            scores = np.where(mask[:, None, :], scores, np.float32(-1e9))
        y = self.out(F.softmax(scores, -1) @ v)
        y += x
        y = y * np.tanh(np.log1p(np.exp(y)))
        return {"tokens": y, "others": (F.relu(y @ self.head.T), [y.mean(axis=1)]), "layers": 3}


class Recurrent(nn.Module):
    """Modules with state of their own, and two outputs."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.LSTM(8, 6, batch_first=True), nn.BatchNorm1d(6)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(6, 3)

    def forward(self, x):
        h, (last, _) = self.layer(x)
        return self.out(self.drop(self.norm(h[:, -1]))), last


class Scale(nn.Module):
    """A module whose own parameter is called as torch calls a scale."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(np.linspace(0.5, 1, 8))

    def forward(self, x):
        return x * self.scale


class Scaled(nn.Module):
    """A function's output between integers that a parameter has the name of."""

    def __init__(self):
        super().__init__()
        self.first, self.s, self.last = nn.Linear(8, 8), Scale(), nn.Linear(8, 8)

    def forward(self, x):
        return self.last(self.s(self.first(x)))


class Tied(nn.Module):
    """One array in two modules."""

    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(12, 8), nn.Linear(8, 12, bias=False)
        self.out._parameters["weight"] = self.words.weight

    def forward(self, ids):
        return self.out(self.words(ids))


def encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)


def shared():
    linear, relu = nn.Linear(8, 8), nn.ReLU()
    return nn.Sequential(linear, relu, linear, relu)


def stubs():
    return nn.Sequential(
        nn.QuantStub(), nn.Linear(8, 8), nn.Hardswish(), nn.LayerNorm(8), nn.DeQuantStub(), nn.Linear(8, 2)
    )


RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((8, 3, 9, 9)).astype(np.float32)
TOKENS = RNG.standard_normal((6, 5, 8)).astype(np.float32)
IDS = RNG.integers(0, 12, (3, 5))

#: Names, what makes a model, and what it is called with.
MODELS = {
    "block": (Block, IMAGES),
    "attention": (Attention, TOKENS),
    "recurrent": (Recurrent, TOKENS),
    "scaled": (Scaled, TOKENS),
    "tied": (Tied, IDS),
    "encoder": (encoder, TOKENS),
    "shared": (shared, TOKENS),
    "stubs": (stubs, TOKENS),
    "one layer": (lambda: nn.Linear(8, 3), TOKENS),
}


def made(name):
    """A float model in evaluation mode."""
    nn.manual_seed(0)
    model, x = MODELS[name][0](), MODELS[name][1]
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight = np.linspace(0.5, 2, 8).astype(np.float32)
    model(x)  # running statistics
    return model.eval()


def static(name, **kwargs):
    """A model of integers."""
    return tq.quantize(made(name), [MODELS[name][1]], verbose=False, **kwargs)
