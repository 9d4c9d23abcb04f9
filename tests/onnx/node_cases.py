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

#: Of more windows a formula makes what a case expects: the suite's loop over them takes seconds.
_MANY_WINDOWS = 1000

_POOLS = {
    "AVG": lambda windows, axes, p: windows.mean(axes),
    "MAX": lambda windows, axes, p: windows.max(axes),
    "LPPOOL": lambda windows, axes, p: (np.abs(windows) ** p).sum(axes) ** (1 / p),
}


def _pool(padded, x_shape, kernel, strides, out_shape, pooling_type, *args, p=1, **settings):
    """The suite's `pool`; of many windows, one beside the other and without padding, by a formula."""
    by_loop = functools.partial(_POOL, strides=strides, pooling_type=pooling_type, p=p)
    is_plain = not args and not settings and set(strides) == {1} and padded.shape == tuple(x_shape)
    if not is_plain or np.prod(out_shape) < _MANY_WINDOWS:
        return _POOL(padded, x_shape, kernel, strides, out_shape, pooling_type, *args, p=p, **settings)
    axes = tuple(range(2, padded.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(padded.astype(np.float64), kernel, axes)
    made = _POOLS[pooling_type](windows, tuple(range(padded.ndim, windows.ndim)), p).astype(padded.dtype)
    assert made.shape == (*x_shape[:2], *out_shape)
    # Both say the same of a corner.
    few = tuple(slice(k + 2) for k in kernel)
    corner, inner = padded[..., *few], (3,) * len(kernel)
    loop = by_loop(corner, corner.shape, kernel, out_shape=inner)
    np.testing.assert_allclose(made[..., *(slice(n) for n in inner)], loop, rtol=1e-5, atol=1e-6)
    return made


_POOL = op_pool_common.pool
with (
    warnings.catch_warnings(),
    mock.patch.object(op_pool_common, "pool", _pool),
    # Sources of cases, which the suite looks up for its pages, are not read.
    mock.patch.object(base, "process_snippet", return_value=("", "")),
):
    # The suite computes what it expects, with overflows and all.
    warnings.simplefilter("ignore")
    CASES = {case.name: case for case in load_model_tests(kind="node")}
#: The models of all cases.
MODELS = [case.model for case in CASES.values()]


def refused(name: str) -> bool:
    """Whether a case does not pass, for a reason that is in the list."""
    return any(re.search(pattern, name) for pattern in REFUSED)


def evaluated(name: str) -> bool:
    """Whether the reference evaluator computes a case."""
    return not refused(name) and any(re.search(pattern, name) for pattern in EVALUATED)


OURS = [name for name in CASES if not refused(name) and not evaluated(name)]
