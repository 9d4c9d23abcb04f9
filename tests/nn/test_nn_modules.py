"""Float modules: torch's weights, names, values and texts; rebuilt from their configurations; pickled."""

import inspect
import json
import pickle

import numpy as np
import pytest
from golden import cases
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn


def built(case):
    return getattr(nn, case["type"])(**case["config"]).train(case["training"])


@cases("nn", lambda case: case["kind"] == "module")
def test_modules_of_torch(case):
    module = built(case)
    assert list(module.state_dict()) == case["state"]
    assert repr(module) == case["repr"]
    module.load_state_dict({name: case[f"before.{name}"] for name in case["state"]})
    for i in range(case["calls"]):
        y = module(case[f"x{i}"])
    assert y.dtype == np.float32
    assert_allclose(y, case["y"], rtol=1e-5, atol=1e-5)
    for name in case["state"]:
        after = module.state_dict()[name]
        assert after.dtype == case[f"after.{name}"].dtype
        assert_allclose(after, case[f"after.{name}"], rtol=1e-5, atol=1e-6)


@cases("nn", lambda case: case["kind"] == "module")
def test_rebuilt_from_its_configuration(case):
    module = built(case)
    config = json.loads(json.dumps(module._config()))
    again = type(module)(**config).train(case["training"])
    again.load_state_dict(module.state_dict())
    assert repr(again) == repr(module)
    loaded = pickle.loads(pickle.dumps(module))
    if case["training"] and "Dropout" in case["type"]:
        return
    wanted = module.copy()(case["x0"])
    assert_array_equal(again(case["x0"]), wanted)
    assert_array_equal(loaded(case["x0"]), wanted)


LAYERS = [
    (nn.Linear, (30, 40)),
    (nn.Conv2d, (8, 40, (3, 5))),
    (nn.ConvTranspose1d, (40, 8, 5)),
]


@pytest.mark.parametrize(("kind", "arguments"), LAYERS, ids=lambda v: getattr(v, "__name__", ""))
def test_first_weights_are_torchs_distribution(kind, arguments):
    nn.manual_seed(0)
    layer = kind(*arguments)
    bound = 1 / np.sqrt(np.prod(layer.weight.shape[1:]))
    for values in (layer.weight, layer.bias):
        assert values.dtype == np.float32
        assert np.abs(values).max() <= bound
        # The standard deviation of a uniform distribution, within six of its own errors.
        n = values.size
        assert abs(values.std() / bound * np.sqrt(3) - 1) < 6 * np.sqrt(0.2 / n)
    nn.manual_seed(0)
    assert_array_equal(kind(*arguments).weight, layer.weight)


def test_output_size_of_transposed_convolution():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    x = np.ones((1, 2, 4, 5), np.float32)
    assert layer(x).shape == (1, 3, 7, 9)
    assert layer(x, output_size=(8, 9)).shape == (1, 3, 8, 9)
    with pytest.raises(ValueError, match=r"output_size must be from \(7, 9\) to \(8, 10\), got \(9, 9\)"):
        layer(x, output_size=(9, 9))


def test_arithmetic_as_a_module(rng):
    a, b = rng.normal(size=(2, 3, 3)).astype(np.float32)
    join = nn.FloatFunctional()
    seen = []
    join.register_forward_hook(lambda m, args, out: seen.append(args[0]))
    assert_array_equal(join.add(a, b), a + b)
    assert_array_equal(join.mul(a, b), a * b)
    assert_array_equal(join.matmul(a, b), a @ b)
    assert_array_equal(join.cat([a, b], 1), np.concatenate([a, b], 1))
    assert_array_equal(join.add_relu(a, b), np.maximum(a + b, 0))
    assert seen == ["add", "mul", "matmul", "cat", "add_relu"]
    assert_array_equal(join.add_scalar(a, 2.0), a + 2)
    assert_array_equal(join.mul_scalar(a, 2.0), a * 2)
    with pytest.raises(RuntimeError, match="call a method"):
        join(a)


