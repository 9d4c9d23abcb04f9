//! Python objects as the core's messages.

use bytes::Bytes;
use numpy::PyUntypedArray;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyMapping, PyString};
use quantray_core::onnx::attribute::TYPES;
use quantray_core::onnx::messages as proto;
use quantray_core::onnx::{ELEMENTS, Element};

use super::Held;
use crate::array::{Array, contiguous};
use crate::error::Error;

type Object<'a, 'py> = &'a Bound<'py, PyAny>;

/// An error about a part of the model: a ValueError, or the TypeError that it was.
fn within<T>(result: PyResult<T>, py: Python<'_>, place: impl FnOnce() -> String) -> PyResult<T> {
    result.map_err(|e| {
        let text = format!("{}: {}", place(), e.value(py));
        match e.is_instance_of::<PyTypeError>(py) {
            true => PyTypeError::new_err(text),
            false => PyValueError::new_err(text),
        }
    })
}

fn get<'py, T>(object: Object<'_, 'py>, name: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
    for<'a> <T as FromPyObject<'a, 'py>>::Error: Into<PyErr>,
{
    let found = object.getattr(name)?;
    within(found.extract().map_err(Into::into), object.py(), || name.to_owned())
}

/// What `one` makes of each element of an attribute of an object.
fn each<'py, T>(
    object: Object<'_, 'py>,
    name: &str,
    one: impl Fn(Object<'_, 'py>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    object.getattr(name)?.try_iter()?.map(|item| one(&item?)).collect()
}

/// The items of a mapping.
fn items<'py>(object: Object<'_, 'py>, name: &str) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    let mapping = object.getattr(name)?.cast_into::<PyMapping>()?;
    mapping.items()?.iter().map(|item| item.extract()).collect()
}

fn entries(object: Object<'_, '_>) -> PyResult<Vec<proto::Entry>> {
    let all = items(object, "metadata")?;
    all.into_iter().map(|(key, value)| Ok(proto::Entry { key, value: value.extract()? })).collect()
}

fn opsets(object: Object<'_, '_>) -> PyResult<Vec<proto::OperatorSetId>> {
    let all = items(object, "opsets")?;
    let one = |(domain, version): (String, Bound<'_, PyAny>)| {
        Ok(proto::OperatorSetId { domain, version: version.extract()? })
    };
    all.into_iter().map(one).collect()
}

/// The parts of one field that were kept as they are encoded.
fn kept(object: Object<'_, '_>, field: u32, known: &[u32]) -> PyResult<Vec<Bytes>> {
    let all: Vec<(u32, Vec<u8>)> = get(object, "kept")?;
    if let Some((other, _)) = all.iter().find(|(n, _)| !known.contains(n)) {
        return Err(Error::value("kept", format!("field {other}"), format!("of fields {known:?}")).into());
    }
    Ok(all.into_iter().filter(|(n, _)| *n == field).map(|(_, part)| part.into()).collect())
}

/// The message of a ModelFile.
pub fn model(m: Object<'_, '_>) -> PyResult<proto::Model> {
    Ok(proto::Model {
        ir_version: get(m, "ir_version")?,
        opset_import: opsets(m)?,
        producer_name: get(m, "producer_name")?,
        producer_version: get(m, "producer_version")?,
        domain: get(m, "domain")?,
        model_version: get(m, "version")?,
        doc_string: get(m, "doc")?,
        graph: Some(graph(&m.getattr("graph")?)?),
        metadata_props: entries(m)?,
        training_info: kept(m, 20, &[20, 26])?,
        functions: each(m, "functions", function)?,
        configuration: kept(m, 26, &[20, 26])?,
    })
}

