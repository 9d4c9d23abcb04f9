"""What the notebooks 04 and 05 share: handwritten digits, and how a network learns to read them."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import quantray as qt
from quantray import nn

images, labels = load_digits(return_X_y=True)
images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
order = np.random.default_rng(0).permutation(len(images))
#: 60 % to train with, the others to see how well it reads what it has not seen.
train_x, train_y = images[order[:1078]], labels[order[:1078]]
test_x, test_y = images[order[1078:]], labels[order[1078:]]


def draw() -> None:
    """The first eight of them."""
    _, axes = plt.subplots(1, 8, figsize=(5.6, 0.95))
    for ax, image, label in zip(axes, train_x, train_y, strict=False):
        ax.imshow(image[0], cmap="gray_r")
        ax.set(title=int(label), xticks=[], yticks=[])
    plt.show()


def loss_fn(model: Any, x: Any, y: Any) -> Any:
    """What training makes smaller."""
    return nn.functional.cross_entropy(model(x), y)


def train_model(model: Any, epochs: int, lr: float) -> Any:
    """The model, trained in batches of some 63."""
    rng = np.random.default_rng(0)
    optimizer = qt.optim.Adam(qt.optim.cosine_decay(lr, epochs * 17))
    step = nn.value_and_grad(model, loss_fn)
    model.train()
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(train_x)), 17):
            _, grads = step(model, train_x[batch], train_y[batch])
            optimizer.update(model, grads)
    return model.eval()


def accuracy(model: Any) -> float:
    """Percent of the digits that it has never seen which it reads right."""
    return 100 * (np.asarray(model(test_x)).argmax(1) == test_y).mean()
