//! Tensors and arrays into a file.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::Path;

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use quantray_core::safetensors::{Element, Header, RESERVED};
use serde_json::{Value, json};

use super::parameters::{TABLE, Table, describe_quantizer};
use super::{ELEMENTS, FORMAT, KEY, ONLY, VERSION, file_error, path_text};
use crate::array::{Array, bytes_of, contiguous, describe, np, type_name};
use crate::error::Error;
use crate::files::{fill, replace};
use crate::tensor::QTensor;

/// One tensor of a file to be written.
struct Entry<'py> {
    name: String,
    codes: Array<'py>,
    element: Element,
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
                let (codes, element) = table.array(object.py())?;
                entries.push(Entry { name: own.clone(), codes, element });
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
    let Some(&(_, element)) = ELEMENTS.iter().find(|(n, _)| *n == known) else {
        let names: Vec<_> = ELEMENTS.iter().map(|(n, _)| *n).collect();
        let valid = format!("of a dtype among {}", names.join(", "));
        return Err(Error::type_(format!("tensors[{name:?}]"), format!("dtype {known}"), valid).into());
    };
    // Files are little-endian, whatever the machine.
    let little = array.dtype().call_method1("newbyteorder", ("<",))?;
    let array: Array<'py> = np(py)?.call_method1("asarray", (array, little))?.cast_into()?;
    Ok(Entry { name: name.into(), codes: contiguous(&array)?, element })
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
    metadata: Option<BTreeMap<String, String>>,
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
    let tensors: Vec<_> =
        entries.iter().map(|e| (e.name.clone(), e.element, e.codes.shape().to_vec())).collect();
    let (header, order) = Header::write(&tensors, &metadata).map_err(|e| file_error("write", &path, e))?;
    let parts: Vec<&[u8]> = order.iter().map(|&i| bytes_of(&entries[i].codes)).collect();
    let written = py.detach(|| {
        replace(Path::new(&path), |part| {
            fill(part, |to| {
                to.write_all(&header)?;
                parts.iter().try_for_each(|part| to.write_all(part))
            })
        })
    });
    written.map_err(|e| file_error("write", &path, e))
}

/// Replaces a file as a whole by what `write` makes of the path that it is given, which is another one beside it.
#[pyfunction]
#[pyo3(name = "_replace_file", signature = (path, write))]
pub fn replace_file(path: &str, write: &Bound<'_, PyAny>) -> PyResult<()> {
    let mut raised = None;
    let replaced = replace(Path::new(path), |part| {
        write.call1((part,)).map(drop).map_err(|error| {
            let text = error.to_string();
            raised = Some(error);
            text
        })
    });
    match raised {
        Some(error) => Err(error),
        None => replaced.map_err(|e| file_error("write", path, e)),
    }
}
