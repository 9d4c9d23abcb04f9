"""Nodes that are wrong: one error, which names the node and what is valid."""

from __future__ import annotations

import numpy as np
import pytest
from quantray.onnx._file import GraphFile, ModelFile, NodeFile, Tensor, ValueInfo
from quantray.onnx._load import build


def model(op, inputs, constants=None, outputs=("y",), shapes=None, opset=21, domain="", **attributes):
    """A model of one node, whose inputs are floats with as many axes as `shapes` says."""
    constants, shapes = constants or {}, shapes or {}
    given = [name for name in inputs if name and name not in constants]
    graph = GraphFile(
        "g",
        (NodeFile("the_node", op, domain, tuple(inputs), tuple(outputs), attributes),),
        {name: Tensor.of(name, np.asarray(value)) for name, value in constants.items()},
        tuple(ValueInfo(name, "float32", shapes.get(name)) for name in given),
        tuple(ValueInfo(name, "float32") for name in outputs if name),
    )
    return ModelFile(8, {"": opset, "com.microsoft": 1}, graph)


X = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
ONE = np.float32(1)

AT_LOAD = {
    "too few inputs": (("MatMul", ["x"]), {}, "takes 2 inputs, got 1"),
    "too many inputs": (("Relu", ["x", "x"]), {}, "takes 1 inputs, got 2"),
    "an input left out": (("Add", ["", "x"]), {}, "takes 2 inputs, got 2"),
}

#: A length that no array has.
HUGE = 2**45

AT_RUN = {
    "huge shape": (("Expand", ["x", "s"], {"s": [HUGE, 1, 1, 1, 1]}), {}, "more than any memory holds"),
    "huge counts": (("Tile", ["x", "s"], {"s": [1, 1, HUGE, 1]}), {}, "more than any memory holds"),
    "huge pads": (("Pad", ["x", "s"], {"s": [0] * 7 + [HUGE]}), {}, "more than any memory holds"),
    "huge sizes": (("Resize", ["x", "", "", "s"], {"s": [1, 3, HUGE, 4]}), {}, "more than any memory holds"),
    "huge constant": (("ConstantOfShape", ["s"], {"s": [HUGE, 4]}), {}, "more than any memory holds"),
    "huge range": (
        ("Range", ["a", "b", "c"], {"a": np.int64(0), "b": np.int64(HUGE), "c": np.int64(1)}),
        {},
        "more than any memory holds",
    ),
    "range of no steps": (
        ("Range", ["a", "b", "c"], {"a": np.int64(0), "b": np.int64(3), "c": np.int64(0)}),
        {},
        "delta must not be 0",
    ),
    "axis of softmax": (("Softmax", ["x"]), {"axis": 9}, "must be from -4 to 3"),
    "axis of concat": (("Concat", ["x", "x"]), {"axis": 7}, "axis 7"),
    "kernel is missing": (("MaxPool", ["x"]), {}, "no kernel_shape"),
    "kernel of other axes": (
        ("AveragePool", ["x"]),
        {"kernel_shape": (2, 2, 2)},
        "kernels have 3 axes, and images 2",
    ),
    "pads of other axes": (
        ("MaxPool", ["x"]),
        {"kernel_shape": (2, 2), "pads": (1, 1)},
        "pads must be 4 integers",
    ),
    "auto_pad": (("MaxPool", ["x"]), {"kernel_shape": (2, 2), "auto_pad": "SAME"}, "auto_pad must be"),
    "kernel beyond the image": (("LpPool", ["x"]), {"kernel_shape": (9, 9)}, "padded image has 4"),
    "mode of resize": (
        ("Resize", ["x", "", "s"], {"s": [1.0, 1.0, 2.0, 2.0]}),
        {"mode": "best"},
        "mode must be one of nearest",
    ),
    "scales of resize": (("Resize", ["x", "", "s"], {"s": [2.0]}), {}, "must be 4 scales"),
    "neither scales nor sizes": (("Resize", ["x"]), {}, "scales or sizes must be given"),
    "blocks": (("DepthToSpace", ["x"]), {"blocksize": 2}, "reshape"),
    "no blocks": (("SpaceToDepth", ["x"]), {}, "it has no blocksize"),
    "permutation": (("Transpose", ["x"]), {"perm": (0, 1, 2, 2)}, "axis|axes|repeated"),
    "shape": (("Reshape", ["x", "s"], {"s": [5, -1]}), {}, "48|shape"),
    "index": (("Gather", ["x", "i"], {"i": [7]}), {"axis": 1}, "7 is out of bounds"),
    "target of a cast": (("Cast", ["x"]), {"to": 99}, "number from 1 to"),
    "type of an attribute": (("LeakyRelu", ["x"]), {"alpha": "much"}, "much"),
    "reduction": (("ReduceSum", ["x", "a"], {"a": [9]}), {}, "axis must be from -4 to 3"),
    "zero point of another length": (
        ("QuantizeLinear", ["x", "s", "z"], {"s": np.ones(3, np.float32), "z": np.zeros(2, np.uint8)}),
        {},
        "must be one, or 3",
    ),
    "scales of blocks": (
        ("QuantizeLinear", ["x", "s"], {"s": np.ones((1, 3, 3, 4), np.float32)}),
        {"axis": 2, "block_size": 2},
        r"need scales of shape \(1, 2|need scales",
    ),
    "type of codes": (
        ("QuantizeLinear", ["x", "s"], {"s": ONE}),
        {"output_dtype": 1},
        "must be of type int8",
    ),
    "heads": (("Attention", ["x", "x", "x"], {}, {"x": ("n", "t", "w")}), {}, "q_num_heads and kv_num_heads"),
    "groups": (("Conv", ["x", "w"], {"w": np.ones((4, 2, 1, 1), np.float32)}), {}, "must have 2 channels"),
    "activation": (
        ("FusedConv", ["x", "w"], {"w": np.ones((4, 3, 1, 1), np.float32)}),
        {"activation": "Best"},
        "activation must be one of Relu",
    ),
    "k": (("TopK", ["x", "k"], {"k": [9]}), {}, "k must be from 0 to 4"),
    "split": (("Split", ["x", "s"], {"s": [1, 7]}), {"axis": 2}, "must add up to 4"),
}


