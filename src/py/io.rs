//! Files in the safetensors format: codes as tensors, scales and schemes in the metadata. A file's header is
//! checked by the safetensors crate; its data are mapped, not read.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use serde_json::{Value, json};

use super::array::{Array, contiguous, data, describe, elements, len, np, type_name};
use super::create;
use super::tensor::QTensor;
use crate::error::Error;
use crate::qparams::{DType, QParams, Quantizer, Scheme};

/// The metadata key that holds the parameters of all quantized tensors of a file, as JSON.
const KEY: &str = "quantray";
/// The metadata key that other readers look at.
const FORMAT: &str = "format";
/// Of what stands under [`KEY`].
const VERSION: u64 = 1;
/// The name of the one tensor of a file that `QTensor.save` wrote.
const ONLY: &str = "tensor";

/// The safetensors dtype of each NumPy dtype that can be stored.
const DTYPES: [(&str, Dtype); 12] = [
    ("float64", Dtype::F64),
    ("float32", Dtype::F32),
    ("float16", Dtype::F16),
    ("int64", Dtype::I64),
    ("int32", Dtype::I32),
    ("int16", Dtype::I16),
    ("int8", Dtype::I8),
    ("uint64", Dtype::U64),
    ("uint32", Dtype::U32),
    ("uint16", Dtype::U16),
    ("uint8", Dtype::U8),
    ("bool", Dtype::BOOL),
];

fn file_error(action: &'static str, path: &str, reason: impl ToString) -> PyErr {
    Error::File { action, path: path.into(), reason: reason.to_string() }.into()
}

fn path_text(path: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = path.py().import("os")?.call_method1("fspath", (path,));
    let text = text.map_err(|_| Error::type_("path", describe(path), "a str or a path"))?;
    text.extract().map_err(|_| Error::type_("path", describe(path), "a str or a path, not bytes").into())
}

/// The parameters of a tensor as JSON.
fn describe_quantizer(q: &QTensor, shape: &[usize]) -> Value {
    let z = q.quantizer();
    let mut about = json!({"dtype": z.dtype().name(), "qscheme": z.scheme().name()});
    match z.params() {
        QParams::PerTensor { scale, zero_point } => {
            about["scale"] = json!(scale);
            about["zero_point"] = json!(zero_point);
        }
        QParams::PerChannel { scales, zero_points, axis } => {
            about["scale"] = json!(scales[..]);
            about["zero_point"] = json!(zero_points[..]);
            about["axis"] = json!(axis);
        }
        QParams::PerChannelFloat { scales, zero_points, axis } => {
            about["scale"] = json!(scales[..]);
            about["zero_point"] = json!(zero_points[..]);
            about["axis"] = json!(axis);
        }
    }
    if z.dtype().is_packed() {
        about["size"] = json!(shape);
    }
    about
}

fn list<T>(value: &Value, convert: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(many) => many.iter().map(convert).collect(),
        one => Some(vec![convert(one)?]),
    }
}

/// The parameters and, for a packed tensor, the shape from JSON.
fn parse_quantizer(about: &Value) -> Result<(Quantizer, Option<Vec<usize>>), String> {
    let text = |key: &str| about[key].as_str().ok_or_else(|| format!("{key:?} is missing"));
    let dtype = text("dtype")?;
    let dtype =
        DType::ALL.into_iter().find(|d| d.name() == dtype).ok_or(format!("unknown dtype {dtype:?}"))?;
    let scheme = text("qscheme")?;
    let scheme =
        Scheme::ALL.into_iter().find(|s| s.name() == scheme).ok_or(format!("unknown qscheme {scheme:?}"))?;
    let scales = list(&about["scale"], Value::as_f64).ok_or("\"scale\" is not made of numbers")?;
    let axis = || about["axis"].as_u64().map(|a| a as usize).ok_or("\"axis\" is missing");
    let integers =
        || list(&about["zero_point"], Value::as_i64).ok_or("\"zero_point\" is not made of integers");
    let made = match scheme {
        Scheme::PerTensorAffine | Scheme::PerTensorSymmetric => {
            let (&[s], &[z]) = (&scales[..], &integers()?[..]) else {
                return Err("one scale is wanted".into());
            };
            Quantizer::per_tensor(dtype, s, z, scheme.is_symmetric())
        }
        Scheme::PerChannelAffine | Scheme::PerChannelSymmetric => {
            Quantizer::per_channel(dtype, &scales, &integers()?, axis()?, scheme.is_symmetric())
        }
        Scheme::PerChannelAffineFloatQParams => {
            let zeros =
                list(&about["zero_point"], Value::as_f64).ok_or("\"zero_point\" is not made of numbers")?;
            let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
            Quantizer::per_channel_float(dtype, &narrow(&scales), &narrow(&zeros), axis()?)
        }
    };
    let size = match &about["size"] {
        Value::Null => None,
        size => {
            Some(list(size, |v| v.as_u64().map(|d| d as usize)).ok_or("\"size\" is not made of lengths")?)
        }
    };
    Ok((made.map_err(|e| e.to_string())?, size))
}

