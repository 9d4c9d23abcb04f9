"""The three ways to quantize a model: what is computed, what is said, and what is refused."""

import pickle

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F


class Residual(nn.Module):
    """A block whose input is added to its output, as in residual networks; then classes."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.join = nn.FloatFunctional()
        self.gate = nn.Hardswish()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.out = nn.Linear(8, 5)

    def forward(self, input):
        x = self.relu(self.norm(self.first(input)))
        x = self.gate(self.join.add(self.second(x), x))
        return self.out(self.pool(x).reshape(len(input), -1))


@pytest.fixture
def images(rng):
    return rng.standard_normal((32, 3, 9, 9)).astype(np.float32)


@pytest.fixture
def model(images):
    nn.manual_seed(0)
    made = Residual()
    for _ in range(3):
        made(images)  # running statistics
    return made.eval()


def values(model, x, kinds):
    """The codes, or the fake-quantized values, that some modules return."""
    seen = {}
    handles = [
        module.register_forward_hook(lambda m, args, out, n=name: seen.update({n: out}))
        for name, module in model.named_modules()
        if isinstance(module, kinds)
    ]
    model(x)
    for handle in handles:
        handle.remove()
    return seen


def test_static_is_close_to_float_and_integers_where_they_are_told(model, images):
    int8 = tq.quantize(model, [images], verbose=False)
    kinds = {name: type(module).__name__ for name, module in int8.named_children()}
    assert isinstance(int8.first, nn.quantized.Conv2d)
    assert int8.first.relu
    assert kinds["norm"] == kinds["relu"] == "Identity"
    assert isinstance(int8.join, nn.quantized.QFunctional)
    assert isinstance(int8.gate, nn.quantized.Requantized)
    assert int8.out.grid is None  # nothing takes it in integers: floats
    seen = values(int8, images, (nn.quantized.Conv2d, nn.quantized.QFunctional, nn.quantized.Requantized))
    assert len(seen) == 5
    # A sum takes what the layer before it gives as it is; a mean has a grid of its own.
    codes = {name for name, value in seen.items() if isinstance(value, qt.QTensor)}
    assert codes == {"first", "gate", "join", "pool"}
    assert int8.pool.grid.scale < int8.join.grid.scale
    assert int8.second.grid is None
    want = model(images)
    error = np.abs(int8(images) - want).max()
    assert error < 0.05 * np.abs(want).max()
    assert isinstance(model.first, nn.Conv2d)  # the caller's model is as it was


@pytest.mark.parametrize("inplace", [False, True])
def test_step_by_step_is_the_same(model, images, inplace):
    want = tq.quantize(model, [images], verbose=False)(images)
    fused = tq.fuse_modules(model, [["first", "norm", "relu"], ["second", "join"]])
    ready = tq.prepare(fused, tq.get_default_qconfig_mapping(), inplace=inplace)
    assert (ready is fused) == inplace
    assert tq.calibrate(ready, images, show_progress=False) is ready
    made = tq.convert(ready, inplace)
    assert_array_equal(made(images), want)


@pytest.mark.parametrize(
    "qconfig",
    [None, tq.qconfig_for_bits(8, 8), tq.qconfig_for_bits(4, 4), tq.qconfig_for_bits(3, 8, learnable=True)],
    ids=["default", "W8A8", "W4A4", "W3A8 learned"],
)
def test_what_was_trained_is_what_runs(model, images, rng, qconfig):
    fused = tq.fuse_modules(model.train(), example_inputs=images)
    assert type(fused.first) is nn.intrinsic.ConvBnReLU2d
    qat = tq.prepare_qat(fused, qconfig, images)
    labels = rng.integers(0, 5, len(images))
    step = nn.value_and_grad(qat, lambda m, x, y: F.cross_entropy(m(x), y))
    optimizer = qt.optim.SGD(0.01)
    losses = []
    for _ in range(6):
        loss, grads = step(qat, images, labels)
        optimizer.update(qat, grads)
        losses.append(loss)
    assert losses[-1] < losses[0]
    qat.eval().apply(tq.disable_observer)
    int8 = tq.convert(qat)
    # Weights and scales are the trained ones, exactly.
    for name in ("first", "second", "out"):
        weight, _ = qat.get_submodule(name).weight_and_bias()
        fake = qat.get_submodule(name).weight_fake_quant
        assert_array_equal(int8.get_submodule(name).weight().dequantize(), fake(weight))
    scale, zero_point = qat.first.activation_post_process.calculate_qparams()
    assert (int8.first.scale, int8.first.zero_point) == (scale[0], zero_point[0])
    # Values are at most one step apart, and hardly ever that.
    many = rng.standard_normal((600, 3, 9, 9)).astype(np.float32)
    fakes = values(qat, many, (nn.intrinsic.FusedWeighted,))
    codes = values(int8, many, (nn.quantized.Conv2d,))
    steps = np.abs(fakes["first"] - codes["first"].dequantize()) / scale[0]
    assert steps.max() < 1.01
    assert (steps > 0.5).mean() <= 1e-5


def test_floats_that_two_layers_take(rng):
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.value, self.gate, self.relu = nn.Linear(6, 4), nn.Linear(6, 4), nn.ReLU()

        def forward(self, x):
            return self.value(x) * self.relu(self.gate(x)) + self.relu(x)[:, :4]

    model = Gated().eval()
    x = rng.standard_normal((20, 6)).astype(np.float32)
    int8 = tq.quantize(model, [x], verbose=False)
    # Each quantizes them for itself: to the others they are floats.
    assert int8.value.input_grid == int8.gate.input_grid
    assert int8.value.input_grid is not None
    assert_allclose(int8(x), model(x), atol=0.02)


def test_stubs_draw_borders_themselves(images):
    stubs = nn.Sequential(nn.QuantStub(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.DeQuantStub())
    int8 = tq.quantize(stubs, [images], verbose=False)
    assert isinstance(int8[0], nn.quantized.Quantize)
    assert isinstance(int8[3], nn.quantized.DeQuantize)
    assert int8[1].input_grid is None
    assert int8[1].grid is not None
    out = int8(images)
    assert isinstance(out, np.ndarray)
    assert_allclose(out, stubs(images), atol=0.05)


def test_a_qconfig_of_none_leaves_a_layer_in_float(model, images):
    mapping = tq.get_default_qconfig_mapping().set_module_name("second", None)
    int8 = tq.quantize(model, [images], mapping, verbose=False)
    assert type(int8.second) is nn.Conv2d
    assert type(int8.first) is nn.quantized.Conv2d
    assert "second" in str(tq.report(int8))
    want = model(images)
    assert np.abs(int8(images) - want).max() < 0.05 * np.abs(want).max()


def test_fused_modules_compute_what_they_are_made_of(model, images):
    want = model(images)
    fused = tq.fuse_modules(model, [["first", "norm", "relu"]])
    assert type(fused.first) is nn.intrinsic.ConvReLU2d
    assert_allclose(fused(images), want, rtol=1e-4, atol=1e-5)
    trained = tq.fuse_modules(model.copy().train(), [["first", "norm", "relu"]])
    assert_allclose(trained.eval()(images), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "parts",
    [
        [nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU()],
        [nn.Conv1d(2, 3, 3), nn.ReLU6()],
        [nn.Linear(6, 4), nn.BatchNorm1d(2), nn.ReLU()],
        [nn.ConvTranspose1d(2, 4, 3, groups=2), nn.BatchNorm1d(4)],
        [nn.ConvTranspose1d(2, 4, 3), nn.BatchNorm1d(4)],
    ],
    ids=lambda parts: "+".join(type(p).__name__ for p in parts),
)
def test_folding(parts, rng):
    x = rng.standard_normal((8, 2, 6)).astype(np.float32)
    if isinstance(parts[0], nn.Linear):
        x, parts[1] = x.reshape(16, 6), nn.BatchNorm1d(4)
    whole = nn.Sequential(*parts)
    for part in parts:
        if isinstance(part, nn.BatchNorm1d):
            part.weight = rng.uniform(0.5, 2, part.weight.shape).astype(np.float32)
            part.bias = rng.standard_normal(part.bias.shape).astype(np.float32)
    for _ in range(5):
        whole(x)
    whole.eval()
    names = [[str(i) for i in range(len(parts))]]
    assert_allclose(tq.fuse_modules(whole, names)(x), whole(x), rtol=1e-4, atol=1e-5)
    int8 = tq.quantize(whole, [x], verbose=False)
    want = whole(x)
    assert np.abs(int8(x) - want).max() < 0.04 * np.abs(want).max()


def test_dynamic(rng):
    float_model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8)).eval()
    x = rng.standard_normal((10, 32)).astype(np.float32)
    small = tq.quantize_dynamic(float_model, {nn.Linear})
    assert isinstance(small[0], nn.quantized.dynamic.Linear)
    assert_allclose(small(x), float_model(x), atol=0.05)
    only = tq.quantize_dynamic(float_model, {"2"})
    assert type(only[0]) is nn.Linear
    assert isinstance(only[2], nn.quantized.dynamic.Linear)
    mixed = tq.quantize_dynamic(float_model, {nn.Linear: tq.default_dynamic_qconfig, "0": None})
    assert type(mixed[0]) is nn.Linear
    assert not mixed[2].per_channel


def test_files(model, images, tmp_path):
    path = tmp_path / "model.safetensors"
    int8 = tq.quantize(model, [images], verbose=False)
    want = int8(images)
    int8.save(path)
    # A class that is not quantray's: a module that runs by its graphs, or an instance that takes the file.
    back = qt.load(path)
    assert type(back) is nn.GraphModule
    assert repr(back) == repr(int8)
    assert_array_equal(back(images), want)
    other = Residual()
    other.load_state_dict(path)
    assert_array_equal(other.eval()(images), want)
    # Own modules alone: the model itself.
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(196, 3), nn.Sigmoid())
    for made in (plain.eval(), tq.quantize(plain, [images], verbose=False)):
        made.save(path)
        back = qt.load(path)
        assert repr(back) == repr(made)
        assert_array_equal(back(images), made(images))
        assert_array_equal(pickle.loads(pickle.dumps(made))(images), made(images))


def test_modes_stay_where_a_file_brings_layers(tmp_path, rng):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.5, batch_first=True)
            self.words, self.inner = nn.Embedding(20, 16), nn.TransformerEncoder(layer, 2)

        def forward(self, ids):
            return self.inner(self.words(ids))

    path = tmp_path / "model.safetensors"
    ids = rng.integers(0, 20, (2, 5))
    small = tq.quantize_dynamic(Encoder().eval())
    assert isinstance(small.words, nn.quantized.Embedding)
    small.save(path)
    again = Encoder().eval()
    again.load_state_dict(path)
    assert_array_equal(again(ids), small(ids))


def test_a_file_that_does_not_fit_changes_nothing(model, images, tmp_path):
    path = tmp_path / "model.safetensors"
    tq.quantize(model, [images], verbose=False).save(path)
    state = dict(qt.load(path).state_dict())
    state.pop("out.weight")
    metadata = {"quantray.model": qt.read_metadata(path)["quantray.model"]}
    qt.save(state, path, metadata=metadata)
    other = Residual()
    before = repr(other)
    with pytest.raises(KeyError, match=r"missing: out\.weight"):
        other.load_state_dict(path)
    assert repr(other) == before
    assert other._runner is None
    with pytest.raises(OSError, match=r"missing: out\.weight"):
        qt.load(path)
    qt.save(state, path, metadata={"quantray.model": '{"version": 99, "model": {}}'})
    with pytest.raises(OSError, match=r"version 99.*later"):
        qt.load(path)
    qt.save(state, path, metadata={"quantray.model": "{"})
    with pytest.raises(OSError, match="damaged"):
        qt.load(path)


X = np.ones((2, 3, 9, 9), np.float32)


@pytest.mark.parametrize(
    ("do", "error", "says"),
    [
        (lambda: tq.convert(nn.Linear(1, 1)), ValueError, "must come from prepare"),
        (lambda: tq.convert(tq.prepare(Residual())), ValueError, "must have seen data"),
        (lambda: tq.calibrate(tq.prepare(Residual()), []), ValueError, "at least one batch"),
        (lambda: tq.quantize(Residual(), []), ValueError, "at least one batch"),
        (lambda: tq.prepare(tq.prepare(Residual())), ValueError, "prepared already"),
        (lambda: tq.fuse_modules(Residual()), ValueError, "modules_to_fuse"),
        (lambda: tq.fuse_modules(Residual(), ["frist", "norm"]), AttributeError, "did you mean 'first'"),
        (lambda: tq.fuse_modules(Residual(), ["first", "out"]), ValueError, r"Conv2d \+ Linear.*cannot"),
        (
            lambda: tq.fuse_modules(Residual(), [["first", "norm"], ["first", "norm"]]),
            ValueError,
            "'first' twice",
        ),
        (lambda: tq.quantize_dynamic(Residual(), {nn.ReLU}), ValueError, "ReLU, which has no integer"),
        (lambda: tq.quantize_dynamic(Residual(), {"no"}), ValueError, "'no'"),
        (
            lambda: tq.calibrate(tq.prepare(nn.Linear(9, 2)), [X, X * np.nan], show_progress=False),
            ValueError,
            r"batch 1: model: .*NaN",
        ),
    ],
)
def test_bad_input_is_named(do, error, says):
    with pytest.raises(error, match=says):
        do()


def test_a_layer_that_saw_no_data_is_named(model, images):
    model.spare = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"spare \(Linear\) has seen no data"):
        tq.quantize(model, [images], verbose=False)


def test_weights_that_are_computed_from_parameters(rng):
    class Bounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Parameter(rng.standard_normal((4, 8), np.float32))

        def forward(self, x):
            return F.linear(x, np.tanh(self.inner) * np.float32(-2))

    x = rng.standard_normal((64, 8), np.float32)
    model = Bounded()
    want = x @ (np.tanh(np.asarray(model.inner)) * -2).T
    got = tq.quantize(model, [x], verbose=False)(x)
    assert np.abs(got - want).max() < 0.03 * np.abs(want).max()


def test_nothing_to_quantize_is_said():
    with pytest.warns(UserWarning, match="nothing was quantized"):
        tq.quantize_dynamic(nn.Sequential(nn.ReLU()))
    with pytest.warns(
        UserWarning, match=r"asked for \(.*Linear.*\); it has Conv2d, which qconfig_spec may name"
    ):
        tq.quantize_dynamic(nn.Sequential(nn.Conv2d(1, 2, 3)))


def test_report_prints_and_shows(model, images, capsys):
    int8 = tq.quantize(model, [images])
    printed = capsys.readouterr().out
    assert str(tq.report(int8)) in printed
    assert "qint8 -> quint8" in printed
    html = tq.report(int8)._repr_html_()
    assert "<table" in html
    assert "script" not in html


def test_decisions_by_lengths_of_what_layers_make(rng):
    """What decides is computed on each graph as that graph computes: observers look at nothing then."""

    class Deciding(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x, n):
            hidden = F.relu(self.first(x))
            if n + hidden.shape[0] > 40:
                hidden = -hidden
            return self.second(hidden)

    x = rng.standard_normal((32, 8), np.float32)
    small, large = np.array(2), np.array(20)
    model = Deciding()
    prepared = tq.prepare(model, None, (x, small))
    for n in (small, large, small):
        prepared(x, n)
    converted = tq.convert(prepared)
    for n in (small, large):
        want = model(x, n)
        assert np.abs(converted(x, n) - want).max() < 0.05 * np.abs(want).max()
        assert np.abs(converted(x, n) - want).max() < 0.05 * np.abs(want).max()
