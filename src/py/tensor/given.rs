//! A QTensor as the argument of a function.

use std::ops::Deref;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::QTensor;
use crate::array::type_name;

/// A QTensor that a caller gave. What is none gets an error that says what makes one.
pub struct Given<'py>(Bound<'py, QTensor>);

impl<'py> Deref for Given<'py> {
    type Target = Bound<'py, QTensor>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'py> From<&Bound<'py, QTensor>> for Given<'py> {
    fn from(q: &Bound<'py, QTensor>) -> Self {
        Self(q.clone())
    }
}

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.cast::<QTensor>() {
            Ok(q) => Ok(Self(q.to_owned())),
            Err(_) => Err(PyTypeError::new_err(format!(
                "a QTensor is needed, got {}: quantize_per_tensor(x, scale, zero_point, dtype) makes one of floats",
                type_name(&object)
            ))),
        }
    }
}
