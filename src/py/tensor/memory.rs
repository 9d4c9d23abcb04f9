//! How a tensor lies in memory: strides given by hand, memory formats, and the methods that change its shape in place.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use std::sync::Arc;

use super::QTensor;
use super::axes::{one_or_more, shape_of};
use super::shape::integers;
use crate::array::{
    Array, Int, contiguous, data, describe, is_contiguous, len, strides_that_matter, tuple_text, view_of,
};
use crate::error::{Error, Result};

/// The order of axes in memory that a name of torch's stands for.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    /// In C order.
    Contiguous,
    /// Channels, the second axis, innermost; of this many dimensions.
    ChannelsLast(usize),
    /// As it is.
    Preserve,
}

impl Format {
    fn parse(object: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(object) = object else { return Ok(Self::Contiguous) };
        let text = object.str()?.to_string();
        match text.strip_prefix("torch.").unwrap_or(&text) {
            "contiguous_format" => Ok(Self::Contiguous),
            "channels_last" => Ok(Self::ChannelsLast(4)),
            "channels_last_3d" => Ok(Self::ChannelsLast(5)),
            "preserve_format" => Ok(Self::Preserve),
            _ => {
                let valid =
                    "\"contiguous_format\", \"channels_last\", \"channels_last_3d\" or \"preserve_format\"";
                Err(Error::value("memory_format", describe(object), valid).into())
            }
        }
    }

    /// The axes from the outermost in memory to the innermost, where they are not in order.
    fn order(self, shape: &[usize]) -> Result<Option<Vec<usize>>> {
        match self {
            Self::ChannelsLast(ndim) if shape.len() != ndim => Err(Error::value(
                "memory_format",
                if ndim == 4 { "channels_last" } else { "channels_last_3d" },
                format!("another for a tensor of shape {}: it has {ndim} dimensions", tuple_text(shape)),
            )),
            Self::ChannelsLast(ndim) => Ok(Some([0].into_iter().chain(2..ndim).chain([1]).collect())),
            _ => Ok(None),
        }
    }
}

/// Whether the axes lie in this order without gaps; lengths of 1 have no stride that matters.
fn lies_in_order(a: &Array<'_>, order: &[usize]) -> bool {
    let (shape, strides) = (a.shape(), strides_that_matter(a));
    let mut expected = a.dtype().itemsize() as isize;
    len(a) == 0
        || order.iter().rev().all(|&d| {
            let fits = shape[d] == 1 || strides[d] == expected;
            expected *= shape[d] as isize;
            fits
        })
}

/// The array at the bottom of a view, whose memory the view may look at.
fn storage<'py>(a: &Array<'py>) -> PyResult<Array<'py>> {
    let mut at = a.clone();
    while let Ok(base) = at.getattr("base")?.cast_into::<PyUntypedArray>() {
        at = base;
    }
    Ok(at)
}

/// The addresses of an array's memory: the first byte, and the one behind the last.
fn extent(a: &Array<'_>) -> (isize, isize) {
    let start = data(a) as isize;
    if len(a) == 0 {
        return (start, start);
    }
    let reach = |sign: isize| -> isize {
        a.shape().iter().zip(a.strides()).map(|(&n, &s)| (n as isize - 1) * s).filter(|r| r * sign > 0).sum()
    };
    (start + reach(-1), start + reach(1) + a.dtype().itemsize() as isize)
}

impl QTensor {
    /// The view of this tensor's memory with such lengths and strides (in elements), from an element on.
    fn strided(
        &self,
        py: Python<'_>,
        size: &[isize],
        stride: &[isize],
        offset: Option<isize>,
    ) -> PyResult<QTensor> {
        self.not_packed("as_strided")?;
        if self.single().is_none() {
            return Err(super::channels::mixed("as_strided()").into());
        }
        if size.len() != stride.len() {
            let valid = format!("as many numbers as size has, {}", size.len());
            return Err(Error::value("stride", format!("{stride:?}"), valid).into());
        }
        let negative = |arg: &str, all: &[isize]| match all.iter().find(|&&n| n < 0) {
            Some(n) => Err(Error::value(arg, n, "numbers from 0 on")),
            None => Ok(()),
        };
        negative("size", size)?;
        negative("stride", stride)?;
        let own = self.codes(py);
        let item = own.dtype().itemsize() as isize;
        let memory = storage(own)?;
        let (lowest, end) = extent(&memory);
        let start = match offset {
            Some(n) if n < 0 => return Err(Error::value("storage_offset", n, "at least 0").into()),
            Some(n) => n.checked_mul(item).and_then(|n| n.checked_add(lowest)),
            None => Some(data(own) as isize),
        };
        // One behind the last element that the view reaches.
        let reach = size.iter().zip(stride).try_fold(item, |sum, (&n, &s)| {
            (n - 1).max(0).checked_mul(s)?.checked_mul(item)?.checked_add(sum)
        });
        let none = size.contains(&0);
        let bytes = reach.zip(start).and_then(|(reach, start)| start.checked_add(reach));
        let fits = start.is_some_and(|s| s >= lowest) && (none || bytes.is_some_and(|b| b <= end));
        let (Some(start), true) = (start, fits) else {
            let what = format!("{size:?} with strides {stride:?}").replace('[', "(").replace(']', ")");
            let valid =
                format!("inside of the tensor's memory, which has {} elements", (end - lowest) / item);
            return Err(Error::value("size", what, valid).into());
        };
        let shape: Vec<usize> = size.iter().map(|&n| n as usize).collect();
        if shape.iter().try_fold(item, |n, &d| n.checked_mul(d as isize)).is_none() {
            return Err(Error::value("size", format!("{size:?}"), "of a product below 2**63").into());
        }
        let strides: Vec<isize> = stride.iter().map(|&s| s.wrapping_mul(item)).collect();
        let from = if none { 0 } else { start - data(own) as isize };
        // SAFETY: all elements lie between `lowest` and `end`, in memory that the base of `own` keeps alive.
        let view = unsafe { view_of(own, from, &shape, &strides)? };
        Ok(QTensor::from_parts(view, Arc::clone(self.quantizer()), None))
    }

