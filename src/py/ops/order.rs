//! The order of an array's axes in memory.

use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::py::array::{Array, is_contiguous};

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
