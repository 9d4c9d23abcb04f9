"""What went wrong for somebody once, in models as they are written: each must stay right."""

import gc
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F


def decibels(want, got):
    return 10 * np.log10((want**2).sum() / ((want - got) ** 2).sum())


def quantized(model, *batches):
    return tq.quantize(model, list(batches), verbose=False)


def trained(model, x, calls=3):
    """A model after some calls of quantization aware training, and what it was converted to."""
    ready = tq.prepare_qat(model, example_inputs=x)
    for _ in range(calls):
        ready(x)
    ready.eval()
    return ready, tq.convert(ready)


@pytest.fixture
def x(rng):
    return rng.standard_normal((64, 8)).astype(np.float32)


class Between(nn.Module):
    """A function between two layers."""

    def __init__(self, function):
        super().__init__()
        self.a, self.b, self.function = nn.Linear(8, 16), nn.Linear(16, 4), function

    def forward(self, x):
        return self.b(self.function(self.a(x)))


class Beside(Between):
    """A function whose result is returned, beside a second layer."""

    def forward(self, x):
        h = self.a(x)
        y = self.b(h)
        return self.function(h), y


def test_a_fused_layer_observes_its_input_alone(rng):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    model[0].weight = model[0].weight * 20
    images = rng.random((32, 1, 8, 8), np.float32)
    made = quantized(model, images)
    assert made[0].input_grid.scale == pytest.approx(1 / 255, rel=0.02)
    assert decibels(model(images), made(images)) > 38


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv2d])
def test_a_subclass_with_a_forward_of_its_own_keeps_it(rng, kind):
    class Own(kind):
        def forward(self, input):
            return super().forward(input) * 3 + 1

    if kind is nn.Linear:
        model, x = nn.Sequential(Own(8, 8), nn.ReLU(), Own(8, 4)), rng.standard_normal((64, 8))
    else:
        model, x = nn.Sequential(Own(3, 6, 3), nn.ReLU(), Own(6, 4, 1)), rng.standard_normal((16, 3, 8, 8))
    x = x.astype(np.float32)
    assert decibels(model(x), quantized(model, x)(x)) > 35
    ready, made = trained(model, x)
    assert decibels(model(x), made(x)) > 32
    assert_array_equal(made(x), ready(x))


def _added(h):
    return h + 1


IN_PLACE = {
    "h *= 5": lambda h: h.__imul__(5),
    "h += 1": lambda h: h.__iadd__(1),
    "h -= mean": lambda h: h.__isub__(h.mean(axis=1, keepdims=True)),
    "out=": lambda h: np.multiply(h, 5, out=h),
    "out= by position": lambda h: np.add(h, 1, h),
    "maximum out=": lambda h: np.maximum(h, 0, out=h),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_changes_in_place_between_layers(x, name):
    model = Between(IN_PLACE[name])
    want = model(x)
    assert decibels(want, quantized(model, x)(x)) > 35
    ready, made = trained(model, x)
    assert_array_equal(made(x), ready(x))


def test_assignment_between_layers(x):
    def assign(h):
        h[:, 0] = 2
        h[h < 0] = 0
        h[:, 1:3] *= 0.5
        return h

    model = Between(assign)
    before = x.copy()
    assert decibels(model(x), quantized(model, x)(x)) > 35
    assert_array_equal(x, before)


METHODS = {
    "copy": lambda h: h.copy(),
    "astype": lambda h: h.astype(np.float32),
    "clip": lambda h: h.clip(-0.5, 0.5),
    "var": lambda h: h.var(axis=1),
    "std": lambda h: h.std(axis=0),
    "min": lambda h: h.min(axis=1),
    "max of all": lambda h: h.max(),
    "sum": lambda h: h.sum(axis=1),
    "take": lambda h: h.take([3, 1], axis=1),
    "cumsum": lambda h: h.cumsum(axis=1),
    "repeat": lambda h: h.repeat(3, axis=0),
    "swapaxes": lambda h: h.swapaxes(0, 1),
    "round": lambda h: h.round(1),
    "dot": lambda h: h.dot(h.T),
    "T": lambda h: h.T,
    "np.sort": lambda h: np.sort(h, axis=1),
    "np.std": lambda h: np.std(h, axis=1),
    "size": lambda h: np.float32(h.size),
    "dtype": lambda h: np.ones(3, h.dtype),
    "softmax": lambda h: np.exp(h - h.max(axis=1, keepdims=True)),
    "stack": lambda h: np.stack([h, h * 2], axis=1),
    "sorted in place": lambda h: (h.sort(axis=1), h)[1],
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_arrays_mean_what_they_mean(x, name):
    model = Beside(METHODS[name])
    want, got = np.asarray(model(x)[0]), quantized(model, x)(x)[0]
    assert isinstance(got, (np.ndarray, np.generic))
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, atol=0.05 * np.abs(want).max())


def test_a_fused_model_can_be_quantized(rng):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)).eval()
    images = rng.standard_normal((16, 3, 8, 8)).astype(np.float32)
    want = model(images)
    for fused in (
        tq.fuse_modules(model, [["0", "1", "2"]]),
        tq.fuse_modules(model, example_inputs=images),
        model,
    ):
        assert decibels(want, quantized(fused, images)(images)) > 35


