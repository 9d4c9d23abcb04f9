"""Float models by programs, against sums in float64.

A sum of `n` products of float32, added up in any order, is off by at most `(n + 2) * 2^-24` times the sum of
the products' absolute values (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1): the bound of
single layers. Of whole networks, whose errors go through each other's layers, it is 1e-5 of the greatest
output.
"""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import quantray as qt
from quantray import graph, nn
from quantray.nn import functional as F
from quantray.quantization._floating import FloatProgram


def _networks() -> Any:
    """Those of the benchmarks, whose module has the name of another one here."""
    path = Path(__file__).parents[2] / "benches" / "networks.py"
    spec = importlib.util.spec_from_file_location("bench_networks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


networks = _networks()
RNG = np.random.default_rng(0)


def by_program(model: nn.Module) -> tuple[nn.Module, FloatProgram]:
    runner = FloatProgram()
    model.eval().__dict__["_runner"] = runner
    return model, runner


def called(runner: FloatProgram) -> list[str]:
    """Kinds of the nodes that are calls into Python."""
    made = next(iter(runner._made.values()))
    return [runner.graphs[0].nodes[name].kind for name in made.lowered.called]


def run(model: nn.Module, *args: Any) -> np.ndarray:
    """The second call of a shape: the first one goes node by node."""
    model(*args)
    return model(*args)


# The definitions, in float64


def convolved(x, w, stride, sides, dilation, groups):
    """The sums, and those of the products' absolute values."""
    dims = w.ndim - 2
    wide = np.pad(np.asarray(x, np.float64), [(0, 0), (0, 0), *sides])
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    lengths = [(n - r) // s + 1 for n, r, s in zip(wide.shape[2:], reach, stride, strict=True)]
    found = [np.zeros((len(x), len(w), *lengths)) for _ in range(2)]
    inputs, outputs = w.shape[1], len(w) // groups
    for place in itertools.product(*map(range, w.shape[2:])):
        spans = [
            slice(p * d, p * d + (n - 1) * s + 1, s)
            for p, d, n, s in zip(place, dilation, lengths, stride, strict=True)
        ]
        for g in range(groups):
            met = wide[(slice(None), slice(g * inputs, (g + 1) * inputs), *spans)]
            kernel = np.asarray(w[(slice(g * outputs, (g + 1) * outputs), slice(None), *place)], np.float64)
            to = (slice(None), slice(g * outputs, (g + 1) * outputs))
            letters = "xyz"[:dims]
            for each, sign in zip(found, (lambda a: a, np.abs), strict=True):
                each[to] += np.einsum(f"nc{letters},oc->no{letters}", sign(met), sign(kernel))
    return found


def spread(x, w, stride, padding, more, dilation, groups):
    """The same of a transposed convolution."""
    dims = w.ndim - 2
    whole = [
        (n - 1) * s + d * (k - 1) + 1 + m
        for n, s, d, k, m in zip(x.shape[2:], stride, dilation, w.shape[2:], more, strict=True)
    ]
    outputs, inputs = w.shape[1], len(w) // groups
    found = [np.zeros((len(x), outputs * groups, *whole)) for _ in range(2)]
    for place in itertools.product(*map(range, w.shape[2:])):
        spans = [
            slice(p * d, p * d + (n - 1) * s + 1, s)
            for p, d, n, s in zip(place, dilation, x.shape[2:], stride, strict=True)
        ]
        for g in range(groups):
            met = np.asarray(x[:, g * inputs : (g + 1) * inputs], np.float64)
            kernel = np.asarray(w[(slice(g * inputs, (g + 1) * inputs), slice(None), *place)], np.float64)
            to = (slice(None), slice(g * outputs, (g + 1) * outputs), *spans)
            letters = "xyz"[:dims]
            for each, sign in zip(found, (lambda a: a, np.abs), strict=True):
                each[to] += np.einsum(f"nc{letters},co->no{letters}", sign(met), sign(kernel))
    cut = (slice(None), slice(None), *(slice(p, n - p) for p, n in zip(padding, whole, strict=True)))
    return [each[cut] for each in found]


def check(got, want, size, count):
    assert got.dtype == np.float32
    assert got.shape == want.shape
    bound = (count + 2) * 2.0**-24 * size + 1e-37
    assert (np.abs(got - want) <= bound).all(), np.abs(got - want).max()


# Single layers

CONVOLUTIONS = [
    # dims, inputs, outputs, kernel, stride, padding, dilation, groups, lengths
    (1, 3, 5, 3, 1, 1, 1, 1, (11,)),
    (1, 16, 17, 5, 2, 2, 2, 1, (40,)),
    (2, 3, 32, 3, 2, 1, 1, 1, (15, 17)),
    (2, 3, 8, 7, 2, 3, 1, 1, (9, 20)),
    (2, 32, 20, 3, 1, 1, 1, 1, (7, 7)),
    (2, 16, 96, 1, 1, 0, 1, 1, (6, 5)),
    (2, 24, 24, 3, 1, 1, 1, 24, (9, 8)),
    (2, 33, 33, 5, 2, 2, 1, 33, (13, 10)),
    (1, 6, 18, 3, 2, 1, 1, 6, (9,)),
    (2, 8, 16, 3, 1, 1, 1, 8, (6, 6)),
    (3, 5, 20, 2, 1, 0, 1, 5, (3, 4, 5)),
    (2, 32, 64, 3, 1, 1, 1, 4, (6, 6)),
    (2, 20, 30, 3, 1, 2, 2, 1, (10, 9)),
    (2, 1, 1, 1, 1, 0, 1, 1, (1, 1)),
    (3, 4, 6, 3, 2, 1, 1, 2, (5, 6, 7)),
    (3, 14, 9, 2, 1, 0, 1, 1, (4, 3, 5)),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("isa", qt.cpu_info()["available"])
def test_convolutions(case, batch, isa):
    dims, inputs, outputs, kernel, stride, padding, dilation, groups, lengths = case
    conv = getattr(nn, f"Conv{dims}d")(inputs, outputs, kernel, stride, padding, dilation, groups)
    x = RNG.standard_normal((batch, inputs, *lengths), dtype=np.float32)
    each = ((stride,) * dims, ((padding,) * 2,) * dims, (dilation,) * dims)
    want, size = convolved(x, conv.weight, *each, groups)
    bias = np.asarray(conv.bias, np.float64).reshape(-1, *[1] * dims)
    want, size = want + bias, size + np.abs(bias)
    count = conv.weight[0].size
    before = qt.cpu_info()["isa"]
    qt.set_isa(isa)
    try:
        check(conv(x), want, size, count)
        model, runner = by_program(nn.Sequential(conv, nn.ReLU()))
        check(run(model, x), np.maximum(want, 0), size, count)
        assert called(runner) == []
    finally:
        qt.set_isa(before)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    ("stride", "padding", "more", "dilation"), [(1, 0, 0, 1), (2, 1, 1, 1), (3, 1, 0, 2)]
)
@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(3, 5, 1), (16, 20, 2), (6, 6, 6)])
def test_transposed_convolutions(dims, stride, padding, more, dilation, inputs, outputs, groups):
    layer = getattr(nn, f"ConvTranspose{dims}d")
    conv = layer(inputs, outputs, 3, stride, padding, more, groups, True, dilation)
    x = RNG.standard_normal((2, inputs, *(5, 4, 3)[:dims]), dtype=np.float32)
    each = [(n,) * dims for n in (stride, padding, more, dilation)]
    want, size = spread(x, conv.weight, *each, groups)
    bias = np.asarray(conv.bias, np.float64).reshape(-1, *[1] * dims)
    want, size = want + bias, size + np.abs(bias)
    count = conv.weight[:, 0].size
    check(conv(x), want, size, count)
    model, runner = by_program(nn.Sequential(conv))
    check(run(model, x), want, size, count)
    assert called(runner) == []


