"""Gates of channels and other terms that are broadcast: codes times codes, in the program too."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from quantray import make_per_tensor_quantized_tensor, nn, ops
from quantray import quantization as tq
from quantray.graph import Ref
from quantray.graph._run import run
from quantray.quantization._integers import compute


class Gated(nn.Module):
    """Squeeze and excite: each channel times a number that its mean has given."""

    def __init__(self, kind, is_swapped):
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.mean, self.small, self.large = nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.last = nn.Conv2d(12, 5, 1)
        self.kind, self.is_swapped = kind, is_swapped

    def forward(self, x):
        x = self.first(x)
        gate = np.tanh(self.large(self.small(self.mean(x))))
        a, b = (gate, x) if self.is_swapped else (x, gate)
        return self.last(a * b if self.kind == "mul" else a + b if self.kind == "add" else a - b)


@pytest.mark.parametrize("is_swapped", [False, True])
@pytest.mark.parametrize("kind", ["mul", "add", "sub"])
def test_codes_are_broadcast_to_codes(rng, kind, is_swapped):
    nn.manual_seed(3)
    model = Gated(kind, is_swapped).eval()
    data = rng.standard_normal((32, 3, 9, 7)).astype(np.float32)
    small = tq.quantize(model, data, verbose=False)
    (graph,) = small._runner.graphs
    node = next(node for node in graph if node.kind == f"int.{kind}")
    assert all(line.in_integers for line in tq.report(small).lines if line.kind in ("mul", "add", "sub"))
    # The program and the nodes one by one give the same codes; these are those of arrays written out.
    runner, x = small._runner, data[:5]
    graph, inputs = runner.find(small, (x,), {})
    made = runner.made(small, graph)
    assert made.lowered.called == ()
    node_by_node = runner.run(small, graph, inputs)
    for _ in range(2):
        assert_array_equal(small(x), node_by_node)
    a, b = (_codes(small, graph, inputs, ref) for ref in node.args[:2])
    shape = np.broadcast_shapes(a.shape, b.shape)
    whole = [np.broadcast_to(np.asarray(q.int_repr()), shape).copy() for q in (a, b)]
    wide = [
        make_per_tensor_quantized_tensor(codes, q.q_scale(), q.q_zero_point())
        for codes, q in zip(whole, (a, b), strict=True)
    ]
    grid = made.grids[Ref(node.name)]
    want = getattr(ops, kind)(*wide, *grid.output)
    assert_array_equal(_codes(small, graph, inputs, Ref(node.name)).int_repr(), grid.clamp(want).int_repr())
    # No further from the model in floats than its layers' own steps.
    floats = model(x)
    assert np.abs(small(x) - floats).mean() < 0.03 * np.abs(floats).max()


def _codes(model, graph, inputs, ref):
    """What is on a wire of codes."""
    grids, found = model._runner.made(model, graph).grids, {}

    def each(node, environment):
        found[Ref(node.name)] = environment.values.get(Ref(node.name))

    def one(node, args, kwargs):
        return compute(model, node, args, kwargs, grids)

    run(graph, inputs, model, compute=one, each=each)
    return found[ref]
