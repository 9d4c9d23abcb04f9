"""Each failure is named: by models that were made to have it, and no other."""

import numpy as np
import pytest
import quantray as qt
from faulty_models import decibels, imbalanced, mlp, outlying
from quantray import nn
from quantray import quantization as tq

compare = qt.analysis.compare
PER_TENSOR = tq.get_default_qconfig_mapping("qnnpack")
#: What spares nothing, as `quantize` does by itself.
PLAIN = tq.get_default_qconfig_mapping()


def test_a_good_model_has_no_cause(rng):
    model, x = mlp(rng)
    result = compare(model, tq.quantize(model, x, PLAIN, verbose=False), x)
    assert not any(
        word in row.cause for row in result for word in ("imbalance", "outlier", "clipping", "fit")
    )
    assert result.output > 35


@pytest.mark.parametrize("mapping", [PLAIN, PER_TENSOR], ids=["per channel", "per tensor"])
def test_imbalance_is_named_and_its_remedy_measured(rng, mapping):
    model, x = imbalanced(rng)
    int8 = tq.quantize(model, x, mapping, verbose=False)
    result = compare(model, int8, x)
    worst = result[0]
    assert worst.cause.startswith("imbalance")
    assert worst.remedy == "equalize"
    assert worst.gain > 10
    assert "remedies.equalize" in result.next
    # The factors are known: 2 ** (-6 to 6) for 32 channels spread over more than a thousand.
    assert result["2"].weight_ratio > 500


def test_outlier_channels_are_numbered(rng):
    model, x = outlying(rng)
    result = compare(model, tq.quantize(model, x, PLAIN, verbose=False), x)
    row = result["1"]
    assert row.cause.startswith("outlier channels")
    assert row.remedy == "smooth"
    assert set(row.channels) == {3, 17}
    assert 100 < row.channel_ratio < 400
    assert row.gain > 20


def test_a_grid_that_does_not_fit(rng):
    model, x = mlp(rng)
    int8 = tq.quantize(model, 40 * x, PLAIN, verbose=False)
    result = compare(model, int8, x)
    row = result["input.quantize"]
    assert row.cause.startswith("a grid that does not fit")
    assert row.codes < 32
    assert row.codes_of == 256
    assert result["0"].gain > 10


def test_clipping_by_the_range_is_told_by_its_share_of_the_error(rng):
    model, x = mlp(rng)
    x[:, 2] *= 12
    mapping = tq.QConfig(
        tq.PercentileObserver.with_args(percentile=95.0), tq.default_per_channel_weight_observer
    )
    row = compare(model, tq.quantize(model, x, mapping, verbose=False), x)["input.quantize"]
    assert row.cause.startswith("clipping")
    assert row.clipping > 0.9
    assert row.clipped > 0.01


def test_one_sample_that_sets_the_range(rng):
    model, x = mlp(rng)
    x[77] *= 60
    mapping = tq.QConfig(tq.MinMaxObserver, tq.default_per_channel_weight_observer)
    result = compare(model, tq.quantize(model, x, mapping, verbose=False), x[np.arange(256) != 77])
    assert result["input.quantize"].cause.startswith("a grid that does not fit")
    result = compare(
        model, tq.quantize(model, x, mapping, verbose=False), np.concatenate([x[:77], x[78:], x[77:78] / 4])
    )
    found = [row.cause for row in result if "one sample" in row.cause]
    assert found
    assert "number 255" in found[0]


def test_bits_too_few(rng):
    model, x = mlp(rng)
    int8 = tq.quantize(model, x, tq.qconfig_for_bits(3, 8, qat=False), verbose=False)
    result = compare(model, int8, x)
    causes = {row.name: row.cause for row in result}
    assert all(causes[name].startswith("bits too few: 3 for weights") for name in "024")
    assert all(result[name].gain > 0.5 for name in "024")
    int8 = tq.quantize(model, x, tq.qconfig_for_bits(8, 3, qat=False), verbose=False)
    result = compare(model, int8, x)
    assert result["2"].cause.startswith("bits too few: 3 for")


