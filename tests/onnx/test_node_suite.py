"""The standard's own cases of single nodes, called and as captured graphs."""

from __future__ import annotations

import warnings

import pytest

onnx = pytest.importorskip("onnx")

from node_cases import CASES, OURS, evaluated, refused  # noqa: E402
from onnx.backend.test.runner import Runner, _normalize_tensor  # noqa: E402
from suite_backend import CapturedBackend, QuantrayBackend, leaves  # noqa: E402


def run(case, backend) -> None:
    with warnings.catch_warnings():
        # NumPy warns of NaN and infinity, which some cases are about.
        warnings.simplefilter("ignore", RuntimeWarning)
        model = backend.prepare(case.model)
        for inputs, outputs in case.data_sets:
            made = model.run([_normalize_tensor(value) for value in inputs])
            wanted = [_normalize_tensor(value) for value in outputs]
            # The runner takes items of no axes for lists of outputs.
            assert [type(x) is list and len(x) for x in wanted] == [type(x) is list and len(x) for x in made]
            Runner.assert_similar_outputs(leaves(wanted), leaves(made), case.rtol, case.atol)


@pytest.mark.parametrize("name", OURS)
def test_case(name):
    run(CASES[name], QuantrayBackend)


@pytest.mark.parametrize("name", OURS)
def test_captured_case(name):
    run(CASES[name], CapturedBackend)


@pytest.mark.parametrize("name", [name for name in CASES if evaluated(name)])
def test_case_that_the_evaluator_computes(name):
    with pytest.warns(UserWarning, match="reference evaluator computes"):
        run(CASES[name], QuantrayBackend)


@pytest.mark.parametrize("name", [name for name in CASES if refused(name)])
@pytest.mark.filterwarnings("ignore:onnx's reference evaluator")
def test_refused_case_would_not_pass(name):
    with pytest.raises((ValueError, AssertionError, KeyError)):
        run(CASES[name], QuantrayBackend)


def test_quantized_operators_are_all_there():
    kinds = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearMatMul", "QLinearConv"}
    kinds |= {"MatMulInteger", "ConvInteger"}
    found = [
        name for name, case in CASES.items() if any(node.op_type in kinds for node in case.model.graph.node)
    ]
    assert len(found) >= 45
    assert not set(found) - set(OURS)