@pytest.mark.parametrize("rows", [(), (0,), (1,), (7,), (2, 9), (3, 1, 4)])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (5, 17), (64, 48), (700, 33)])
def test_linear_layers(rows, inputs, outputs):
    linear = nn.Linear(inputs, outputs)
    x = RNG.standard_normal((*rows, inputs), dtype=np.float32)
    wide, weight = np.asarray(x, np.float64), np.asarray(linear.weight, np.float64)
    want = wide @ weight.T + linear.bias
    size = np.abs(wide) @ np.abs(weight.T) + np.abs(linear.bias)
    model, runner = by_program(nn.Sequential(linear))
    check(run(model, x), want, size, inputs + 1)
    assert called(runner) == []


class _Products(nn.Module):
    def forward(self, a, b):
        return np.matmul(a, b.swapaxes(-1, -2)), np.matmul(a, np.ascontiguousarray(b).swapaxes(-1, -2))


@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 4), (5, 4)), ((2, 3, 7, 8), (2, 3, 20, 8)), ((4, 1, 2, 9), (3, 6, 9)), ((0, 3, 4), (0, 5, 4))],
)
def test_products_of_matrices(a, b):
    a, b = (RNG.standard_normal(shape, dtype=np.float32) for shape in (a, b))
    model, runner = by_program(_Products())
    want, size = (np.matmul(f(np.float64(a)), f(np.float64(b)).swapaxes(-1, -2)) for f in (np.array, np.abs))
    for made in run(model, a, b):
        check(made, want, size, a.shape[-1])
    assert "matmul" not in called(runner)


