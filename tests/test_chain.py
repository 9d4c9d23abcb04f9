"""A Sequential of integer layers gives, in one call, what its layers give one after the other."""

import copy
import pickle

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq
from quantray.nn._chains import Run


def layer_by_layer(model: nn.Module, x: object) -> object:
    if type(model) is not nn.Sequential:
        return model(x)
    for module in model:
        x = layer_by_layer(module, x)
    return x


def runs(model: nn.Sequential, x: object) -> int:
    """How many runs of layers a call has."""
    model(x)
    return sum(isinstance(call, Run) for call in model._calls[1])


def same(one: object, other: object) -> None:
    if isinstance(other, qt.QTensor):
        assert isinstance(one, qt.QTensor)
        assert (one.q_scale(), one.q_zero_point(), one.dtype) == (
            other.q_scale(),
            other.q_zero_point(),
            other.dtype,
        )
        one, other = one.int_repr(), other.int_repr()
    assert type(one) is type(other)
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert (one == other).all()


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ends(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.QuantStub(), *layers)


MODELS = {
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 17, 3, stride=2, groups=1),
            nn.ReLU6(),
            nn.Flatten(),
            nn.Linear(17 * 3 * 3, 10),
        ),
        (3, 14, 14),
    ),
    "sequences": (
        lambda: nn.Sequential(
            nn.Conv1d(4, 6, 5, padding=2), nn.AvgPool1d(3, 2, 1), nn.Hardswish(), nn.Conv1d(6, 2, 1)
        ),
        (4, 31),
    ),
    "volumes": (
        lambda: nn.Sequential(
            nn.Conv3d(2, 5, 2), nn.AdaptiveAvgPool3d((1, None, 2)), nn.LeakyReLU(0.2), nn.Conv3d(5, 1, 1)
        ),
        (2, 4, 5, 6),
    ),
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1), nn.Sigmoid(), nn.Conv2d(4, 3, 2)
        ),
        (3, 5, 4),
    ),
    "depthwise": (
        lambda: nn.Sequential(
            nn.Sequential(nn.Conv2d(6, 6, 3, groups=6, padding=1), nn.ReLU6()),
            nn.Sequential(nn.Conv2d(6, 9, 1), nn.AdaptiveMaxPool2d(2)),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(36, 5),
        ),
        (6, 9, 7),
    ),
    "linear": (
        lambda: nn.Sequential(nn.Linear(7, 33), nn.ReLU(), nn.Linear(33, 4), nn.Tanh(), nn.Linear(4, 2)),
        (7,),
    ),
    "linear of sequences": (
        lambda: nn.Sequential(nn.Linear(7, 33), nn.ELU(), nn.Linear(33, 4)),
        (5, 7),
    ),
    "stub": (
        lambda: ends(
            nn.Conv2d(2, 4, 3), nn.SiLU(), nn.AvgPool2d(2, count_include_pad=False), nn.DeQuantStub()
        ),
        (2, 8, 8),
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("threads", [1, 2])
def test_as_layer_by_layer(name: str, threads: int) -> None:
    make, shape = MODELS[name]
    nn.manual_seed(0)
    model = tq.quantize(make(), images(32, *shape), verbose=False)
    before = qt.get_num_threads()
    qt.set_num_threads(threads)
    try:
        for batch in (0, 1, 2, 3, 64, 331):
            x = images(batch, *shape, seed=batch)
            same(model(x), layer_by_layer(model, x))
            assert runs(model, x) == 1
            # As an earlier layer of integers leaves it: in any order.
            if batch:
                q = qt.quantize_per_tensor(x, 0.03, 120, qt.quint8)
                same(model(q), layer_by_layer(model, q))
                last = np.moveaxis(np.ascontiguousarray(np.moveaxis(q.int_repr(), 1, -1)), -1, 1)
                q = qt.make_per_tensor_quantized_tensor(last, 0.03, 120)
                same(model(q), layer_by_layer(model, q))
                same(model(q[::2]), layer_by_layer(model, q[::2]))
                same(model(q[:, ..., ::-1]), layer_by_layer(model, q[:, ..., ::-1]))
    finally:
        qt.set_num_threads(before)


@pytest.mark.parametrize("bits", [2, 4])
def test_codes_of_few_bits(bits: int) -> None:
    most = 2**bits - 1
    activation = tq.FakeQuantize.with_args(
        observer=tq.MovingAverageMinMaxObserver, quant_min=0, quant_max=most, dtype=qt.quint8
    )
    weight = tq.default_weight_fake_quant
    nn.manual_seed(1)
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    ready = tq.prepare_qat(nn.Sequential(*layers).train(), tq.QConfig(activation, weight))
    x = images(50, 1, 8, 8)
    ready(x)
    model = tq.convert(ready.eval())
    assert runs(model, x) == 1
    same(model(3 * x), layer_by_layer(model, 3 * x))


def small() -> tuple[nn.Sequential, np.ndarray]:
    nn.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    x = images(40, 4)
    return tq.quantize(model, x, verbose=False), x


def test_hooks_are_called_and_their_removal_is_seen() -> None:
    model, x = small()
    assert runs(model, x) == 1
    seen = []
    handle = model[2].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    assert runs(model, x) == 0
    assert seen == [(40, 6)]
    handle.remove()
    assert runs(model, x) == 1
    assert len(seen) == 1
    before = model[2].register_forward_pre_hook(lambda module, args: seen.append(0))
    model(x)
    assert seen[1:] == [0]
    before.remove()
    with_hook = nn.Sequential(nn.Sequential(model[0], model[2]), model[4])
    with_hook[0].register_forward_hook(lambda module, args, output: seen.append(1))
    with_hook(x)
    assert seen[2:] == [1]


def test_changed_layers_are_seen() -> None:
    model, x = small()
    before = model(x)
    bias = model[4].bias()
    model[4].set_weight_bias(model[4].weight(), bias + 1)
    np.testing.assert_allclose(model(x), before + 1, rtol=1e-6)
    model[4] = nn.Identity()
    assert isinstance(model(x), qt.QTensor)
    model.append(nn.DeQuantStub())
    other, _ = small()
    model.load_state_dict({**model.state_dict(), "0.weight": other[0].weight()})
    same(model(x), layer_by_layer(model, x))
    model[0].relu = False
    same(model(x), layer_by_layer(model, x))


def test_copies_and_pickles() -> None:
    model, x = small()
    want = model(x)
    for other in (copy.deepcopy(model), model.copy(), pickle.loads(pickle.dumps(model))):
        same(other(x), want)
        other[4].set_weight_bias(other[4].weight(), other[4].bias() + 1)
        same(model(x), want)


def test_layers_that_say_what_is_wrong() -> None:
    model, x = small()
    with pytest.raises(ValueError, match=r"input must be of shape \(\.\.\., 4\)"):
        model(x[:, :3])
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"NaN.*\(3, 1\)"):
        model(x)
    nn.manual_seed(0)
    convolutions = tq.quantize(MODELS["convolutions"][0](), images(4, 3, 14, 14), verbose=False)
    with pytest.raises(ValueError, match="3 channels"):
        convolutions(images(2, 4, 14, 14))
    with pytest.raises(ValueError, match="as deep as the weight"):
        convolutions(images(2, 3, 20, 14))
    with pytest.raises(TypeError, match="must be a QTensor"):
        nn.Sequential(*list(convolutions)[3:])(images(2, 8, 7, 7))


