//! The core's messages as Python objects, made by whoever asks.

use bytes::Bytes;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use quantray_core::memory;
use quantray_core::onnx::attribute::{TYPES, Value, value};
use quantray_core::onnx::messages as proto;
use quantray_core::onnx::tensor::{self, Data};
use quantray_core::onnx::{self, Element};

use super::Held;
use crate::array::{Array, data, from_slice, len, view_of};
use crate::error::Error;
use crate::run::ended;

/// Makes Python objects of messages: `make` has one function for each kind of object.
struct Maker<'py> {
    make: Bound<'py, PyAny>,
    /// The file, which raw data are views of.
    file: Array<'py>,
}

/// Texts by their keys; of keys that occur twice the last counts, as for onnxruntime.
fn entries<'py>(py: Python<'py>, all: &[proto::Entry]) -> PyResult<Bound<'py, PyDict>> {
    let made = PyDict::new(py);
    all.iter().try_for_each(|e| made.set_item(&e.key, &e.value))?;
    Ok(made)
}

/// Parts that stay as they are encoded, with the numbers of their fields.
fn kept<'py>(py: Python<'py>, fields: &[(u32, &[Bytes])]) -> PyResult<Bound<'py, PyTuple>> {
    let all = fields.iter().flat_map(|(n, parts)| parts.iter().map(move |p| (*n, PyBytes::new(py, p))));
    PyTuple::new(py, all.collect::<Vec<_>>())
}

fn opsets<'py>(py: Python<'py>, all: &[proto::OperatorSetId]) -> PyResult<Bound<'py, PyDict>> {
    let made = PyDict::new(py);
    for o in all {
        made.set_item(if o.domain == "ai.onnx" { "" } else { &o.domain }, o.version)?;
    }
    Ok(made)
}

