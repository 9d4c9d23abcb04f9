//! Files in the safetensors format: codes as tensors, schemes in the metadata, and there a scale and a zero point too;
//! those of channels are tensors of their own, which take a fifth of the room that text does. A file's header is checked
//! by the safetensors crate; its data are mapped, not read.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyFileNotFoundError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use quantray_core::memory;
use quantray_core::qparams::{DType, QParams, Quantizer, Scheme};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};
use serde_json::{Value, json};

use super::array::{Array, bytes_of, contiguous, describe, elements, from_slice, np, type_name};
use super::create;
use super::files::{replace, widened};
use super::tensor::QTensor;
use crate::error::Error;
use crate::run::ended;

/// The metadata key that holds the parameters of all quantized tensors of a file, as JSON.
const KEY: &str = "quantray";
/// The metadata key that other readers look at.
const FORMAT: &str = "format";
/// Of what stands under [`KEY`].
const VERSION: u64 = 2;
/// The name of the one tensor of a file that `QTensor.save` wrote.
const ONLY: &str = "tensor";

/// The key of a file's header that is no tensor.
const RESERVED: &str = "__metadata__";

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
    Error::file(action, path, reason).into()
}

/// The error of a file that cannot be looked at: Python's own class where there is none.
fn no_file(path: &str, error: std::io::Error) -> PyErr {
    if error.kind() == std::io::ErrorKind::NotFound {
        return PyFileNotFoundError::new_err((2, "No such file or directory", path.to_owned()));
    }
    file_error("read", path, error)
}

fn path_text(path: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = path.py().import("os")?.call_method1("fspath", (path,));
    let text = text.map_err(|_| Error::type_("path", describe(path), "a str or a path"))?;
    text.extract().map_err(|_| Error::type_("path", describe(path), "a str or a path, not bytes").into())
}

/// The key, in the place of numbers, of the tensor that holds them.
const TABLE: &str = "tensor";

