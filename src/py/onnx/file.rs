//! Messages into a file, or into two.

use std::ffi::OsString;
use std::path::Path;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use quantray_core::onnx;

use super::write;
use crate::error::Error;
use crate::files::{fill, replace};

/// Writes a model's objects to a file.
///
/// Parameters
/// ----------
/// model : ModelFile
/// path : str
/// external : bool, optional
///     Whether large initializers go into a file beside it, of the same name and ".data"; by default only where the
///     model takes more than 2 GB.
///
/// Raises
/// ------
/// ValueError, TypeError
///     Where the model is not one; the message names the node or tensor.
/// OSError
///     Where the file cannot be written. What was there before is still there.
#[pyfunction]
#[pyo3(name = "_write_onnx", signature = (model, path, external=None))]
pub fn write_onnx(
    py: Python<'_>,
    model: &Bound<'_, PyAny>,
    path: &str,
    external: Option<bool>,
) -> PyResult<()> {
    let mut made = write::model(model)?;
    onnx::check(&made).map_err(|e| PyValueError::new_err(format!("cannot write {path}: {e}")))?;
    let path = Path::new(path);
    let mut beside = OsString::from(path);
    beside.push(".data");
    let written = py.detach(|| {
        if !external.unwrap_or_else(|| onnx::size(&made) > onnx::MOST) {
            return replace(path, |part| fill(part, |to| onnx::write(made, to)));
        }
        let name = Path::new(&beside).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let moved = onnx::move_out(&mut made, &name);
        if moved.is_empty() {
            return replace(path, |part| fill(part, |to| onnx::write(made, to)));
        }
        // The new data take their place last, at once after the model's: until then both files are the old ones.
        replace(Path::new(&beside), |part| {
            fill(part, |to| onnx::write_data(&moved, to))?;
            replace(path, |part| fill(part, |to| onnx::write(made, to)))
        })
    });
    written.map_err(|e| Error::file("write", &path.to_string_lossy(), e).into())
}
