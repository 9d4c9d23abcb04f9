"""Names that fit together, and all that does not, said at once."""

import numpy as np
import pytest
import quantray as qt
from node_cases import CASES
from onnx import TensorProto, helper
from quantray.onnx import _file as onnx_file
from quantray.onnx._check import LATEST_IR, LATEST_OPSET, checked
from quantray.onnx._file import FunctionFile, GraphFile, ModelFile, NodeFile, ValueInfo


def node(name, inputs, outputs, op="Relu", **attributes):
    return NodeFile(name, op, "", tuple(inputs.split()), tuple(outputs.split()), attributes)


def model_of(*nodes, inputs="x", outputs="y", opsets=None, functions=(), ir_version=8):
    graph = GraphFile(
        "g",
        nodes,
        inputs=tuple(map(ValueInfo, inputs.split())),
        outputs=tuple(map(ValueInfo, outputs.split())),
    )
    return ModelFile(ir_version, {"": 13} if opsets is None else opsets, graph, functions)


def problems(model):
    with pytest.raises(ValueError, match="the model has") as caught:
        checked(model)
    return str(caught.value).split("\n  ")[1:]


def test_models_in_order_stay_the_same_object():
    model = model_of(node("a", "x", "h"), node("b", "h", "y"))
    assert checked(model) is model


def test_the_node_suite_is_in_order():
    for name, case in CASES.items():
        read = onnx_file.read(case.model.SerializeToString())
        assert checked(read) is read, name


def test_latest_versions():
    import onnx

    assert onnx.defs.onnx_opset_version() <= LATEST_OPSET
    assert onnx.IR_VERSION <= LATEST_IR


def test_nodes_are_sorted():
    model = model_of(node("c", "h2", "y"), node("b", "h1", "h2"), node("d", "x", "z"), node("a", "x", "h1"))
    made = checked(model)
    assert [n.name for n in made.graph.nodes] == ["d", "a", "b", "c"]
    assert made.graph.inputs is model.graph.inputs


def test_subgraphs_are_sorted_and_reach_outside():
    body = GraphFile("body", (node("q", "p", "r"), node("p", "late", "p")), outputs=(ValueInfo("r"),))
    model = model_of(
        node("if", "x", "y", "If", then_branch=body, else_branch=body),
        node("late", "x", "late"),
    )
    made = checked(model)
    assert [n.name for n in made.graph.nodes] == ["late", "if"]
    for branch in ("then_branch", "else_branch"):
        assert [n.name for n in made.graph.nodes[1].attributes[branch].nodes] == ["p", "q"]
    # By way of an output of the subgraph alone, and of two levels.
    inner = GraphFile("inner", (), outputs=(ValueInfo("late"),))
    outer = GraphFile("outer", (node("in", "", "i", "If", then_branch=inner),), outputs=(ValueInfo("i"),))
    model = model_of(node("if", "x", "y", "If", then_branch=outer), node("late", "x", "late"))
    assert [n.name for n in checked(model).graph.nodes] == ["late", "if"]


def test_everything_is_said_at_once():
    bad = model_of(
        node("a", "x nothing", "h"),
        node("", "h", "h"),
        node("b", "", "x"),
        NodeFile("c", "Thing", "my.domain", ("x",), ("t",)),
        NodeFile("d", ""),
        outputs="y",
        inputs="x x",
        opsets={"": LATEST_OPSET + 1},
        ir_version=99,
    )
    assert problems(bad) == [
        f"its version of the format is 99; known are 1 to {LATEST_IR}",
        f"its operators have version {LATEST_OPSET + 1} (opset); known are 1 to {LATEST_OPSET}",
        "node of output 'h' (Relu): its output 'h' is made by node 'a' (Relu), too",
        "node 'b' (Relu): its output 'x' is an input or an initializer, too",
        "two inputs are named 'x'",
        "node 'a' (Relu): its input 'nothing' is made by nothing",
        "node 'c' (Thing): the model says no version for operators of domain 'my.domain', only ''",
        "node 'd' (): it has no operator",
        "the output 'y' is made by nothing",
    ]


def test_circles():
    model = model_of(node("a", "x z", "h"), node("b", "h", "m"), node("c", "m", "z"), node("d", "z", "y"))
    assert problems(model) == [
        "nodes wait for each other in a circle: node 'a' (Relu) -> node 'b' (Relu) -> node 'c' (Relu) -> "
        "node 'a' (Relu)"
    ]
    assert problems(model_of(node("a", "y", "y"))) == [
        "nodes wait for each other in a circle: node 'a' (Relu) -> node 'a' (Relu)"
    ]


def test_problems_inside_of_subgraphs():
    body = GraphFile("body", (node("p", "gone", "r"),), outputs=(ValueInfo("r"), ValueInfo("s")))
    assert problems(model_of(node("if", "x", "y", "If", then_branch=body))) == [
        "node 'if' (If): then_branch: node 'p' (Relu): its input 'gone' is made by nothing",
        "node 'if' (If): then_branch: the output 's' is made by nothing",
    ]


def test_functions():
    def function(name, *nodes, inputs=("a",), outputs=("b",)):
        return FunctionFile(name, "f", inputs, outputs, nodes=nodes, opsets={"": 13, "f": 1})

    def call(name, inputs="a", outputs="b"):
        return NodeFile("", name, "f", tuple(inputs.split()), tuple(outputs.split()))

    good = function("one", node("2", "h", "b"), node("1", "a", "h"))
    made = checked(model_of(call("one", "x", "y"), opsets={"": 13, "f": 1}, functions=(good,)))
    assert [n.name for n in made.functions[0].nodes] == ["1", "2"]
    bad = (
        function("one", call("two")),
        function("two", call("one")),
        function("three", node("n", "c", "d")),
    )
    assert problems(model_of(node("n", "x", "y"), functions=bad)) == [
        "function 'three': node 'n' (Relu): its input 'c' is made by nothing",
        "function 'three': its output 'b' is made by nothing",
        "functions call each other in a circle: 'one' -> 'two' -> 'one'",
    ]


def test_many_problems_are_counted():
    found = problems(model_of(*(node(str(i), f"n{i}", f"h{i}") for i in range(1000))))
    assert len(found) == 21
    assert found[-1] == "and 981 more"


def test_long_chains_and_deep_graphs_take_no_recursion():
    nodes = [node(str(i), f"v{i}" if i else "x", f"v{i + 1}" if i < 4999 else "y") for i in range(5000)]
    made = checked(model_of(*reversed(nodes)))
    assert list(made.graph.nodes) == nodes


def test_old_files_without_versions():
    old = helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["x"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        ),
        ir_version=2,
        opset_imports=[],
    )
    del old.opset_import[:]
    read = onnx_file.read(old.SerializeToString())
    assert checked(read) is read
    old.ir_version = 3
    found = problems(onnx_file.read(old.SerializeToString()))
    assert found == [
        "node of output 'y' (Relu): the model says no version for operators of domain '', only none"
    ]


def test_onnxruntimes_operators_may_have_no_version():
    """NNCF writes MatMulNBits without; onnxruntime computes such files."""
    made = helper.make_model(
        helper.make_graph(
            [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        ),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    ).SerializeToString()
    read = onnx_file.read(made)
    assert checked(read) is read
    runtime = pytest.importorskip("onnxruntime")
    x = np.float32([-1, 0.5, 2])
    want = runtime.InferenceSession(made).run(None, {"x": x})[0]
    np.testing.assert_allclose(qt.onnx.load(made)(x), want, rtol=1e-6)
