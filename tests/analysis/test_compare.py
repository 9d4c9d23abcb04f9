"""Where two models part: errors by float64 formulas, for all three workflows."""

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import quantray as qt
from faulty_models import decibels, mlp
from numpy.testing import assert_allclose
from quantray import nn
from quantray import quantization as tq

sys.path.insert(0, str(Path(__file__).parent.parent / "quantization"))
from networks import NETWORKS

compare = qt.analysis.compare


@pytest.fixture(params=NETWORKS, ids=[each.__name__ for each in NETWORKS])
def network(request, rng):
    nn.manual_seed(0)
    model = request.param()
    x = rng.standard_normal((48, *model.shape)).astype(np.float32)
    for _ in range(3):
        model(x)
    return model.eval(), x


def test_static_is_told_to_the_last_node(network):
    model, x = network
    int8 = tq.quantize(model, x, verbose=False)
    batches = [x[:24], x[24:]]
    result = compare(model, int8, batches)
    # States of recurrent layers share their range with the batch that they are in.
    want = decibels(model(x), np.concatenate([int8(batch) for batch in batches]))
    assert_allclose(result.output, want, atol=1e-3)
    assert_allclose(result.depth[-1].accumulated, want, atol=0.1)
    assert all(not np.isnan(row.own) for row in result)
    # Whatever computes with real numbers in the report has a row of its own name.
    names = {row.name for row in result}
    lines = [line for line in tq.report(int8).lines if line.in_integers]
    assert names >= {line.name for line in lines}
    assert not result.unreached
    assert [row.own for row in result] == sorted(row.own for row in result)


def test_dynamic_is_told_to_the_last_node(network):
    model, x = network
    if type(model).__name__ == "Subclass":
        with pytest.warns(UserWarning, match="left in float"):
            int8 = tq.quantize_dynamic(model)
    else:
        # Convolutions too, which stay in float by default.
        kinds = {
            nn.Linear,
            nn.Conv1d,
            nn.Conv2d,
            nn.ConvTranspose2d,
            nn.LSTM,
            nn.MultiheadAttention,
            nn.Embedding,
        }
        int8 = tq.quantize_dynamic(model, {k for k in kinds if any(type(m) is k for m in model.modules())})
    result = compare(model, int8, x)
    assert_allclose(result.output, decibels(model(x), int8(x)), atol=0.2)
    assert all(not np.isnan(row.own) for row in result)


def test_trained_and_converted_are_at_most_a_step_apart_at_each_wire(network):
    model, x = network
    trained = tq.prepare_qat(model, example_inputs=x)
    trained(x)
    trained.eval()
    result = compare(trained, tq.convert(trained), x)
    assert result.is_trained
    assert max(row.steps for row in result) <= 1.01
    assert not any(row.cause for row in result)


def test_own_error_is_that_of_the_node_alone(rng):
    model, x = mlp(rng)
    int8 = tq.quantize(model, x, verbose=False)
    result = compare(model, int8, x)
    # By hand: the exact input of the second layer on its grid, integers, and what they stand for.
    hidden = np.maximum(x @ model[0].weight.T + model[0].bias, 0)
    codes = int8[0].grid.quantize(hidden)
    got = int8[2].grid.quantize(np.float32(0))  # of the dtype that follows
    got = np.asarray(int8[2](codes).dequantize())
    want = np.maximum(hidden @ model[2].weight.T + model[2].bias, 0)
    row = result["2"]
    assert_allclose(row.own, decibels(want, got), atol=0.01)
    assert row.own > row.accumulated - 0.5
    assert_allclose(row.weight_share + row.input_share + row.output_share, 1)
    # Each part by itself, in float64.
    exact = hidden.astype(np.float64) @ model[2].weight.T.astype(np.float64) + model[2].bias
    weights = np.maximum(hidden @ int8[2].weight().dequantize().T + int8[2].bias(), 0)
    of_weights = ((weights - np.maximum(exact, 0)) ** 2).sum()
    of_output = ((int8[2].grid.quantize(weights).dequantize() - weights) ** 2).sum()
    of_input = ((got - int8[2].grid.quantize(weights).dequantize()) ** 2).sum()
    total = of_weights + of_output + of_input
    assert_allclose(row.weight_share, of_weights / total, rtol=1e-3)
    assert_allclose(row.input_share, of_input / total, rtol=1e-3)


def test_sums_do_not_depend_on_batches(rng):
    model, x = mlp(rng)
    int8 = tq.quantize(model, x, verbose=False)
    whole, parts = compare(model, int8, x), compare(model, int8, np.split(x, 8))
    for a, b in zip(whole.depth, parts.depth, strict=True):
        assert_allclose((a.own, a.accumulated, a.most), (b.own, b.accumulated, b.most), rtol=1e-5)
        assert (a.codes, a.clipped, a.worst_sample) == (b.codes, b.clipped, b.worst_sample)
    # Products of floats may be added up in another order where there are fewer rows.
    assert_allclose(whole.agreement[1:3], parts.agreement[1:3], rtol=1e-7)