def test_a_subclass_computes_what_it_says() -> None:
    class Doubled(nn.MaxPool2d):
        def forward(self, input: qt.QTensor) -> qt.QTensor:
            made = super().forward(input)
            return qt.make_per_tensor_quantized_tensor(
                made.int_repr(), 2 * made.q_scale(), made.q_zero_point()
            )

    nn.manual_seed(0)
    x = images(4, 3, 14, 14)
    model = tq.quantize(MODELS["convolutions"][0](), x, verbose=False)
    model[2] = Doubled(2)
    same(model(x), layer_by_layer(model, x))


def test_lists_and_other_floats() -> None:
    model, x = small()
    same(model(x.tolist()), model(x))
    same(model(x.astype(np.float64)), model(x))
    same(model(np.asfortranarray(x)), model(x))
    same(model(x[::2]), layer_by_layer(model, x[::2]))


@pytest.mark.parametrize(
    ("args", "match"),
    [
        ((4, None, [("flatten",)]), "0 to 3"),
        ((0, None, []), "at least one step"),
        ((0, None, [("flatten",)]), "at least one"),
        ((0, None, [("nothing", 0, 0)]), "the name of a step"),
        ((0, None, [()]), "a name and arguments"),
        ((0, None, [("linear", None)]), "3 of them"),
        ((2, (1.0, 0, qt.quint8, 0, 255), [("max_pool", [2], [2], [0], [1], False)]), "2 numbers"),
        ((1, (1.0, 0, qt.quint8, 0, 255), [("max_pool", [2], [0], [0], [1], False)]), "at least 1"),
        ((1, (1.0, 0, qt.quint8, 0, 255), [("max_pool", [2], [1], [2], [1], False)]), "half of the window"),
        ((0, (1.0, 0, qt.quint8, 0, 255), [("max_pool", [], [], [], [], False)]), "images before it"),
        ((1, (1.0, 0, qt.quint8, 0, 255), [("avg_pool", [2], [1], [0], False, True, 0)]), "divisor_override"),
        ((0, (-1.0, 0, qt.quint8, 0, 255), [("flatten",)]), "scale"),
        ((0, (1.0, 0, qt.qint32, 0, 255), [("flatten",)]), "qint8 or quint8"),
    ],
)
def test_what_is_no_chain(args: tuple[object, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        qt.ops.Chain(*args)
