"""The standard's own cases of single nodes, those that are refused, and why."""

from __future__ import annotations

import functools
import re
import warnings
from unittest import mock

import numpy as np
from onnx.backend.test.case import base
from onnx.backend.test.loader import load_model_tests
from onnx.reference.ops import op_pool_common

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

#: So many windows are pooled when the case is run: the suite takes each by a loop of Python's.
_FEW_WINDOWS = 1000


class _Late(list):
    """The arrays of a case, some of which are computed when they are asked for."""

    def __init__(self, arrays, fill) -> None:
        super().__init__(arrays)
        self._fill = functools.cache(fill)

    def __getitem__(self, key):
        self._fill()
        return super().__getitem__(key)

    def __iter__(self):
        self._fill()
        return super().__iter__()


def _collected():
    """The suite's cases by their names, as it makes them, in a third of the time.

    Sources of cases, which the suite looks up for its pages, are not read.
    """
    late = {}

    def pool(padded, x_shape, kernel, strides, out_shape, *args, **kwargs):
        if np.prod([*x_shape[:2], *out_shape]) < _FEW_WINDOWS:
            return pooled(padded, x_shape, kernel, strides, out_shape, *args, **kwargs)
        made = np.empty([*x_shape[:2], *out_shape], padded.dtype)
        late[id(made)] = lambda: np.copyto(
            made, pooled(padded, x_shape, kernel, strides, out_shape, *args, **kwargs)
        )
        return made

    pooled = op_pool_common.pool
    with (
        warnings.catch_warnings(),
        mock.patch.object(op_pool_common, "pool", pool),
        mock.patch.object(base, "process_snippet", return_value=("", "")),
    ):
        # The suite computes what it expects, with overflows and all.
        warnings.simplefilter("ignore")
        found = {case.name: case for case in load_model_tests(kind="node")}
    for case in found.values():
        outputs = [y for _, several in case.data_sets or () for y in several]
        for made in (y for y in outputs if id(y) in late):
            case.data_sets = _Late(case.data_sets, late.pop(id(made)))
    assert not late, "what was pooled is no output of a case"
    return found


CASES = _collected()
#: The models of all cases.
MODELS = [case.model for case in CASES.values()]


def refused(name: str) -> bool:
    """Whether a case does not pass, for a reason that is in the list."""
    return any(re.search(pattern, name) for pattern in REFUSED)


def evaluated(name: str) -> bool:
    """Whether the reference evaluator computes a case."""
    return not refused(name) and any(re.search(pattern, name) for pattern in EVALUATED)


OURS = [name for name in CASES if not refused(name) and not evaluated(name)]