@pytest.mark.parametrize("example", [True, False])
def test_training_folds_normalizations_by_itself(rng, example):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3))
    images = rng.standard_normal((16, 3, 8, 8)).astype(np.float32)
    ready = tq.prepare_qat(model, example_inputs=images if example else None)
    before = ready[1].running_mean.copy()
    for _ in range(4):
        ready(images)
    assert np.abs(ready[1].running_mean - before).max() > 0
    ready.eval()
    made = tq.convert(ready)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    assert_array_equal(made(images), ready(images))


@pytest.mark.parametrize("transposed", [False, True])
def test_a_normalization_without_weights_folds(rng, transposed):
    layer = (
        nn.ConvTranspose2d(8, 4, 3, bias=False, groups=2) if transposed else nn.Conv2d(8, 4, 3, bias=False)
    )
    model = nn.Sequential(layer, nn.BatchNorm2d(4, affine=False)).eval()
    model[1].running_mean = rng.standard_normal(4).astype(np.float32)
    model[1].running_var = rng.uniform(0.1, 5, 4).astype(np.float32)
    images = rng.standard_normal((4, 8, 9, 7)).astype(np.float32)
    np.testing.assert_allclose(tq.fuse_modules(model, ["0", "1"])(images), model(images), atol=1e-4)
    assert decibels(model(images), quantized(model, images)(images)) > 35


def test_a_normalization_without_statistics_stays(rng):
    model = nn.Sequential(
        nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), nn.Conv2d(4, 4, 3)
    ).eval()
    images = rng.standard_normal((8, 8, 9, 7)).astype(np.float32)
    assert decibels(model(images), quantized(model, images)(images)) > 30


def test_empty_batches_are_as_if_they_were_not_there(x):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    want = quantized(model, x)(x)
    for batches in ([x, x[:0]], [x[:0], x], [x[:0], x, x[:0]]):
        assert_array_equal(quantized(model, *batches)(x), want)
    with pytest.raises(ValueError, match="saw no data"):
        quantized(model, x[:0])
    ready = tq.prepare_qat(model, example_inputs=x)
    for batch in (x, x[:0], x):
        assert ready(batch).shape == (len(batch), 4)
    assert tq.convert(ready)(x[:0]).shape == (0, 4)