@pytest.mark.parametrize("case", AT_LOAD)
def test_wrong_at_load(case):
    arguments, attributes, message = AT_LOAD[case]
    with pytest.raises(ValueError, match=rf"^the_node \({arguments[0]}\): it {message}"):
        build(model(*arguments, **attributes))


# These files do not say how many axes their inputs have.
@pytest.mark.filterwarnings("ignore:the file's integers are computed node by node")
@pytest.mark.parametrize("case", AT_RUN)
def test_wrong_at_run(case):
    (op, inputs, *rest), attributes, message = AT_RUN[case]
    constants = rest[0] if rest else {}
    domain = "com.microsoft" if op == "FusedConv" else ""
    x = X[0] if case == "heads" else X
    outputs = ("y", "z") if op == "TopK" else ("y",)
    with pytest.raises(ValueError, match=rf"^the_node( \({op}\))?: .*({message})"):
        build(model(op, inputs, constants, outputs, domain=domain, **attributes))(x)


def test_all_unknown_operators_are_listed():
    nodes = tuple(
        NodeFile(f"node{i}", op, domain, ("x",), (f"y{i}",), {})
        for i, (op, domain) in enumerate(
            (("SequenceConstruct", ""), ("Frobnicate", ""), ("Mystery", "my.domain"))
        )
    )
    graph = GraphFile("g", nodes, {}, (ValueInfo("x", "float32", ("n",)),), (ValueInfo("y2", "float32"),))
    whole = ModelFile(8, {"": 17, "my.domain": 1}, graph)
    with pytest.raises(ValueError, match="no such operators") as caught:
        build(whole)
    assert "node2 (my.domain.Mystery)" in str(caught.value)


def test_unknown_type_of_an_output():
    with pytest.raises(ValueError, match=r"the_node \(QLinearMatMul\): it takes 8 inputs"):
        build(model("QLinearMatMul", ["x", "s"], {"s": ONE}))(X)


def test_an_output_that_a_node_does_not_give_is_named():
    values = tuple(ValueInfo(name, "float32", ("n",)) for name in "yz")
    node = NodeFile("the_node", "Split", "", ("x", "parts"), ("y", "z"), {"axis": 0})
    given = ValueInfo("x", "float32", ("n",)), ValueInfo("parts", "int64", ("m",))
    model = build(ModelFile(8, {"": 17}, GraphFile("g", (node,), {}, given, values)))
    with pytest.raises(ValueError, match="the_node: it gives 1 outputs, 'z' is another one"):
        model(np.zeros(3, np.float32), np.array([3]))