fn graph(g: Object<'_, '_>) -> PyResult<proto::Graph> {
    let py = g.py();
    let (mut dense, mut sparse) = (Vec::new(), Vec::new());
    for (name, t) in items(g, "initializers")? {
        let own: String = get(&t, "name")?;
        if own != name {
            let valid = format!("under its own name, {own:?}");
            return Err(Error::value("an initializer", format!("{name:?}"), valid).into());
        }
        let place = || format!("initializer {name:?}");
        match class(&t)?.as_str() {
            "SparseTensor" => sparse.push(within(sparse_tensor(&t), py, place)?),
            _ => dense.push(within(tensor(&t), py, place)?),
        }
    }
    Ok(proto::Graph {
        node: each(g, "nodes", node)?,
        name: get(g, "name")?,
        initializer: dense,
        sparse_initializer: sparse,
        doc_string: get(g, "doc")?,
        input: each(g, "inputs", value)?,
        output: each(g, "outputs", value)?,
        value_info: each(g, "values", value)?,
        quantization_annotation: kept(g, 14, &[14])?,
        metadata_props: entries(g)?,
    })
}

fn function(f: Object<'_, '_>) -> PyResult<proto::Function> {
    Ok(proto::Function {
        name: get(f, "name")?,
        input: get(f, "inputs")?,
        output: get(f, "outputs")?,
        attribute: get(f, "attributes")?,
        attribute_proto: attributes(f, "defaults")?,
        node: each(f, "nodes", node)?,
        doc_string: get(f, "doc")?,
        opset_import: opsets(f)?,
        domain: get(f, "domain")?,
        overload: get(f, "overload")?,
        value_info: each(f, "values", value)?,
        metadata_props: entries(f)?,
    })
}

fn node(n: Object<'_, '_>) -> PyResult<proto::Node> {
    let (name, op_type): (String, String) = (get(n, "name")?, get(n, "op")?);
    let made = || {
        Ok(proto::Node {
            input: get(n, "inputs")?,
            output: get(n, "outputs")?,
            name: name.clone(),
            op_type: op_type.clone(),
            domain: get(n, "domain")?,
            overload: get(n, "overload")?,
            attribute: attributes(n, "attributes")?,
            doc_string: get(n, "doc")?,
            metadata_props: entries(n)?,
            device_configurations: kept(n, 10, &[10])?,
        })
    };
    within(made(), n.py(), || format!("node {name:?} ({op_type})"))
}

fn attributes(object: Object<'_, '_>, field: &str) -> PyResult<Vec<proto::Attribute>> {
    let all = items(object, field)?;
    let one = |(name, value): (String, Bound<'_, PyAny>)| {
        let mut made = within(attribute(&value), value.py(), || format!("attribute {name:?}"))?;
        made.name = name;
        Ok(made)
    };
    all.into_iter().map(one).collect()
}

fn class(object: Object<'_, '_>) -> PyResult<String> {
    Ok(object.get_type().name()?.to_string())
}

fn kind_of(name: &str) -> PyResult<i32> {
    let found = TYPES.iter().position(|t| *t == name);
    let valid = || format!("one of {}", TYPES.join(", "));
    Ok(found.ok_or_else(|| Error::value("the type of an attribute", format!("{name:?}"), valid()))? as i32)
}

/// The type that a value of an attribute has by itself.
fn kind(value: Object<'_, '_>) -> PyResult<&'static str> {
    Ok(match class(value)?.as_str() {
        "Tensor" => "TENSOR",
        "SparseTensor" => "SPARSE_TENSOR",
        "GraphFile" => "GRAPH",
        "ValueInfo" => "TYPE_PROTO",
        _ if value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>() => "STRING",
        _ if value.is_instance_of::<PyFloat>() => "FLOAT",
        _ if value.hasattr("__index__")? => "INT",
        _ if value.hasattr("__float__")? => "FLOAT",
        other => {
            let valid = "a number, a text, a Tensor, a SparseTensor, a GraphFile, a ValueInfo, a Reference, or several of \
                         one of these";
            return Err(Error::type_("it", other, valid).into());
        }
    })
}

