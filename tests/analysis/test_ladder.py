"""Quantizing within a budget: what is kept, what is said, what it costs."""

import time

import numpy as np
import pytest
import quantray as qt
from faulty_models import imbalanced, mlp
from quantray import quantization as tq


def accuracy(model, data):
    x, labels = data
    return float((model(x).argmax(1) == labels).mean())


@pytest.fixture
def case(rng):
    """A model that plain quantization destroys, data, and held-out data with their labels."""
    model, _ = imbalanced(rng)
    x = rng.standard_normal((512, 16)).astype(np.float32)
    # Labels are the float model's own: whatever differs is lost.
    return model, x[:256], (x[256:], model(x[256:]).argmax(1))


def quantize(model, x, held, **settings):
    return tq.quantize(
        model, x, metric=settings.pop("metric", accuracy), data_held_out=held, verbose=False, **settings
    )


def test_the_budget_is_kept_by_the_cheapest_remedy(case):
    model, x, held = case
    plainly = tq.get_default_qconfig_mapping()
    plain = accuracy(tq.quantize(model, x, plainly, verbose=False), held)
    best = quantize(model, x, held, qconfig_mapping=plainly, max_drop=0.05)
    assert plain < 0.9
    assert accuracy(best, held) >= 0.95
    plan = best.plan
    assert plan.is_within
    assert plan.float_metric == 1
    assert [step.name for step in plan][:2] == ["as it is", "equalize"]
    assert plan.chosen.metric == accuracy(best, held)
    assert plan[0].metric == plain
    assert plan.stopped == "within the budget"
    assert len(plan) == 2
    # All is in integers still.
    assert not [line for line in tq.report(best).lines if line.in_integers is False]
    result = qt.analysis.compare(plan.model, best, x)
    assert result.output > 30


def spared(rng):
    """A model that needs what `quantize` spares by itself: a column of its input goes far beyond others."""
    model, x = mlp(rng)
    factors = np.ones(16, np.float32)
    factors[3] = 2000
    model[0].weight = model[0].weight / factors
    x = rng.standard_normal((512, 16)).astype(np.float32) * factors
    return model, x[:256], (x[256:], model(x[256:]).argmax(1))


def test_the_first_step_is_what_quantize_does_by_itself(rng):
    model, x, held = spared(rng)
    default = tq.quantize(model, x, verbose=False)
    named = [line.name for line in tq.report(default).lines if "takes the output to" in line.reason]
    best = quantize(model, x, held, max_drop=0.5)
    assert named
    assert [step.name for step in best.plan] == ["as it is"]
    np.testing.assert_array_equal(best(held[0]), default(held[0]))
    assert str(tq.report(best)) == str(tq.report(default))

    # Where that is not enough, remedies begin with all of it in integers.
    seen = []

    def never(model, data):
        seen.append(1)
        return 2.0 if len(seen) == 1 else accuracy(model, data)

    with pytest.warns(UserWarning, match="cannot be kept"):
        plan = quantize(model, x, held, max_drop=0.1, metric=never).plan
    assert [step.name for step in plan][:3] == ["as it is", "nothing spared", "equalize"]
    assert plan[0].output > plan[1].output
    assert plan.chosen.metric >= plan[0].metric


def test_a_good_model_needs_one_step(rng):
    model, x = mlp(rng)
    held = x[128:], model(x[128:]).argmax(1)
    best = quantize(model, x[:128], held, max_drop=0.05)
    assert [step.name for step in best.plan] == ["as it is"]


def test_few_bits_are_mixed_with_more_of_them(case):
    model, x, held = case
    bits = tq.qconfig_for_bits(2, 8, qat=False)
    best = quantize(model, x, held, qconfig_mapping=bits, max_drop=0.06)
    assert best.plan.is_within
    assert accuracy(best, held) >= 0.94
    assert {step.name for step in best.plan} >= {"equalize", "gptq"}


def test_a_budget_that_cannot_be_kept_is_said(case):
    model, x, held = case
    bits = tq.qconfig_for_bits(2, 2, qat=False)
    seen = []

    def never(model, data):
        seen.append(1)
        return 1.0 if len(seen) == 1 else accuracy(model, data) / 2

    with pytest.warns(UserWarning, match=r"max_drop=0.01 cannot be kept: the best model loses 0\.[5-9]"):
        best = quantize(model, x, held, qconfig_mapping=bits, max_drop=0.01, metric=never)
    assert not best.plan.is_within
    assert "MORE THAN" in best.plan.headline()
    assert best.plan.stopped == "all steps were tried"
    assert best.plan.chosen.metric == max(step.metric for step in best.plan)


