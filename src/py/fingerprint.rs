//! Whether arrays are still what they were.

use pyo3::prelude::*;

use crate::array::{Array, bytes_of, contiguous};

/// A number that an array's elements have, and others by chance alone.
#[pyfunction(name = "_fingerprint")]
pub fn fingerprint<'py>(py: Python<'py>, array: Array<'py>) -> PyResult<u64> {
    let array = contiguous(&array)?;
    let bytes = bytes_of(&array);
    Ok(py.detach(|| quantray_core::fingerprint::fingerprint(bytes)))
}
