"""Dynamic convolutions: torch's results, the plain formula, state, files, `quantize_dynamic`."""

import pickle

import numpy as np
import pytest
import quantray as qt
from golden import cases
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F
from quantray.nn.quantized import dynamic

NAMES = [f"Conv{kind}{dims}d" for kind in ("", "Transpose") for dims in (1, 2, 3)]
LENGTHS = (8, 7, 5)


@cases("dynamic_conv")
def test_torchs_values(case):
    bias = "bias" in case
    layer = getattr(nn, case["module"])(4, case["outputs"], 3, **case["settings"])
    layer.load_state_dict({"weight": case["weight"]} | ({"bias": case["bias"]} if bias else {}))
    # What torch makes: one scale for the weight, one of 7 bits for the input.
    settings = {"per_channel": False, "per_row": False, "reduce_range": True}
    small = getattr(dynamic, case["module"]).from_float(layer, **settings)
    y = small(case["x"])
    # torch rounds results to 8 bits of the input's scale and zero point, and so cuts off what is larger than
    # any input (ATen, `apply_dynamic` of convolutions).
    q = qt.quantize_per_tensor_dynamic(case["x"], "quint8", True)
    codes = qt.quantize_per_tensor(y, q.q_scale(), q.q_zero_point(), qt.quint8)
    assert_allclose(codes.dequantize(), case["y"], rtol=1e-5, atol=1e-6)
    assert np.abs(y - case["y_float"]).max() < 0.05
    assert_allclose(layer(case["x"]), case["y_float"], rtol=1e-5, atol=1e-6)


def settings_of(name):
    """Some geometries that each kind has."""
    yield {}
    yield {"stride": 2, "padding": 1, "bias": False}
    yield {"groups": 2, "dilation": 2}
    if "Transpose" in name:
        yield {"stride": 3, "output_padding": 2, "groups": 4}
    else:
        yield {"padding": "same", "padding_mode": "circular"}
        yield {"padding": 2, "padding_mode": "reflect", "stride": 2}
        yield {"padding": 1, "padding_mode": "replicate", "groups": 4}


ALL = [
    pytest.param(name, settings, id=f"{name}-{settings}") for name in NAMES for settings in settings_of(name)
]


def made(name, settings, rng):
    nn.manual_seed(7)
    layer = getattr(nn, name)(4, 8, 3, **settings)
    # Images of different ranges.
    x = rng.standard_normal((3, 4, *LENGTHS[: int(name[-2])]), np.float32)
    return layer, x * np.float32([0.1, 1, 9]).reshape(3, *[1] * (x.ndim - 1))


@pytest.mark.parametrize(("name", "settings"), ALL)
@pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per tensor"])
@pytest.mark.parametrize("per_row", [True, False], ids=["per image", "per batch"])
def test_the_float_layer_of_rounded_numbers(name, settings, per_channel, per_row, rng):
    layer, x = made(name, settings, rng)
    small = getattr(dynamic, name).from_float(layer, per_channel=per_channel, per_row=per_row)
    weight = small.weight()
    axis = 1 if "Transpose" in name else 0
    other = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(layer.weight).max(other if per_channel else None)
    scales = weight.q_per_channel_scales() if per_channel else weight.q_scale()
    assert_allclose(scales, largest / 127.5, rtol=1e-6)
    steps = (
        np.reshape(scales, [-1 if i == axis else 1 for i in range(weight.ndim)]) if per_channel else scales
    )
    # The largest value has no code of its own: -128 is one step further out than 127.
    assert (np.abs(weight.dequantize() - layer.weight) <= 0.5001 * steps).all()
    # Padding that is no zeros repeats values: the range is the input's own.
    parts = x if per_row else [x]
    rounded = [qt.quantize_per_tensor_dynamic(part, qt.quint8).dequantize() for part in parts]
    rounded = np.stack(rounded) if per_row else rounded[0]
    # In float64, as sums of shifted products: nothing of the functions that are tested.
    expected = plain(name, layer, rounded.astype(np.float64), weight.dequantize().astype(np.float64))
    y = small(x)
    assert y.dtype == np.float32
    assert_allclose(y, expected, rtol=1e-4, atol=2e-4)
    # One image, with and without an axis for images.
    alone = small(x[1])
    assert_array_equal(alone, small(x[1:2])[0])
    if per_row:
        assert_array_equal(alone, y[1])


