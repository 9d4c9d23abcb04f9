//! ONNX files: the core's messages as Python objects, and back.

mod file;
mod read;
mod write;

use bytes::Bytes;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

pub use file::*;
pub use read::*;

use super::array::{Array, data, is_contiguous, len};
use crate::error::Error;

/// Memory of a NumPy array, which is kept alive.
struct Held {
    _array: Py<PyUntypedArray>,
    address: usize,
    len: usize,
}

impl Held {
    fn bytes(array: &Array<'_>) -> PyResult<Bytes> {
        let of_bytes = array.dtype().itemsize() == 1 && is_contiguous(array);
        if !of_bytes {
            return Err(Error::value("data", "another array", "a contiguous array of uint8").into());
        }
        let (address, len) = (data(array) as usize, len(array));
        Ok(Bytes::from_owner(Self { _array: array.clone().unbind(), address, len }))
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the elements of a contiguous array of bytes, which this struct keeps alive and NumPy never moves. Python
        // code that writes to the same memory at the same time races, as it does with NumPy's own functions.
        unsafe { std::slice::from_raw_parts(self.address as *const u8, self.len) }
    }
}
