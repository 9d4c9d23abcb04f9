"""Torch's names of methods and functions of a quantized tensor: each is in its place, with equal results.

The results are torch 2.15's, stored by `reference/make_names.py`. What is left out on purpose is listed here,
and says what to use instead.
"""

import json

import numpy as np
import pytest
import quantray as qt
from golden import REFERENCE
from numpy.testing import assert_allclose, assert_array_equal
from quantray.nn import functional

STORED = json.loads((REFERENCE / "names.json").read_text())
SPACES = {"functions": qt, "nn.functional": functional}

#: Left out: what means something only with other devices, layouts or gradients. Tensors name the way.
LEFT_OUT = {
    "methods": [
        "is_cuda",
        "is_inference",
        "is_ipu",
        "is_maia",
        "is_meta",
        "is_mkldnn",
        "is_mps",
        "is_mtia",
        "is_pinned",
        "is_sparse_csr",
        "is_vulkan",
        "is_xla",
        "is_xpu",
        "slice_inverse",
    ],
    "functions": ["slice_inverse"],
    "nn.functional": [],
}

#: Answers that differ on purpose: what the README's page of differences from torch says.
DIFFERS = {
    "data_ptr": "an address",
    "const_data_ptr": "an address",
    "std": "float32, not rounded to the tensor's grid",
    "type": "the module's name in front",
    "grad_dtype": "no gradient, no dtype",
    "layout": "a str",
    "empty_like": "whatever memory holds",
}


def given():
    """The tensors that arguments name."""
    scale, zero = STORED["scale"], STORED["zero_point"]
    plain = {"idx": int, "mask": bool, "f1": np.float32}
    return {
        name: np.array(value, plain[name])
        if name in plain
        else qt.make_per_tensor_quantized_tensor(np.array(value, np.uint8), scale, zero)
        for name, value in STORED["inputs"].items()
    }


def check(got, wanted):
    """A result equals what torch's was."""
    if isinstance(wanted, dict) and "codes" in wanted:
        assert isinstance(got, qt.QTensor), "floats instead of a quantized tensor"
        assert list(got.shape) == wanted["shape"]
        assert got.zero_point == wanted["zero_point"]
        assert_allclose(got.scale, wanted["scale"], rtol=1e-7)
        codes = np.array(wanted["codes"], got.numpy_dtype).reshape(wanted["shape"])
        assert_array_equal(got.int_repr(), codes)
    elif isinstance(wanted, dict):
        assert not isinstance(got, qt.QTensor)
        assert np.asarray(got).dtype == wanted["dtype"].removeprefix("torch.")
        assert_allclose(got, np.array(wanted["values"]).reshape(wanted["shape"]), rtol=1e-6)
    elif isinstance(wanted, list):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            check(one, other)
    elif isinstance(wanted, str):
        assert str(got) == wanted.removeprefix("torch.")
    else:
        assert got == wanted


CASES = [case for case in STORED["cases"] if case["name"] not in LEFT_OUT[case["where"]]]


@pytest.mark.parametrize("case", CASES, ids=[f"{case['where']}.{case['name']}" for case in CASES])
def test_equal_to_torchs(case):
    inputs = given()
    name = case["name"]
    found = getattr(inputs["q"], name) if case["where"] == "methods" else getattr(SPACES[case["where"]], name)
    if callable(found) and not isinstance(found, qt.dtype):
        found = found(*eval(case["args"] or "()", {}, inputs))
    if name not in DIFFERS and "fails" not in case:
        check(found, case["result"])


@pytest.mark.parametrize("name", LEFT_OUT["methods"])
def test_left_out_on_purpose(name):
    q = given()["q"]
    assert not hasattr(q, name)
    with pytest.raises(AttributeError, match=f'a QTensor has no "{name}": '):
        getattr(q, name)
