"""Settings that call nodes as a file does, also where several of them became one layer."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("onnx")

import quantray as qt
from onnx import TensorProto, helper, numpy_helper
from quantray import nn
from quantray import quantization as tq


def file(rng):
    """Products with biases, a SiLU written out, and a formula of three nodes."""
    nodes = [
        ("MatMul", "x w1", "a", "first"),
        ("Add", "a b1", "b", "bias"),
        ("Sigmoid", "b", "s", "gate"),
        ("Mul", "b s", "c", "silu"),
        ("MatMul", "c w2", "d", "second"),
        ("Mul", "d half", "e", "halved"),
        ("Tanh", "e", "f", "tanh"),
        ("Sub", "f half", "g", "lowered"),
        ("MatMul", "g w3", "y", "third"),
    ]
    held = {
        "w1": rng.standard_normal((16, 32)) / 4,
        "b1": rng.standard_normal(32),
        "w2": rng.standard_normal((32, 24)) / 6,
        "w3": rng.standard_normal((24, 4)) / 5,
        "half": np.asarray(0.5),
    }
    graph = helper.make_graph(
        [helper.make_node(op, i.split(), [o], name=name) for op, i, o, name in nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in held.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def in_float(rng, change):
    """Names of the lines of a report that compute in floats though nothing else makes them."""
    x = rng.standard_normal((64, 16)).astype(np.float32)
    mapping = change(tq.get_default_qconfig_mapping())
    made = tq.quantize(qt.onnx.load(file(rng)), x, mapping, verbose=False)
    return {line.name for line in tq.report(made).lines if line.reason == "no qconfig"}


def test_everything_is_in_integers_by_itself(rng):
    assert in_float(rng, lambda mapping: mapping) == set()


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        ("MatMul", {"first", "second", "third"}),
        ("Linear", {"first", "second", "third"}),
        ("Sigmoid", {"Swish_0"}),
        ("Mul", {"Swish_0", "lowered"}),
        ("Tanh", {"lowered"}),
        ("Sub", {"lowered"}),
    ],
)
def test_operators_of_the_file(rng, op, wanted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert in_float(rng, lambda mapping: mapping.set_object_type(op, None)) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *(("first", "first"), ("bias", "first"), ("gate", "Swish_0"), ("silu", "Swish_0")),
        *(("halved", "lowered"), ("tanh", "lowered"), ("lowered", "lowered"), ("third", "third")),
    ],
)
def test_nodes_of_the_file(rng, name, wanted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert in_float(rng, lambda mapping: mapping.set_module_name(name, None)) == {wanted}
        assert in_float(rng, lambda mapping: mapping.set_module_name_regex(f"{wanted}$", None)) == {wanted}


@pytest.mark.parametrize("op", ["Conv", "Add", "matmul2"])
def test_what_the_file_has_not_is_said(rng, op):
    """An Add that is a bias is no node any more: what it was is exact."""
    with pytest.warns(UserWarning, match=f"nothing of type '{op}'"):
        assert in_float(rng, lambda mapping: mapping.set_object_type(op, None)) == set()


def test_dynamic_models_leave_layers_that_a_node_became_part_of(rng):
    made = tq.quantize_dynamic(
        qt.onnx.load(file(rng)), {nn.Linear: tq.per_channel_dynamic_qconfig, "bias": None}
    )
    assert type(made.get_submodule("first")) is nn.Linear
    assert type(made.get_submodule("second")) is not nn.Linear


def test_formulas_of_modules_follow_attributes(rng):
    """torch's way: None in `qconfig` of one step of a formula."""
    model = qt.onnx.load(file(rng))
    model.qconfig = tq.default_qconfig
    model.get_submodule("tanh").qconfig = None
    made = tq.quantize(model, rng.standard_normal((64, 16)).astype(np.float32), verbose=False)
    assert {line.name for line in tq.report(made).lines if line.reason == "no qconfig"} == {"lowered"}