def plain(name, layer, x, weight):
    """A convolution in float64, one element of the kernel after the other."""
    dims = x.ndim - 2
    n, groups, axes = len(x), layer.groups, range(dims)
    k, s, d = layer.kernel_size, layer.stride, layer.dilation
    pads = [
        ((d[i] * (k[i] - 1)) // 2,) * 2 if layer.padding == "same" else (layer.padding[i],) * 2 for i in axes
    ]
    parts = np.split(x, groups, 1)
    if "Transpose" in name:
        full = [(x.shape[2 + i] - 1) * s[i] + d[i] * (k[i] - 1) + 1 + layer.output_padding[i] for i in axes]
        y = np.zeros((n, groups, weight.shape[1], *full))
        weights = np.split(weight, groups, 0)
        for at in np.ndindex(*k):
            to = tuple(
                slice(at[i] * d[i], at[i] * d[i] + (x.shape[2 + i] - 1) * s[i] + 1, s[i]) for i in axes
            )
            for g in range(groups):
                y[(slice(None), g, slice(None), *to)] += np.einsum(
                    "nc...,co->no...", parts[g], weights[g][(slice(None), slice(None), *at)]
                )
        y = y.reshape(n, -1, *full)
        y = y[(slice(None), slice(None), *(slice(a, m - b) for (a, b), m in zip(pads, full, strict=True)))]
    else:
        mode = {"zeros": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}
        parts = np.split(np.pad(x, [(0, 0), (0, 0), *pads], mode[layer.padding_mode]), groups, 1)
        lengths = [(parts[0].shape[2 + i] - d[i] * (k[i] - 1) - 1) // s[i] + 1 for i in axes]
        y = np.zeros((n, groups, weight.shape[0] // groups, *lengths))
        weights = np.split(weight, groups, 0)
        for at in np.ndindex(*k):
            of = tuple(slice(at[i] * d[i], at[i] * d[i] + (lengths[i] - 1) * s[i] + 1, s[i]) for i in axes)
            for g in range(groups):
                y[:, g] += np.einsum(
                    "nc...,oc->no...",
                    parts[g][(slice(None), slice(None), *of)],
                    weights[g][(slice(None), slice(None), *at)],
                )
        y = y.reshape(n, -1, *lengths)
    return y if layer.bias is None else y + layer.bias.reshape(-1, *[1] * dims)


@pytest.mark.parametrize(("name", "settings"), ALL)
def test_layers_travel(name, settings, rng, tmp_path):
    layer, x = made(name, settings, rng)
    options = {"per_channel": False, "per_row": False}
    for small in (
        getattr(dynamic, name).from_float(layer),
        getattr(dynamic, name).from_float(layer, **options),
    ):
        y = small(x)
        rebuilt = type(small)(**small._config())
        rebuilt.load_state_dict(small.state_dict())
        path = tmp_path / "layer.safetensors"
        small.save(path)
        for again in (pickle.loads(pickle.dumps(small)), small.copy(), rebuilt, qt.load(path)):
            assert type(again) is type(small)
            assert repr(again) == repr(small)
            assert_array_equal(again(x), y)


def test_an_output_size(rng):
    layer = nn.ConvTranspose2d(4, 6, 3, stride=3)
    small = dynamic.ConvTranspose2d.from_float(layer)
    x = rng.standard_normal((2, 4, 5, 5), np.float32)
    for size in ([15, 16], [17, 17]):
        y = small(x, size)
        assert list(y.shape[2:]) == size
        assert_allclose(y, layer(x, size), atol=0.05)
    with pytest.raises(
        ValueError, match=r"output_size must be from \(15, 15\) to \(17, 17\), got \(18, 15\)"
    ):
        small(x, (18, 15))


def test_layouts_and_types_of_inputs(rng):
    small = dynamic.Conv2d.from_float(nn.Conv2d(4, 6, 3))
    x = rng.standard_normal((3, 4, 7, 8), np.float32)
    y = small(x)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for same in (last, x[::-1].copy()[::-1], x.astype(np.float64), x.tolist()):
        assert_array_equal(small(same), y)
    assert small(x[:0]).shape == (0, 6, 5, 6)
    q = qt.quantize_per_tensor_dynamic(x, "quint8")
    assert_array_equal(small(q), small(q.dequantize()))
    last[2, 1, 3, 4] = np.nan
    with pytest.raises(ValueError, match=r"NaN.*\(1, 3, 4\)"):
        small(last)
    together = dynamic.Conv2d.from_float(nn.Conv2d(4, 6, 3), per_row=False)
    with pytest.raises(ValueError, match=r"NaN.*\(2, 1, 3, 4\)"):
        together(last)


def network():
    nn.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
        nn.ReLU6(),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.Flatten(),
        nn.Linear(4 * 12 * 12, 16),
        nn.ReLU(),
        nn.Linear(16, 5),
    )


CONV, LINEAR = dynamic.Conv2d, dynamic.Linear


@pytest.mark.parametrize(
    ("spec", "kinds"),
    [
        ({nn.Conv2d}, {0: CONV, 3: CONV, 7: nn.Linear}),
        ({"3"}, {0: nn.Conv2d, 3: CONV, 7: nn.Linear}),
        ({nn.Conv2d: tq.default_dynamic_qconfig, "0": None}, {0: nn.Conv2d, 3: CONV, 7: nn.Linear}),
        (
            {nn.Conv2d, nn.ConvTranspose2d, nn.Linear},
            {0: CONV, 5: dynamic.ConvTranspose2d, 7: LINEAR, 9: LINEAR},
        ),
        # Convolutions gain by `quantize`; by default they stay in float.
        (None, {0: nn.Conv2d, 3: nn.Conv2d, 5: nn.ConvTranspose2d, 7: LINEAR, 9: LINEAR}),
    ],
    ids=["type", "name", "qconfig", "all", "default"],
)
def test_which_layers(spec, kinds, rng):
    x = rng.standard_normal((6, 3, 6, 6), np.float32)
    model = network()
    model(x)
    model.eval()
    small = tq.quantize_dynamic(model, spec)
    assert {i: type(small[i]) for i in kinds} == kinds
    if isinstance(spec, dict):
        # torch's default: one scale for all of a weight.
        assert not small[3].per_channel
    want = model(x)
    assert np.abs(small(x) - want).max() < 0.05 * np.abs(want).max()
    assert "qint8 -> float32" in str(tq.report(small))
    assert type(model[3]) is nn.Conv2d


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    "spec",
    [
        {nn.Conv2d, nn.Linear},
        {nn.intrinsic.ConvReLU2d, nn.intrinsic.ConvBnReLU2d, nn.intrinsic.LinearReLU},
        {"0", "3", "7"},
    ],
    ids=["layers", "fused", "names"],
)
def test_fused_layers(spec, training, rng, tmp_path):
    x = rng.standard_normal((6, 3, 6, 6), np.float32)
    model = network()
    model(x)
    model.train(training)
    fused = tq.fuse_modules(model, [["0", "1", "2"], ["3", "4"], ["7", "8"]])
    small = tq.quantize_dynamic(fused, spec)
    assert type(small[0]) is CONV
    assert type(small[7]) is LINEAR
    assert small[0].relu
    assert small[7].relu
    # ReLU6 stays a module of its own.
    assert type(small[3]) is nn.intrinsic.ConvReLU2d
    assert type(small[3].get_submodule("0")) is CONV
    want = model.eval()(x)
    assert np.abs(small(x) - want).max() < 0.05 * np.abs(want).max()
    path = tmp_path / "model.safetensors"
    small.save(path)
    assert_array_equal(qt.load(path)(x), small(x))


def test_from_float_folds_what_is_fused(rng):
    x = rng.standard_normal((6, 3, 6, 6), np.float32)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    for _ in range(3):
        model(x * 2 + 1)
    small = dynamic.Conv2d.from_float(tq.fuse_modules(model, ["0", "1", "2"])[0])
    want = model.eval()(x)
    y = small(x)
    assert y.min() == 0
    assert_allclose(y, want, atol=0.03 * want.max())
    linear = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    relu = dynamic.Linear.from_float(tq.fuse_modules(linear, ["0", "1"])[0])
    plain_one = dynamic.Linear(6, 4)
    plain_one.load_state_dict(relu.state_dict())
    assert_array_equal(relu(x[0, 0]), np.maximum(plain_one(x[0, 0]), 0))


class Scaled(nn.Linear):
    """A layer of a class that quantization does not know."""

    def forward(self, input):
        return super().forward(input) * 2


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Parameter(np.zeros((4, 6))), nn.Linear(6, 6)

    def forward(self, input):
        return self.layer(input + self.table)


def test_what_is_left_in_float_is_said():
    model = nn.Sequential(nn.Linear(6, 6), Scaled(6, 6), nn.LayerNorm(6), Positions())
    with pytest.warns(UserWarning, match=r"^left in float.*: 1 \(Scaled\), 3 \(Positions\)$"):
        tq.quantize_dynamic(model)
    with pytest.warns(UserWarning, match=r"^left in float.*: 1 \(Scaled\)$"):
        tq.quantize_dynamic(model, {nn.Linear})
    with pytest.warns(UserWarning, match=r"^left in float.*: 2 \(LayerNorm\)$"):
        tq.quantize_dynamic(model, {"0", "2"})
    # What was not asked for, and what was asked to stay, needs no word.
    tq.quantize_dynamic(model, {"0"})
    tq.quantize_dynamic(model, {nn.Linear: tq.per_channel_dynamic_qconfig, "1": None})


def test_errors():
    with pytest.raises(TypeError, match=r"^module must be a Conv2d for Conv2d, got Conv1d"):
        dynamic.Conv2d.from_float(nn.Conv1d(2, 2, 3))
    fused = tq.fuse_modules(nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU6()), ["0", "1"])
    with pytest.raises(ValueError, match=r"^module must have ReLU after its layer, or nothing, got ReLU6"):
        dynamic.Conv2d.from_float(fused[0])
    with pytest.raises(TypeError, match=r"^module must be a Conv1d for Conv1d, got Conv2d"):
        dynamic.Conv1d.from_float(fused[0])
    with pytest.raises(ValueError, match=r"^dtype must be qint8 for a weight, got "):
        dynamic.Conv2d.from_float(nn.Conv2d(2, 2, 3), dtype=qt.quint8)
    with pytest.raises(ValueError, match=r"^reduce_range must be False with per_row=True"):
        dynamic.Conv2d(2, 2, 3, reduce_range=True)
    with pytest.raises(ValueError, match=r"^padding_mode must be one of 'zeros', got 'reflect'"):
        dynamic.ConvTranspose2d(2, 2, 3, padding_mode="reflect")
    with pytest.raises(ValueError, match=r"^in_channels must be a multiple of groups, 2, got 3"):
        dynamic.Conv2d(3, 2, 3, groups=2)
    with pytest.raises(ValueError, match=r"^weight must be of shape \(4, 2, 3, 3\), got \(2, 4, 3, 3\)"):
        dynamic.Conv2d(2, 4, 3).set_weight_bias(dynamic.Conv2d(4, 2, 3).weight())
    with pytest.raises(ValueError, match=r"^input must be with 2 channels"):
        dynamic.Conv2d(2, 4, 3)(np.zeros((1, 3, 5, 5)))
    with pytest.raises(ValueError, match=r"^input must be of shape"):
        dynamic.Conv2d(2, 4, 3)(np.zeros(5))


def test_dynamic_is_near_float_of_fused_functions(rng):
    # A network of dynamic convolutions alone: what lies channels last goes on channels last.
    layers = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.Conv2d(16, 4, 1)).eval()
    x = rng.standard_normal((5, 3, 12, 12), np.float32)
    small = tq.quantize_dynamic(layers, {nn.Conv2d})
    want = F.conv2d(layers[1](layers[0](x)), layers[2].weight, layers[2].bias)
    assert np.sqrt(np.mean((small(x) - want) ** 2)) < 0.02 * want.std()
