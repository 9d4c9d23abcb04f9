//! A file as tensors and arrays.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use pyo3::exceptions::PyFileNotFoundError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use quantray_core::memory;
use quantray_core::safetensors::{Header, Tensor, widened};
use serde_json::Value;

use super::parameters::{TABLE, parse_quantizer};
use super::{ELEMENTS, KEY, ONLY, VERSION, file_error, path_text};
use crate::array::{Array, elements, from_slice, np};
use crate::create;
use crate::run::ended;

/// The error of a file that cannot be looked at: Python's own class where there is none.
fn no_file(path: &str, error: std::io::Error) -> PyErr {
    if error.kind() == std::io::ErrorKind::NotFound {
        return PyFileNotFoundError::new_err((2, "No such file or directory", path.to_owned()));
    }
    file_error("read", path, error)
}

/// A file's bytes, mapped or read, and its header, which has been checked.
fn open<'py>(py: Python<'py>, path: &str, mapped: bool) -> PyResult<(Array<'py>, Header)> {
    let size = std::fs::metadata(path).map_err(|e| no_file(path, e))?.len();
    if size == 0 {
        // Nothing that could be mapped; the header's reader says the same of a few bytes.
        return Err(file_error("read", path, "0 bytes are too few for a safetensors file"));
    }
    let bytes = if mapped {
        let options = PyDict::new(py);
        options.set_item("mode", "c")?;
        np(py)?.call_method("memmap", (path, "uint8"), Some(&options))?
    } else {
        np(py)?.call_method1("fromfile", (path, "uint8"))?
    };
    let bytes: Array<'py> = bytes.cast_into()?;
    let header = Header::read(elements::<u8>(&bytes)).map_err(|e| file_error("read", path, e))?;
    Ok((bytes, header))
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
) -> PyResult<BTreeMap<String, String>> {
    Ok(open(py, &path_text(path)?, mmap)?.1.metadata)
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
    let (map, Header { metadata, tensors }) = open(py, &text, mmap)?;
    let invalid = |e: &dyn std::fmt::Display| file_error("read", &text, e);
    let about: Value = match metadata.get(KEY) {
        None => Value::Null,
        Some(text) => serde_json::from_str(text).map_err(|e| invalid(&e))?,
    };
    if about["version"].as_u64().is_some_and(|version| version > VERSION) {
        let version = &about["version"];
        return Err(invalid(&format!(
            "it has version {version} of quantray's format, and this quantray knows up to {VERSION}; a later one reads it"
        )));
    }
    let array_of = |name: &str, info: &Tensor| -> PyResult<Bound<'py, PyAny>> {
        let (from, to) = (info.range.start, info.range.end);
        if let Some(values) = widened(info.element, &elements::<u8>(&map)[from..to]) {
            return from_slice(py, &memory::caught(values).map_err(ended)?)?
                .call_method1("reshape", (info.shape.clone(),));
        }
        let Some((numpy_name, _)) = ELEMENTS.iter().find(|(_, d)| *d == info.element) else {
            return Err(invalid(&format!(
                "tensor {name:?} has the dtype {}, which NumPy lacks",
                info.element.name()
            )));
        };
        let part = map.get_item(pyo3::types::PySlice::new(py, from as isize, to as isize, 1))?;
        let part = np(py)?.call_method1("asarray", (part,))?;
        let little = np(py)?.call_method1("dtype", (numpy_name,))?.call_method1("newbyteorder", ("<",))?;
        part.call_method1("view", (little,))?.call_method1("reshape", (info.shape.clone(),))
    };
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