POOLS = [
    (F.max_pool2d, {"kernel_size": 3, "stride": 2, "padding": 1}),
    (F.max_pool2d, {"kernel_size": (2, 3), "ceil_mode": True}),
    (F.avg_pool2d, {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    (F.avg_pool2d, {"kernel_size": 2, "divisor_override": 3}),
    (F.adaptive_avg_pool2d, {"output_size": (3, 2)}),
    (F.adaptive_avg_pool2d, {"output_size": 1}),
    (F.adaptive_max_pool2d, {"output_size": (None, 3)}),
]


@pytest.mark.parametrize(("pool", "settings"), POOLS, ids=lambda v: getattr(v, "__name__", None))
@pytest.mark.parametrize("channels", [1, 3, 16, 70])
def test_pools(pool, settings, channels):
    class Pool(nn.Module):
        def forward(self, x):
            return pool(x, **settings)

    x = RNG.standard_normal((2, channels, 9, 11), dtype=np.float32)
    # NumPy's own way, on planes that lie channels first.
    want = pool(np.ascontiguousarray(x), **settings)
    model, runner = by_program(Pool())
    made = run(model, np.asfortranarray(x))
    assert called(runner) == []
    if "max" in pool.__name__:
        np.testing.assert_array_equal(made, want)
    else:
        np.testing.assert_allclose(made, want, rtol=0, atol=120 * 2.0**-24 * np.abs(x).max())


# What comes after a layer


class _Block(nn.Module):
    """A residual block, whose sum takes what there is already."""

    def __init__(self, order: bool) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.order = nn.Conv2d(8, 8, 1), order
        self.norm.running_mean[:] = RNG.standard_normal(8)
        self.norm.running_var[:] = RNG.random(8) + 0.5

    def forward(self, x):
        y = self.norm(self.first(x))
        other = self.second(x)
        return F.relu(y + other if self.order else other + y) + x


@pytest.mark.parametrize("order", [True, False])
def test_norms_sums_and_limits_are_part_of_a_layer(order):
    model = _Block(order).eval()
    x = RNG.standard_normal((2, 8, 6, 5), dtype=np.float32)
    want = model(x)
    model, runner = by_program(model)
    np.testing.assert_allclose(run(model, x), want, rtol=0, atol=1e-5)
    assert called(runner) == []


class _Shared(nn.Module):
    """What lies between a layer and its limits is asked for, by its values or by its lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(6, 6)

    def forward(self, x, rows):
        y, z = self.conv(x), self.linear(rows)
        return F.relu(y) + y, F.gelu(z).reshape(z.shape[0] * z.shape[1]), F.relu(y).reshape(len(y), -1)


def test_what_is_asked_for_is_not_taken():
    model = _Shared().eval()
    x, rows = (
        RNG.standard_normal((2, 3, 5, 5), dtype=np.float32),
        RNG.standard_normal((4, 6), dtype=np.float32),
    )
    want = model(x, rows)
    model, _ = by_program(model)
    for got, exact in zip(run(model, x, rows), want, strict=True):
        np.testing.assert_allclose(got, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid", "tanh"])
def test_functions_are_part_of_a_layer(name):
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(20, 40)

        def forward(self, x):
            return getattr(F, name)(self.linear(x))

    model = Model().eval()
    x = RNG.standard_normal((5, 20), dtype=np.float32)
    want = model(x)
    model, runner = by_program(model)
    np.testing.assert_allclose(run(model, x), want, rtol=0, atol=2e-6)
    assert called(runner) == []


# Whole networks


def exactly(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """A network's output in float64, node by node from its definitions."""

    def compute(node: graph.Node, args: Any, kwargs: Any) -> Any:
        match node.kind:
            case "conv2d":
                sides = tuple((p, p) for p in kwargs["padding"])
                y = convolved(*args[:2], kwargs["stride"], sides, kwargs["dilation"], kwargs["groups"])[0]
                return y if args[2] is None else y + np.reshape(args[2], (-1, 1, 1))
            case "linear":
                return args[0] @ np.float64(args[1]).T + args[2]
            case "module":
                norm: Any = model.get_submodule(node.value)
                factor = norm.weight / np.sqrt(np.float64(norm.running_var) + norm.eps)
                wide = (-1, 1, 1)
                return args[0] * factor.reshape(wide) + (norm.bias - norm.running_mean * factor).reshape(wide)
            case "relu":
                return np.maximum(args[0], 0)
            case "clip":
                return np.clip(args[0], kwargs["low"], kwargs["high"])
            case "add":
                return args[0] + args[1]
            case "max_pool2d":
                # It chooses among numbers.
                wide = np.pad(args[0], [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
                windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (2, 3))[:, :, ::2, ::2]
                return windows.max((-1, -2))
            case "adaptive_avg_pool2d":
                return args[0].mean((2, 3), keepdims=True)
            case "mean":
                return args[0].mean((2, 3), keepdims=kwargs["keepdims"])
            case "reshape":
                return args[0].reshape(kwargs["shape"])
        raise TypeError(node.kind)

    captured = graph.normalize(graph.capture(model, (x,)))
    return graph.run(captured, {captured.inputs[0]: np.float64(x)}, model, compute=compute)


@pytest.mark.parametrize("make", [networks.resnet18, networks.MobileNetV2])
def test_networks_for_images(make):
    nn.manual_seed(0)
    model = networks.trained_statistics(make())
    x = RNG.standard_normal((2, 3, 64, 72), dtype=np.float32)
    want = exactly(model, x)
    model, runner = by_program(model)
    made = run(model, x)
    assert called(runner) == []
    assert np.abs(made - want).max() <= 1e-5 * np.abs(want).max()
    for batch in (0, 1):
        some = run(model, x[:batch])
        assert np.abs(some - want[:batch]).max(initial=0) <= 1e-5 * np.abs(want).max()
    qt.set_num_threads(2)
    np.testing.assert_array_equal(model(x), made)


@pytest.mark.parametrize("masked", [False, True])
def test_transformers(masked):
    layer = nn.TransformerEncoderLayer(24, 4, 48, activation="gelu", batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    x = RNG.standard_normal((3, 7, 24), dtype=np.float32)
    padding = np.arange(7) >= np.array([[7], [4], [0]]) if masked else None
    args = (x,) if padding is None else (x, None, padding)
    want = model(*args)
    model, runner = by_program(model)
    np.testing.assert_allclose(run(model, *args), want, rtol=0, atol=5e-6)
    assert "functional.multi_head_attention" not in called(runner)


def test_changed_weights_and_training_are_seen():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    x = RNG.standard_normal((2, 4), dtype=np.float32)
    model, _ = by_program(model)
    run(model, x)
    model[0].weight = np.zeros((3, 4), np.float32)
    np.testing.assert_array_equal(run(model, x), np.maximum(model[0].bias, 0) + np.zeros((2, 3), np.float32))
    model.train()
    assert model(x).shape == (2, 3)


# Arguments of steps


@pytest.mark.parametrize(
    ("op", "params", "message"),
    [
        ("linear", {"weight": np.zeros((0, 3))}, "weight"),
        ("linear", {"weight": np.zeros((2, 3)), "bias": np.zeros(3)}, "bias"),
        ("linear", {"weight": np.zeros((2, 3)), "activation": "relu7"}, "activation"),
        ("linear", {"weight": np.zeros((2, 3)), "limits": 3}, "limits"),
        ("conv", {"weight": np.zeros((2, 3))}, "weight"),
        ("conv", {"weight": np.zeros((2, 3, 1, 1)), "groups": 3}, "groups"),
        ("conv", {"weight": np.zeros((2, 3, 1, 1)), "padding": [-1, 0]}, "padding"),
        ("conv", {"weight": np.zeros((2, 3, 1, 1)), "output_padding": 1}, "output_padding"),
        ("conv", {"weight": np.zeros((2, 3, 1, 1)), "what": 1}, "what"),
    ],
)
def test_mistakes_are_named(op, params, message):
    with pytest.raises((TypeError, ValueError), match=message):
        qt.ops.Program(["float32"], [(op, (0,), 1, params)], [1])


def test_inputs_that_do_not_fit_are_named():
    steps = [("conv", (0,), 1, {"weight": np.zeros((2, 3, 3, 3), np.float32)})]
    program = qt.ops.Program(["float32"], steps, [1])
    for shape in [(1, 4, 5, 5), (1, 3, 2, 5), (3,)]:
        with pytest.raises(ValueError, match="input"):
            program(np.zeros(shape, np.float32))