def test_without_a_budget_it_goes_on_until_nothing_is_lost(case):
    model, x, held = case
    best = quantize(model, x, held)
    assert best.plan.chosen.metric >= max(step.metric for step in best.plan)


def test_the_time_is_foretold(case):
    model, x, held = case

    seen = []

    def slow(model, data):
        time.sleep(0.05)
        seen.append(1)
        return 1.0 if len(seen) == 1 else 0.5

    with pytest.warns(UserWarning, match="cannot be kept"):
        plan = quantize(model, x, held, max_drop=0.0, metric=slow).plan
    assert plan.stopped == "all steps were tried"
    assert plan.seconds <= 2 * plan.foretold
    assert abs(sum(step.seconds for step in plan) - plan.seconds) < 0.5 * plan.seconds + 0.2


def test_ctrl_c_gives_the_best_so_far(case):
    model, x, held = case
    calls = []

    def interrupted(model, data):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return accuracy(model, data) - 0.2 * (len(calls) > 1)

    with pytest.warns(UserWarning, match="interrupted"):
        best = quantize(
            model, x, held, max_drop=0.0, metric=interrupted, qconfig_mapping=tq.get_default_qconfig_mapping()
        )
    assert [step.name for step in best.plan] == ["as it is", "equalize"]
    assert best.plan.chosen.name == "equalize"
    assert best.plan.stopped.startswith("interrupted")


def test_what_the_metric_is_given(case):
    model, x, held = case
    best = quantize(model, x, None, max_drop=0.02, metric=lambda model: accuracy(model, held))
    assert best.plan.is_within
    batches = [(x[:128],), (x[128:],)]
    best = quantize(model, batches, held, max_drop=0.02)
    assert best.plan.is_within
    labelled = [(x[:128], 0), (x[128:], 1)]
    best = quantize(model, labelled, held, max_drop=0.02, transform=lambda batch: batch[0])
    assert best.plan.is_within


def test_the_plan_is_shown(case, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    model, x, held = case
    plan = quantize(model, x, held, max_drop=0.02, qconfig_mapping=tq.get_default_qconfig_mapping()).plan
    assert "chosen" in str(plan)
    assert "equalize" in plan._repr_html_()
    figure = plan.plot()
    assert len(figure.axes) == 2
    assert figure.get_facecolor()[3] == 0
    points = figure.axes[0].collections
    assert sum(len(each.get_offsets()) for each in points) == len(plan) + 1


def test_bad_input(case):
    model, x, held = case
    with pytest.raises(ValueError, match="max_drop needs a metric"):
        tq.quantize(model, x, max_drop=0.1)
    with pytest.raises(ValueError, match="max_drop must be a finite number of at least 0, got -1"):
        quantize(model, x, held, max_drop=-1)
    with pytest.raises(ValueError, match="data_held_out must be what metric"):
        quantize(model, x, None)
    with pytest.raises(ValueError, match="data_held_out must hold at least one batch"):
        quantize(model, x, [])
    for same in (x, x.copy(), x[:]):
        with pytest.raises(ValueError, match="data_held_out must be other data than data"):
            quantize(model, x, same)
    with pytest.raises(ValueError, match="data_held_out must be other data than data"):
        quantize(model, [x[:8], x[8:]], [x[:8].copy(), x[8:].copy()])
    # In other batches, in another order, with labels beside.
    other = x[::-1].copy()
    for same in ([other], [(other[:9], np.zeros(9)), (other[9:], np.zeros(len(x) - 9))]):
        with pytest.raises(ValueError, match="data_held_out must be other data than data"):
            quantize(model, x, same)
    with pytest.warns(UserWarning, match=r"^9 of 12 samples of data_held_out are in data, too"):
        quantize(model, x, np.concatenate([x[:9], x[:3] + 1]), metric=lambda model, data: 1.0)
    with pytest.raises(ValueError, match="data must hold at least one batch"):
        quantize(model, [], held)
    with pytest.raises(ValueError, match="inplace must be False with a metric"):
        quantize(model, x, held, inplace=True)
    with pytest.raises(ValueError, match="metric must give a finite number, got nan for: the float model"):
        quantize(model, x, held, metric=lambda model, data: np.nan)
    seen = []

    def later(model, data):
        seen.append(1)
        return 1.0 if len(seen) == 1 else np.inf

    with pytest.raises(ValueError, match=r"got inf for: the quantized model \(as it is\)"):
        quantize(model, x, held, metric=later)
