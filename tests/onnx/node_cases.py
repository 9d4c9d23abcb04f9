"""The standard's own cases of single nodes, those that are refused, and why."""

from __future__ import annotations

import re
import warnings

from onnx.backend.test.loader import load_model_tests

#: Cases that are refused, or whose results cannot be those of the case, by a pattern of their names, and why.
REFUSED = {
    r"bernoulli": "its numbers come by chance, and the case holds those of one generator",
    r"bitcast_(float64_to_int64|int64_to_float64)": "float64 is computed in float32",
    r"flexattention_(score|prob)_mod$|flexattention_(causal_mask|soft_cap|relative_positional)$": (
        "it is in a preview domain, with graphs inside"
    ),
}

#: Cases that the reference evaluator of the `onnx` package computes, and why.
EVALUATED = {
    r"adagrad|adam|momentum": "operators that train are in a preview domain",
    r"flexattention(?!.*_expanded)": "it is in a preview domain",
    r"image_decoder": "images are decoded elsewhere",
}

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CASES = {case.name: case for case in load_model_tests(kind="node")}


def refused(name: str) -> bool:
    """Whether a case does not pass, for a reason that is in the list."""
    return any(re.search(pattern, name) for pattern in REFUSED)


def evaluated(name: str) -> bool:
    """Whether the reference evaluator computes a case."""
    return not refused(name) and any(re.search(pattern, name) for pattern in EVALUATED)


OURS = [name for name in CASES if not refused(name) and not evaluated(name)]
