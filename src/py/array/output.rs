//! `out=`, and memory that two arrays share.

use numpy::npyffi::NPY_TYPES;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use quantray_core::affine::Pages;
use quantray_core::qparams::DType;

use super::{
    Array, Element, code_type, data, empty, has_type, is_contiguous, is_writable, len, np, tuple_text,
    type_name,
};
use crate::error::Error;

/// Whether two arrays may share memory: their address ranges meet.
pub fn overlap(a: &Array<'_>, b: &Array<'_>) -> bool {
    let range = |a: &Array<'_>| {
        let (mut lo, mut hi) = (data(a) as isize, data(a) as isize);
        for (&n, &s) in a.shape().iter().zip(a.strides()) {
            match n {
                0 => return (0, 0),
                n if s < 0 => lo += (n as isize - 1) * s,
                n => hi += (n as isize - 1) * s,
            }
        }
        (lo, hi + a.dtype().itemsize() as isize)
    };
    let ((a0, a1), (b0, b1)) = (range(a), range(b));
    a0 < b1 && b0 < a1
}

/// Whether two contiguous arrays are the same memory from end to end.
pub fn same_memory(a: &Array<'_>, b: &Array<'_>) -> bool {
    let bytes = |a: &Array<'_>| len(a) * a.dtype().itemsize();
    data(a) == data(b) && bytes(a) == bytes(b)
}

/// A caller's `out=`: the array, checked, and whether results may be written to it at once. Where they may not
/// (it has strides, or shares memory with the input), they go to a fresh array and are copied.
pub struct Output<'py> {
    /// What the caller gets back.
    target: Array<'py>,
    /// Where the kernel writes.
    pub array: Array<'py>,
    /// What that memory is.
    pub pages: Pages,
}

impl<'py> Output<'py> {
    /// A fresh array, or the caller's `out`, which must have this type and shape and be writable.
    pub fn new<T: Element>(
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        input: &Array<'py>,
    ) -> PyResult<Self> {
        Self::of_type(py, T::TYPE, T::NAME, out, shape, |target| !overlap(target, input))
    }

    /// The same, where results may be written over the input: a contiguous array of this type and shape. Whether they
    /// are, `is_over` says.
    pub fn over<T: Element>(
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
        input: &Array<'py>,
    ) -> PyResult<Self> {
        let apart = |target: &Array<'py>| !overlap(target, input) || same_memory(target, input);
        Self::of_type(py, T::TYPE, T::NAME, out, input.shape(), apart)
    }

    /// Whether the kernel writes over the input.
    pub fn is_over(&self, input: &Array<'py>) -> bool {
        same_memory(&self.array, input)
    }

    /// The same for the codes of a dtype.
    pub fn codes(
        py: Python<'py>,
        dtype: DType,
        out: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        input: &Array<'py>,
    ) -> PyResult<Self> {
        Self::of_type(py, code_type(dtype), dtype.numpy_name(), out, shape, |target| !overlap(target, input))
    }

    fn of_type(
        py: Python<'py>,
        number: NPY_TYPES,
        name: &str,
        out: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        may_be_written: impl Fn(&Array<'py>) -> bool,
    ) -> PyResult<Self> {
        let Some(out) = out else {
            let array = empty(py, number, shape)?;
            return Ok(Self { target: array.clone(), array, pages: Pages::Fresh });
        };
        let target = out
            .cast::<PyUntypedArray>()
            .map_err(|_| Error::type_("out", type_name(out), format!("a NumPy array of {name}")))?
            .clone();
        if !has_type(&target, number) {
            return Err(
                Error::type_("out", format!("dtype {}", target.dtype()), format!("of dtype {name}")).into()
            );
        }
        if target.shape() != shape {
            return Err(Error::value(
                "out",
                tuple_text(target.shape()),
                format!("of shape {}", tuple_text(shape)),
            )
            .into());
        }
        if !is_writable(&target) {
            return Err(Error::value("out", "a read-only array", "writable").into());
        }
        let direct = is_contiguous(&target) && may_be_written(&target);
        let (array, pages) = match direct {
            true => (target.clone(), Pages::There),
            false => (empty(py, number, shape)?, Pages::Fresh),
        };
        Ok(Self { target, array, pages })
    }

    /// The caller's array, filled.
    pub fn finish(self) -> PyResult<Array<'py>> {
        if !self.array.is(&self.target) {
            np(self.target.py())?.call_method1("copyto", (&self.target, &self.array))?;
        }
        Ok(self.target)
    }
}
