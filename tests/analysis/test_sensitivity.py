"""Each node quantized alone."""

import numpy as np
import quantray as qt
from faulty_models import decibels, mlp
from numpy.testing import assert_allclose
from quantray import quantization as tq

sensitivity = qt.analysis.sensitivity


def test_one_node_in_integers_the_others_in_floats(rng):
    model, x = mlp(rng)
    int8 = tq.quantize(model, x, tq.qconfig_for_bits(4, 8, qat=False), verbose=False)
    found = sensitivity(model, x, int8=int8)
    assert {row.name for row in found} == {"input.quantize", "0", "2", "4"}
    # The second layer by hand, with floats before and after it.
    hidden = np.maximum(x @ model[0].weight.T + model[0].bias, 0)
    middle = int8[2](int8[0].grid.quantize(hidden)).dequantize()
    got = middle @ model[4].weight.T + model[4].bias
    assert_allclose(found["2"].sqnr, decibels(model(x), got), atol=0.02)
    assert [row.sqnr for row in found] == sorted(row.sqnr for row in found)
    assert "node alone" in str(found)
    assert "<table" in found._repr_html_()


def test_the_worst_node_is_the_one_that_was_made_so(rng):
    model, x = mlp(rng)
    mapping = tq.get_default_qconfig_mapping()
    mapping.set_module_name("2", tq.qconfig_for_bits(2, 8, qat=False))
    assert sensitivity(model, x, qconfig_mapping=mapping)[0].name == "2"


def test_by_a_metric(rng):
    model, x = mlp(rng)
    labels = model(x).argmax(1)
    mapping = tq.get_default_qconfig_mapping()
    mapping.set_module_name("4", tq.qconfig_for_bits(2, 8, qat=False))
    seen = []

    def accuracy(model, batches):
        seen.append(len(batches))
        return float(np.mean([(model(x).argmax(1) == labels).mean() for x in batches]))

    found = sensitivity(model, [x], accuracy, qconfig_mapping=mapping)
    assert found[0].name == "4"
    assert found[0].loss > 0.02
    # The float model once, and once each node.
    assert seen == [1] * (1 + len(found))
    int8 = tq.quantize(model, x, mapping, verbose=False)
    rows = qt.analysis.compare(model, int8, [x], metric=accuracy)
    assert_allclose(rows["4"].loss, found["4"].loss, atol=0.02)