/// One tensor of a file to be written.
struct Entry<'py> {
    name: String,
    codes: Array<'py>,
    dtype: Dtype,
}

fn entry<'py>(
    name: &str,
    object: &Bound<'py, PyAny>,
    about: &mut serde_json::Map<String, Value>,
) -> PyResult<Entry<'py>> {
    let py = object.py();
    let array: Array<'py> = if let Ok(q) = object.cast::<QTensor>() {
        let shape: Vec<usize> = q.getattr("shape")?.extract()?;
        about.insert(name.into(), describe_quantizer(q.get(), &shape));
        q.call_method0("int_repr")?.cast_into()?
    } else if let Ok(a) = object.cast::<PyUntypedArray>() {
        a.clone()
    } else {
        let valid = "a QTensor or a NumPy array";
        return Err(Error::type_(format!("tensors[{name:?}]"), type_name(object), valid).into());
    };
    let known = array.dtype().getattr("name")?.to_string();
    let Some(&(_, dtype)) = DTYPES.iter().find(|(n, _)| *n == known) else {
        let names: Vec<_> = DTYPES.iter().map(|(n, _)| *n).collect();
        let valid = format!("of a dtype among {}", names.join(", "));
        return Err(Error::type_(format!("tensors[{name:?}]"), format!("dtype {known}"), valid).into());
    };
    // Files are little-endian, whatever the machine.
    let little = array.dtype().call_method1("newbyteorder", ("<",))?;
    let array: Array<'py> = np(py)?.call_method1("asarray", (array, little))?.cast_into()?;
    Ok(Entry { name: name.into(), codes: contiguous(&array)?, dtype })
}

/// Writes a QTensor, or a mapping of names to QTensors and NumPy arrays, to a safetensors file.
///
/// Scale, zero point and scheme of each QTensor are in the file's metadata under "quantray", as JSON; its codes
/// are an ordinary tensor of int8, uint8 or int32, which any reader of safetensors can load.
///
/// Parameters
/// ----------
/// obj : QTensor, or mapping of str to QTensor or ndarray
/// path : str or path
///     An existing file is replaced, as a whole, once the new one is complete.
/// metadata : mapping of str to str, optional
///     More entries for the file's metadata; `read_metadata` reads them.
///
/// >>> import os, tempfile, quantray as qt
/// >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
/// >>> with tempfile.TemporaryDirectory() as folder:
/// ...     path = os.path.join(folder, "q.safetensors")
/// ...     qt.save(q, path)
/// ...     qt.load(path).equal(q)
/// True
#[pyfunction]
#[pyo3(signature = (obj, path, *, metadata=None))]
pub fn save<'py>(
    obj: &Bound<'py, PyAny>,
    path: &Bound<'py, PyAny>,
    metadata: Option<HashMap<String, String>>,
) -> PyResult<()> {
    let py = obj.py();
    let path = path_text(path)?;
    let mut about = serde_json::Map::new();
    let mut entries = Vec::new();
    if obj.is_instance_of::<QTensor>() {
        entries.push(entry(ONLY, obj, &mut about)?);
    } else {
        let items = obj.getattr("items").map_err(|_| {
            Error::type_(
                "obj",
                type_name(obj),
                "a QTensor, or a mapping of names to QTensors and NumPy arrays",
            )
        })?;
        for item in items.call0()?.try_iter()? {
            let (name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = item?.extract()?;
            let name: String =
                name.extract().map_err(|_| Error::type_("a name", describe(&name), "a str"))?;
            entries.push(entry(&name, &value, &mut about)?);
        }
    }
    let mut metadata = metadata.unwrap_or_default();
    if let Some(taken) = [KEY, FORMAT].into_iter().find(|&key| metadata.contains_key(key)) {
        let valid = format!("without {KEY:?} and {FORMAT:?}, which are taken");
        return Err(Error::value("metadata", format!("{taken:?}"), valid).into());
    }
    metadata.insert(FORMAT.into(), "np".into());
    let single = obj.is_instance_of::<QTensor>();
    metadata.insert(KEY.into(), json!({"version": VERSION, "single": single, "tensors": about}).to_string());
    let mut views = Vec::with_capacity(entries.len());
    for e in &entries {
        let bytes = bytes_of(&e.codes);
        let view = TensorView::new(e.dtype, e.codes.shape().to_vec(), bytes)
            .map_err(|e| file_error("write", &path, e))?;
        views.push((e.name.clone(), view));
    }
    // Written beside and moved into place: a reader, or a memory map of the old file, never sees half of it.
    let target = PathBuf::from(&path);
    let mut part = target.clone().into_os_string();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = py.detach(|| {
        safetensors::serialize_to_file(views, Some(metadata), &part).map_err(|e| e.to_string())?;
        std::fs::rename(&part, &target).map_err(|e| e.to_string())
    });
    written.map_err(|e| {
        let _ = std::fs::remove_file(&part); // It may not exist; the error that counts is `e`.
        file_error("write", &path, e)
    })
}

/// The memory of a contiguous array.
fn bytes_of<'a>(a: &'a Array<'_>) -> &'a [u8] {
    let n = len(a) * a.dtype().itemsize();
    if n == 0 {
        return &[];
    }
    // SAFETY: a contiguous array's elements, as bytes; it outlives the borrow.
    unsafe { std::slice::from_raw_parts(data(a), n) }
}

/// The memory map of a file, where its data begin, and its header, which has been checked.
fn open<'py>(py: Python<'py>, path: &str) -> PyResult<(Array<'py>, usize, Metadata)> {
    let size = std::fs::metadata(path).map_err(|e| file_error("read", path, e))?.len();
    if size < 8 {
        return Err(file_error("read", path, format!("{size} bytes are too few for a safetensors file")));
    }
    let options = PyDict::new(py);
    options.set_item("mode", "c")?;
    let map = np(py)?.call_method("memmap", (path, "uint8"), Some(&options))?;
    let map: Array<'py> = map.cast_into()?;
    let (header_len, metadata) =
        SafeTensors::read_metadata(elements::<u8>(&map)).map_err(|e| file_error("read", path, e))?;
    Ok((map, header_len + size_of::<u64>(), metadata))
}

