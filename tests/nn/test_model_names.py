"""Torch's names of quantized models: each is in its place, takes torch's arguments, and computes the same.

The table and the results are torch 2.15's, stored by `reference/make_model_names.py`. What is left out on
purpose is what `quantray.left_out()` lists.
"""

import inspect
import json
from importlib import import_module

import numpy as np
import pytest
import quantray as qt
from golden import REFERENCE
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray import quantization as tq

STORED = json.loads((REFERENCE / "model_names.json").read_text())
#: Names that are no part of the table, though torch's module has them: helpers of others.
NO_NAMES = {"MatchAllNode", "Pattern", "get_combined_dict"}
TABLE = [row for row in STORED["names"] if row["name"] not in NO_NAMES]
LEFT_OUT = qt.left_out()

#: Functions whose arguments by position are torch's where these are of torch's types: see their docstrings.
BY_TYPE = {"prepare", "prepare_qat", "quantize"}
#: Arguments of torch's that have no meaning here, and are refused with a TypeError.
NOT_HERE = {
    # Of enums' constructors.
    "MappingType": {"names", "module", "qualname", "type", "start", "boundary"},
}


def place(row):
    return import_module(f"quantray.{row['place']}")


@pytest.mark.parametrize("row", TABLE, ids=[f"{row['place']}.{row['name']}" for row in TABLE])
def test_is_in_torchs_place(row):
    name = row["name"]
    if name in LEFT_OUT:
        with pytest.raises(AttributeError, match=LEFT_OUT[name][:20]):
            getattr(place(row), name)
        return
    found = getattr(place(row), name)
    wanted = row["arguments"]
    if wanted is None or isinstance(found, type(tq.QuantType)):
        return
    have = [p.name for p in inspect.signature(found).parameters.values() if p.kind is not p.VAR_KEYWORD]
    assert set(wanted) <= set(have), f"missing: {[n for n in wanted if n not in have]}"
    if name not in BY_TYPE:
        assert have[: len(wanted)] == wanted


def test_the_other_way_there():
    """`import quantray as torch` finds the names that torch has below `ao`."""
    torch = qt
    assert torch.ao.quantization is tq
    assert torch.ao.nn.quantized is nn.quantized
    assert import_module("quantray.ao.nn.intrinsic.qat") is nn.intrinsic.qat
    assert import_module("quantray.ao.quantization.observer").MinMaxObserver is tq.MinMaxObserver


def environment():
    """What programs find: the same names as in the script that ran them with torch."""
    quantized = {
        name: qt.make_per_tensor_quantized_tensor(
            np.array(codes, np.uint8), STORED["scale"], STORED["zero_point"]
        )
        for name, codes in STORED["codes"].items()
    }
    weights = {
        name: qt.make_per_tensor_quantized_tensor(np.array(codes, np.int8), 0.01, 0)
        for name, codes in STORED["weights"].items()
    }
    floats = {name: np.array(value, np.float32) for name, value in STORED["floats"].items()}
    return {
        **{short: import_module(f"quantray.{path}") for short, path in SPACES.items()},
        **quantized,
        **weights,
        **floats,
        "fw2": weights["w2"].dequantize(),
        "ones3": floats["ones4"][:3],
        "slope": qt.quantize_per_tensor([0.25], 0.01, 0, qt.quint8),
        "names": lambda table: {kind.__name__: made.__name__ for kind, made in table.items()},
        "filled": filled,
        "fill": fill,
        "number": np.array,
        "quint8": qt.quint8,
        "qint8": qt.qint8,
        "idx": np.array([0, 3, 3, 1]),
        "offsets": np.array([0, 2, 4]),
    }


SPACES = {
    "nn": "nn",
    "tq": "quantization",
    "nnq": "nn.quantized",
    "nnqd": "nn.quantized.dynamic",
    "nnqat": "nn.qat",
    "nnqatd": "nn.qat.dynamic",
    "nni": "nn.intrinsic",
    "nniqat": "nn.intrinsic.qat",
    "nniq": "nn.intrinsic.quantized",
    "nniqd": "nn.intrinsic.quantized.dynamic",
    "nnz": "nn.quantizable",
    "qF": "nn.quantized.functional",
}


def fill(*shape):
    """Numbers that both libraries make alike."""
    size = int(np.prod(shape))
    return np.sin(np.arange(size, dtype=np.float64) * 1.7).reshape(shape).astype(np.float32) / 2


def filled(module):
    state = module.state_dict()
    module.load_state_dict({name: fill(*value.shape) for name, value in state.items()})


#: Where a result may be one step off, in some places: torch computes it in an order of its own.
NEAR = {
    "nn.quantized.LayerNorm",
    "nn.quantized.GroupNorm",
    "nn.quantized.InstanceNorm1d",
    "nn.quantized.InstanceNorm2d",
    "nn.quantized.InstanceNorm3d",
    "nn.quantized.Softmax",
}


def check(got, wanted, of):
    """A result equals what torch's was."""
    if isinstance(wanted, dict) and "codes" in wanted:
        assert isinstance(got, qt.QTensor), "floats instead of a quantized tensor"
        assert list(got.shape) == wanted["shape"]
        assert got.dtype.name == wanted["dtype"]
        assert got.zero_point == wanted["zero_point"]
        assert_allclose(got.scale, wanted["scale"], rtol=1e-7)
        codes = np.array(wanted["codes"], got.numpy_dtype).reshape(wanted["shape"])
        steps = np.abs(got.int_repr().astype(int) - codes)
        assert steps.max() <= (1 if of in NEAR else 0)
        assert np.count_nonzero(steps) <= 0.02 * steps.size
    elif isinstance(wanted, dict) and "values" in wanted:
        assert not isinstance(got, qt.QTensor)
        values = np.array(wanted["values"], np.float32).reshape(wanted["shape"])
        assert_allclose(got, values, rtol=1e-5, atol=1e-6)
    elif isinstance(wanted, dict):
        assert wanted.keys() <= got.keys()
        for key, value in wanted.items():
            check(got[key], value, of)
    elif isinstance(wanted, list):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            check(one, other, of)
    elif isinstance(wanted, float):
        assert_allclose(got, wanted, rtol=1e-6)
    else:
        assert_array_equal(got, wanted)


CASES = [case for case in STORED["cases"] if "result" in case]


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{case['of']}" for i, case in enumerate(CASES)])
def test_computes_what_torchs_does(case):
    made = environment()
    exec(case["code"], made)
    check(made["result"], case["result"], case["of"])


def test_most_names_are_computed():
    """The table's classes and functions have a program each, but for those whose values other tests hold."""
    computed = {case["of"] for case in CASES}
    assert len(computed) > 90
    assert all("fails" not in case for case in STORED["cases"])
