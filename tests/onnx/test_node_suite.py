"""The standard's own cases of single nodes, called and as captured graphs."""

from __future__ import annotations

import re
import warnings

import pytest

onnx = pytest.importorskip("onnx")

from onnx.backend.test.loader import load_model_tests  # noqa: E402
from onnx.backend.test.runner import Runner, _normalize_tensor  # noqa: E402
from suite_backend import CapturedBackend, QuantrayBackend, leaves  # noqa: E402

#: Cases that are refused, or whose results cannot be those of the case, by a pattern of their names, and why.
REFUSED = {
    r"^test_(string_|strnormalizer|regex_full_match|equal_string)": "texts are not computed with",
    r"^test_ai_onnx_ml_label_encoder_": "texts are not computed with",
    r"bernoulli": "its numbers come by chance, and the case holds those of one generator",
    r"bitcast_(float64_to_int64|int64_to_float64)": "float64 is computed in float32",
    r"tree_ensemble_single_tree": "float64 is computed in float32",
    r"flexattention_(score|prob)_mod$|flexattention_(causal_mask|soft_cap|relative_positional)$": (
        "it is in a preview domain, with graphs inside"
    ),
}

#: Cases that the reference evaluator of the `onnx` package computes, and why.
EVALUATED = {
    r"adagrad|adam|momentum": "operators that train are in a preview domain",
    r"ai_onnx_ml_(array_feature|binarizer|tree_ensemble)": "the domain ai.onnx.ml is not read",
    r"flexattention(?!.*_expanded)": "it is in a preview domain",
    r"image_decoder": "images are decoded elsewhere",
    r"tfidfvectorizer": "texts are not computed with",
}

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CASES = {case.name: case for case in load_model_tests(kind="node")}


def refused(name: str) -> bool:
    return any(re.search(pattern, name) for pattern in REFUSED)


def evaluated(name: str) -> bool:
    return not refused(name) and any(re.search(pattern, name) for pattern in EVALUATED)


OURS = [name for name in CASES if not refused(name) and not evaluated(name)]


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
