"""Architectures as people write them: float, int8, trained, converted, the program and its graph."""

import numpy as np
import pytest
import quantray as qt
from networks import NETWORKS
from numpy.testing import assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.quantization._converted import floats
from wires import steps_apart

#: What each is at least apart from its float model after static quantization, in dB.
DECIBELS = {"DenseNet": 30, "LoRA": 34, "Mish": 34}


@pytest.fixture(params=NETWORKS, ids=[each.__name__ for each in NETWORKS])
def network(request, rng):
    """A network whose normalizations have seen data, and a batch."""
    nn.manual_seed(0)
    model = request.param()
    x = rng.standard_normal((64, *model.shape)).astype(np.float32)
    for _ in range(3):
        model(x)
    return model.eval(), x


def trained(model, x):
    """A model after some steps of quantization aware training, in evaluation mode."""
    made = tq.prepare_qat(model, example_inputs=x)
    step = nn.value_and_grad(made, lambda model, x: (model(x) ** 2).mean())
    optimizer = qt.optim.SGD(0.05)
    for _ in range(3):
        _, grads = step(made, x)
        assert {grad.dtype for grad in grads.values()} == {np.dtype(np.float32)}
        optimizer.update(made, grads)
    return made.eval()


def decibels(want, got):
    return 10 * np.log10((want**2).sum() / ((want - got) ** 2).sum())


def test_static_is_near_float(network):
    model, x = network
    want = model(x)
    made = tq.quantize(model, x, verbose=False)
    assert made(x).dtype == np.float32
    assert decibels(want, made(x)) > DECIBELS.get(type(model).__name__, 40)
    assert_array_equal(model(x), want, "the float model has changed")


def test_each_row_by_itself_and_none(network):
    model, x = network
    made = tq.quantize(model, x, verbose=False)
    want = made(x)
    # Products of floats add up in another order for another number of rows.
    has_floats = type(model).__name__ in ("Attention", "Encoder", "Mixer", "Recurrent")
    np.testing.assert_allclose(made(x[3:4]), want[3:4], rtol=0, atol=0.02 if has_floats else 0)
    assert made(x[:0]).shape == (0, *want.shape[1:])
    turned = np.asfortranarray(x)
    assert_array_equal(made(turned), want)


def test_the_program_computes_what_its_graph_says(network):
    model, x = network
    made = tq.quantize(model, x, verbose=False)
    runner = made._runner
    graph, inputs = runner.find(made, (x,), {})
    want = floats(runner.run(made, graph, inputs))
    # Products and sums that stayed in floats add up in another order.
    has_floats = any(node.kind in ("layer", "module") or node.kind.endswith("mean") for node in graph)
    np.testing.assert_allclose(made(x), want, rtol=0, atol=1e-5 if has_floats else 0)


def test_trained_and_converted_are_the_same_numbers(network, rng):
    model, x = network
    ready = trained(model, x)
    made = tq.convert(ready)
    more = rng.standard_normal((256, *model.shape)).astype(np.float32)
    for name, (count, size, step) in steps_apart(ready, made, more).items():
        assert step <= 1, name
        assert count <= size / 100_000, name
    assert_array_equal(made(more), ready(more))


def test_fake_quantization_is_what_integers_round(network, rng):
    """The gradients' way, in floats: what it gives is a few steps from the integers at most."""
    model, x = network
    ready = trained(model, x)
    want = ready(x)
    loss, _ = nn.value_and_grad(ready, lambda model, x: (model(x) ** 2).mean())(ready, x)
    assert loss == pytest.approx((want**2).mean(), rel=1e-2)


def test_everything_but_what_stays_float_is_integers(network):
    model, x = network
    made = tq.quantize(model, x, tq.get_default_qconfig_mapping(), verbose=False)
    kinds = {node.kind for node in made._runner.graphs[0]}
    assert "int.layer" in kinds
    assert "layer" not in kinds
    assert "python" not in kinds
    if type(model).__name__ in ("PlainCNN", "ResNet", "MobileNet", "UNet", "Subclass", "Mish"):
        # Means lie on a grid of their own.
        others = {"input", "parameter", "constant", "adaptive_avg_pool2d", "mean"}
        assert all(kind.startswith("int.") or kind in others for kind in kinds), kinds
