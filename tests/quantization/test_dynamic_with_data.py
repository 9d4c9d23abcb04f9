"""quantize_dynamic with a few data: inputs of linear layers get factors, as in SmoothQuant."""

import numpy as np
import pytest
import quantray as qt
from outliers import outlying_model
from quantray import nn
from quantray import quantization as tq


def sqnr(want, got):
    want, got = np.float64(want), np.float64(got)
    return 10 * np.log10((want**2).sum() / ((got - want) ** 2).sum())


@pytest.fixture
def outlying(rng):
    return outlying_model(rng)


def test_outliers_of_inputs_cost_less(outlying):
    model, x = outlying
    data, held = x[:128], x[128:]
    before = {name: np.array(value) for name, value in model.state_dict().items()}
    plain, made = tq.quantize_dynamic(model), tq.quantize_dynamic(model, data=data)
    inputs = model.norm(held)
    assert sqnr(model.up(inputs), made.up(inputs)) > sqnr(model.up(inputs), plain.up(inputs)) + 12
    assert sqnr(model(held), made(held)) > sqnr(model(held), plain(held))
    assert made.up.input_factor is not None
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    # However the data come, it is the same.
    pairs = ((part, 0) for part in np.split(data, 2))
    once = tq.quantize_dynamic(model, data=pairs, transform=lambda pair: pair[0])
    listed = tq.quantize_dynamic(model, data=np.split(data, 2))
    np.testing.assert_array_equal(once(held), listed(held))
    want = made(held)
    inplace = tq.quantize_dynamic(model, data=data, inplace=True)
    assert inplace is model
    np.testing.assert_array_equal(inplace(held), want)


def test_inputs_without_outliers_are_left_alone(rng):
    model = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4))
    model[0].weight = np.sign(model[0].weight)
    x = np.sign(rng.standard_normal((64, 32))).astype(np.float32)
    assert tq.quantize_dynamic(model, data=x)[0].input_factor is None


def test_a_layer_by_itself(rng):
    layer = nn.Linear(32, 8)
    layer.weight[:, 5] /= 100
    x = rng.standard_normal((64, 32)).astype(np.float32)
    x[:, 5] *= 100
    made = tq.quantize_dynamic(layer, data=x)
    assert sqnr(layer(x), made(x)) > sqnr(layer(x), tq.quantize_dynamic(layer)(x)) + 12
    assert qt.analysis.compare(layer, made, x).output == pytest.approx(sqnr(layer(x), made(x)), abs=0.1)


def test_layers_of_a_static_model_that_round_by_rows_have_factors_too(rng):
    nn.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64), nn.Tanh(), nn.Linear(64, 8))
    x = rng.standard_normal((512, 64)).astype(np.float32)
    # Some rows are large, and so are some channels of all rows.
    x[5::64] *= 50
    x[:, :2] *= 40
    model[0].weight[:, :2] /= 40
    made = tq.quantize(model, x, verbose=False)
    assert made[0].per_row
    assert made[0].input_factor is not None
    # Every layer by rows, without factors.
    plain = tq.quantize_dynamic(model)
    assert sqnr(model(x), made(x)) > sqnr(model(x), plain(x)) + 3


def test_data_that_cannot_be_are_refused_and_the_model_stays(outlying):
    model, x = outlying
    for data, error in (
        ([], "data must hold at least one batch"),
        (x[:, :5], None),
        (3, "data must be batches"),
    ):
        with pytest.raises((ValueError, TypeError), match=error):
            tq.quantize_dynamic(model, data=data, inplace=True)
    assert type(model.up) is nn.Linear
