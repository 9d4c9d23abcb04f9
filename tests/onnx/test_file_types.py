"""Tensors of every type, raw and as numbers; attributes of every type; functions; types of values."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from against_onnx import NAMES, same_array, same_model, same_tensor
from onnx import TensorProto, helper, numpy_helper
from quantray.onnx import _file as onnx_file

TYPES = {name: number for number, name in NAMES.items() if name not in {"undefined", "string"}}
FLOATS = {
    "bfloat16": ml_dtypes.bfloat16,
    "float8e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8e5m2": ml_dtypes.float8_e5m2,
    "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "float8e8m0": ml_dtypes.float8_e8m0fnu,
    "float6e2m3": ml_dtypes.float6_e2m3fn,
    "float6e3m2": ml_dtypes.float6_e3m2fn,
    "float4e2m1": ml_dtypes.float4_e2m1fn,
    "int4": ml_dtypes.int4,
    "uint4": ml_dtypes.uint4,
    "int2": ml_dtypes.int2,
    "uint2": ml_dtypes.uint2,
}


def model_of(*tensors, nodes=(), **kwargs):
    return helper.make_model(helper.make_graph(list(nodes), "g", [], [], list(tensors)), **kwargs)


def read_tensor(tensor):
    return onnx_file.read(model_of(tensor).SerializeToString()).graph.initializers[tensor.name]


def values_of(dtype, count):
    """Values that a type has."""
    if dtype in FLOATS and not dtype.startswith(("int", "uint")):
        bits = {"bfloat16": 16, "float6e2m3": 6, "float6e3m2": 6, "float4e2m1": 4}.get(dtype, 8)
        codes = np.arange(count) * 7919 % 2**bits
        whole = np.uint16 if bits == 16 else np.uint8
        return codes.astype(whole).view(FLOATS[dtype])
    if dtype in FLOATS:
        info = ml_dtypes.iinfo(FLOATS[dtype])
        return (np.arange(count) % (info.max - info.min + 1) + info.min).astype(FLOATS[dtype])
    plain = np.dtype(dtype)
    if plain.kind in "iu":
        info = np.iinfo(plain)
        return (
            np.linspace(info.min, info.max, count, dtype=np.float64)
            .clip(info.min, info.max - 2048 * (plain.itemsize == 8))
            .astype(plain)
        )
    if plain.kind == "b":
        return np.arange(count) % 3 == 0
    return (np.arange(count) - 2.5).astype(plain) * (1 + 2j if plain.kind == "c" else 1)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (4, 0), (3, 1, 7)])
@pytest.mark.parametrize("raw", [True, False])
def test_tensors(dtype, shape, raw):
    values = values_of(dtype, int(np.prod(shape))).reshape(shape)
    tensor = numpy_helper.from_array(values, "t")
    assert tensor.data_type == TYPES[dtype]
    if not raw:
        tensor = as_numbers(tensor, values)
    same_tensor(read_tensor(tensor), tensor)
    same_array(read_tensor(tensor).array(), values, dtype)


def as_numbers(tensor, values):
    """The same tensor by its typed field, as the definition describes it."""
    made = TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
    dtype, flat = NAMES[tensor.data_type], values.reshape(-1)
    if dtype in {"float32", "complex64"}:
        made.float_data.extend(flat.view(np.float32).tolist())
    elif dtype in {"float64", "complex128"}:
        made.double_data.extend(flat.view(np.float64).tolist())
    elif dtype in {"uint32", "uint64"}:
        made.uint64_data.extend(flat.tolist())
    elif dtype == "int64":
        made.int64_data.extend(flat.tolist())
    elif dtype in {"float16", "bfloat16"}:
        made.int32_data.extend(flat.view(np.uint16).tolist())
    elif dtype.startswith("float6"):
        made.int32_data.extend(flat.view(np.uint8).tolist())
    elif dtype in FLOATS:
        made.int32_data.extend(tensor.raw_data)
    else:
        made.int32_data.extend(int(v) for v in flat)
    return made


@pytest.mark.parametrize("dtype", [*TYPES, "string"])
def test_tensors_of_arrays(dtype):
    if dtype == "string":
        values = np.array([["a", ""], ["é", "long"]], object)
        wanted = values
    else:
        values = values_of(dtype, 12).reshape(3, 4)
        wanted = read_tensor(numpy_helper.from_array(values, "t")).array()
    made = onnx_file.Tensor.of("t", wanted, dtype)
    assert (made.name, made.dtype, made.shape) == ("t", dtype, values.shape)
    np.testing.assert_array_equal(made.array(), wanted)
    if dtype != "string":
        assert made.raw.tobytes() == numpy_helper.from_array(values, "t").raw_data or dtype in {
            "float8e4m3fn",  # of several NaN one is written
            "float8e5m2",
            "float8e8m0",
            "bfloat16",
        }


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([8], "int4"),
        ([-9], "int4"),
        ([-1], "uint4"),
        ([0.5], "int4"),
        ([2], "int2"),
        ([0.3], "bfloat16"),
        ([449.0], "float8e4m3fn"),
        ([-0.0], "float8e4m3fnuz"),
        ([3], "float8e8m0"),
        ([np.nan], "float4e2m1"),
        ([300], "uint8"),
        ([0.1], "float32"),
    ],
)
def test_values_that_a_type_lacks_are_refused(values, dtype):
    with pytest.raises(ValueError, match=f"values of tensor 't' must be {dtype} numbers, got"):
        onnx_file.Tensor.of("t", np.array(values), dtype)


def test_unknown_types_are_refused():
    with pytest.raises(ValueError, match=r"dtype of tensor 't' must be one of .*int4.*, got 'int5'"):
        onnx_file.Tensor.of("t", np.zeros(1), "int5")


def test_texts():
    tensor = helper.make_tensor("t", TensorProto.STRING, [2, 2], [b"a", "é".encode(), b"", b"\xff"])
    found = read_tensor(tensor)
    assert found.strings == (b"a", "é".encode(), b"", b"\xff")
    assert found.array().tolist() == [["a", "é"], ["", b"\xff"]]


def test_sparse_tensors():
    values = numpy_helper.from_array(np.array([3.0, 4.0], np.float32), "s")
    for at in ([1, 5], [[0, 1], [1, 2]]):
        indices = numpy_helper.from_array(np.array(at), "")
        sparse = helper.make_sparse_tensor(values, indices, [2, 3])
        graph = helper.make_graph([], "g", [], [], sparse_initializer=[sparse])
        model = helper.make_model(graph)
        read = onnx_file.read(model.SerializeToString())
        same_model(read, model)
        assert read.graph.initializers["s"].array().tolist() == [[0, 3, 0], [0, 0, 4]]


def test_sparse_tensors_of_positions_outside():
    values = numpy_helper.from_array(np.array([3.0, 4.0], np.float32), "s")
    for at in ([1, 6], [[0, 1], [1, 3]], [0, -1]):
        sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array(at), ""), [2, 3])
        graph = helper.make_graph([], "g", [], [], sparse_initializer=[sparse])
        read = onnx_file.read(helper.make_model(graph).SerializeToString())
        with pytest.raises(ValueError, match="tensor 's': indices must lie within the shape"):
            read.graph.initializers["s"].array()
    huge = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([0, 1]), ""), [1 << 40])
    graph = helper.make_graph([], "g", [], [], sparse_initializer=[huge])
    read = onnx_file.read(helper.make_model(graph).SerializeToString())
    with pytest.raises(ValueError, match="tensor 's' must take at most"):
        read.graph.initializers["s"].array()


def every_attribute():
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "inner", [], [])
    tensor = numpy_helper.from_array(np.arange(3.0), "t")
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.arange(3), ""), [9])
    type_ = helper.make_tensor_type_proto(TensorProto.INT4, [1, "n", None])
    values = {
        "a_float": 0.0,
        "a_nan": float("nan"),
        "an_int": -(2**63),
        "zero": 0,
        "a_text": "grün",
        "bytes": b"\xff\x00",
        "empty_text": b"",
        "tensor": tensor,
        "graph": inner,
        "sparse": sparse,
        "type": type_,
        "floats": [0.1, float("inf")],
        "ints": [-1, 0, 2**62],
        "texts": ["a", b"\xfe"],
        "tensors": [tensor, tensor],
        "graphs": [inner, inner],
        "types": [type_, helper.make_sequence_type_proto(type_)],
    }
    made = [helper.make_attribute(name, value) for name, value in values.items()]
    sparses = onnx.AttributeProto(
        name="sparses", type=onnx.AttributeProto.SPARSE_TENSORS, sparse_tensors=[sparse]
    )
    empty = [
        helper.make_attribute(f"no_{kind}", [], attr_type=getattr(onnx.AttributeProto, kind))
        for kind in ("FLOATS", "INTS", "STRINGS", "TENSORS", "GRAPHS")
    ]
    return [*made, sparses, *empty]


def test_attributes():
    node = helper.make_node("Custom", ["", "x"], ["y"], name="n", domain="my.domain", overload="second")
    node.attribute.extend(every_attribute())
    model = model_of(nodes=[node])
    read = onnx_file.read(model.SerializeToString())
    same_model(read, model)
    assert read.graph.nodes[0].attributes["no_FLOATS"] == ()
    assert read.graph.nodes[0].attributes["no_FLOATS"].type == "FLOATS"


def test_attributes_without_a_type():
    node = helper.make_node("Custom", [], ["y"])
    node.attribute.extend(a for a in every_attribute() if not a.name.startswith("no_"))
    model = model_of(nodes=[node])
    bare = onnx.ModelProto.FromString(model.SerializeToString())
    for attribute in bare.graph.node[0].attribute:
        attribute.ClearField("type")
    same_model(onnx_file.read(bare.SerializeToString()), model)


def test_functions():
    inner = helper.make_node("Scale", ["x"], ["y"])
    reference = inner.attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "factor", "alpha", onnx.AttributeProto.FLOAT
    function = helper.make_function(
        "local",
        "Twice",
        ["x"],
        ["y"],
        [inner],
        [helper.make_opsetid("", 20)],
        attributes=["alpha"],
        attribute_protos=[helper.make_attribute("beta", 2.5)],
        overload="o",
    )
    model = helper.make_model(
        helper.make_graph([helper.make_node("Twice", ["a"], ["b"], domain="local", alpha=1.0)], "g", [], []),
        functions=[function],
        opset_imports=[helper.make_opsetid("ai.onnx", 20), helper.make_opsetid("local", 1)],
    )
    read = onnx_file.read(model.SerializeToString())
    same_model(read, model)
    assert read.opsets == {"": 20, "local": 1}
    assert read.functions[0].nodes[0].attributes == {"factor": onnx_file.Reference("alpha", "FLOAT")}
    assert read.functions[0].defaults == {"beta": 2.5}


def test_types_of_values():
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [1, "batch", None])
    infos = [
        helper.make_tensor_value_info("t", TensorProto.BFLOAT16, [2, "n", None], doc_string="says what"),
        helper.make_tensor_value_info("scalar", TensorProto.INT64, []),
        helper.make_tensor_value_info("unknown", TensorProto.INT64, None),
        helper.make_value_info("sequence", helper.make_sequence_type_proto(tensor)),
        helper.make_value_info("optional", helper.make_optional_type_proto(tensor)),
        helper.make_value_info("map", helper.make_map_type_proto(TensorProto.STRING, tensor)),
        helper.make_sparse_tensor_value_info("sparse", TensorProto.FLOAT, [3]),
        onnx.ValueInfoProto(name="no type"),
    ]
    model = helper.make_model(helper.make_graph([], "g", infos, infos, value_info=infos))
    read = onnx_file.read(model.SerializeToString())
    same_model(read, model)
    kinds = [v.kind for v in read.graph.inputs]
    assert kinds == [
        "tensor",
        "tensor",
        "tensor",
        "sequence(tensor(float32))",
        "optional(tensor(float32))",
        "map(string, tensor(float32))",
        "sparse_tensor(float32)",
        "",
    ]
    assert [v.shape for v in read.graph.inputs[:3]] == [(2, "n", None), (), None]