impl<'py> Maker<'py> {
    fn py(&self) -> Python<'py> {
        self.make.py()
    }

    fn tuple<T>(
        &self,
        all: &[T],
        one: impl Fn(&T) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(self.py(), all.iter().map(one).collect::<PyResult<Vec<_>>>()?)
    }

    fn model(&self, m: &proto::Model) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let fields = (
            m.ir_version,
            opsets(py, &m.opset_import)?,
            m.graph.as_ref().map(|g| self.graph(g)).transpose()?,
            self.tuple(&m.functions, |f| self.function(f))?,
            entries(py, &m.metadata_props)?,
            &m.producer_name,
            &m.producer_version,
            &m.domain,
            m.model_version,
            &m.doc_string,
            kept(py, &[(20, &m.training_info), (26, &m.configuration)])?,
        );
        self.make.call_method1("model", fields)
    }

    fn graph(&self, g: &proto::Graph) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let initializers = PyDict::new(py);
        for t in &g.initializer {
            initializers.set_item(&t.name, self.tensor(t)?)?;
        }
        for t in &g.sparse_initializer {
            initializers.set_item(t.values.as_ref().map_or("", |v| &v.name), self.sparse(t)?)?;
        }
        let fields = (
            &g.name,
            self.tuple(&g.node, |n| self.node(n))?,
            initializers,
            self.tuple(&g.input, |v| self.value(v))?,
            self.tuple(&g.output, |v| self.value(v))?,
            self.tuple(&g.value_info, |v| self.value(v))?,
            &g.doc_string,
            entries(py, &g.metadata_props)?,
            kept(py, &[(14, &g.quantization_annotation)])?,
        );
        self.make.call_method1("graph", fields)
    }

    fn function(&self, f: &proto::Function) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let fields = (
            &f.name,
            &f.domain,
            PyTuple::new(py, &f.input)?,
            PyTuple::new(py, &f.output)?,
            PyTuple::new(py, &f.attribute)?,
            self.attributes(&f.attribute_proto)?,
            self.tuple(&f.node, |n| self.node(n))?,
            opsets(py, &f.opset_import)?,
            self.tuple(&f.value_info, |v| self.value(v))?,
            &f.overload,
            &f.doc_string,
            entries(py, &f.metadata_props)?,
        );
        self.make.call_method1("function", fields)
    }

    fn node(&self, n: &proto::Node) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let fields = (
            &n.name,
            &n.op_type,
            if n.domain == "ai.onnx" { "" } else { &n.domain },
            PyTuple::new(py, &n.input)?,
            PyTuple::new(py, &n.output)?,
            self.attributes(&n.attribute)?,
            &n.overload,
            &n.doc_string,
            entries(py, &n.metadata_props)?,
            kept(py, &[(10, &n.device_configurations)])?,
        );
        self.make.call_method1("node", fields)
    }

    fn attributes(&self, all: &[proto::Attribute]) -> PyResult<Bound<'py, PyDict>> {
        let made = PyDict::new(self.py());
        for a in all {
            made.set_item(&a.name, self.attribute(a)?)?;
        }
        Ok(made)
    }

    fn attribute(&self, a: &proto::Attribute) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let many = |kind: &str, all: Bound<'py, PyTuple>| self.make.call_method1("many", (kind, all));
        Ok(match value(a).map_err(|e| Error::value(&a.name, e, "of one value"))? {
            Value::Float(v) => f64::from(v).into_pyobject(py)?.into_any(),
            Value::Int(v) => v.into_pyobject(py)?.into_any(),
            Value::Text(v) => text(py, v),
            Value::Tensor(t) => self.tensor(t)?,
            Value::Graph(g) => self.graph(g)?,
            Value::Sparse(t) => self.sparse(t)?,
            Value::Type(t) => self.type_(t)?,
            Value::Floats(v) => many("FLOATS", PyTuple::new(py, v)?)?,
            Value::Ints(v) => many("INTS", PyTuple::new(py, v)?)?,
            Value::Texts(v) => many("STRINGS", self.tuple(v, |s| Ok(text(py, s)))?)?,
            Value::Tensors(v) => many("TENSORS", self.tuple(v, |t| self.tensor(t))?)?,
            Value::Graphs(v) => many("GRAPHS", self.tuple(v, |g| self.graph(g))?)?,
            Value::Sparses(v) => many("SPARSE_TENSORS", self.tuple(v, |t| self.sparse(t))?)?,
            Value::Types(v) => many("TYPE_PROTOS", self.tuple(v, |t| self.type_(t))?)?,
            Value::Reference(name, kind) => {
                let kind = usize::try_from(kind).ok().and_then(|k| TYPES.get(k)).copied().unwrap_or(TYPES[0]);
                self.make.call_method1("reference", (name, kind))?
            }
        })
    }

    fn tensor(&self, t: &proto::Tensor) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let wrong = |e: String| Error::value(format!("tensor {:?}", t.name), e, "whole");
        let found = memory::caught(|| tensor::data(t)).map_err(ended)?.map_err(wrong)?;
        let (mut bytes, mut strings, mut external) = (None, None, None);
        match &found {
            Data::Raw(raw) => bytes = Some(self.part(raw)?),
            Data::Own(own) => bytes = Some(from_slice(py, own)?),
            Data::Strings(all) => {
                strings =
                    Some(PyTuple::new(py, all.iter().map(|s| PyBytes::new(py, s)).collect::<Vec<_>>())?);
            }
            Data::External(e) => external = Some((&e.location, e.offset, e.length)),
        }
        let name = Element::of(t.data_type).map_err(wrong)?.name;
        let shape = PyTuple::new(py, &t.dims)?;
        let more = entries(py, &t.metadata_props)?;
        self.make
            .call_method1("tensor", (&t.name, name, shape, bytes, strings, external, &t.doc_string, more))
    }

    /// A view of the file's memory.
    fn part(&self, raw: &Bytes) -> PyResult<Array<'py>> {
        if raw.is_empty() {
            return from_slice::<u8>(self.py(), &[]);
        }
        let offset = (raw.as_ptr() as usize).wrapping_sub(data(&self.file) as usize);
        assert!(
            offset.checked_add(raw.len()).is_some_and(|end| end <= len(&self.file)),
            "a part of the file"
        );
        // SAFETY: inside of the file's array, as was just seen.
        unsafe { view_of(&self.file, offset as isize, &[raw.len()], &[1]) }
    }

    fn sparse(&self, t: &proto::SparseTensor) -> PyResult<Bound<'py, PyAny>> {
        let missing = || Error::value("a sparse tensor", "one without them", "of values and indices");
        let values = self.tensor(t.values.as_ref().ok_or_else(missing)?)?;
        let indices = self.tensor(t.indices.as_ref().ok_or_else(missing)?)?;
        self.make.call_method1("sparse", (PyTuple::new(self.py(), &t.dims)?, values, indices))
    }

    fn value(&self, v: &proto::ValueInfo) -> PyResult<Bound<'py, PyAny>> {
        self.typed(&v.name, v.kind.as_ref(), &v.doc_string, &v.metadata_props)
    }

    fn type_(&self, t: &proto::Type) -> PyResult<Bound<'py, PyAny>> {
        self.typed("", Some(t), "", &[])
    }

    fn typed(
        &self,
        name: &str,
        kind: Option<&proto::Type>,
        doc: &str,
        metadata: &[proto::Entry],
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        let (mut dtype, mut shape, mut plain) = (None, None, false);
        if let Some(proto::Kind::Tensor(t)) = kind.and_then(|k| k.value.as_ref()) {
            dtype = Element::of(t.elem_type).ok().map(|e| e.name);
            plain = dtype.is_some() && kind.is_some_and(|k| k.denotation.is_empty());
            if let Some(dims) = &t.shape {
                plain &= dims.dim.iter().all(|d| d.denotation.is_empty());
                shape = Some(self.tuple(&dims.dim, |d| {
                    Ok(match &d.value {
                        Some(proto::Length::Value(v)) if *v >= 0 => v.into_pyobject(py)?.into_any(),
                        Some(proto::Length::Param(name)) if !name.is_empty() => {
                            PyString::new(py, name).into_any()
                        }
                        // Exporters write -1 and empty names for lengths that they do not know.
                        _ => py.None().into_bound(py),
                    })
                })?);
            }
        }
        let encoded = kind.filter(|_| !plain).map(|k| PyBytes::new(py, &k.encoded()));
        let kind = kind.map_or(String::new(), described);
        self.make.call_method1("value", (name, dtype, shape, kind, doc, entries(py, metadata)?, encoded))
    }
}