class Choices(nn.Module):
    """Arguments by keyword, values that are no arrays, a mask that may be left out."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x, mask=None, *, scale=1.0, activate=True):
        h = self.a(input=x) * scale
        if mask is not None:
            h = np.where(mask[:, None], h, 0)
        return self.b(input=F.relu(h) if activate else h)


def test_calls_by_keyword(x):
    model, mask = Choices(), x[:, 0] > 0
    ready = tq.prepare(model)
    calls = [
        ((x,), {}),
        ((), {"x": x}),
        ((x, None), {}),
        ((x,), {"mask": None, "scale": 1.0, "activate": True}),
        ((x, mask), {}),
        ((), {"mask": mask, "x": x}),
        ((x,), {"scale": 2.0}),
        ((x,), {"activate": False}),
    ]
    for args, kwargs in calls:
        np.testing.assert_allclose(ready(*args, **kwargs), model(*args, **kwargs), atol=1e-5)
    made = tq.convert(ready)
    assert len(made._runner.graphs) == 4
    for args, kwargs in calls:
        assert decibels(model(*args, **kwargs), made(*args, **kwargs)) > 30
    with pytest.raises(ValueError, match=r"scale=3\.0.*\n.*float32 \(n, 8\)") as error:
        made(x, scale=3.0)
    assert "scale=2.0" in str(error.value)


def test_intermediate_values_are_arrays(x):
    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x):
            h = F.relu(self.a(x))
            return {"hidden": h, "rest": (self.b(h), [x, None, 3])}

    model = Several()
    want, got = model(x), quantized(model, x)(x)
    assert type(got["hidden"]) is np.ndarray
    assert decibels(want["hidden"], got["hidden"]) > 35
    assert decibels(want["rest"][0], got["rest"][0]) > 35
    assert_array_equal(got["rest"][1][0], x)
    assert got["rest"][1][1:] == [None, 3]


@pytest.mark.parametrize("example", [True, False])
def test_fake_quantization_is_off_before_the_first_call(x, example):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    for switch in (lambda m: m.apply(tq.disable_fake_quant), tq.disable_fake_quant):
        ready = tq.prepare_qat(model, example_inputs=x if example else None)
        if not example:
            # There is nothing to switch off yet: the first call makes it.
            ready(x)
        switch(ready)
        np.testing.assert_allclose(ready(x), model(x), atol=1e-6)
        np.testing.assert_allclose(ready.eval()(x), model(x), atol=1e-6)


@pytest.mark.parametrize("prepare", [tq.prepare, tq.prepare_qat])
@pytest.mark.parametrize("example", [True, False])
def test_training_goes_on_from_a_state_dict(x, tmp_path, prepare, example):
    def net():
        return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    ready = prepare(net(), example_inputs=x)
    for _ in range(3):
        ready(x)
    ready.save(tmp_path / "checkpoint.safetensors")
    for state in (ready.state_dict(), tmp_path / "checkpoint.safetensors"):
        fresh = prepare(net(), example_inputs=x)
        fresh.load_state_dict(state)
        assert_array_equal(fresh.eval()(x), ready.eval()(x))
        assert_array_equal(tq.convert(fresh)(x), tq.convert(ready)(x))


def test_hooks_stay(x):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    seen = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(np.shape(output)))
    model[2].register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    model[2].register_forward_hook(lambda module, args, output: output + 1)
    want = model(x)
    made = quantized(model, x)
    seen.clear()
    assert decibels(want, made(x)) > 35
    assert seen == [(64, 8)]
    ready, made = trained(model, x)
    assert_array_equal(made(x), ready(x))
    assert decibels(want, made(x)) > 30


def test_a_converted_model_holds_what_it_runs(rng):
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    x = rng.standard_normal((4, 64)).astype(np.float32)
    ready = tq.prepare(model, inplace=True)
    ready(x)
    observers = [weakref.ref(m) for m in ready.modules() if isinstance(m, tq.ObserverBase)]
    layers = [weakref.ref(ready[0]), weakref.ref(ready[0].weight), weakref.ref(ready[2].weight)]
    assert observers
    made = tq.convert(ready, inplace=True)
    del model, ready
    gc.collect()
    assert [ref() for ref in observers + layers] == [None] * len(observers + layers)
    assert made(x).shape == (4, 64)


def test_a_row_is_what_it_is_in_any_batch(x):
    x[5] *= 1000
    for model in (nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), nn.Linear(8, 4)):
        made = tq.quantize_dynamic(model)
        whole = made(x)
        assert_array_equal(whole, np.concatenate([made(x[i : i + 1]) for i in range(len(x))]))
        assert decibels(model(x[:5]), whole[:5]) > 25


def test_a_layer_that_stays_float_keeps_its_normalization(rng):
    nn.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    )
    x = rng.standard_normal((16, 1, 8, 8)).astype(np.float32)
    for _ in range(3):
        model(x)
    model.eval()
    mapping = tq.get_default_qconfig_mapping().set_module_name("3", None)
    int8 = tq.quantize(model, x, mapping, verbose=False)
    want = model(x)
    assert decibels(want, int8(x)) > 35


def test_inputs_that_all_become_0_are_said_with_the_layers_name(x):
    model = tq.quantize_dynamic(nn.Sequential(nn.Linear(8, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2))))
    with pytest.warns(UserWarning, match=r"^0: all values of the input become 0: the largest is .*e-09"):
        first = model(x * np.float32(1e-9))
    # Once: later calls cost nothing.
    assert_array_equal(model(x * np.float32(1e-9)), first)
    inner = tq.quantize_dynamic(
        nn.Sequential(nn.Linear(8, 4, bias=False), nn.Sequential(nn.Linear(4, 2))), {"1.0"}
    )
    inner[0].weight = inner[0].weight * np.float32(1e-9)
    with pytest.warns(UserWarning, match=r"^1\.0: all values"):
        inner(x)