/// The parameters of a tensor as JSON; `table` puts numbers of channels into a tensor and says what stands for it.
fn describe_quantizer(
    q: &QTensor,
    shape: &[usize],
    mut table: impl FnMut(&str, Table<'_>) -> PyResult<Value>,
) -> PyResult<Value> {
    let z = q.quantizer();
    let mut about = json!({"dtype": z.dtype().name(), "qscheme": z.scheme().name()});
    match z.params() {
        QParams::PerTensor { scale, zero_point } => {
            about["scale"] = json!(scale);
            about["zero_point"] = json!(zero_point);
        }
        QParams::PerChannel { scales, zero_points, axis } => {
            about["scale"] = table("scale", Table::Floats(scales))?;
            about["zero_point"] = match zero_points.first() {
                Some(first) if zero_points.iter().all(|z| z == first) => json!(first),
                _ => table("zero_point", Table::Integers(zero_points, z.dtype()))?,
            };
            about["axis"] = json!(axis);
        }
        QParams::PerChannelFloat { scales, zero_points, axis } => {
            about["scale"] = table("scale", Table::Narrow(scales))?;
            about["zero_point"] = table("zero_point", Table::Narrow(zero_points))?;
            about["axis"] = json!(axis);
        }
    }
    if z.dtype().is_packed() {
        about["size"] = json!(shape);
    }
    Ok(about)
}

/// Numbers of channels.
enum Table<'a> {
    Floats(&'a [f64]),
    Narrow(&'a [f32]),
    /// Of codes of this dtype.
    Integers(&'a [i32], DType),
}

impl Table<'_> {
    /// An array of the smallest type that holds them exactly.
    fn array<'py>(&self, py: Python<'py>) -> PyResult<(Array<'py>, Dtype)> {
        match self {
            Self::Floats(values) if values.iter().all(|&v| f64::from(v as f32) == v) => {
                let narrow: Vec<f32> = values.iter().map(|&v| v as f32).collect();
                Ok((from_slice(py, &narrow)?, Dtype::F32))
            }
            Self::Floats(values) => Ok((from_slice(py, values)?, Dtype::F64)),
            Self::Narrow(values) => Ok((from_slice(py, values)?, Dtype::F32)),
            Self::Integers(values, DType::QInt8) => {
                let narrow: Vec<i8> = values.iter().map(|&v| v as i8).collect();
                Ok((from_slice(py, &narrow)?, Dtype::I8))
            }
            Self::Integers(values, DType::QInt32) => Ok((from_slice(py, values)?, Dtype::I32)),
            Self::Integers(values, _) => {
                let narrow: Vec<u8> = values.iter().map(|&v| v as u8).collect();
                Ok((from_slice(py, &narrow)?, Dtype::U8))
            }
        }
    }
}

/// Numbers from JSON: one, several, or those of a tensor.
fn numbers(value: &Value, tables: &Tables<'_>) -> Result<Vec<f64>, String> {
    let wrong = || "is not made of numbers".to_owned();
    match value {
        Value::Array(many) => many.iter().map(|v| v.as_f64().ok_or_else(wrong)).collect(),
        Value::Object(table) => {
            let name = table.get(TABLE).and_then(Value::as_str).ok_or_else(wrong)?;
            tables(name)
        }
        one => Ok(vec![one.as_f64().ok_or_else(wrong)?]),
    }
}

/// The numbers of a file's tensor.
type Tables<'a> = dyn Fn(&str) -> Result<Vec<f64>, String> + 'a;

/// The parameters and, for a packed tensor, the shape from JSON.
fn parse_quantizer(about: &Value, tables: &Tables<'_>) -> Result<(Quantizer, Option<Vec<usize>>), String> {
    let text = |key: &str| about[key].as_str().ok_or_else(|| format!("{key:?} is missing"));
    let dtype = text("dtype")?;
    let dtype =
        DType::ALL.into_iter().find(|d| d.name() == dtype).ok_or(format!("unknown dtype {dtype:?}"))?;
    let scheme = text("qscheme")?;
    let scheme =
        Scheme::ALL.into_iter().find(|s| s.name() == scheme).ok_or(format!("unknown qscheme {scheme:?}"))?;
    let named = |key: &str| numbers(&about[key], tables).map_err(|e| format!("{key:?} {e}"));
    let scales = named("scale")?;
    let axis = || about["axis"].as_u64().map(|a| a as usize).ok_or("\"axis\" is missing");
    let integers = || -> Result<Vec<i64>, String> {
        let found = named("zero_point")?;
        match found.iter().all(|z| z.fract() == 0.0 && z.abs() < 1e15) {
            true => Ok(found.iter().map(|&z| z as i64).collect()),
            false => Err("\"zero_point\" is not made of integers".into()),
        }
    };
    // One for all channels is written once.
    let each = |zeros: Vec<i64>| if zeros.len() == 1 { vec![zeros[0]; scales.len()] } else { zeros };
    let made = match scheme {
        Scheme::PerTensorAffine | Scheme::PerTensorSymmetric => {
            let (&[s], &[z]) = (&scales[..], &integers()?[..]) else {
                return Err("one scale is wanted".into());
            };
            Quantizer::per_tensor(dtype, s, z, scheme.is_symmetric())
        }
        Scheme::PerChannelAffine | Scheme::PerChannelSymmetric => {
            Quantizer::per_channel(dtype, &scales, &each(integers()?), axis()?, scheme.is_symmetric())
        }
        Scheme::PerChannelAffineFloatQParams => {
            let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
            Quantizer::per_channel_float(dtype, &narrow(&scales), &narrow(&named("zero_point")?), axis()?)
        }
    };
    let size = match &about["size"] {
        Value::Null => None,
        Value::Array(lengths) => {
            let lengths: Option<Vec<usize>> =
                lengths.iter().map(|v| v.as_u64().map(|d| d as usize)).collect();
            Some(lengths.ok_or("\"size\" is not made of lengths")?)
        }
        _ => return Err("\"size\" is not made of lengths".into()),
    };
    Ok((made.map_err(|e| e.to_string())?, size))
}

/// One tensor of a file to be written.
struct Entry<'py> {
    name: String,
    codes: Array<'py>,
    dtype: Dtype,
}

