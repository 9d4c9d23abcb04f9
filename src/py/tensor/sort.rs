//! Sorting along an axis. Scales are positive, so codes sort as their values do.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use quantray_core::gemm::Codes;
use quantray_core::ops::{argsort, gather};

use super::QTensor;
use super::reduce::values_and_indices;
use super::shape::keeps_channels;
use crate::array::{
    Array, Element, Int, axis_in, contiguous, elements, elements_mut, empty, has_type, np, with_moved_axis,
};
use crate::error::{Error, Result};
use crate::run::kernel;

impl QTensor {
    /// The positions that sort the codes along an axis; equal ones keep their order.
    fn order<'py>(
        &self,
        py: Python<'py>,
        codes: &Array<'py>,
        axis: usize,
        descending: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(rows) = Rows::of(codes, axis)? {
            return rows.order(descending);
        }
        let options = PyDict::new(py);
        options.set_item("axis", axis)?;
        options.set_item("kind", "stable")?;
        // The complement reverses the order of signed and of unsigned integers, and never overflows.
        let keys = match descending {
            true => np(py)?.call_method1("invert", (codes,))?,
            false => codes.clone().into_any(),
        };
        np(py)?.call_method("argsort", (keys,), Some(&options))
    }

    /// The axis to sort along, and the codes with at least one dimension.
    fn sortable<'py>(
        &self,
        py: Python<'py>,
        dim: isize,
        axis: Option<isize>,
        what: &str,
    ) -> PyResult<(usize, Array<'py>)> {
        let name = if axis.is_some() { "axis" } else { "dim" };
        let ndim = self.dims(py).len();
        let codes = self.element_codes(py)?;
        if ndim == 0 {
            axis_in(name, axis.unwrap_or(dim), 1)?;
            return Ok((0, codes.call_method1("reshape", (1,))?.cast_into()?));
        }
        let at = axis_in(name, axis.unwrap_or(dim), ndim)?;
        keeps_channels(self, Some(at), &format!("{what}() along the channel axis"))?;
        Ok((at, codes))
    }

    fn shaped_back<'py>(&self, py: Python<'py>, made: Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        let made: Array<'py> = made.cast_into()?;
        match self.dims(py).is_empty() && made.ndim() == 1 && made.shape()[0] == 1 {
            true => Ok(made.call_method1("reshape", ((),))?.cast_into()?),
            false => Ok(made),
        }
    }
}

/// Long rows of bytes, which are sorted by counting: faster than NumPy, and heard when somebody interrupts.
struct Rows<'py> {
    /// With the axis as the last one.
    codes: Array<'py>,
    axis: usize,
}

/// Shorter rows are NumPy's.
const LONG: usize = 1 << 12;

impl<'py> Rows<'py> {
    fn of(codes: &Array<'py>, axis: usize) -> PyResult<Option<Self>> {
        if codes.shape()[axis] < LONG || !(has_type(codes, i8::TYPE) || has_type(codes, u8::TYPE)) {
            return Ok(None);
        }
        let codes = contiguous(&with_moved_axis(codes, axis, codes.ndim() - 1)?)?;
        Ok(Some(Self { codes, axis }))
    }

    fn length(&self) -> usize {
        self.codes.shape()[self.codes.ndim() - 1]
    }

    fn order(&self, descending: bool) -> PyResult<Bound<'py, PyAny>> {
        let (py, n) = (self.codes.py(), self.length());
        let made = empty(py, i64::TYPE, self.codes.shape())?;
        let to = elements_mut::<i64>(&made);
        let codes = match has_type(&self.codes, i8::TYPE) {
            true => Codes::I8(elements(&self.codes)),
            false => Codes::U8(elements(&self.codes)),
        };
        kernel(py, to.len(), "the tensor", &[], || argsort(codes, n, descending, to))?;
        Ok(with_moved_axis(&made, made.ndim() - 1, self.axis)?.into_any())
    }

    /// The codes at these positions.
    fn gather(&self, order: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, n) = (self.codes.py(), self.length());
        let order = contiguous(&with_moved_axis(order.cast()?, self.axis, self.codes.ndim() - 1)?)?;
        let signed = has_type(&self.codes, i8::TYPE);
        let made = empty(py, if signed { i8::TYPE } else { u8::TYPE }, self.codes.shape())?;
        let at = elements::<i64>(&order);
        match signed {
            true => {
                let (from, to) = (elements::<i8>(&self.codes), elements_mut(&made));
                kernel(py, at.len(), "the tensor", &[], || gather(from, n, at, to))?;
            }
            false => {
                let (from, to) = (elements::<u8>(&self.codes), elements_mut(&made));
                kernel(py, at.len(), "the tensor", &[], || gather(from, n, at, to))?;
            }
        }
        Ok(with_moved_axis(&made, made.ndim() - 1, self.axis)?.into_any())
    }
}