/// The metadata of a safetensors file: names to texts.
///
/// Parameters
/// ----------
/// path : str or path
///
/// Raises
/// ------
/// OSError
///     Where the file cannot be opened, or is not a valid safetensors file.
///
/// >>> import os, tempfile, numpy as np, quantray as qt
/// >>> with tempfile.TemporaryDirectory() as folder:
/// ...     path = os.path.join(folder, "x.safetensors")
/// ...     qt.save({"x": np.zeros(2)}, path, metadata={"made by": "me"})
/// ...     qt.read_metadata(path)["made by"]
/// 'me'
#[pyfunction]
pub fn read_metadata(py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<HashMap<String, String>> {
    let (_, _, metadata) = open(py, &path_text(path)?)?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

/// Reads what `save` wrote: a QTensor, or a dict of QTensors and NumPy arrays. Any safetensors file will do.
///
/// The file is mapped into memory, so that loading takes no time and no memory until elements are read. Changes
/// stay in memory: the file is never written to.
///
/// Parameters
/// ----------
/// path : str or path
///
/// Returns
/// -------
/// QTensor, or dict of str to QTensor or ndarray
///
/// Raises
/// ------
/// OSError
///     Where the file cannot be opened, or is not a valid safetensors file.
#[pyfunction]
pub fn load<'py>(py: Python<'py>, path: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let text = path_text(path)?;
    let (map, start, metadata) = open(py, &text)?;
    let invalid = |e: &dyn std::fmt::Display| file_error("read", &text, e);
    let about: Value = match metadata.metadata().as_ref().and_then(|m| m.get(KEY)) {
        None => Value::Null,
        Some(text) => serde_json::from_str(text).map_err(|e| invalid(&e))?,
    };
    if about["version"].as_u64().is_some_and(|version| version > VERSION) {
        let version = &about["version"];
        return Err(invalid(&format!(
            "it has version {version} of quantray's format, and this quantray knows up to {VERSION}; a later one reads it"
        )));
    }
    let found = PyDict::new(py);
    for (name, info) in metadata.tensors() {
        let Some((numpy_name, _)) = DTYPES.iter().find(|(_, d)| *d == info.dtype) else {
            return Err(invalid(&format!(
                "tensor {name:?} has the dtype {:?}, which NumPy lacks",
                info.dtype
            )));
        };
        let (from, to) = (start + info.data_offsets.0, start + info.data_offsets.1);
        let part = map.get_item(pyo3::types::PySlice::new(py, from as isize, to as isize, 1))?;
        let part = np(py)?.call_method1("asarray", (part,))?;
        let little = np(py)?.call_method1("dtype", (numpy_name,))?.call_method1("newbyteorder", ("<",))?;
        let array = part.call_method1("view", (little,))?.call_method1("reshape", (info.shape.clone(),))?;
        let value = match &about["tensors"][&name] {
            Value::Null => array,
            this => {
                let (quantizer, size) = parse_quantizer(this)
                    .map_err(|e| invalid(&format!("parameters of tensor {name:?}: {e}")))?;
                let tensor = create::adopt(array.cast()?, Arc::new(quantizer), size)
                    .map_err(|e| invalid(&format!("tensor {name:?}: {}", e.value(py))))?;
                Bound::new(py, tensor)?.into_any()
            }
        };
        found.set_item(name, value)?;
    }
    match about["single"].as_bool() {
        Some(true) => {
            found.get_item(PyString::new(py, ONLY))?.ok_or_else(|| invalid(&"its tensor is missing"))
        }
        _ => Ok(found.into_any()),
    }
}
