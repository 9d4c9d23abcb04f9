//! Which channel each element of a view belongs to.
//!
//! The channel axis is followed through an operation by doing the same to an array of channel numbers: it has the
//! tensor's shape, a stride along the channel axis and none along the others. What NumPy makes of it tells where
//! the channels went, whatever the operation.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::qparams::Quantizer;

use super::QTensor;
use crate::array::{Array, contiguous, data, elements, from_slice, view_of};
use crate::error::Error;

const ITEM: isize = size_of::<i64>() as isize;

impl QTensor {
    /// For a per-channel tensor, the number of each element's channel, as an int64 array without memory of its own.
    pub(super) fn channel_numbers<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
        self.quantizer.axis().map(|axis| numbered(py, self.dims(py), axis)).transpose()
    }

    /// The tensor that an operation makes which only moves elements: `op` is done to the codes and, where there
    /// are channels, to their numbers. It makes views.
    pub(super) fn through<'py>(
        &self,
        py: Python<'py>,
        op: impl Fn(&Array<'py>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<QTensor> {
        let moved: Array<'py> = op(self.codes(py))?.cast_into()?;
        Ok(QTensor::from_parts(moved, self.follow(py, op)?, None))
    }

    /// The quantizer that belongs to the view that `op` makes.
    pub(super) fn follow<'py>(
        &self,
        py: Python<'py>,
        op: impl Fn(&Array<'py>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Arc<Quantizer>> {
        let Some(numbers) = self.channel_numbers(py)? else { return Ok(Arc::clone(&self.quantizer)) };
        let view: Array<'py> = op(&numbers)?.cast_into()?;
        // The address tells the number, also in a view without elements, which has nothing to read.
        let first = data(&view) as isize - data(&numbers) as isize;
        let number = |i: usize, stride: isize| ((first + i as isize * stride) / ITEM) as usize;
        let along: Vec<usize> = (0..view.ndim()).filter(|&d| view.strides()[d] != 0).collect();
        match along[..] {
            // One channel is left: a scale and a zero point of its own.
            [] => Ok(Arc::new(self.quantizer.channel(number(0, 0)).map_err(Error)?)),
            [axis] => {
                let stride = view.strides()[axis];
                let kept: Vec<usize> = (0..view.shape()[axis]).map(|i| number(i, stride)).collect();
                Ok(self.keep(&kept, axis))
            }
            _ => Err(mixed("this view").into()),
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
        match self.picked(numbers, selected)? {
            Picked::One(channel) => Ok(Arc::new(self.quantizer.channel(channel).map_err(Error)?)),
            Picked::Along(axis, kept) => Ok(self.keep(&kept, axis)),
            Picked::Mixed => Err(mixed("this index").into()),
        }
    }

    /// The same where an index picks nothing: `shape` is what it gives, `numbers` those of a like index that picks
    /// one element along each of the other axes.
    pub(super) fn follow_nothing(
        &self,
        shape: &[usize],
        numbers: &Array<'_>,
        selected: bool,
    ) -> PyResult<Arc<Quantizer>> {
        let none = self.quantizer.params().channels() == Some(0);
        match self.picked(numbers, selected)? {
            Picked::One(channel) if !none => Ok(Arc::new(self.quantizer.channel(channel).map_err(Error)?)),
            Picked::Along(axis, kept) if !none && shape[axis] == kept.len() => Ok(self.keep(&kept, axis)),
            Picked::Along(axis, _) if shape[axis] == 0 => Ok(self.keep(&[], axis)),
            _ => Ok(self.keep(&[], shape.iter().position(|&n| n == 0).unwrap_or(0))),
        }
    }

    fn picked(&self, numbers: &Array<'_>, selected: bool) -> PyResult<Picked> {
        let shape = numbers.shape().to_vec();
        let numbers = contiguous(numbers)?;
        let numbers = elements::<i64>(&numbers);
        let Some(&first) = numbers.first() else { return Ok(Picked::Mixed) };
        if selected {
            return Ok(Picked::One(first as usize));
        }
        // The axis that the numbers change along, if there is just one; they stay where they were if none does.
        let old = self.quantizer.axis().unwrap_or(0);
        let axes = (old < shape.len()).then_some(old).into_iter().chain(0..shape.len());
        for axis in axes {
            let inner: usize = shape[axis + 1..].iter().product();
            let kept: Vec<usize> = (0..shape[axis]).map(|i| numbers[i * inner] as usize).collect();
            let fits = numbers.iter().enumerate().all(|(i, &n)| n as usize == kept[i / inner % shape[axis]]);
            if fits {
                return Ok(Picked::Along(axis, kept));
            }
        }
        match numbers.iter().all(|&n| n == first) {
            true => Ok(Picked::One(first as usize)),
            false => Ok(Picked::Mixed),
        }
    }
}

/// An array of a shape where each element is its position along an axis.
pub(super) fn numbered<'py>(py: Python<'py>, shape: &[usize], axis: usize) -> PyResult<Array<'py>> {
    let numbers: Vec<i64> = (0..shape[axis] as i64).collect();
    let base = from_slice(py, &numbers)?;
    let strides: Vec<isize> = (0..shape.len()).map(|d| if d == axis { ITEM } else { 0 }).collect();
    // SAFETY: the only stride walks over the numbers, as many as the axis is long.
    unsafe { view_of(&base, 0, shape, &strides) }
}

/// Where the channels are in elements that were picked one by one.
enum Picked {
    /// All are of one channel.
    One(usize),
    /// An axis, and the channel at each of its positions.
    Along(usize, Vec<usize>),
    Mixed,
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
