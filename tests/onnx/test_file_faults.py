"""Files that are not what they should be: one error, which says what, and where."""

import gzip
import io
import json
import pickle
import struct
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantray.onnx import _file as onnx_file


def graph_of(nodes=(), tensors=()):
    return helper.make_graph(list(nodes), "g", [], [], list(tensors))


def encoded(nodes=(), tensors=()):
    return helper.make_model(graph_of(nodes, tensors)).SerializeToString()


def varint(n):
    made = bytearray()
    while n > 127:
        made.append(n & 127 | 128)
        n >>= 7
    return bytes([*made, n])


def field(number, data):
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def fails(data, words, name="<bytes>"):
    with pytest.raises(OSError, match="cannot read") as caught:
        onnx_file.read(data)
    text = str(caught.value)
    assert name in text
    assert words in text, text
    assert len(text) < 500


def archive():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("archive/data.pkl", b"x")
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (archive(), "a zip archive, as torch.save"),
        (pickle.dumps({"weight": 1}, 2), "a pickle"),
        (pickle.dumps({"weight": 1}, 4), "a pickle"),
        (b"\x1c\x00\x00\x00TFL3\x14\x00", "a TensorFlow Lite model"),
        (b"\x1c\x00\x00\x00ORTM\x14\x00", "onnxruntime's own format"),
        (struct.pack("<Q", 2) + b"{}", "a safetensors file"),
        (b"\x89HDF\r\n\x1a\n....", "an HDF5 file"),
        (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
        (gzip.compress(encoded(), mtime=0), "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b'<?xml version="1.0"?><net/>', "XML"),
        (b'ir_version: 8\ngraph { name: "g" }', "ONNX as text"),
        (
            b"<\n  ir_version: 8\n>\nagraph (float[N] x) => (float[N] y) { y = Relu(x) }",
            "text, perhaps ONNX's",
        ),
        (json.dumps({"a": 1}).encode(), "JSON"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "it holds no graph"),
    ],
)
def test_other_files(data, words, tmp_path):
    fails(data, words)
    path = tmp_path / "the model.onnx"
    path.write_bytes(data)
    fails(path, words, "the model.onnx")


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such ONNX file: .*missing\.onnx"):
        onnx_file.read(tmp_path / "missing.onnx")
    with pytest.raises(OSError, match="it is a folder"):
        onnx_file.read(tmp_path)