fn attribute(value: Object<'_, '_>) -> PyResult<proto::Attribute> {
    let mut made = proto::Attribute::default();
    match class(value)?.as_str() {
        "Reference" => {
            made.ref_attr_name = get(value, "name")?;
            made.kind = kind_of(&get::<String>(value, "type")?)?;
        }
        "Many" => several(&mut made, value, &get::<String>(value, "type")?)?,
        "tuple" | "list" => {
            let kinds = value.try_iter()?.map(|v| kind(&v?)).collect::<PyResult<Vec<_>>>()?;
            let one = match kinds.first() {
                None => {
                    let valid = "of at least one value, or a Many, which knows the type of none";
                    return Err(Error::value("it", "no value", valid).into());
                }
                Some(_) if kinds.iter().all(|k| ["INT", "FLOAT"].contains(k)) && kinds.contains(&"FLOAT") => {
                    "FLOAT"
                }
                Some(first) if kinds.iter().all(|k| k == first) => first,
                Some(_) => return Err(Error::type_("it", kinds.join(", "), "of values of one type").into()),
            };
            several(&mut made, value, &format!("{one}S"))?;
        }
        _ => single(&mut made, value, kind(value)?)?,
    }
    Ok(made)
}

fn single(made: &mut proto::Attribute, value: Object<'_, '_>, kind: &str) -> PyResult<()> {
    made.kind = kind_of(kind)?;
    match kind {
        "TENSOR" => made.t = Some(Box::new(tensor(value)?)),
        "SPARSE_TENSOR" => made.sparse_tensor = Some(Box::new(sparse_tensor(value)?)),
        "GRAPH" => made.g = Some(Box::new(graph(value)?)),
        "TYPE_PROTO" => made.tp = Some(Box::new(type_(value)?.unwrap_or_default())),
        "STRING" => made.s = Some(text(value)?),
        "FLOAT" => made.f = Some(float(value)?),
        _ => made.i = Some(value.extract()?),
    }
    Ok(())
}

fn several(made: &mut proto::Attribute, values: Object<'_, '_>, kind: &str) -> PyResult<()> {
    made.kind = kind_of(kind)?;
    for value in values.try_iter()? {
        let value = &value?;
        match kind {
            "TENSORS" => made.tensors.push(tensor(value)?),
            "SPARSE_TENSORS" => made.sparse_tensors.push(sparse_tensor(value)?),
            "GRAPHS" => made.graphs.push(graph(value)?),
            "TYPE_PROTOS" => made.type_protos.push(type_(value)?.unwrap_or_default()),
            "STRINGS" => made.strings.push(text(value)?),
            "FLOATS" => made.floats.push(float(value)?),
            "INTS" => made.ints.push(value.extract()?),
            _ => {
                let valid = "FLOATS, INTS, STRINGS, TENSORS, GRAPHS, SPARSE_TENSORS or TYPE_PROTOS";
                return Err(Error::value("the type of several values", format!("{kind:?}"), valid).into());
            }
        }
    }
    Ok(())
}

fn text(value: Object<'_, '_>) -> PyResult<Bytes> {
    Ok(match value.cast::<PyBytes>() {
        Ok(bytes) => Bytes::copy_from_slice(bytes.as_bytes()),
        Err(_) => value.extract::<String>()?.into(),
    })
}

fn float(value: Object<'_, '_>) -> PyResult<f32> {
    let wide: f64 = value.extract()?;
    match wide as f32 {
        narrow if narrow.is_infinite() && wide.is_finite() => {
            Err(Error::value("a float", wide, "within float32").into())
        }
        narrow => Ok(narrow),
    }
}

fn code_of(dtype: &str) -> PyResult<i32> {
    let found = ELEMENTS.iter().find(|e| e.name == dtype).map(|e| e.code);
    let valid = || format!("one of {}", ELEMENTS.map(|e| e.name).join(", "));
    Ok(found.ok_or_else(|| Error::value("dtype", format!("{dtype:?}"), valid()))?)
}

