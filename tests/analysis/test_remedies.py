"""Remedies, each alone: the float function stays what it was, or the quantized one comes nearer to it."""

import numpy as np
import pytest
from faulty_models import decibels, imbalanced, mlp, outlying
from numpy.testing import assert_allclose, assert_array_equal
from outliers import Residual, outlying_model
from quantray import nn
from quantray import quantization as tq
from quantray.quantization.remedies._hessian import moments_of, rows_of
from quantray.quantization.remedies._rounding import (
    best_scales,
    descended,
    gptq_codes,
    nearest_codes,
    output_error,
    scales_of,
)

remedies = tq.remedies


def quantized(model, x, mapping=None):
    """By the model's own settings, or those given, or plain ones, which spare nothing."""
    if mapping is None and "qconfig_mapping" not in model.__dict__:
        mapping = tq.get_default_qconfig_mapping()
    return tq.quantize(model, x, mapping, verbose=False)


def conv_net(rng):
    """Convolutions, depthwise and plain, with wild normalizations, then a linear layer."""
    nn.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(), nn.Linear(192, 5),
    )  # fmt: skip
    x = rng.standard_normal((64, 2, 8, 8)).astype(np.float32)
    for _ in range(3):
        model(x)
    for norm, after in ((1, 3), (4, 7), (8, 11)):
        factors = (2.0 ** rng.uniform(-5, 5, len(model[norm].weight))).astype(np.float32)
        model[norm].weight = model[norm].weight * factors
        model[norm].bias = rng.standard_normal(len(factors)).astype(np.float32) * factors
        # What follows takes the factors back: by its rows where it is depthwise, else by its columns.
        weight = model[after].weight
        back = (
            factors.reshape(-1, 1, 1, 1)
            if after == 3
            else np.repeat(factors, weight.shape[1] // len(factors))
        )
        model[after].weight = weight / (back if after == 3 else back.reshape(1, -1, *[1] * (weight.ndim - 2)))
    return model.eval(), x


@pytest.mark.parametrize("make", [imbalanced, conv_net, outlying])
@pytest.mark.parametrize("remedy", ["equalize", "smooth"])
def test_the_float_function_stays(rng, make, remedy):
    model, x = make(rng)
    before = {name: np.array(value) for name, value in model.state_dict().items()}
    made = getattr(remedies, remedy)(model, x)
    assert_allclose(made(x), model(x), rtol=0, atol=2e-4 * np.abs(model(x)).max())
    for name, value in model.state_dict().items():
        assert_array_equal(value, before[name], "the model has changed")
    assert any(not np.array_equal(made.state_dict()[name], before[name]) for name in before)


@pytest.mark.parametrize("backend", ["x86", "qnnpack"])
@pytest.mark.parametrize("make", [imbalanced, conv_net])
def test_equalization_gives_back_what_imbalance_took(rng, make, backend):
    model, x = make(rng)
    mapping = tq.get_default_qconfig_mapping(backend)
    want = model(x)
    plain = decibels(want, quantized(model, x, mapping)(x))
    equal = decibels(want, quantized(remedies.equalize(model, x, mapping), x)(x))
    assert equal > plain + 8
    assert equal > 24


@pytest.mark.parametrize("remedy", ["equalize", "smooth"])
def test_weights_that_something_else_reads_stay(rng, remedy):
    """A table of embeddings that is the last layer's weight, too."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.norm = nn.Embedding(50, 16), nn.LayerNorm(16)

        def forward(self, tokens):
            return self.norm(self.table(tokens)) @ self.table.weight.T

    model, x = Tied().eval(), rng.integers(0, 50, (32, 6))
    model.norm.weight = (2.0 ** rng.uniform(-6, 6, 16)).astype(np.float32)
    want = model(x)
    made = getattr(remedies, remedy)(model, x)
    assert_allclose(made(x), want, rtol=0, atol=1e-5 * np.abs(want).max())
    small = tq.quantize(model, x, verbose=False)
    assert decibels(want, small(x)) > 20


def test_factors_pass_a_prelu(rng):
    """Slopes of channels are no factors: what is positive stays positive."""
    convs = nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8), nn.Conv2d(8, 8, 3)
    model, x = nn.Sequential(*convs).eval(), rng.standard_normal((8, 3, 8, 8)).astype(np.float32)
    model[1].weight = rng.uniform(-0.5, 0.5, 8).astype(np.float32)
    factors = (2.0 ** rng.uniform(-5, 5, 8)).astype(np.float32)
    model[0].weight = model[0].weight * factors.reshape(-1, 1, 1, 1)
    model[0].bias = model[0].bias * factors
    model[2].weight = model[2].weight / factors.reshape(1, -1, 1, 1)
    want = model(x)
    made = remedies.equalize(model, x)
    assert_allclose(made(x), want, rtol=0, atol=1e-5 * np.abs(want).max())
    plain = tq.get_default_qconfig_mapping()
    assert decibels(want, quantized(made, x)(x)) > decibels(want, quantized(model, x, plain)(x)) + 5


def test_equalized_ranges_are_equal_on_both_sides(rng):
    model, x = imbalanced(rng)
    made = remedies.equalize(model, x, absorb=False)
    # Nagel et al. (2019), equation 11: where both ranges are the same, no scaling improves them.
    rows = np.abs(made[0].weight).max(1), np.abs(made[2].weight).max(1)
    columns = np.abs(made[2].weight).max(0), np.abs(made[4].weight).max(0)
    assert_allclose(rows[0], columns[0], rtol=2e-2)
    assert_allclose(rows[1], columns[1], rtol=2e-2)


def test_residuals_are_left_alone(rng):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            y = self.a(x)
            return self.b(y) + y

    model, x = Residual().eval(), rng.standard_normal((32, 8)).astype(np.float32)
    made = remedies.smooth(remedies.equalize(model, x), x)
    for name, value in model.state_dict().items():
        assert_array_equal(made.state_dict()[name], value)


def test_high_biases_are_absorbed(rng):
    model, x = mlp(rng)
    model[0].bias = model[0].bias + np.float32(50)
    want = model(x)
    made = remedies.equalize(model, x)
    assert_allclose(made(x), want, atol=2e-4 * np.abs(want).max())
    before = decibels(want, quantized(remedies.equalize(model, x, absorb=False), x)(x))
    assert decibels(want, quantized(made, x)(x)) > before + 6


def test_smoothing_moves_outliers_by_the_papers_factors(rng):
    model, x = outlying(rng)
    made = remedies.smooth(model, x, alpha=0.5)
    given = model[0](x)
    factors = np.sqrt(np.abs(given).max(0) / np.abs(model[1].weight).max(0))
    factors /= np.exp(np.log(factors).mean())
    assert_allclose(made[1].weight, model[1].weight * factors, rtol=1e-3)
    assert_allclose(made[0].weight, model[0].weight / factors, rtol=1e-3)
    want = model(x)
    assert decibels(want, quantized(made, x)(x)) > decibels(want, quantized(model, x)(x)) + 25
    with pytest.raises(ValueError, match="alpha must be from 0 to 1, got 2"):
        remedies.smooth(model, x, alpha=2)


def test_scales_by_trying_are_the_best_of_a_fine_search(rng):
    weight = rng.standard_t(4, (6, 200)).astype(np.float32)
    found = best_scales(weight, (-8, 7), 0, True)

    def error(row, scale):
        return float(((np.clip(np.rint(row / scale), -8, 7) * scale - row) ** 2).sum())

    for row, scale in zip(np.float64(weight), found[:, 0], strict=True):
        fine = [error(row, s) for s in np.linspace(0.1, 1.2, 2000) * np.abs(row).max() / 7]
        assert error(row, float(scale)) <= 1.03 * min(fine)


def test_weight_ranges_lose_less_in_few_bits(rng):
    model, x = mlp(rng, hidden=64)
    bits = tq.qconfig_for_bits(4, 8, qat=False)
    want = model(x)
    plain = decibels(want, quantized(model, x, bits)(x))
    for weighted in (False, True):
        made = remedies.weight_ranges(model, x, bits, weighted=weighted)
        assert_array_equal(made(x), want)
        assert decibels(want, quantized(made, x)(x)) > plain + 0.8


@pytest.mark.parametrize(
    ("shape", "settings", "image"),
    [
        ((6, 4, 3, 3), {"padding": 1}, (4, 7, 9)),
        ((6, 2, 3, 2), {"stride": (2, 1), "groups": 2, "padding": (0, 1)}, (4, 8, 7)),
        ((5, 4, 2, 2), {"dilation": 2, "padding": "valid"}, (4, 8, 8)),
        ((5, 4, 3), {"padding": "same"}, (4, 11)),
    ],
)
def test_rows_are_what_weights_are_multiplied_by(rng, shape, settings, image):
    x, weight = (rng.standard_normal(s).astype(np.float32) for s in ((3, *image), shape))
    kind = f"conv{len(shape) - 2}d"
    rows = rows_of(kind, settings, shape, x)
    want = getattr(nn.functional, kind)(x, weight, None, **settings)
    each = shape[0] // len(rows)
    parts = [r @ weight[i * each : (i + 1) * each].reshape(each, -1).T for i, r in enumerate(rows)]
    got = np.concatenate(parts, axis=1)
    assert_allclose(got, np.moveaxis(want, 1, -1).reshape(-1, shape[0]), rtol=1e-4, atol=1e-4)


def test_errors_by_moments_are_those_of_outputs(rng):
    x = rng.standard_normal((500, 12)).astype(np.float32)
    weight, other = rng.standard_normal((2, 5, 12))
    moments = moments_of("linear", {}, weight.shape, [x[:200], x[200:]])
    want = ((x @ (weight - other).T) ** 2).sum() / 500
    assert_allclose(output_error(weight, other, moments), want, rtol=1e-5)


def test_gptq_is_better_than_nearest_and_descent_is_a_minimum(rng):
    # Inputs that depend on each other: what one weight loses, another one can make up for.
    mixed = rng.standard_normal((48, 24)) @ rng.standard_normal((24, 64))
    x = (rng.standard_normal((2000, 48)) @ mixed).astype(np.float32)
    weight = rng.standard_normal((8, 64)).astype(np.float32)
    moments = moments_of("linear", {}, weight.shape, [x])
    scale = scales_of(weight, (-8, 7), 0, True)

    def error(codes):
        return output_error(weight, codes * scale, moments)

    nearest = nearest_codes(weight, scale, (-8, 7))
    found = gptq_codes(weight, scale, (-8, 7), moments, 0)
    assert found.min() >= -8
    assert found.max() <= 7
    assert np.array_equal(found, np.rint(found))
    assert error(found) < 0.3 * error(nearest)
    moved = descended(weight, found, scale, (-8, 7), moments)
    assert error(moved) <= error(found)
    for row, column, step in zip(
        rng.integers(0, 8, 200), rng.integers(0, 64, 200), rng.choice([-1, 1], 200), strict=True
    ):
        other = moved.copy()
        other[row, column] = np.clip(other[row, column] + step, -8, 7)
        assert error(other) >= error(moved) * (1 - 1e-9)


@pytest.mark.parametrize("remedy", ["gptq", "adaround"])
@pytest.mark.parametrize("bits", [(2, 8), (4, 8), (3, 3)])
def test_rounding_for_the_inputs_is_much_better(rng, remedy, bits):
    model, x = mlp(rng, hidden=48)
    data, held = x[:192], x[192:]
    mapping = tq.qconfig_for_bits(*bits, qat=False)
    want = model(held)
    plain = decibels(want, quantized(model, data, mapping)(held))
    made = getattr(remedies, remedy)(model, data, mapping)
    assert decibels(want, quantized(made, data)(held)) > plain + 1


@pytest.mark.parametrize("remedy", ["gptq", "adaround"])
def test_rounded_weights_are_those_of_the_integers(rng, remedy):
    model, x = conv_net(rng)
    made = getattr(remedies, remedy)(model, x, tq.qconfig_for_bits(4, 8, qat=False))
    int8 = quantized(made, x)
    # The model lies on its grid: converting it loses nothing more.
    for name in ("0", "3", "7", "11"):
        assert_allclose(
            int8.get_submodule(name).weight().dequantize(), made.get_submodule(name).weight, rtol=1e-5
        )


def test_bias_correction_takes_the_mean_error_off(rng):
    model, x = mlp(rng, hidden=48)
    x = np.abs(x) + np.float32(1)  # Inputs with a mean: errors of weights shift the output.
    bits = tq.qconfig_for_bits(3, 8, qat=False)
    want = model(x)
    before = (quantized(model, x, bits)(x) - want).mean(0)
    made = remedies.correct_bias(model, np.split(x, 4), bits)
    after = (quantized(made, x)(x) - want).mean(0)
    assert np.square(after).sum() < 0.2 * np.square(before).sum()


def test_bias_correction_is_kept_only_where_held_out_data_gain(rng):
    model, x = mlp(rng, hidden=48)
    bits = tq.qconfig_for_bits(3, 8, qat=False)
    # Held-out data with the opposite mean: what helps the one harms the other.
    made = remedies.correct_bias(model, x + np.float32(3), bits, data_held_out=[x - np.float32(3)])
    for name, value in model.state_dict().items():
        assert_array_equal(made.state_dict()[name], value)


def test_observers_of_activations_are_chosen_by_the_output(rng):
    model, x = mlp(rng, hidden=64)
    bits = tq.qconfig_for_bits(8, 3, qat=False)
    made = remedies.activation_ranges(model, x, bits)
    want = model(x)
    assert_array_equal(made(x), want)
    assert decibels(want, quantized(made, x)(x)) > decibels(want, quantized(model, x, bits)(x)) + 2
    # The bits stay those that were asked for.
    observer = made.qconfig_mapping.resolve("0", "Linear").activation()
    assert (observer.quant_min, observer.quant_max) == (0, 7)
    with pytest.raises(ValueError, match="observers must be classes"):
        remedies.activation_ranges(model, x, bits, observers=[])


def test_observers_of_activations_are_chosen_as_if_weights_were_exact():
    # Two bits of weights lose so much by nearest codes that the observers' order would be another one.
    for seed in range(4):
        model, x = mlp(np.random.default_rng(seed), hidden=64)
        made = [
            remedies.activation_ranges(model, x, tq.qconfig_for_bits(bits, 4, qat=False)) for bits in (8, 2)
        ]
        fine, coarse = (each.qconfig_mapping.resolve("0", "Linear") for each in made)
        assert type(coarse.activation()) is type(fine.activation())
        # Weights keep the bits that were asked for.
        assert (coarse.weight().quant_min, coarse.weight().quant_max) == (-2, 1)


def test_layers_are_kept_in_float_or_in_more_bits(rng):
    model, x = mlp(rng)
    bits = tq.qconfig_for_bits(2, 8, qat=False)
    kept = quantized(remedies.keep_in_float(model, x, bits), x)
    floats = [line.name for line in tq.report(kept).lines if line.in_integers is False]
    assert floats == [tq_sensitivity(model, x, bits)[0].name]
    more = quantized(remedies.keep_in_float(model, x, bits, nodes=["2"], bits=8), x)
    assert more[2].bits == 8
    assert more[0].bits == 2
    with pytest.raises(ValueError, match="nodes must be names of nodes that are quantized, got '9'"):
        remedies.keep_in_float(model, x, nodes=["9"])


def tq_sensitivity(model, x, mapping):
    import quantray as qt

    found = qt.analysis.sensitivity(model, x, qconfig_mapping=mapping)
    return [row for row in found if "quantize" not in row.name]


def test_remedies_follow_each_other_and_training_starts_from_them(rng):
    model, x = imbalanced(rng)
    bits = tq.qconfig_for_bits(4, 8, qat=False)
    made = remedies.gptq(remedies.equalize(model, x, bits), x)
    want = model(x)
    assert decibels(want, quantized(made, x)(x)) > 18
    trained = tq.prepare_qat(made, tq.qconfig_for_bits(4, 8), example_inputs=x)
    trained(x)
    assert decibels(want, tq.convert(trained.eval())(x)) > 10


def test_functions_without_modules_are_reached_by_their_nodes(rng):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(rng.standard_normal((32, 16)).astype(np.float32))
            self.b = nn.Parameter(rng.standard_normal((32, 4)).astype(np.float32))

        def forward(self, x):
            return np.maximum(nn.functional.linear(x, self.a), 0) @ self.b

    model, x = Functional().eval(), rng.standard_normal((256, 16)).astype(np.float32)
    bits = tq.qconfig_for_bits(3, 8, qat=False)
    want = model(x)
    made = remedies.gptq(model, x, bits)
    assert decibels(want, quantized(made, x)(x)) > decibels(want, quantized(model, x, bits)(x)) + 2


@pytest.mark.parametrize(
    "remedy", [name for name in remedies.__all__ if name not in ("refine", "weight_only")]
)
def test_bad_input(rng, remedy):
    model, x = mlp(rng)
    call = getattr(remedies, remedy)
    with pytest.raises(ValueError, match="batches must hold at least one batch, got none"):
        call(model, [])
    with pytest.raises(ValueError, match="model must be a float model"):
        call(quantized(model, x), x)
    with pytest.raises(TypeError, match=r"model must be a quantray\.nn\.Module"):
        call(lambda x: x, x)
    with pytest.raises(TypeError, match="qconfig_mapping must be a QConfig"):
        call(model, x, "int8")


@pytest.mark.parametrize("workflow", ["static", "dynamic"])
def test_quantized_models_are_refined(rng, workflow):
    model, _ = mlp(rng, hidden=64)
    # Inputs that depend on each other, as in real data.
    mixed = rng.standard_normal((6, 16))
    x = (rng.standard_normal((512, 6)) @ mixed).astype(np.float32)
    data, held = x[:384], x[384:]
    int8 = quantized(model, data) if workflow == "static" else tq.quantize_dynamic(model)
    want, before = model(held), int8(held)
    better = remedies.refine(model, int8, np.split(data, 3))
    assert_array_equal(int8(held), before, "the model has changed")
    assert decibels(want, better(held)) > decibels(want, before) + 0.5
    # But for factors of inputs, which are floats, the weights take what they took.
    factors = sum(
        m.input_factor.nbytes for m in better.modules() if getattr(m, "input_factor", None) is not None
    )
    assert tq.report(better).total == tq.report(int8).total + factors
    with pytest.raises(ValueError, match="batches must hold at least one batch, got none"):
        remedies.refine(model, int8, [])
    with pytest.raises(ValueError, match="int8 must be quantized"):
        remedies.refine(model, model, x)


def test_outliers_of_dynamic_layers_are_smoothed_and_saved(rng, tmp_path):
    import quantray as qt

    model, x = outlying_model(rng)
    int8 = tq.quantize_dynamic(model)
    want, up = model(x), model.up(model.norm(x))
    better = remedies.refine(model, int8, x)
    assert better.up.input_factor is not None
    assert better.down.input_factor is None
    for made, least in ((int8, 0), (better, 12)):
        assert decibels(up, made.up(made.norm(x))) > decibels(up, int8.up(int8.norm(x))) + least - 1e-9
    assert_array_equal(better(x), better(x))
    assert decibels(want, better(x)) > decibels(want, int8(x))
    # The program, the modules, a copy, a file: the same numbers.
    got = better(x)
    assert_array_equal(better.copy()(x), got)
    better.save(tmp_path / "model.safetensors")
    assert_array_equal(qt.load(tmp_path / "model.safetensors")(x), got)
    other = tq.quantize_dynamic(Residual())
    other.up = nn.quantized.dynamic.Linear(32, 64, is_smoothed=True)
    other.load_state_dict(better.state_dict())
    assert_allclose(other(x), got, atol=1e-5)
    assert_allclose(better.up(x), better.up._packed.dynamic(x * better.up.input_factor, per_row=True))