def test_clipping_and_codes_are_counted(rng):
    model, x = mlp(rng)
    int8 = tq.quantize(model, x / 4, verbose=False)
    result = compare(model, int8, x)
    grid = int8[0].input_grid
    low, high = ((n - grid.zero_point) * grid.scale for n in (grid.quant_min, grid.quant_max))
    beyond = np.maximum(np.maximum(low - x, x - high), 0) > grid.scale / 2
    row = result["input.quantize"]
    assert_allclose(row.clipped, beyond.mean())
    assert row.codes == len(np.unique(grid.quantize(x).int_repr()))
    error = np.asarray(grid.quantize(x).dequantize(), np.float64) - x
    assert_allclose(row.clipping, (error[beyond] ** 2).sum() / (error**2).sum(), rtol=1e-3)


def test_a_prepared_model_is_what_it_would_become(rng):
    model, x = mlp(rng)
    ready = tq.calibrate(tq.prepare(model, example_inputs=x), x, show_progress=False)
    a, b = compare(model, ready, x), compare(model, tq.convert(ready), x)
    assert [row.own for row in a] == [row.own for row in b]


def test_names_stay_the_float_models_through_fusion(rng):
    nn.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    x = rng.standard_normal((16, 1, 8, 8)).astype(np.float32)
    model(x)
    model.eval()
    int8 = tq.quantize(model, x, verbose=False)
    rows = {row.name: row for row in compare(model, int8, x)}
    assert {"0", "4"} <= set(rows)
    assert rows["0"].kind == "Conv2d + ReLU"


def test_calls_of_one_layer_have_rows_each(rng):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            return self.layer(nn.functional.relu(self.layer(x)))

    model, x = Twice().eval(), rng.standard_normal((32, 8)).astype(np.float32)
    result = compare(model, tq.quantize(model, x, verbose=False), x)
    assert {"layer", "layer#2"} <= {row.name for row in result}


def test_an_exact_node_is_infinitely_good():
    model = nn.Sequential(nn.Linear(2, 2), nn.Flatten()).eval()
    model[0].weight = np.eye(2, dtype=np.float32)
    model[0].bias = np.zeros(2, np.float32)
    x = np.float32([[0, 1], [1, 0], [-1, 1]]) * 127.5
    result = compare(model, tq.quantize_dynamic(model), x)
    assert result["1"].own == np.inf
    # A constant layer: all of its weights are 0.
    model[0].weight = np.zeros((2, 2), np.float32)
    result = compare(model, tq.quantize(model, x, verbose=False), x)
    assert result["0"].own == np.inf
    assert result.output == np.inf
    assert "exact" in str(result)


def test_embeddings_show_the_worst_sample_and_their_neighbours(rng):
    model = nn.Sequential(nn.Linear(16, 16)).eval()
    x = rng.standard_normal((64, 16)).astype(np.float32)
    x[40] *= 0.02  # All but lost on a grid for the others.
    model[0].bias = np.zeros(16, np.float32)
    int8 = tq.quantize(model, x, verbose=False)
    found = compare(model, int8, [x[:32], x[32:]]).agreement
    a, b = np.float64(model(x)), np.float64(int8(x))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = (a * b).sum(1) / norms
    assert_allclose(found.mean_cosine, cosines.mean(), rtol=1e-6)
    assert_allclose(found.least_cosine, cosines.min(), rtol=1e-6)
    assert found.worst[0] == 40
    unit_a, unit_b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    near = [(u @ u.T - 9 * np.eye(64)).argmax(1) for u in (unit_a, unit_b)]
    assert_allclose(found.neighbours, (near[0] == near[1]).mean())
    assert_allclose(found.top1, (a.argmax(1) == b.argmax(1)).mean())


def test_memory_is_flat_in_batches(rng):
    model, x = mlp(rng)
    int8 = tq.quantize(model, x, verbose=False)

    def peak(count):
        tracemalloc.start()
        compare(model, int8, (x[:128] for _ in range(count)))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)
    # Rows of the output alone are kept, up to 4096 of them, for neighbours.
    few, many = peak(35), peak(150)
    assert many < few * 1.2 + 50_000


def test_each_node_is_computed_three_times_and_no_more(rng, monkeypatch):
    from quantray.quantization import _integers, _sides

    model, x = mlp(rng)
    int8 = tq.quantize(model, x, verbose=False)
    calls = {}

    def counted(module, node, *rest):
        calls[node.name] = calls.get(node.name, 0) + 1
        return _integers.compute(module, node, *rest)

    monkeypatch.setattr(_sides, "compute", counted)
    batches = [x[:64], x[64:128], x[128:]]
    result = compare(model, int8, batches)
    assert set(calls) >= {row.name for row in result}
    assert max(calls.values()) <= 3 * len(batches)


def test_result_as_frame_html_and_text(rng, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    model, x = mlp(rng)
    result = compare(model, tq.quantize(model, x, verbose=False), x)
    frame = result.to_frame()
    assert list(frame["name"]) == [row.name for row in result]
    assert {"own", "accumulated", "cause", "remedy", "gain", "worst_sample", "ms"} <= set(frame.columns)
    assert "<script" not in result._repr_html_()
    assert "<table" in result._repr_html_()
    assert "own dB" in str(result)
    with pytest.raises(KeyError, match="no row 'nothing'"):
        result["nothing"]