/// What a file is made of.
struct Contents<'py> {
    /// Names that are taken.
    names: HashSet<String>,
    entries: Vec<Entry<'py>>,
    /// Of each quantized tensor.
    about: serde_json::Map<String, Value>,
}

impl<'py> Contents<'py> {
    fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect(), entries: Vec::new(), about: serde_json::Map::new() }
    }

    fn add(&mut self, name: &str, object: &Bound<'py, PyAny>) -> PyResult<()> {
        if name == RESERVED {
            let valid = format!("another than {RESERVED:?}, where the format keeps its metadata");
            return Err(Error::value("a name", format!("{name:?}"), valid).into());
        }
        let Self { names, entries, about } = self;
        if let Ok(q) = object.cast::<QTensor>() {
            let shape: Vec<usize> = q.getattr("shape")?.extract()?;
            let table = |kind: &str, table: Table<'_>| {
                let mut own = format!("{name}.{kind}");
                while !names.insert(own.clone()) {
                    own.push('_');
                }
                let (codes, dtype) = table.array(object.py())?;
                entries.push(Entry { name: own.clone(), codes, dtype });
                Ok(json!({TABLE: own}))
            };
            about.insert(name.into(), describe_quantizer(q.get(), &shape, table)?);
        }
        entries.push(entry(name, object)?);
        Ok(())
    }
}

fn entry<'py>(name: &str, object: &Bound<'py, PyAny>) -> PyResult<Entry<'py>> {
    let py = object.py();
    let array: Array<'py> = if let Ok(q) = object.cast::<QTensor>() {
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

/// Writes a QTensor, a mapping of names to QTensors and NumPy arrays, or a model to a safetensors file.
///
/// Scale, zero point and scheme of each QTensor are in the file's metadata under "quantray", as JSON; its codes
/// are an ordinary tensor of int8, uint8 or int32, which any reader of safetensors can load. Scales of channels, and
/// zero points that differ, are tensors beside it: "name.scale" and "name.zero_point".
///
/// Parameters
/// ----------
/// obj : QTensor, mapping of str to QTensor or ndarray, or Module
///     A model is written by its method `save`.
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
    let text = path_text(path)?;
    // A model writes what it is built of, too.
    if obj.hasattr("state_dict")? && obj.is_instance(&py.import("quantray.nn")?.getattr("Module")?)? {
        if metadata.is_some() {
            return Err(Error::value("metadata", "some", "absent for a model, which has its own").into());
        }
        obj.call_method1("save", (path,))?;
        return Ok(());
    }
    let path = text;
    let contents = if obj.is_instance_of::<QTensor>() {
        let mut contents = Contents::new([ONLY.to_owned()]);
        contents.add(ONLY, obj)?;
        contents
    } else {
        let items = obj.getattr("items").map_err(|_| {
            let valid = match obj.hasattr("state_dict") {
                Ok(true) => "a QTensor, a mapping of names to QTensors and arrays, or a model of quantray.nn; \
                             save(model.state_dict(), path) takes the tensors of others",
                _ => "a QTensor, a mapping of names to QTensors and NumPy arrays, or a model; numpy.save writes arrays",
            };
            Error::type_("obj", type_name(obj), valid)
        })?;
        let mut all = Vec::new();
        for item in items.call0()?.try_iter()? {
            let (name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = item?.extract()?;
            let name: String =
                name.extract().map_err(|_| Error::type_("a name", describe(&name), "a str"))?;
            all.push((name, value));
        }
        let mut contents = Contents::new(all.iter().map(|(name, _)| name.clone()));
        for (name, value) in &all {
            contents.add(name, value)?;
        }
        contents
    };
    let Contents { entries, about, .. } = contents;
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
    let written = py.detach(|| {
        replace(Path::new(&path), |part| {
            safetensors::serialize_to_file(views, Some(metadata), part).map_err(|e| e.to_string())
        })
    });
    written.map_err(|e| file_error("write", &path, e))
}