fn tensor(t: Object<'_, '_>) -> PyResult<proto::Tensor> {
    let strings: Option<Vec<Vec<u8>>> = get(t, "strings")?;
    let raw: Option<Bound<'_, PyUntypedArray>> = get(t, "raw")?;
    let raw = raw.map(|a: Array<'_>| Held::bytes(&contiguous(&a)?)).transpose()?;
    Ok(proto::Tensor {
        dims: get(t, "shape")?,
        data_type: code_of(&get::<String>(t, "dtype")?)?,
        name: get(t, "name")?,
        doc_string: get(t, "doc")?,
        raw_data: raw,
        string_data: strings.unwrap_or_default().into_iter().map(Bytes::from).collect(),
        metadata_props: entries(t)?,
        ..proto::Tensor::default()
    })
}

fn sparse_tensor(t: Object<'_, '_>) -> PyResult<proto::SparseTensor> {
    Ok(proto::SparseTensor {
        values: Some(tensor(&t.getattr("values")?)?),
        indices: Some(tensor(&t.getattr("indices")?)?),
        dims: get(t, "shape")?,
    })
}

fn value(v: Object<'_, '_>) -> PyResult<proto::ValueInfo> {
    let name: String = get(v, "name")?;
    let made = || {
        let fields = (type_(v)?, get(v, "doc")?, entries(v)?);
        Ok(proto::ValueInfo {
            name: name.clone(),
            kind: fields.0,
            doc_string: fields.1,
            metadata_props: fields.2,
        })
    };
    within(made(), v.py(), || format!("value {name:?}"))
}

/// The type of a value: as it was encoded where the object says no more than that.
fn type_(v: Object<'_, '_>) -> PyResult<Option<proto::Type>> {
    let kind: String = get(v, "kind")?;
    let encoded: Option<Vec<u8>> = get(v, "encoded")?;
    let decoded = encoded.map(|e| proto::Type::decoded(&e)).transpose();
    let decoded = decoded.map_err(|e| Error::value("encoded", e, "the message of a type"))?;
    if kind.is_empty() {
        return Ok(None);
    }
    if kind != "tensor" {
        let missing = || Error::value("encoded", "None", format!("the message of the type {kind:?}"));
        return Ok(Some(decoded.ok_or_else(missing)?));
    }
    let dtype: Option<String> = get(v, "dtype")?;
    let elem_type = dtype.map_or(Ok(0), |d| code_of(&d))?;
    let shape = v.getattr("shape")?;
    let shape = match shape.is_none() {
        true => None,
        false => Some(proto::Shape { dim: each(v, "shape", dimension)? }),
    };
    let plain = proto::TensorType { elem_type, shape };
    // What was read has more to say, as long as it says the same.
    let same = decoded.filter(|d| matches!(&d.value, Some(proto::Kind::Tensor(t)) if bare(t) == plain));
    let made = || proto::Type { value: Some(proto::Kind::Tensor(plain.clone())), ..proto::Type::default() };
    Ok(Some(same.unwrap_or_else(made)))
}

/// A tensor's type without what the Python objects do not have.
fn bare(t: &proto::TensorType) -> proto::TensorType {
    let mut made = t.clone();
    if Element::of(t.elem_type).is_err() {
        made.elem_type = 0;
    }
    for d in made.shape.iter_mut().flat_map(|s| &mut s.dim) {
        d.denotation.clear();
        d.value = d.value.take().filter(|v| match v {
            proto::Length::Value(v) => *v >= 0,
            proto::Length::Param(name) => !name.is_empty(),
        });
    }
    made
}

fn dimension(d: Object<'_, '_>) -> PyResult<proto::Dimension> {
    let value = if d.is_none() {
        None
    } else if d.is_instance_of::<PyString>() {
        Some(proto::Length::Param(d.extract()?))
    } else {
        match d.extract::<i64>()? {
            n if n < 0 => return Err(Error::value("a length", n, "at least 0, a name, or None").into()),
            n => Some(proto::Length::Value(n)),
        }
    };
    Ok(proto::Dimension { value, ..proto::Dimension::default() })
}
