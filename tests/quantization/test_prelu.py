"""PReLU behind a layer: the layer's step bends negative results before it rounds them."""

import numpy as np
import pytest
from quantray import nn
from quantray import quantization as tq


def slopes(n, rng):
    layer = nn.PReLU(n)
    layer.weight[:] = rng.uniform(-0.5, 1.5, n)
    return layer


def images(rng, count=3):
    return rng.standard_normal((count, 4, 11, 9), np.float32)


def face_detector(rng):
    """As those of MTCNN are: PReLU and a pool behind each convolution."""
    return nn.Sequential(
        nn.Conv2d(4, 12, 3), slopes(12, rng), nn.MaxPool2d(2),
        nn.Conv2d(12, 18, 2, groups=3), slopes(1, rng),
        nn.Conv2d(18, 18, 3, padding=1, groups=18), slopes(18, rng),
        nn.Flatten(), nn.Linear(108, 20), slopes(20, rng), nn.Linear(20, 3),
    )  # fmt: skip


def sequences(rng):
    """Channels of PReLU are the second axis, and not the last one, which a linear layer makes."""
    return nn.Sequential(nn.Linear(9, 7), slopes(4, rng), nn.Linear(7, 5), slopes(1, rng), nn.Linear(5, 6))


MODELS = {
    "images": (face_detector, lambda rng: images(rng)),
    "one slope for rows of sequences": (sequences, lambda rng: rng.standard_normal((5, 4, 9), np.float32)),
}


@pytest.mark.parametrize("name", MODELS)
def test_integers_are_those_that_training_saw(name, rng):
    make, data = MODELS[name]
    ready = tq.prepare_qat(make(rng))
    for _ in range(2):
        ready(data(rng))
    ready.eval()
    x = data(rng)
    want = ready(x)
    made = tq.convert(ready)
    # By the graph, then by the program.
    for _ in range(2):
        np.testing.assert_array_equal(made(x), want)


def test_the_report_says_where_it_is_computed(rng):
    made = tq.quantize(face_detector(rng), [images(rng, 16)], verbose=False)
    report = tq.report(made)
    assert sum("before it rounds" in str(line.reason) for line in report.lines) == 4
    assert {line.name: str(line.reason) for line in report.lines}["0"] == "floats for 1"
