"""The models of onnx's own node suite."""

import functools
import warnings

from onnx.backend.test.case import node as node_cases


@functools.cache
def node_models():
    """By the names of the cases. They are collected once: a second time would find every name taken."""
    with warnings.catch_warnings():
        # The suite computes what it expects, with overflows and all; nothing of that is looked at.
        warnings.simplefilter("ignore")
        cases = node_cases.collect_testcases(None)
    return {case.name: case.model for case in cases if case.model is not None}
