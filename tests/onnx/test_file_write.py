"""What is written is read by onnx as what it was."""

import dataclasses
import os
import stat

import numpy as np
import onnx
import pytest
from against_onnx import opsets, same_model
from node_cases import MODELS
from onnx import TensorProto, helper, numpy_helper
from quantray.onnx import _file as onnx_file
from quantray.onnx._file import GraphFile, Many, ModelFile, NodeFile, Reference, Tensor, ValueInfo
from test_file_read import FILES
from test_file_types import every_attribute


def bare(model):
    """A model without what two files may say in two ways: empty texts, typed fields, a domain's name."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    clear(model)
    return model


def clear(message):
    if isinstance(message, TensorProto) and message.data_type != TensorProto.STRING:
        raw = numpy_helper.from_array(numpy_helper.to_array(message)).raw_data
        for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            message.ClearField(field)
        message.raw_data = raw
    if isinstance(message, onnx.AttributeProto) and message.type == onnx.AttributeProto.UNDEFINED:
        raise AssertionError("an attribute without a type")
    if isinstance(message, onnx.NodeProto | onnx.OperatorSetIdProto) and message.domain == "ai.onnx":
        message.domain = ""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                clear(inner)
    for field in message.DESCRIPTOR.fields:
        text = not field.is_repeated and field.type == field.TYPE_STRING
        number = not field.is_repeated and field.name in {"data_location", "elem_type", "model_version"}
        if (text or number) and message.HasField(field.name) and not getattr(message, field.name):
            in_choice = field.containing_oneof is not None
            if not in_choice:
                message.ClearField(field.name)


def written(read, path, **kwargs):
    onnx_file.write(read, path, **kwargs)
    return onnx.load(path)


def equal_after(model, path):
    found = bare(written(onnx_file.read(model.SerializeToString()), path))
    wanted = bare(model)
    assert found == wanted


def test_models_of_files(tmp_path):
    for file in FILES:
        model = onnx.load(file)
        equal_after(model, tmp_path / "m.onnx")


def test_models_of_the_node_suite(tmp_path):
    for model in MODELS:
        equal_after(model, tmp_path / "m.onnx")


def full_model():
    tensors = [
        numpy_helper.from_array(np.arange(6, dtype=np.float16).reshape(2, 3), "a"),
        helper.make_tensor("texts", TensorProto.STRING, [2], [b"x", b"\xff"]),
        helper.make_tensor("typed", TensorProto.FLOAT, [2], [1.0, 2.0]),
        helper.make_tensor("scalar", TensorProto.INT64, [], [3]),
        numpy_helper.from_array(np.zeros((0, 2)), "empty"),
    ]
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(2, np.float32), "s"), numpy_helper.from_array(np.arange(2), ""), [9]
    )
    node = helper.make_node("Custom", ["", "x"], ["y", ""], name="n", domain="d", doc_string="why")
    node.attribute.extend(every_attribute())
    node.metadata_props.add(key="k", value="v")
    node.device_configurations.add(configuration_id="c", pipeline_stage=2)
    named = helper.make_tensor_value_info(
        "x", TensorProto.FLOAT, [1, "n", None], shape_denotation=["B", "C", ""]
    )
    named.type.denotation = "IMAGE"
    sequence = helper.make_value_info("q", helper.make_sequence_type_proto(named.type))
    graph = helper.make_graph(
        [node],
        "g",
        [named, sequence],
        [onnx.ValueInfoProto(name="y")],
        tensors,
        "about",
        [helper.make_tensor_value_info("v", TensorProto.BFLOAT16, None)],
        [sparse],
    )
    graph.quantization_annotation.add(tensor_name="x").quant_parameter_tensor_names.add(
        key="SCALE", value="s"
    )
    graph.metadata_props.add(key="k", value="v")
    inner = helper.make_node("Scale", ["x"], ["y"])
    reference = inner.attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "factor", "alpha", onnx.AttributeProto.FLOAT
    function = helper.make_function(
        "d",
        "Custom",
        ["x"],
        ["y"],
        [inner],
        [helper.make_opsetid("", 20)],
        ["alpha"],
        [helper.make_attribute("beta", 2.5)],
        doc_string="f",
        overload="o",
    )
    model = helper.make_model(
        graph,
        functions=[function],
        producer_name="p",
        producer_version="1",
        domain="org",
        model_version=7,
        doc_string="doc",
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("d", 1)],
    )
    helper.set_model_props(model, {"a": "b", "grün": ""})
    model.training_info.add().algorithm.name = "t"
    model.configuration.add(name="c", num_devices=1)
    return model


def test_everything_is_kept(tmp_path):
    equal_after(full_model(), tmp_path / "m.onnx")


def test_changed_types_are_written_as_they_are_now(tmp_path):
    read = onnx_file.read(full_model().SerializeToString())
    x = dataclasses.replace(read.graph.inputs[0], shape=(4, "m"), dtype="int8")
    graph = dataclasses.replace(read.graph, inputs=(x,))
    found = written(dataclasses.replace(read, graph=graph), tmp_path / "m.onnx").graph.input[0].type
    assert found == helper.make_tensor_type_proto(TensorProto.INT8, [4, "m"])


def test_objects_made_by_hand(tmp_path):
    node = NodeFile(
        "n",
        "Custom",
        "",
        ("x",),
        ("y",),
        {
            "int": np.int64(3),
            "truth": True,
            "float": np.float32(0.5),
            "ints": [1, 2],
            "floats": (1, 2.5),
            "texts": ("a", b"\xff"),
            "none": Many("STRINGS"),
            "outer": Reference("alpha", "INTS"),
            "type": ValueInfo("", "int4", (1, None)),
            "tensor": Tensor.of("t", np.arange(3), "int4"),
            "tensors": (Tensor.of("t", np.arange(3.0)),),
            "graph": GraphFile("b"),
        },
    )
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph = GraphFile(
        "g",
        (node,),
        {"w": Tensor.of("w", weight), "t": Tensor.of("t", weight.T)},
        (ValueInfo("x", "float32", ("n", 2)),),
        (ValueInfo("y", None, None, ""),),
    )
    model = ModelFile(10, {"": 21}, graph, metadata={"k": "v"}, producer_name="quantray")
    found = written(model, tmp_path / "m.onnx")
    assert opsets(found.opset_import) == {"": 21}
    values = {a.name: a for a in found.graph.node[0].attribute}
    kinds = {name: onnx.AttributeProto.AttributeType.Name(a.type) for name, a in values.items()}
    assert kinds == {
        "int": "INT",
        "truth": "INT",
        "float": "FLOAT",
        "ints": "INTS",
        "floats": "FLOATS",
        "texts": "STRINGS",
        "none": "STRINGS",
        "outer": "INTS",
        "type": "TYPE_PROTO",
        "tensor": "TENSOR",
        "tensors": "TENSORS",
        "graph": "GRAPH",
    }
    assert values["int"].i == 3
    assert list(values["floats"].floats) == [1, 2.5]
    arrays = [numpy_helper.to_array(t) for t in found.graph.initializer]
    np.testing.assert_array_equal(arrays[0], weight)
    np.testing.assert_array_equal(arrays[1], weight.T)
    same_model(onnx_file.read(tmp_path / "m.onnx"), found)


def with_node(**attributes):
    return ModelFile(8, {"": 13}, GraphFile("g", (NodeFile("n", "Op", attributes=attributes),)))


def with_tensor(tensor, name="w"):
    return ModelFile(8, {"": 13}, GraphFile("g", initializers={name: tensor}))


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (with_node(a=object()), TypeError, 'node "n" \\(Op\\): attribute "a": it must be a number'),
        (with_node(a=None), TypeError, 'attribute "a": it must be a number'),
        (with_node(a=()), ValueError, "or a Many, which knows the type of none"),
        (with_node(a=(1, "x")), TypeError, "values of one type"),
        (with_node(a=2**63), ValueError, 'node "n" \\(Op\\): attribute "a": .*int'),
        (with_node(a=1e300), ValueError, "within float32"),
        (with_node(a=Many("MANY", (1,))), ValueError, "must be one of UNDEFINED, FLOAT"),
        (with_node(a=Many("INT", (1,))), ValueError, "must be FLOATS, INTS"),
        (with_node(a=Many("INTS", ("x",))), TypeError, 'attribute "a"'),
        (
            with_tensor(Tensor("w", "int5", (1,), np.zeros(1, np.uint8))),
            ValueError,
            'initializer "w": dtype must be',
        ),
        (
            with_tensor(Tensor("w", "int8", (2,), np.zeros(1, np.uint8))),
            ValueError,
            "has 1 bytes, and int8 of shape",
        ),
        (with_tensor(Tensor("w", "int8", (2,))), ValueError, "has 0 elements"),
        (with_tensor(Tensor("w", "int8", (-2,), np.zeros(1, np.uint8))), ValueError, "has the length -2"),
        (with_tensor(Tensor("w", "int8", (4,), np.zeros(1, np.float32))), ValueError, "array of uint8"),
        (
            with_tensor(Tensor.of("w", np.zeros(1)), "v"),
            ValueError,
            'an initializer must be under its own name, "w"',
        ),
        (
            ModelFile(8, {}, GraphFile("g", inputs=(ValueInfo("x", shape=(-1,)),))),
            ValueError,
            'value "x": a length must be at least 0',
        ),
        (
            ModelFile(8, {}, GraphFile("g", inputs=(ValueInfo("x", kind="sequence(tensor(float32))"),))),
            ValueError,
            "encoded must be the message",
        ),
        (ModelFile(8, {}, GraphFile("g"), kept=((99, b""),)), ValueError, "kept must be of fields"),
        (
            ModelFile(8, {}, GraphFile("g", initializers={"": Tensor.of("", np.zeros(1))})),
            ValueError,
            "it has no name",
        ),
        (GraphFile("g"), TypeError, "model must be a ModelFile, got GraphFile"),
    ],
)
def test_what_is_no_model(model, error, words, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"before")
    with pytest.raises(error, match=words):
        onnx_file.write(model, path)
    assert os.listdir(tmp_path) == ["m.onnx"]
    assert path.read_bytes() == b"before"


def large():
    arrays = {"a": np.arange(5000, dtype=np.float32), "small": np.arange(3), "b": np.ones(1024, np.float32)}
    tensors = {name: Tensor.of(name, array) for name, array in arrays.items()}
    return ModelFile(8, {"": 13}, GraphFile("g", initializers=tensors)), arrays


def test_external_data(tmp_path):
    model, arrays = large()
    path = tmp_path / "m.onnx"
    found = written(model, path, external=True)
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.onnx.data"]
    for tensor in found.graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), arrays[tensor.name])
    places = onnx.load(path, load_external_data=False).graph.initializer
    assert [t.data_location for t in places] == [1, 0, 1]
    assert {e.key: e.value for e in places[2].external_data} == {
        "location": "m.onnx.data",
        "offset": str(5 * 4096),
        "length": "4096",
    }
    read = onnx_file.read(path)
    for name, tensor in read.graph.initializers.items():
        np.testing.assert_array_equal(tensor.array(), arrays[name])
    onnx_file.write(read, path, external=True)  # over the files that it is a view of
    for name, tensor in onnx_file.read(path).graph.initializers.items():
        np.testing.assert_array_equal(tensor.array(), arrays[name])


def test_more_than_2_gb(tmp_path):
    arrays = {name: np.zeros(1 << 30, np.uint8) for name in ("a", "b")}
    # It begins where 31 bits end.
    arrays["c"] = np.arange(8192, dtype=np.uint16).astype(np.uint8)
    tensors = {name: Tensor(name, "uint8", array.shape, array) for name, array in arrays.items()}
    path = tmp_path / "m.onnx"
    nodes = (NodeFile("n", "Constant", outputs=("v",), attributes={"value": tensors["a"]}),) * 2
    with pytest.raises(OSError, match="at most 2147483647"):
        onnx_file.write(ModelFile(8, {"": 13}, GraphFile("g", nodes)), path)
    assert os.listdir(tmp_path) == []
    onnx_file.write(ModelFile(8, {"": 13}, GraphFile("g", initializers=tensors)), path)
    assert path.stat().st_size < 1000
    assert (tmp_path / "m.onnx.data").stat().st_size == (2 << 30) + 8192
    found = onnx_file.read(path).graph.initializers
    assert found["b"].array().shape == (1 << 30,)
    np.testing.assert_array_equal(found["c"].array(), arrays["c"])


def test_modes_and_links(tmp_path):
    model, _ = large()
    path = tmp_path / "m.onnx"
    before = os.umask(0o027)
    try:
        onnx_file.write(model, path, external=True)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(os.stat(p).st_mode) for p in (path, f"{path}.data")] == [0o640, 0o640]
    (tmp_path / "link.onnx").symlink_to(path)
    onnx_file.write(model, tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()
    assert onnx.load(path).graph.initializer[0].name == "a"
    with pytest.raises(OSError, match="cannot write"):
        onnx_file.write(model, tmp_path / "no folder" / "m.onnx")
    assert sorted(os.listdir(tmp_path)) == ["link.onnx", "m.onnx", "m.onnx.data"]


def test_one_failure_leaves_both_files(tmp_path):
    model, _ = large()
    path = tmp_path / "m.onnx"
    onnx_file.write(model, path, external=True)
    data = (tmp_path / "m.onnx.data").read_bytes()
    path.unlink()
    path.mkdir()  # nothing can be moved to its place
    (path / "inside").touch()
    other = ModelFile(8, {"": 13}, GraphFile("g", initializers={"a": Tensor.of("a", np.zeros(9999))}))
    with pytest.raises(OSError, match="cannot write"):
        onnx_file.write(other, path, external=True)
    assert (tmp_path / "m.onnx.data").read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.onnx.data"]
