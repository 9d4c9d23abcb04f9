"""Compares what `read` makes of a file with what onnx's own parser says."""

import math

import numpy as np
import onnx
from onnx import numpy_helper
from quantray.onnx import _file as onnx_file

NAMES = {
    number: {"float": "float32", "double": "float64"}.get(name.lower(), name.lower())
    for name, number in onnx.TensorProto.DataType.items()
}
SMALL_TO_FLOAT = {"bfloat16", *(n for n in NAMES.values() if n.startswith(("float8e", "float6e", "float4e")))}


def same_model(ours, theirs):
    assert ours.ir_version == theirs.ir_version
    assert dict(ours.opsets) == opsets(theirs.opset_import)
    assert dict(ours.metadata) == entries(theirs.metadata_props)
    assert (ours.producer_name, ours.producer_version) == (theirs.producer_name, theirs.producer_version)
    assert (ours.domain, ours.version, ours.doc) == (
        theirs.domain,
        theirs.model_version,
        theirs.doc_string,
    )
    same_graph(ours.graph, theirs.graph)
    for one, other in zip(ours.functions, theirs.functions, strict=True):
        same_function(one, other)


def opsets(imports):
    return {"" if o.domain == "ai.onnx" else o.domain: o.version for o in imports}


def entries(props):
    return {p.key: p.value for p in props}


def same_graph(ours, theirs):
    assert (ours.name, ours.doc) == (theirs.name, theirs.doc_string)
    assert dict(ours.metadata) == entries(theirs.metadata_props)
    same_nodes(ours.nodes, theirs.node)
    dense = {t.name: t for t in theirs.initializer}
    sparse = {t.values.name: t for t in theirs.sparse_initializer}
    assert set(ours.initializers) == {*dense, *sparse}
    for name, tensor in ours.initializers.items():
        if name in dense:
            same_tensor(tensor, dense[name])
        else:
            same_sparse(tensor, sparse[name])
    for mine, other in [
        (ours.inputs, theirs.input),
        (ours.outputs, theirs.output),
        (ours.values, theirs.value_info),
    ]:
        for one, two in zip(mine, other, strict=True):
            same_value(one, two)


def same_function(ours, theirs):
    assert (ours.name, ours.domain, ours.overload) == (theirs.name, theirs.domain, theirs.overload)
    assert ours.inputs == tuple(theirs.input)
    assert ours.outputs == tuple(theirs.output)
    assert ours.attributes == tuple(theirs.attribute)
    assert dict(ours.opsets) == opsets(theirs.opset_import)
    same_attributes(ours.defaults, theirs.attribute_proto)
    same_nodes(ours.nodes, theirs.node)


def same_nodes(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        domain = "" if other.domain == "ai.onnx" else other.domain
        assert (one.name, one.op, one.domain) == (other.name, other.op_type, domain)
        assert (one.overload, one.doc) == (other.overload, other.doc_string)
        assert one.inputs == tuple(other.input)
        assert one.outputs == tuple(other.output)
        assert dict(one.metadata) == entries(other.metadata_props)
        same_attributes(one.attributes, other.attribute)


def same_attributes(ours, theirs):
    assert set(ours) == {a.name for a in theirs}
    for attribute in theirs:
        same_attribute(ours[attribute.name], attribute)


def same_attribute(ours, theirs):
    if theirs.ref_attr_name:
        kind = onnx.AttributeProto.AttributeType.Name(theirs.type)
        assert ours == onnx_file.Reference(theirs.ref_attr_name, kind)
        return
    value = onnx.helper.get_attribute_value(theirs)
    kind = onnx.AttributeProto.AttributeType.Name(theirs.type)
    one = {
        "TENSOR": same_tensor,
        "GRAPH": same_graph,
        "SPARSE_TENSOR": same_sparse,
        "TYPE_PROTO": same_type,
        "FLOAT": same_number,
        "INT": same_number,
        "STRING": same_text,
    }
    if kind in one:
        one[kind](ours, value)
        return
    assert ours.type == kind
    for mine, other in zip(ours, value, strict=True):
        one[kind.removesuffix("S")](mine, other)


def same_number(ours, theirs):
    assert type(ours) is type(theirs)
    assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))


def same_text(ours, theirs):
    try:
        assert ours == theirs.decode()
    except UnicodeDecodeError:
        assert ours == theirs


def same_value(ours, theirs):
    assert (ours.name, ours.doc) == (theirs.name, theirs.doc_string)
    same_type(ours, theirs.type, theirs.HasField("type"))


def same_type(ours, theirs, there=True):
    kind = theirs.WhichOneof("value")
    if kind != "tensor_type":
        assert ours.dtype is None
        assert ours.shape is None
        assert ours.kind.startswith(kind.removesuffix("_type") if kind else "unknown" if there else "")
        return
    assert ours.kind == "tensor"
    tensor = theirs.tensor_type
    assert ours.dtype == (NAMES[tensor.elem_type] if tensor.elem_type else None)
    if not tensor.HasField("shape"):
        assert ours.shape is None
        return
    lengths = [
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else (d.dim_param or None)
        for d in tensor.shape.dim
    ]
    assert ours.shape == tuple(lengths)


def same_tensor(ours, theirs, folder=""):
    assert (ours.name, ours.dtype, ours.doc) == (theirs.name, NAMES[theirs.data_type], theirs.doc_string)
    assert ours.shape == tuple(theirs.dims)
    same_array(ours.array(), numpy_helper.to_array(theirs, folder), ours.dtype)


def same_array(ours, theirs, dtype):
    assert ours.shape == theirs.shape
    if dtype == "string":
        texts = [t.decode() if isinstance(t, bytes) else t for t in theirs.ravel().tolist()]
        assert ours.ravel().tolist() == texts
        return
    if dtype in SMALL_TO_FLOAT:
        assert ours.dtype == np.float32
        theirs = theirs.astype(np.float32)
    elif dtype in {"int4", "int2"}:
        assert ours.dtype == np.int8
        theirs = theirs.astype(np.int8)
    elif dtype in {"uint4", "uint2"}:
        assert ours.dtype == np.uint8
        theirs = theirs.astype(np.uint8)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)
    if ours.dtype.kind == "f":
        finite = ~np.isnan(theirs)
        np.testing.assert_array_equal(np.signbit(ours[finite]), np.signbit(theirs[finite]))


def same_sparse(ours, theirs):
    assert ours.shape == tuple(theirs.dims)
    same_tensor(ours.values, theirs.values)
    same_tensor(ours.indices, theirs.indices)