    fn resized(&self, py: Python<'_>, size: &[isize]) -> PyResult<QTensor> {
        if let Some(n) = size.iter().find(|&&n| n < 0) {
            return Err(Error::value("size", n, "numbers from 0 on").into());
        }
        // The same lengths leave the strides as they are.
        if size.iter().map(|&n| n as usize).eq(self.dims(py).iter().copied()) {
            return Ok(self.again(py));
        }
        let numel = size.iter().try_fold(1isize, |n, &d| n.checked_mul(d));
        if numel == Some(self.len_of(py) as isize) && is_contiguous(self.codes(py)) {
            return self.reshaped(py, size, true);
        }
        let mut strides = vec![1isize; size.len()];
        for d in (1..size.len()).rev() {
            strides[d - 1] = strides[d].saturating_mul(size[d].max(1));
        }
        self.strided(py, size, &strides, None)
    }
}

#[pymethods]
impl QTensor {
    /// A view of the tensor's memory with lengths and strides given by hand, in elements. What would lie outside of
    /// the memory is refused.
    ///
    /// Parameters
    /// ----------
    /// size, stride : tuple of int
    /// storage_offset : int, optional
    ///     The element of the memory where the view begins; by default the tensor's first.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0, 3.0], 1.0, 0, qt.qint8)
    /// >>> q.as_strided((2, 2), (1, 1)).tolist()
    /// [[1.0, 2.0], [2.0, 3.0]]
    #[pyo3(signature = (size, stride, storage_offset=None))]
    fn as_strided(
        &self,
        py: Python<'_>,
        size: &Bound<'_, PyAny>,
        stride: &Bound<'_, PyAny>,
        storage_offset: Option<Int>,
    ) -> PyResult<QTensor> {
        let (size, stride) = (one_or_more(size, "size")?, one_or_more(stride, "stride")?);
        self.strided(py, &size, &stride, storage_offset.map(|n| n.0))
    }

    /// The tensor with another shape over the same memory, in place: fewer elements than the memory has are its first
    /// ones, more are refused.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0, 3.0, 4.0], 1.0, 0, qt.qint8)
    /// >>> q.resize_(3).tolist()
    /// [1.0, 2.0, 3.0]
    #[pyo3(signature = (*size))]
    fn resize_<'py>(slf: &Bound<'py, Self>, size: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, Self>> {
        let made = slf.get().resized(slf.py(), &integers(size, "size")?)?;
        Ok(Self::become_(slf, made))
    }

