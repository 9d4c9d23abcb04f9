"""Real handwriting and small networks that read it: what benchmarks and examples of whole workflows share.

The data are scikit-learn's: 1,797 images of 8 x 8 pixels, in the package itself.
"""

from collections.abc import Callable

import numpy as np
import quantray as qt
from quantray import nn
from quantray.nn import functional as F


def data(seed: int = 0, share: float = 0.6) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 1, 8, 8) from 0 to 1 and their digits: a share of them to train with, then the rest."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    order = np.random.default_rng(seed).permutation(len(images))
    cut = int(share * len(images))
    return images[order[:cut]], labels[order[:cut]], images[order[cut:]], labels[order[cut:]]


def small_cnn(norm: bool = False) -> nn.Sequential:
    """Two 3x3 convolutions of 16 and 32 channels, each with ReLU and 2x2 max pooling; two linear layers."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        middle = [nn.BatchNorm2d(outputs)] if norm else []
        return [nn.Conv2d(inputs, outputs, 3, padding=1), *middle, nn.ReLU(), nn.MaxPool2d(2)]

    last = [nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*block(1, 16), *block(16, 32), *last)


def loss_fn(model: nn.Module, x: np.ndarray, y: np.ndarray) -> object:
    """Cross entropy."""
    return F.cross_entropy(model(x), y)


def train(
    model: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    epochs: int,
    lr: float = 1e-2,
    seed: int = 0,
    batch: int = 64,
    after_epoch: Callable[[int], object] = lambda _: None,
) -> nn.Module:
    """Adam with a cosine schedule."""
    rng = np.random.default_rng(seed)
    steps = epochs * -(-len(x) // batch)
    optimizer = qt.optim.Adam(qt.optim.cosine_decay(lr, steps))
    step = nn.value_and_grad(model, loss_fn)
    model.train()
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            some = order[start : start + batch]
            _, grads = step(model, x[some], y[some])
            optimizer.update(model, grads)
        after_epoch(epoch)
    return model.eval()


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    """The share of images whose digit has the greatest output, in percent."""
    return 100 * float((np.asarray(model(x)).argmax(1) == y).mean())