/// A text, or bytes where it is none.
fn text<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyAny> {
    match std::str::from_utf8(bytes) {
        Ok(text) => PyString::new(py, text).into_any(),
        Err(_) => PyBytes::new(py, bytes).into_any(),
    }
}

/// What a type is: "tensor", "sequence(tensor(float32))".
fn described(t: &proto::Type) -> String {
    match &t.value {
        Some(proto::Kind::Tensor(_)) => "tensor".into(),
        _ => inner(t),
    }
}

fn inner(t: &proto::Type) -> String {
    let name = |code: i32| Element::of(code).map_or_else(|_| format!("type {code}"), |e| e.name.into());
    let of = |t: &Option<Box<proto::Type>>| t.as_ref().map_or(String::new(), |t| inner(t));
    match &t.value {
        None => "unknown".into(),
        Some(proto::Kind::Tensor(t)) => format!("tensor({})", name(t.elem_type)),
        Some(proto::Kind::SparseTensor(t)) => format!("sparse_tensor({})", name(t.elem_type)),
        Some(proto::Kind::Sequence(t)) => format!("sequence({})", of(&t.elem_type)),
        Some(proto::Kind::Optional(t)) => format!("optional({})", of(&t.elem_type)),
        Some(proto::Kind::Map(t)) => format!("map({}, {})", name(t.key_type), of(&t.value_type)),
        Some(proto::Kind::Opaque(_)) => "opaque".into(),
    }
}

/// Reads the messages of an ONNX file; `make` makes the objects.
///
/// Parameters
/// ----------
/// file : ndarray of uint8
///     The file's bytes, usually mapped. Raw data become views of it.
/// path : str
///     What errors call it.
/// make : object
///     With the methods `model`, `graph`, `function`, `node`, `many`, `reference`, `tensor`, `sparse` and `value`.
///
/// Raises
/// ------
/// OSError
///     Where it is not a valid ONNX file; the message says where in it.
#[pyfunction]
#[pyo3(name = "_read_onnx")]
pub fn read_onnx<'py>(
    py: Python<'py>,
    file: &Bound<'py, PyUntypedArray>,
    path: &str,
    make: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = Held::bytes(file)?;
    let read = py.detach(|| onnx::read(&bytes));
    let model = read.map_err(|e| Error::file("read", path, e))?;
    Maker { make, file: file.clone() }.model(&model)
}
