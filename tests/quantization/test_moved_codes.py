"""What moves codes, or takes the greatest of them, is a step of a program: codes as NumPy makes them."""

import numpy as np
import pytest
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F
from quantray.quantization import _move_steps

MOVES = {
    "max": lambda y: np.max(y, axis=(2, 3), keepdims=True),
    "max of one axis": lambda y: y.max(axis=-1, keepdims=True),
    "min": lambda y: np.amin(y, axis=2, keepdims=True),
    "flip": lambda y: np.flip(y, 2),
    "roll": lambda y: np.roll(y, 2, axis=3),
    "repeat": lambda y: np.repeat(y, 2, axis=2),
    "tile": lambda y: np.tile(y, (1, 1, 2, 1)),
    "take": lambda y: np.take(y, [0, 2], axis=2),
    "broadcast_to": lambda y: np.broadcast_to(y[:, :, :1], y.shape),
    "channel_shuffle": lambda y: F.channel_shuffle(y, groups=4),
    "pixel_unshuffle": lambda y: F.pixel_unshuffle(F.pixel_shuffle(y, upscale_factor=2), 2),
}


class Net(nn.Module):
    """Something between two convolutions."""

    def __init__(self, move):
        super().__init__()
        self.first, self.last, self.move = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1), move

    def forward(self, x):
        return self.last(self.move(self.first(x)))


@pytest.mark.parametrize("dtype", ["quint8", "qint8"])
@pytest.mark.parametrize("name", MOVES)
def test_codes_are_moved_by_steps(monkeypatch, name, dtype):
    nn.manual_seed(0)
    net = Net(MOVES[name]).eval()
    x = np.random.default_rng(0).standard_normal((4, 3, 8, 8), np.float32)
    observer = tq.MinMaxObserver.with_args(dtype=dtype)
    qconfig = tq.QConfig(activation=observer, weight=tq.default_weight_observer)
    int8 = tq.quantize(net, [x], qconfig, verbose=False)
    assert "float32" not in {line.computes for line in tq.report(int8).lines}
    assert not any(line.is_call for line in tq.report(int8).lines)
    got = [int8(x), int8(x[:2])]
    # By NumPy, on the codes.
    monkeypatch.setattr(_move_steps, "_OF_ANY", frozenset())
    plain = tq.quantize(net, [x], qconfig, verbose=False)
    want = [plain(x), plain(x[:2])]
    assert any(line.is_call for line in tq.report(plain).lines)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)