fn check_k(k: isize, n: usize) -> Result<usize> {
    usize::try_from(k)
        .ok()
        .filter(|&k| k <= n)
        .ok_or_else(|| Error::value("k", k, format!("from 0 to the length of the axis, {n}")))
}

#[pymethods]
impl QTensor {
    /// The elements in order along an axis, and the positions that they had: `(values, indices)`. Equal elements
    /// keep their order.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([3.0, 1.0, 2.0], 1.0, 0, qt.qint8)
    /// >>> values, indices = q.sort(descending=True)
    /// >>> values.tolist(), indices
    /// ([3.0, 2.0, 1.0], array([0, 2, 1]))
    #[pyo3(
        signature = (dim=-1, descending=false, stable=true, *, axis=None),
        text_signature = "($self, dim=-1, descending=False, stable=True, *, axis=None)"
    )]
    fn sort<'py>(
        &self,
        py: Python<'py>,
        dim: isize,
        descending: bool,
        stable: bool,
        axis: Option<isize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = stable; // Always: it costs nothing on integers.
        let (at, codes) = self.sortable(py, dim, axis, "sort")?;
        let order = self.order(py, &codes, at, descending)?;
        let sorted = match Rows::of(&codes, at)? {
            Some(rows) => rows.gather(&order)?,
            None => np(py)?.call_method1("take_along_axis", (&codes, &order, at))?,
        };
        let values = QTensor::wrap(self.shaped_back(py, sorted)?, Arc::clone(self.quantizer()))?;
        values_and_indices(py, values, self.shaped_back(py, order)?.into_any())
    }

    /// The positions that sort the elements along an axis, int64. Equal elements keep their order.
    #[pyo3(
        signature = (dim=-1, descending=false, stable=true, *, axis=None),
        text_signature = "($self, dim=-1, descending=False, stable=True, *, axis=None)"
    )]
    fn argsort<'py>(
        &self,
        py: Python<'py>,
        dim: isize,
        descending: bool,
        stable: bool,
        axis: Option<isize>,
    ) -> PyResult<Array<'py>> {
        let _ = stable;
        let mixes =
            self.quantizer().axis() == axis_in("dim", axis.unwrap_or(dim), self.dims(py).len().max(1)).ok();
        if mixes && self.quantizer().axis().is_some() {
            // Codes of different channels do not compare; their values do, and positions need no scale.
            let values = self.dequantized(py)?;
            let keys =
                if descending { np(py)?.call_method1("negative", (values,))? } else { values.into_any() };
            return Ok(np(py)?
                .call_method1("argsort", (keys, axis.unwrap_or(dim), "stable"))?
                .cast_into()?);
        }
        let (at, codes) = self.sortable(py, dim, axis, "argsort")?;
        let order = self.order(py, &codes, at, descending)?;
        self.shaped_back(py, order)
    }

    /// The `k` largest (or smallest) elements along an axis, in order, and their positions: `(values, indices)`.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([3.0, 1.0, 2.0], 1.0, 0, qt.qint8).topk(2).values.tolist()
    /// [3.0, 2.0]
    #[pyo3(
        signature = (k, dim=-1, largest=true, sorted=true, *, axis=None),
        text_signature = "($self, k, dim=-1, largest=True, sorted=True, *, axis=None)"
    )]
    fn topk<'py>(
        &self,
        py: Python<'py>,
        k: Int,
        dim: isize,
        largest: bool,
        sorted: bool,
        axis: Option<isize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = sorted; // Always.
        let (at, codes) = self.sortable(py, dim, axis, "topk")?;
        let k = check_k(k.0, codes.shape()[at])?;
        let order = self.order(py, &codes, at, largest)?;
        let kept = np(py)?.call_method1("take", (order, np(py)?.call_method1("arange", (k,))?, at))?;
        let values = np(py)?.call_method1("take_along_axis", (&codes, &kept, at))?;
        let values = QTensor::wrap(self.shaped_back(py, values)?, Arc::clone(self.quantizer()))?;
        values_and_indices(py, values, self.shaped_back(py, kept)?.into_any())
    }
}
