"""Layers that stay in floats inside of a model of integers: steps of its program like all others."""

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq
from quantray.quantization._converted import floats


class Heads(nn.Module):
    """Convolutions, a formula in floats, a recurrent layer; two outputs."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.lstm = nn.LSTM(8, 4, batch_first=True)
        self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 5)

    def forward(self, x):
        y = nn.functional.relu(self.norm(self.first(x)))
        y = nn.functional.relu6(self.second(y))
        rows = np.sqrt(y.mean(axis=3) * 2 + 1).transpose(0, 2, 1)
        last = self.lstm(rows)[0][:, -1]
        return self.a(last), self.b(last)


@pytest.fixture
def made(rng):
    model = Heads().eval()
    model.norm.running_mean = rng.standard_normal(8).astype(np.float32)
    x = rng.standard_normal((16, 3, 8, 8)).astype(np.float32)
    mapping = tq.get_default_qconfig_mapping().set_module_name("first", None).set_module_name("a", None)
    return model, tq.quantize(model, [x], mapping, verbose=False), x


def test_all_of_it_is_steps(made):
    model, int8, x = made
    runner = int8._runner
    graph, inputs = runner.find(int8, (x,), {})
    assert runner.made(int8, graph).lowered.called == ()
    kinds = {node.name: node.kind for node in graph}
    assert kinds["first"] == kinds["a"] == "layer"
    assert kinds["second"] == kinds["b"] == "int.layer"
    for got, want, node in zip(int8(x), model(x), floats(runner.run(int8, graph, inputs)), strict=True):
        np.testing.assert_allclose(got, node, rtol=0, atol=1e-5)
        np.testing.assert_allclose(got, want, rtol=0, atol=0.05)


def test_calls_give_the_same_bits(made):
    _, int8, x = made
    first = int8(x)
    for _ in range(3):
        for a, b in zip(int8(x), first, strict=True):
            np.testing.assert_array_equal(a, b)
    assert isinstance(first, tuple)
    assert [y.shape for y in first] == [(16, 3), (16, 5)]


def test_a_file_keeps_the_bits(made, tmp_path):
    _, int8, x = made
    int8.save(tmp_path / "model.safetensors")
    back = qt.load(tmp_path / "model.safetensors")
    for a, b in zip(back(x), int8(x), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_trained_keeps_the_bits_of_its_nodes(rng):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    x = rng.standard_normal((64, 8)).astype(np.float32)
    mapping = tq.get_default_qat_qconfig_mapping().set_module_name("2", None)
    ready = tq.prepare_qat(model, mapping, x)
    ready(x)
    int8 = tq.convert(ready.eval())
    assert not int8._runner.is_near
    graph, inputs = int8._runner.find(int8, (x,), {})
    np.testing.assert_array_equal(int8(x), floats(int8._runner.run(int8, graph, inputs)))


@pytest.mark.parametrize("longest", [None, 1.0])
def test_tables_are_steps(longest, rng):
    words = nn.Embedding(20, 8, padding_idx=1, max_norm=longest)
    words.weight = rng.standard_normal((20, 8)).astype(np.float32)
    model = nn.Sequential(words, nn.Linear(8, 4)).eval()
    ids = rng.integers(0, 20, (5, 7))
    mapping = tq.get_default_qconfig_mapping().set_module_name("0", None)
    int8 = tq.quantize(model, ids, mapping, verbose=False)
    runner = int8._runner
    graph, _ = runner.find(int8, (ids,), {})
    # Rows that are too long are made shorter in floats, by NumPy.
    assert runner.made(int8, graph).lowered.called == (("0",) if longest else ())
    norms = np.linalg.norm(words.weight, axis=1, keepdims=True)
    table = words.weight / np.maximum(norms / longest, 1) if longest else words.weight
    want = table[ids] @ model[1].weight.T + model[1].bias
    np.testing.assert_allclose(int8(ids), want, rtol=0, atol=0.06)