def test_a_layer_with_several_ranges(rng):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            return self.layer(x) + self.layer(x * np.float32(50))

    nn.manual_seed(0)
    model, x = Shared().eval(), rng.standard_normal((64, 8)).astype(np.float32)
    int8 = tq.quantize(model, x, tq.qconfig_for_bits(4, 4, qat=False), verbose=False)
    causes = [row.cause for row in compare(model, int8, x) if row.name.startswith("layer")]
    assert any(cause.startswith("a layer with several ranges") for cause in causes)


def test_trained_and_converted_apart(rng):
    model, x = mlp(rng)
    trained = tq.prepare_qat(model, example_inputs=x)
    trained(x)
    trained.eval()
    converted = tq.convert(trained)
    trained[2].weight = trained[2].weight * np.float32(1.5)
    result = compare(trained, converted, x)
    assert result[0].name == "2"
    assert result[0].cause.startswith("trained and converted apart")


def test_what_a_comparison_proposes_removes_the_error(rng):
    for make in (imbalanced, outlying):
        model, x = make(rng)
        int8 = tq.quantize(model, x, PLAIN, verbose=False)
        result = compare(model, int8, x)
        remedy = next(row.remedy for row in result if row.remedy)
        better = tq.quantize(getattr(tq.remedies, remedy)(model, x), x, verbose=False)
        assert decibels(model(x), better(x)) > decibels(model(x), int8(x)) + 15


def test_a_remedy_that_nothing_can_be_done_with_is_not_offered(rng):
    """Channels of the model's own input cannot be scaled beforehand: a layer in floats is what is left."""
    model, x = mlp(rng)
    factors = np.ones(16, np.float32)
    factors[[2, 9]] = 300
    model[0].weight = model[0].weight / factors
    result = compare(model, tq.quantize(model, x * factors, PLAIN, verbose=False), x * factors)
    row = result["0"]
    assert row.cause.startswith(("outlier channels", "imbalance: channels of the input"))
    assert set(row.channels) == {2, 9}
    assert (row.remedy, row.gain) == ("keep_in_float", np.inf)
    assert "tq.remedies.keep_in_float(model, batches, nodes=['0'])" in result.next
    assert "exact" in str(result)


def test_outlier_channels_of_a_wire_are_told_where_it_is_quantized(rng):
    model, x = outlying(rng)
    row = compare(model, tq.quantize(model, x, PLAIN, verbose=False), x)["0.quantize"]
    assert row.cause.startswith("outlier channels")
    assert "of the output" in row.cause


def test_groups_of_few_bits_are_offered_8_bits(rng):
    model, x = mlp(rng)
    int8 = tq.remedies.weight_only(model, [x], bits=3)
    result = compare(model, int8, x)
    assert {row.remedy for row in result if row.name in "024"} == {"weight_only"}
    assert all(row.gain > 20 for row in result if row.name in "024")
    assert result.next == "int8 = tq.remedies.weight_only(model, batches, bits=3, in_8_bits=3)"
    made = eval(result.next.removeprefix("int8 = "), {"tq": tq, "model": model, "batches": [x]})
    assert decibels(model(x), made(x)) > decibels(model(x), int8(x)) + 20


def test_the_next_line_runs(rng):
    """In each workflow, with the bits that were asked for."""
    few = tq.qconfig_for_bits(3, 8, qat=False)
    model, x = mlp(rng)
    wide, y = outlying(rng)
    cases = [
        (model, x, tq.quantize(model, x, few, verbose=False), "gptq(model, batches, qconfig_mapping)"),
        (wide, y, tq.quantize(wide, y, PLAIN, verbose=False), "quantize(tq.remedies.smooth(model, batches)"),
        (
            wide,
            y,
            tq.quantize_dynamic(wide),
            "quantize_dynamic(tq.remedies.smooth(model, batches, dynamic=True))",
        ),
    ]
    for model, x, int8, said in cases:
        line = compare(model, int8, x).next
        assert said in line
        names = {"tq": tq, "model": model, "batches": [x], "qconfig_mapping": few}
        made = eval(line.removeprefix("int8 = "), names)
        assert decibels(model(x), made(x)) > decibels(model(x), int8(x)) + 0.5
