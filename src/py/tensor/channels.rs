//! Which channel each element of a view belongs to.
//!
//! The channel axis is followed through an operation by doing the same to an array of channel numbers: it has the
//! tensor's shape, a stride along the channel axis and none along the others. What NumPy makes of it tells where
//! the channels went, whatever the operation.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use quantray_core::qparams::Quantizer;

use super::QTensor;
use crate::array::{Array, as_array, contiguous, data, elements, from_slice, len, view_of};
use crate::error::{Error, Result};

const ITEM: isize = size_of::<i64>() as isize;

impl QTensor {
    /// For a per-channel tensor, the number of each element's channel, as an int64 array without memory of its own.
    pub(super) fn channel_numbers<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
        self.quantizer().axis().map(|axis| numbered(py, self.dims(py), axis)).transpose()
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

    /// The tensor that an operation makes which moves elements, into a view or into memory of its own. What is packed
    /// is unpacked for it and packed again.
    pub(super) fn moved<'py>(
        &self,
        py: Python<'py>,
        what: &str,
        op: impl Fn(&Array<'py>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<QTensor> {
        let made = as_array(&op(&self.element_codes(py)?)?)?;
        let numbers = self.channel_numbers(py)?;
        let moved = numbers.as_ref().map(|n| as_array(&op(n)?)).transpose()?;
        let quantizer = match numbers.zip(moved) {
            None => Some(Arc::clone(self.quantizer())),
            Some((numbers, moved)) => self.follow_moved(&numbers, &moved)?,
        };
        QTensor::wrap(made, quantizer.ok_or_else(|| mixed(what))?)
    }

    /// The quantizer that belongs to what an operation made of this tensor's channel `numbers`, a view of them or
    /// not; none where it mixed channels.
    pub(super) fn follow_moved(
        &self,
        numbers: &Array<'_>,
        moved: &Array<'_>,
    ) -> PyResult<Option<Arc<Quantizer>>> {
        let channels = self.quantizer().params().channels().unwrap_or(0) as isize;
        let inside = (0..channels.max(1) * ITEM).contains(&(data(moved) as isize - data(numbers) as isize));
        if inside {
            return Ok(self.follow_view(numbers, moved)?);
        }
        if len(moved) > 0 {
            return match self.follow_picked(moved, false) {
                Ok(quantizer) => Ok(Some(quantizer)),
                Err(e) if e.is_instance_of::<PyValueError>(moved.py()) => Ok(None),
                Err(e) => Err(e),
            };
        }
        // Nothing tells where the channels went: they stay where they were if they fit, else there are none.
        let shape = moved.shape();
        let own = self.quantizer().axis().filter(|&axis| shape.get(axis) == Some(&(channels as usize)));
        Ok(match own.or_else(|| shape.iter().position(|&n| n == channels as usize)) {
            Some(axis) => Some(Arc::new(self.quantizer().with_axis(axis))),
            None => shape.iter().position(|&n| n == 0).map(|axis| self.keep(&[], axis)),
        })
    }

    /// The quantizer that belongs to the view that `op` makes.
    pub(super) fn follow<'py>(
        &self,
        py: Python<'py>,
        op: impl Fn(&Array<'py>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Arc<Quantizer>> {
        let Some(numbers) = self.channel_numbers(py)? else { return Ok(Arc::clone(self.quantizer())) };
        let view: Array<'py> = op(&numbers)?.cast_into()?;
        Ok(self.follow_view(&numbers, &view)?.ok_or_else(|| mixed("this view"))?)
    }

    /// The quantizer that belongs to a view of this tensor's channel numbers; none where it mixes channels.
    fn follow_view(&self, numbers: &Array<'_>, view: &Array<'_>) -> Result<Option<Arc<Quantizer>>> {
        // The address tells the number, also in a view without elements, which has nothing to read.
        let first = data(view) as isize - data(numbers) as isize;
        let number = |i: usize, stride: isize| ((first + i as isize * stride) / ITEM) as usize;
        let along: Vec<usize> = (0..view.ndim()).filter(|&d| view.strides()[d] != 0).collect();
        match along[..] {
            // One channel is left: a scale and a zero point of its own.
            [] => Ok(Some(Arc::new(self.quantizer().channel(number(0, 0))?))),
            [axis] => {
                let stride = view.strides()[axis];
                let kept: Vec<usize> = (0..view.shape()[axis]).map(|i| number(i, stride)).collect();
                Ok(Some(self.keep(&kept, axis)))
            }
            _ => Ok(None),
        }
    }

    /// The quantizer for the channels `kept`, along `axis`.
    fn keep(&self, kept: &[usize], axis: usize) -> Arc<Quantizer> {
        let all = self.quantizer().params().channels() == Some(kept.len())
            && kept.iter().enumerate().all(|(i, &k)| i == k);
        match all {
            true if self.quantizer().axis() == Some(axis) => Arc::clone(self.quantizer()),
            true => Arc::new(self.quantizer().with_axis(axis)),
            false => Arc::new(self.quantizer().take(kept).with_axis(axis)),
        }
    }

    /// The quantizer that belongs to elements picked one by one, from the number of each one's channel; `selected`
    /// where the index holds one number for the channel axis.
    pub(super) fn follow_picked(&self, numbers: &Array<'_>, selected: bool) -> PyResult<Arc<Quantizer>> {
        match self.picked(numbers, selected)? {
            Picked::One(channel) => Ok(Arc::new(self.quantizer().channel(channel).map_err(Error)?)),
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
        let none = self.quantizer().params().channels() == Some(0);
        match self.picked(numbers, selected)? {
            Picked::One(channel) if !none => Ok(Arc::new(self.quantizer().channel(channel).map_err(Error)?)),
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
        let old = self.quantizer().axis().unwrap_or(0);
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
