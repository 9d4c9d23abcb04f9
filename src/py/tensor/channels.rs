//! Which channel each element of a view belongs to.
//!
//! The channel axis is followed through an operation by doing the same to an array of channel numbers: it has the
//! tensor's shape, a stride along the channel axis and none along the others. What NumPy makes of it tells where
//! the channels went, whatever the operation.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;

use super::QTensor;
use crate::error::{Error, Result};
use crate::py::array::{Array, contiguous, data, elements, from_slice, view_of};
use crate::qparams::Quantizer;

const ITEM: isize = size_of::<i64>() as isize;

impl QTensor {
    /// For a per-channel tensor, the number of each element's channel, as an int64 array without memory of its own.
    pub(super) fn channel_numbers<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
        let (Some(axis), Some(n)) = (self.quantizer.axis(), self.quantizer.params().channels()) else {
            return Ok(None);
        };
        let numbers: Vec<i64> = (0..n as i64).collect();
        let base = from_slice(py, &numbers)?;
        let shape = self.dims(py);
        let strides: Vec<isize> = (0..shape.len()).map(|d| if d == axis { ITEM } else { 0 }).collect();
        // SAFETY: the only stride walks over the n numbers, as many as the axis is long.
        Ok(Some(unsafe { view_of(&base, 0, shape, &strides)? }))
    }

    /// The tensor that an operation makes which only moves elements: `op` is done to the codes and, where there
    /// are channels, to their numbers. The result is a view wherever NumPy's is.
    pub(super) fn through<'py>(
        &self,
        py: Python<'py>,
        op: impl Fn(&Array<'py>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<QTensor> {
        let moved: Array<'py> = op(self.codes(py))?.cast_into()?;
        let quantizer = match self.channel_numbers(py)? {
            None => Arc::clone(&self.quantizer),
            Some(numbers) => self.follow(&op(&numbers)?.cast_into()?)?,
        };
        Ok(QTensor::from_parts(moved, quantizer, None))
    }

    /// The quantizer that belongs to a view, from the view of the channel numbers.
    pub(super) fn follow(&self, numbers: &Array<'_>) -> Result<Arc<Quantizer>> {
        let along: Vec<usize> = (0..numbers.ndim()).filter(|&d| numbers.strides()[d] != 0).collect();
        // SAFETY: NumPy's own view of the numbers: its elements lie `stride` apart.
        let at = |i: usize, stride: isize| unsafe {
            data(numbers).offset(i as isize * stride).cast::<i64>().read() as usize
        };
        match along[..] {
            // One channel is left: a scale and a zero point of its own.
            [] if numbers.shape().contains(&0) => Ok(Arc::new(self.quantizer.channel(0)?)),
            [] => Ok(Arc::new(self.quantizer.channel(at(0, 0))?)),
            [axis] => {
                let stride = numbers.strides()[axis];
                let kept: Vec<usize> = (0..numbers.shape()[axis])
                    .map(|i| if numbers.shape().contains(&0) { i } else { at(i, stride) })
                    .collect();
                Ok(self.keep(&kept, axis))
            }
            _ => Err(mixed("this view")),
        }
    }

    /// The quantizer for the channels `kept`, along `axis`.
    fn keep(&self, kept: &[usize], axis: usize) -> Arc<Quantizer> {
        let all = self.quantizer.params().channels() == Some(kept.len())
            && kept.iter().enumerate().all(|(i, &k)| i == k);
        match all {
            true if self.quantizer.axis() == Some(axis) => Arc::clone(&self.quantizer),
            true => Arc::new(self.quantizer.with_axis(axis)),
            false => Arc::new(self.quantizer.take(kept).with_axis(axis)),
        }
    }

    /// The quantizer that belongs to elements picked one by one, from the number of each one's channel; `selected`
    /// where the index holds one number for the channel axis.
    pub(super) fn follow_picked(&self, numbers: &Array<'_>, selected: bool) -> PyResult<Arc<Quantizer>> {
        let shape = numbers.shape().to_vec();
        let numbers = contiguous(numbers)?;
        let numbers = elements::<i64>(&numbers);
        let old = self.quantizer.axis().unwrap_or(0);
        let Some(&first) = numbers.first() else {
            // Nothing was picked; any channels fit that are as many as the axis is long.
            return match shape.get(old) {
                Some(&n) if Some(n) == self.quantizer.params().channels() => Ok(Arc::clone(&self.quantizer)),
                Some(0) => Ok(self.keep(&[], old)),
                _ => Err(mixed("this index").into()),
            };
        };
        if selected {
            return Ok(Arc::new(self.quantizer.channel(first as usize)?));
        }
        // The axis that the numbers change along, if there is just one; they stay where they were if none does.
        let axes = (old < shape.len()).then_some(old).into_iter().chain(0..shape.len());
        for axis in axes {
            let inner: usize = shape[axis + 1..].iter().product();
            let kept: Vec<usize> = (0..shape[axis]).map(|i| numbers[i * inner] as usize).collect();
            let fits = numbers.iter().enumerate().all(|(i, &n)| n as usize == kept[i / inner % shape[axis]]);
            if fits {
                return Ok(self.keep(&kept, axis));
            }
        }
        match numbers.iter().all(|&n| n == first) {
            true => Ok(Arc::new(self.quantizer.channel(first as usize)?)),
            false => Err(mixed("this index").into()),
        }
    }
}

/// The error for elements of several channels that do not lie along one axis.
pub(super) fn mixed(what: &str) -> Error {
    Error::unsupported(
        format!(
            "{what} would mix channels, which have scales of their own, so the result has no channel axis"
        ),
        "index the channel axis on its own, or call dequantize() first",
    )
}
