//! The order of an array's axes in memory.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use quantray_core::affine::nan_in;

use crate::array::{Array, Element, as_float32, contiguous, elements, has_type, is_contiguous};
use crate::error::Error;

/// The axes of an array from the slowest to the fastest one in memory: results keep them, as NumPy's do, so that what
/// convolutions leave channels last is not turned around by each function after them.
pub struct Order(Vec<usize>);

impl Order {
    /// Where it is not the axes' own order, and the elements follow each other in it.
    pub fn of(array: &Array<'_>) -> Option<Self> {
        if is_contiguous(array) {
            return None;
        }
        let (shape, strides) = (array.shape(), array.strides());
        let mut axes: Vec<usize> = (0..array.ndim()).collect();
        axes.sort_by_key(|&axis| std::cmp::Reverse(strides[axis]));
        let mut step = array.dtype().itemsize() as isize;
        for &axis in axes.iter().rev().filter(|&&axis| shape[axis] != 1) {
            if strides[axis] != step {
                return None;
            }
            step *= shape[axis] as isize;
        }
        Some(Self(axes))
    }

    /// `error`, or, where it may be NaN among floats that were looked through in this order, the same with its place in
    /// the order of the axes.
    pub fn of_error(error: PyErr, floats: &Array<'_>, arg: &str) -> PyErr {
        match contiguous(floats) {
            Ok(x) if elements::<f32>(&x).iter().any(|x| x.is_nan()) => {
                Error(nan_in(elements(&x)).named(arg, x.shape())).into()
            }
            _ => error,
        }
    }

    /// The array with its axes in this order.
    pub fn of_memory<'py>(&self, array: &Array<'py>) -> PyResult<Array<'py>> {
        Ok(array.call_method1("transpose", (&self.0,))?.cast_into()?)
    }

    /// The array with its axes as they were.
    pub fn of_axes<'py>(&self, array: &Array<'py>) -> PyResult<Array<'py>> {
        let mut back = vec![0; self.0.len()];
        self.0.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        Ok(array.call_method1("transpose", (back,))?.cast_into()?)
    }
}

/// What [`as_float32`] takes, but strides of float32 are kept: what lies channels last is not turned around.
pub fn strided_float32<'py>(object: &Bound<'py, PyAny>, arg: &str) -> PyResult<Array<'py>> {
    match object.cast::<PyUntypedArray>() {
        Ok(array) if has_type(array, f32::TYPE) => Ok(array.clone()),
        _ => as_float32(object, arg),
    }
}