/// A file's bytes, mapped or read, where its data begin, and its header, which has been checked.
fn open<'py>(py: Python<'py>, path: &str, mapped: bool) -> PyResult<(Array<'py>, usize, Metadata)> {
    let size = std::fs::metadata(path).map_err(|e| no_file(path, e))?.len();
    if size < 8 {
        return Err(file_error("read", path, format!("{size} bytes are too few for a safetensors file")));
    }
    let bytes = if mapped {
        let options = PyDict::new(py);
        options.set_item("mode", "c")?;
        np(py)?.call_method("memmap", (path, "uint8"), Some(&options))?
    } else {
        np(py)?.call_method1("fromfile", (path, "uint8"))?
    };
    let bytes: Array<'py> = bytes.cast_into()?;
    let (header_len, metadata) =
        SafeTensors::read_metadata(elements::<u8>(&bytes)).map_err(|e| file_error("read", path, e))?;
    Ok((bytes, header_len + size_of::<u64>(), metadata))
}

/// The metadata of a safetensors file: names to texts.
///
/// Parameters
/// ----------
/// path : str or path
/// mmap : bool
///     Whether to map the file rather than read it: see `load`.
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
#[pyo3(signature = (path, *, mmap=true))]
pub fn read_metadata(
    py: Python<'_>,
    path: &Bound<'_, PyAny>,
    mmap: bool,
) -> PyResult<HashMap<String, String>> {
    let (_, _, metadata) = open(py, &path_text(path)?, mmap)?;
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
/// mmap : bool
///     Whether to map the file; read at once otherwise, so that nothing that becomes of it matters any more.
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
#[pyo3(signature = (path, *, mmap=true))]
pub fn load<'py>(py: Python<'py>, path: &Bound<'py, PyAny>, mmap: bool) -> PyResult<Bound<'py, PyAny>> {
    let text = path_text(path)?;
    let (map, start, metadata) = open(py, &text, mmap)?;
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
    let array_of = |name: &str, info: &TensorInfo| -> PyResult<Bound<'py, PyAny>> {
        let (from, to) = (start + info.data_offsets.0, start + info.data_offsets.1);
        if let Some(values) = widened(info.dtype, &elements::<u8>(&map)[from..to]) {
            return from_slice(py, &memory::caught(values).map_err(ended)?)?
                .call_method1("reshape", (info.shape.clone(),));
        }
        let Some((numpy_name, _)) = DTYPES.iter().find(|(_, d)| *d == info.dtype) else {
            return Err(invalid(&format!(
                "tensor {name:?} has the dtype {:?}, which NumPy lacks",
                info.dtype
            )));
        };
        let part = map.get_item(pyo3::types::PySlice::new(py, from as isize, to as isize, 1))?;
        let part = np(py)?.call_method1("asarray", (part,))?;
        let little = np(py)?.call_method1("dtype", (numpy_name,))?.call_method1("newbyteorder", ("<",))?;
        part.call_method1("view", (little,))?.call_method1("reshape", (info.shape.clone(),))
    };
    let tensors = metadata.tensors();
    let tables = |name: &str| -> Result<Vec<f64>, String> {
        let info = tensors.get(name).ok_or_else(|| format!("names the tensor {name:?}, which is missing"))?;
        let wrong = |_| format!("names the tensor {name:?}, which is not made of numbers in a row");
        array_of(name, info).and_then(|array| array.call_method0("tolist")?.extract()).map_err(wrong)
    };
    let named = |about: &Value| {
        let table = |key: &str| about[key][TABLE].as_str().map(str::to_owned);
        [table("scale"), table("zero_point")]
    };
    // Parts of other tensors.
    let hidden: HashSet<String> = match &about["tensors"] {
        Value::Object(all) => {
            all.values().flat_map(named).flatten().filter(|name| !all.contains_key(name)).collect()
        }
        _ => HashSet::new(),
    };
    let found = PyDict::new(py);
    for (name, info) in tensors.iter().filter(|(name, _)| !hidden.contains(*name)) {
        let array = array_of(name, info)?;
        let value = match &about["tensors"][name] {
            Value::Null => array,
            this => {
                let (quantizer, size) = parse_quantizer(this, &tables)
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
