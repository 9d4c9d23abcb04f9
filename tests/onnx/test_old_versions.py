"""Operators in the versions that files since opset 7 have: as onnxruntime computes each of them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from old_versions import OUTPUTS, VERSIONS
from single_node import here, in_onnxruntime, single_node


def cases():
    for name, (_, first, last, *_rest) in VERSIONS.items():
        versions = sorted({first, last, *(v for v in (9, 11, 13, 18) if first < v < last)})
        for version in versions:
            yield pytest.param(name, version, id=f"{name}-{version}")


@pytest.mark.parametrize(("name", "version"), list(cases()))
def test_version(name, version):
    op, _, _, inputs, attributes, constants = VERSIONS[name]
    count = OUTPUTS.get(op, 1)
    model = single_node(
        op, inputs, [f"y{i}" for i in range(count)], opset=version, constants=set(constants), **attributes
    )
    for ours, theirs in zip(here(model, inputs), in_onnxruntime(model, inputs), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