def test_every_truncation():
    tensors = [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")]
    data = encoded([helper.make_node("Gemm", ["x", "w"], ["y"], name="layer", alpha=0.5)], tensors)
    whole = onnx_file.read(data)
    for n in range(len(data)):
        try:
            read = onnx_file.read(data[:n])
        except OSError:
            fails(data[:n], "cannot read <bytes>: ")
        else:  # the graph is whole, and what follows it may be absent
            assert read.graph.nodes == whole.graph.nodes


def test_where_a_truncation_is():
    node = field(5, field(1, b"alpha") + b"\x15\x00\x00")  # a float of two bytes
    fails(
        field(7, field(1, field(4, b"Gemm") + field(3, b"layer") + node)),
        'node 0 "layer" (Gemm): attribute "alpha"',
    )
    fails(
        field(7, field(1, field(4, b"Gemm") + field(2, b"y") + node)),
        'node 0 of output "y" (Gemm): attribute "alpha"',
    )
    fails(
        field(7, field(5, field(8, b"w") + b"\x52\x7f")),
        'initializer "w": field Tensor.double_data: the data end before they should',
    )


def test_wire_types():
    fails(
        field(7, field(1, field(3, b"layer") + field(4, b"Relu") + b"\x0a\x01\xff")),
        'node 0 "layer" (Relu): field Node.input: a text is not UTF-8',
    )
    fails(
        field(7, field(1, field(3, b"layer") + b"\x20\x01")),
        'node 0 "layer" (): field Node.op_type: no valid protobuf message: invalid wire type',
    )
    fails(field(7, field(5, field(8, b"w") + b"\x0d\0\0\0\0")), 'initializer "w": field Tensor.dims')
    fails(field(7, field(11, field(1, b"x") + b"\x10\x01")), 'input "x": field ValueInfo.kind')
    fails(
        field(25, field(1, b"f") + field(7, field(3, b"n") + b"\x20\x01")) + field(7, b""),
        'function "f": node 0 "n"',
    )


def nested(depth):
    graph = field(1, field(4, b"Relu"))
    for _ in range(depth):
        graph = field(
            1, field(4, b"If") + field(5, field(1, b"then_branch") + b"\xa0\x01\x05" + field(6, graph))
        )
    return field(7, graph)


def test_nesting():
    read = onnx_file.read(nested(30))
    for _ in range(30):
        read = (
            read.graph.nodes[0].attributes["then_branch"]
            if hasattr(read, "graph")
            else read.nodes[0].attributes["then_branch"]
        )
    assert read.nodes[0].op == "Relu"
    for depth in (40, 100, 5000):
        fails(nested(depth), "nested too deep")
    kind = b""
    for _ in range(3000):
        kind = field(4, field(1, kind))
    fails(field(7, field(11, field(1, b"x") + field(2, kind))), 'input "x"')


def tensor(**fields):
    made = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3])
    for name, value in fields.items():
        if isinstance(value, list):
            made.ClearField(name)
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (tensor(raw_data=bytes(20)), "has 20 bytes, and float32 of shape [2, 3] takes 24"),
        (tensor(raw_data=bytes(25)), "has 25 bytes"),
        (tensor(), "has 0 elements in float_data, and float32 of shape [2, 3] takes 6"),
        (tensor(float_data=[1.0] * 5), "has 5 elements in float_data"),
        (tensor(float_data=[1.0] * 6, raw_data=bytes(24)), "has its elements twice"),
        (tensor(int32_data=[1] * 6), "is of float32 and has its elements in int32_data"),
        (tensor(dims=[-1, 3]), "has the length -1 in its shape [-1, 3]"),
        (
            tensor(dims=[2**40, 2**40], raw_data=bytes(24)),
            "has the shape [1099511627776, 1099511627776], more elements than memory can have",
        ),
        (
            tensor(dims=[2**40], raw_data=bytes(24)),
            "has 24 bytes, and float32 of shape [1099511627776] takes 4398046511104",
        ),
        (
            tensor(dims=[2**62], raw_data=bytes(24)),
            "has the shape [4611686018427387904], more elements than memory can have",
        ),
        (tensor(data_type=99), "has the element type 99, which is unknown"),
        (tensor(data_type=0), "has no element type"),
        (tensor(data_type=TensorProto.STRING, raw_data=bytes(6)), "is of texts and has raw_data"),
        (
            tensor(data_type=TensorProto.UINT8, int32_data=[1, 2, 3, 4, 5, 256]),
            "has the element 256, which is no uint8",
        ),
        (
            tensor(data_type=TensorProto.INT4, raw_data=bytes(4)),
            "has 4 bytes, and int4 of shape [2, 3] takes 3",
        ),
        (tensor(data_location=1), "has external data without a location"),
    ],
)
def test_tensors(made, words):
    fails(encoded(tensors=[made]), f'initializer "w": the tensor {words}')
    node = helper.make_node("Constant", [], ["c"], name="n", value=made)
    fails(encoded([node]), f'node 0 "n" (Constant): attribute "value": the tensor {words}')
    branch = helper.make_graph([node], "b", [], [])
    outer = helper.make_node("If", ["x"], ["y"], then_branch=branch)
    fails(encoded([outer]), 'node 0 of output "y" (If): attribute "then_branch": node 0 "n" (Constant): ')


def test_a_place_that_is_unknown():
    made = tensor(raw_data=bytes(24)).SerializeToString() + b"\x70\x07"
    fails(field(7, field(5, made)), 'initializer "w": the tensor has the data_location 7')


def test_names_that_occur_twice():
    one = numpy_helper.from_array(np.zeros(2), "w")
    fails(encoded(tensors=[one, one]), 'initializer "w": the graph has two of this name')
    fails(encoded(tensors=[numpy_helper.from_array(np.zeros(2), "")]), "initializer 0: it has no name")
    node = helper.make_node("Gemm", ["x"], ["y"], alpha=1.0)
    node.attribute.append(node.attribute[0])
    fails(encoded([node]), 'it has two attributes "alpha"')
    model = helper.make_model(
        graph_of(), opset_imports=[helper.make_opsetid("", 9), helper.make_opsetid("ai.onnx", 10)]
    )
    fails(model.SerializeToString(), 'it imports the operators of "" twice')
    # Exporters of scikit-learn write the same import twice.
    again = helper.make_model(
        graph_of(), opset_imports=[helper.make_opsetid("", 9), helper.make_opsetid("", 9)]
    )
    assert onnx_file.read(again.SerializeToString()).opsets[""] == 9
    function = helper.make_function("d", "f", [], [], [], [])
    fails(
        helper.make_model(graph_of(), functions=[function, function]).SerializeToString(), 'two functions "f"'
    )


def test_attributes():
    bad = field(7, field(1, field(3, b"n") + field(5, field(1, b"a") + b"\xa0\x01\x4d")))
    fails(bad, 'node 0 "n" (): attribute "a": has the type 77, which is unknown')
    bad = field(7, field(1, field(3, b"n") + field(5, field(1, b"a") + b"\xa0\x01\x04")))
    fails(bad, "is of type TENSOR and lacks its value")
    bad = field(7, field(1, field(3, b"n") + field(5, field(1, b"a"))))
    fails(bad, "has neither a type nor a value")
    bad = field(7, field(1, field(3, b"n") + field(5, field(1, b"a") + b"\x18\x01\x15\0\0\0\0")))
    fails(bad, "has several values")