def test_losses_are_the_functions(rng):
    logits, classes = rng.normal(size=(5, 3)).astype(np.float32), rng.integers(0, 3, 5)
    weight = np.float32([1, 2, 3])
    F = nn.functional
    pairs = [
        (
            nn.CrossEntropyLoss(weight, label_smoothing=0.1),
            F.cross_entropy(logits, classes, weight, label_smoothing=0.1),
        ),
        (nn.NLLLoss(weight, reduction="sum"), F.nll_loss(logits, classes, weight, reduction="sum")),
    ]
    for module, wanted in pairs:
        assert module(logits, classes) == wanted
    other = rng.normal(size=(5, 3)).astype(np.float32)
    assert nn.MSELoss()(logits, other) == F.mse_loss(logits, other)
    assert nn.L1Loss("sum")(logits, other) == F.l1_loss(logits, other, "sum")
    wanted = F.binary_cross_entropy_with_logits(logits, other, pos_weight=weight)
    assert nn.BCEWithLogitsLoss(pos_weight=weight)(logits, other) == wanted


def test_training_changes_running_moments_once(rng):
    """Tracing a gradient must not count a batch twice, nor leave autograd's boxes in the buffers."""
    pytest.importorskip("autograd")
    x = rng.normal(size=(8, 3)).astype(np.float32)
    traced, plain = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    plain(x)
    nn.value_and_grad(traced, lambda model: model(x).sum())(traced)
    for name, value in plain.state_dict().items():
        assert type(traced.state_dict()[name]) is np.ndarray
        assert_array_equal(traced.state_dict()[name], value)


BAD = {
    "in_features must be a whole number of at least 1, got 0": lambda: nn.Linear(0, 3),
    "out_channels must be a multiple of groups, 2, got 3": lambda: nn.Conv2d(2, 3, 1, groups=2),
    "kernel_size must be an integer or 2 of them, at least 1, got (1, 2, 3)": lambda: nn.Conv2d(
        2, 3, (1, 2, 3)
    ),
    "padding_mode must be one of": lambda: nn.Conv2d(2, 3, 1, padding_mode="mirror"),
    'padding "same" must go with a stride of 1': lambda: nn.Conv2d(2, 4, 3, 2, "same"),
    "num_features must be a whole number of at least 1, got 0": lambda: nn.BatchNorm2d(0),
    "input must have 4 axes for BatchNorm2d, got shape (2, 3)": lambda: nn.BatchNorm2d(3)(np.ones((2, 3))),
    "num_groups must divide num_channels, 3, got 2": lambda: nn.GroupNorm(2, 3),
    "p must be from 0 to 1, got -1": lambda: nn.Dropout(-1),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 # the message is looked at
        BAD[message]()
    assert message in str(error.value)


def test_every_module_says_how_to_rebuild_it():
    for name in nn.__all__:
        kind = getattr(nn, name)
        if inspect.isclass(kind) and issubclass(kind, nn.Module):
            if kind in (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.GraphModule):
                continue
            assert callable(getattr(kind, "_config", None)), name


def test_summary():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    before = {name: np.array(value) for name, value in model.state_dict().items()}
    table = model.summary(np.ones((2, 1, 5, 5), np.float32))
    shapes = [row.output_shape for row in table.rows]
    assert shapes == ["(2, 36)", "(2, 4, 3, 3)", "(2, 4, 3, 3)", "(2, 4, 3, 3)", "(2, 36)"]
    assert [row.parameters for row in table.rows] == [0, 40, 8, 0, 0]
    assert table.parameters == sum(p.size for p in model.parameters())
    assert table.nbytes == sum(v.nbytes for v in model.state_dict().values())
    # Looking does not train.
    assert all(module.training for module in model.modules())
    for name, value in before.items():
        assert_array_equal(model.state_dict()[name], value)


def test_tables_escape_names():
    model = nn.ModuleDict({"<b>": nn.Linear(2, 2)})
    assert "&lt;b&gt;" in model._repr_html_()
    assert "<b>" not in model._repr_html_()
    assert "<b>" in repr(model.summary())


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 3)
    other = nn.Linear(3, 3)
    other.weight = layer.weight
    assert nn.Sequential(layer, other).summary().parameters == 9 + 3 + 3