    /// The tensor with the shape of another one over the same memory, in place; see `resize_`.
    fn resize_as_<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let size = integers(&shape_of(other)?, "size")?;
        let made = slf.get().resized(slf.py(), &size)?;
        Ok(Self::become_(slf, made))
    }

    /// The same elements in another shape of as many; a view wherever possible.
    #[pyo3(signature = (*size))]
    fn resize(&self, py: Python<'_>, size: &Bound<'_, PyTuple>) -> PyResult<QTensor> {
        self.reshaped(py, &integers(size, "size")?, false)
    }

    /// The same elements in the shape of another tensor of as many; a view wherever possible.
    fn resize_as(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        let size = integers(&shape_of(other)?, "size")?;
        self.reshaped(py, &size, false)
    }

    /// Without the axes of length 1, or without one of them, in place.
    #[pyo3(signature = (dim=None))]
    fn squeeze_<'py>(slf: &Bound<'py, Self>, dim: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        let made = slf.get().squeeze(slf.py(), dim, None)?;
        Ok(Self::become_(slf, made))
    }

    /// With an axis of length 1 put in before `dim`, in place.
    fn unsqueeze_<'py>(slf: &Bound<'py, Self>, dim: isize) -> PyResult<Bound<'py, Self>> {
        let made = slf.get().unsqueeze(slf.py(), dim)?;
        Ok(Self::become_(slf, made))
    }

    /// Two axes swapped, in place.
    fn transpose_<'py>(slf: &Bound<'py, Self>, dim0: Int, dim1: Int) -> PyResult<Bound<'py, Self>> {
        let made = slf.get().swapdims(slf.py(), dim0, dim1)?;
        Ok(Self::become_(slf, made))
    }

    /// Two axes swapped, in place.
    fn swapaxes_<'py>(slf: &Bound<'py, Self>, axis0: Int, axis1: Int) -> PyResult<Bound<'py, Self>> {
        let made = slf.get().swapaxes(slf.py(), axis0, axis1)?;
        Ok(Self::become_(slf, made))
    }

    /// Two axes swapped, in place.
    fn swapdims_<'py>(slf: &Bound<'py, Self>, dim0: Int, dim1: Int) -> PyResult<Bound<'py, Self>> {
        Self::transpose_(slf, dim0, dim1)
    }

    /// A matrix with its axes swapped, in place.
    fn t_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let made = slf.get().t(slf.py())?;
        Ok(Self::become_(slf, made))
    }

    /// Whether the codes lie in C order without gaps; or in the order that `memory_format` names.
    #[pyo3(signature = (memory_format=None))]
    fn is_contiguous(&self, py: Python<'_>, memory_format: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let own = self.codes(py);
        Ok(match Format::parse(memory_format)? {
            Format::Contiguous => is_contiguous(own),
            Format::Preserve => true,
            Format::ChannelsLast(ndim) if own.ndim() != ndim => false,
            format => format.order(own.shape())?.is_some_and(|order| lies_in_order(own, &order)),
        })
    }

    /// The tensor itself where it is contiguous, else a copy that is.
    ///
    /// Parameters
    /// ----------
    /// memory_format : str, optional
    ///     "contiguous_format" (the default), "channels_last" or "channels_last_3d": strides for which the second axis
    ///     is the innermost in memory. The shape stays.
    ///
    /// >>> import numpy as np, quantray as qt
    /// >>> q = qt.quantize_per_tensor(np.zeros((1, 3, 2, 2)), 1.0, 0, qt.qint8)
    /// >>> q.contiguous(memory_format="channels_last").stride()
    /// (12, 1, 6, 3)
    #[pyo3(signature = (memory_format=None))]
    pub(super) fn contiguous<'py>(
        slf: &Bound<'py, Self>,
        memory_format: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let (py, me) = (slf.py(), slf.get());
        let own = me.codes(py);
        match Format::parse(memory_format)?.order(me.dims(py))? {
            None if is_contiguous(own) => Ok(slf.clone()),
            None => Bound::new(py, me.with_codes(contiguous(own)?)),
            Some(order) if me.packed().is_some() || lies_in_order(own, &order) => {
                me.not_packed("contiguous")?;
                Ok(slf.clone())
            }
            Some(order) => {
                let mut back = vec![0; order.len()];
                order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
                let moved = own.call_method1("transpose", (PyTuple::new(py, &order)?,))?;
                let copy = moved.call_method1("copy", ("C",))?;
                let codes = copy.call_method1("transpose", (PyTuple::new(py, back)?,))?;
                Bound::new(py, me.with_codes(codes.cast_into()?))
            }
        }
    }

    /// The axes from the outermost in memory to the innermost.
    fn dim_order<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let own = self.codes(py);
        let mut axes: Vec<usize> = (0..self.dims(py).len()).collect();
        if self.packed().is_none() {
            let (shape, strides) = (own.shape(), own.strides());
            axes.sort_by_key(|&d| std::cmp::Reverse((strides[d].unsigned_abs(), shape[d])));
        }
        PyTuple::new(py, axes)
    }

    /// What NumPy says of the memory: contiguous, writable, its own.
    #[getter]
    fn flags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.int_repr(py)?.getattr("flags")
    }

    /// The address of the first code.
    fn data_ptr(&self, py: Python<'_>) -> usize {
        data(self.codes(py)) as usize
    }

    /// The address of the first code.
    fn const_data_ptr(&self, py: Python<'_>) -> usize {
        self.data_ptr(py)
    }

    /// The bytes of the codes, in C order.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([1.0, 2.0], 1.0, 0, qt.quint8).tobytes()
    /// b'\x01\x02'
    fn tobytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.codes(py).call_method0(PyString::intern(py, "tobytes"))
    }
}
