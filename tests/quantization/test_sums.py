"""Residual networks: sums that are fused with the layer before them, with the ReLU after them, or both."""

import pickle

import numpy as np
import pytest
import quantray as qt
from contract import quantize
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F


class Block(nn.Module):
    """What residual networks are made of."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down = None
        if inputs != outputs:
            self.down = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.join = nn.FloatFunctional()
        self.relu2 = nn.ReLU()

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(self.join.add(y, x if self.down is None else self.down(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.one, self.two = Block(8, 8, 1), Block(8, 12, 2)
        self.pool, self.flat = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.out = nn.Linear(12, 5)

    def forward(self, x):
        return self.out(self.flat(self.pool(self.two(self.one(self.relu(self.stem(x)))))))


NAMES = [
    ["stem", "relu"],
    ["one.conv1", "one.bn1", "one.relu1"],
    ["one.conv2", "one.bn2", "one.join", "one.relu2"],
    ["two.conv1", "two.bn1", "two.relu1"],
    ["two.conv2", "two.bn2", "two.join", "two.relu2"],
    ["two.down.0", "two.down.1"],
]


@pytest.fixture
def images(rng):
    return rng.standard_normal((24, 3, 10, 10)).astype(np.float32)


@pytest.fixture
def net(images):
    nn.manual_seed(1)
    made = Net()
    for _ in range(4):
        made(images)  # running statistics
    return made.eval()


def kinds(model):
    return {name: type(module) for name, module in model.named_modules()}


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_by_name_and_by_itself(net, images, training):
    want = net(images)
    net.train(training)
    by_name = tq.fuse_modules(net, NAMES)
    found = tq.fuse_modules(net, example_inputs=images)
    assert kinds(found) == kinds(by_name)
    assert type(found.one.join) is type(found.two.join) is nn.intrinsic.AddReLU
    assert type(found.one.conv2) is (nn.intrinsic.ConvBn2d if training else nn.Conv2d)
    assert type(found.one.relu2) is type(found.one.bn2) is nn.Identity
    assert found.one.join.training == training
    for fused in (found, by_name):
        assert_allclose(fused.eval()(images), want, rtol=1e-4, atol=1e-5)
    # The caller's is as it was.
    assert type(net.one.join) is nn.FloatFunctional


def test_a_term_is_not_rounded_before_the_sum(net, images):
    ready = tq.prepare(tq.fuse_modules(net, NAMES))
    tq.calibrate(ready, images, show_progress=False)
    # One observer for the layer and the sum: after it. The other term has its own.
    assert not hasattr(ready.one.conv2, "activation_post_process")
    assert hasattr(ready.one.join, "activation_post_process")
    assert hasattr(ready.two.down.get_submodule("0"), "activation_post_process")
    int8 = tq.convert(ready)
    assert int8.one.conv2.grid is None
    assert int8.one.join.relu
    seen = {}
    int8.one.join.register_forward_hook(lambda m, args, out: seen.update(terms=args[1:], sum=out))
    int8.one.conv2.register_forward_hook(lambda m, args, out: seen.update(input=args[0]))
    int8(images)
    term, shortcut = seen["terms"]
    assert isinstance(shortcut, qt.QTensor)
    # The layer, in float64.
    x = np.pad(seen["input"].dequantize().astype(np.float64), [(0, 0)] * 2 + [(1, 1)] * 2)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    weight = int8.one.conv2.weight().dequantize().astype(np.float64)
    exact = np.einsum("nchwij,ocij->nohw", windows, weight) + int8.one.conv2.bias()[:, None, None]
    assert_allclose(term, exact, rtol=1e-5, atol=1e-5)
    # The sum of both, rounded once.
    grid = int8.one.join.grid
    values = np.maximum(np.float32(term) + shortcut.dequantize(), 0)
    codes = quantize(values, grid.scale, grid.zero_point, grid.dtype)
    assert_array_equal(seen["sum"].int_repr(), codes)


def test_rounding_once_is_closer(net, images):
    def error(model):
        seen = {}
        model.one.join.register_forward_hook(lambda m, args, out: seen.update(sum=np.asarray(out)))
        model.one.relu2.register_forward_hook(lambda m, args, out: seen.update(sum=np.asarray(out)))
        model(images)
        return seen["sum"]

    exact = error(net)
    plain = [[name for name in names if "join" not in name and "relu2" not in name] for names in NAMES]
    off = {}
    for kind, names in (("once", NAMES), ("twice", plain)):
        ready = tq.prepare(tq.fuse_modules(net, names))
        int8 = tq.convert(tq.calibrate(ready, images, show_progress=False))
        off[kind] = np.sqrt(np.mean((error(int8) - exact) ** 2))
    assert off["once"] < off["twice"]


@pytest.mark.parametrize(
    "qconfig",
    [None, tq.qconfig_for_bits(8, 8), tq.qconfig_for_bits(4, 4), tq.qconfig_for_bits(3, 8, learnable=True)],
    ids=["default", "W8A8", "W4A4", "W3A8 learned"],
)
def test_what_was_trained_is_what_runs(net, images, rng, qconfig):
    qat = tq.prepare_qat(tq.fuse_modules(net.train(), example_inputs=images), qconfig, images)
    labels = rng.integers(0, 5, len(images))
    step = nn.value_and_grad(qat, lambda m, x, y: F.cross_entropy(m(x), y))
    optimizer = qt.optim.SGD(0.03)
    losses = []
    for _ in range(6):
        loss, grads = step(qat, images, labels)
        optimizer.update(qat, grads)
        losses.append(loss)
    assert losses[-1] < losses[0]
    qat.eval().apply(tq.disable_observer)
    int8 = tq.convert(qat)
    for name in ("one.conv2", "two.conv2", "two.down.0", "out"):
        weight, _ = qat.get_submodule(name).weight_and_bias()
        fake = qat.get_submodule(name).weight_fake_quant
        assert_array_equal(int8.get_submodule(name).weight().dequantize(), fake(weight))
    scale, zero_point = qat.one.join.activation_post_process.calculate_qparams()
    assert (int8.one.join.grid.scale, int8.one.join.grid.zero_point) == (scale[0], zero_point[0])
    # Of the same inputs, values are at most one step apart, and hardly ever that.
    many = rng.standard_normal((500, 3, 10, 10)).astype(np.float32)
    stem = int8.stem(many)
    hidden = int8.one.conv1(stem)
    made = int8.one.join.add(int8.one.conv2(hidden), stem)
    # Without hooks, which belong to calls of the whole model.
    exact = qat.one.join.forward("add", qat.one.conv2.forward(hidden.dequantize()), stem.dequantize())
    fake = qat.one.join.activation_post_process(exact)
    steps = np.abs(fake - made.dequantize()) / scale[0]
    assert steps.size > 350_000
    assert steps.max() < 1.01
    assert (steps > 0.5).mean() <= 1e-5


class Joined(nn.Module):
    """A layer, and its sum with the input, or another function of both."""

    def __init__(self, layer, function="add", after=None):
        super().__init__()
        self.quant = nn.QuantStub()
        self.layer, self.join, self.function = layer, nn.FloatFunctional(), function
        self.after = nn.Identity() if after is None else after
        self.last = nn.DeQuantStub()

    def forward(self, x):
        x = self.quant(x)
        return self.last(self.after(getattr(self.join, self.function)(x, self.layer(x))))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 6), (40, 6)),
        (nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)), (40, 6)),
        (nn.Sequential(nn.Linear(6, 6), nn.ReLU()), (40, 6)),
        (nn.Conv1d(3, 3, 3, padding=1), (9, 3, 11)),
        (nn.Conv3d(2, 2, 3, padding=1, groups=2), (5, 2, 4, 5, 6)),
        (nn.ConvTranspose2d(3, 3, 3, padding=1), (4, 3, 6, 7)),
    ],
    ids=["linear", "linear+bn", "linear+relu", "conv1d", "depthwise conv3d", "transposed conv"],
)
@pytest.mark.parametrize("function", ["add", "add_relu"])
@pytest.mark.parametrize("after", [None, nn.ReLU()], ids=["", "relu"])
def test_layers_of_all_kinds(layer, shape, function, after, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    model = Joined(layer, function, after)
    model(x)
    model.eval()
    want = model(x)
    int8 = tq.quantize(model, [x], verbose=False)
    names = ["layer.0", "layer.1"] if isinstance(layer, nn.Sequential) else ["layer"]
    names += ["join"] if after is None else ["join", "after"]
    by_name = tq.prepare(tq.fuse_modules(model, names))
    by_name = tq.convert(tq.calibrate(by_name, x, show_progress=False))
    assert_array_equal(int8(x), by_name(x))
    assert int8.get_submodule(names[0]).grid is None
    # A sum is as far from its value as its own rounding, and that of weights and inputs.
    assert np.sqrt(np.mean((int8(x) - want) ** 2)) < 0.01 * want.std() + 0.5 * int8.join.grid.scale
    again = pickle.loads(pickle.dumps(int8))
    assert_array_equal(again(x), int8(x))


def test_files(net, images, tmp_path):
    path = tmp_path / "net.safetensors"
    for made in (tq.quantize(net, [images], verbose=False), tq.fuse_modules(net, NAMES)):
        made.save(path)
        other = Net()
        other.load_state_dict(path)
        assert_array_equal(other.eval()(images), made(images))


def test_what_is_no_sum_is_not_fused(images):
    conv = nn.Conv2d(3, 3, 1)
    for function in ("mul", "matmul"):
        fused = tq.fuse_modules(Joined(conv, function, nn.ReLU()), example_inputs=images)
        assert type(fused.join) is nn.FloatFunctional
        assert type(fused.after) is nn.ReLU
    scaled = Joined(conv, "add_scalar", nn.ReLU())
    scaled.forward = lambda x: scaled.after(scaled.join.add_scalar(scaled.layer(x), 2.0))
    assert type(tq.fuse_modules(scaled, example_inputs=images).join) is nn.FloatFunctional


def test_a_layer_that_others_take_too_is_rounded(images):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.join, self.relu = nn.Conv2d(3, 3, 1), nn.FloatFunctional(), nn.ReLU()
            self.tail = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            y = self.conv(x)
            return self.tail(self.relu(self.join.add(self.tail(y), y)))

    model = Both().eval()
    fused = tq.fuse_modules(model, example_inputs=images)
    # The sum and its ReLU are one; conv's output has a grid of its own, and of tail's two calls the
    # first goes
    # into the sum as it is.
    assert type(fused.join) is nn.intrinsic.AddReLU
    int8 = tq.quantize(model, [images], verbose=False)
    assert int8.conv.grid is not None
    assert int8.tail.grid is None
    want = model(images)
    assert np.abs(int8(images) - want).max() < 0.05 * np.abs(want).max()


def test_a_bare_sum_is_computed_in_integers(images):
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.tail = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            y = self.first(x)
            return self.tail(y + self.second(y))

    model = Bare().eval()
    int8 = tq.quantize(model, [images], verbose=False)
    assert int8.tail.input_grid is None
    assert [node.kind for node in int8._runner.graphs[0] if node.name == "add"] == ["int.add"]
    want = model(images)
    assert np.abs(int8(images) - want).max() < 0.05 * np.abs(want).max()


def test_what_is_said_of_a_sum_holds_where_it_is_fused(net, images):
    mapping = tq.get_default_qconfig_mapping().set_object_type(nn.FloatFunctional, None)
    int8 = tq.quantize(net, [images], mapping, verbose=False)
    assert type(int8.one.join) is nn.FloatFunctional
    want = net(images)
    assert np.abs(int8(images) - want).max() < 0.1 * np.abs(want).max()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["one.join"], r"\['one.join'\] \(FloatFunctional\) cannot be fused; what can be: .*FloatFunctional"),
        (["one.relu1", "one.join"], r"\(ReLU \+ FloatFunctional\) cannot"),
        (["one.conv2", "one.join", "one.bn2"], r"\(Conv2d \+ FloatFunctional \+ BatchNorm2d\) cannot"),
        (["one.bn2", "one.relu1", "one.join"], "cannot be fused"),
    ],
)
def test_what_cannot_be_fused(net, names, says):
    with pytest.raises(ValueError, match=says):
        tq.fuse_modules(net, names)


def test_a_fused_sum_refuses_other_functions():
    with pytest.raises(RuntimeError, match=r"^AddReLU must be called by add or add_relu, got 'mul'"):
        nn.intrinsic.AddReLU().mul(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"^Add must be called by add or add_relu, got 'cat'"):
        nn.intrinsic.Add().cat([[1.0], [2.0]])
