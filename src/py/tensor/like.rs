//! Tensors made from a tensor: copies, fresh ones like it, and functions that keep its scale.

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use quantray_core::qparams::{QParams, Quantizer};

use super::QTensor;
use crate::array::{Array, as_float32, code_type, contiguous, describe, empty, np, number, tuple_text};
use crate::create::{code_shape, quantize_array};
use crate::dtype::parse_dtype;
use crate::error::Error;
use crate::ops::clamped;
use crate::quantizer::{per_channel, per_tensor};

impl QTensor {
    /// A contiguous tensor like this one, uninitialized.
    fn fresh(&self, py: Python<'_>) -> PyResult<QTensor> {
        let shape = self.dims(py);
        let dtype = self.quantizer().dtype();
        let codes = empty(py, code_type(dtype), &code_shape(dtype, shape)?)?;
        Ok(self.with_codes(codes))
    }

    /// A contiguous copy.
    pub(super) fn copied(&self, py: Python<'_>) -> PyResult<QTensor> {
        Ok(self.with_codes(self.codes(py).call_method1("copy", ("C",))?.cast_into()?))
    }

    /// The codes of one value in every channel: of no dimensions per tensor, else with the channels along their
    /// axis, so that NumPy broadcasts it.
    fn codes_of<'py>(&self, py: Python<'py>, value: f64, arg: &str) -> PyResult<Array<'py>> {
        let shape: Vec<usize> = match (self.quantizer().axis(), self.quantizer().params().channels()) {
            (Some(axis), Some(n)) => {
                (0..self.dims(py).len()).map(|d| if d == axis { n } else { 1 }).collect()
            }
            _ => vec![],
        };
        let shape = pyo3::types::PyTuple::new(py, shape)?;
        let values = as_float32(&np(py)?.call_method1("full", (shape, value, "float32"))?, arg)?;
        quantize_array(py, &values, self.quantizer(), None, arg)?.element_codes(py)
    }

    /// Values from `min` to `max`, on this tensor's grid.
    fn clamped(&self, py: Python<'_>, min: Option<f64>, max: Option<f64>) -> PyResult<QTensor> {
        let bound = |value: Option<f64>, arg| value.map(|v| self.codes_of(py, v, arg)).transpose();
        let (min, max) = (bound(min, "min")?, bound(max, "max")?);
        if self.quantizer().axis().is_none() {
            let code = |bound: &Option<Array<'_>>, none| {
                bound.as_ref().map_or(Ok(none), |bound| bound.call_method0("item")?.extract::<i32>())
            };
            let range = (code(&min, i32::MIN)?, code(&max, i32::MAX)?);
            if let Some(codes) = clamped(self, py, range)? {
                return Ok(self.with_codes(codes));
            }
        }
        let mut codes = self.element_codes(py)?.into_any();
        for (name, bound) in [("maximum", min), ("minimum", max)] {
            if let Some(bound) = bound {
                codes = np(py)?.call_method1(name, (codes, bound))?;
            }
        }
        QTensor::wrap(crate::array::as_array(&codes)?, Arc::clone(self.quantizer()))
    }

    /// A float that float32 may round to infinity, as NumPy's cast does without a warning.
    fn bound(value: Option<&Bound<'_, PyAny>>, arg: &str) -> PyResult<Option<f64>> {
        value.map(|v| Ok(f64::from(number(v, arg)? as f32))).transpose()
    }

    /// Another tensor's, or an array's, values as codes of this tensor.
    pub(super) fn recoded<'py>(
        &self,
        other: &Bound<'py, PyAny>,
        quantizer: &Arc<Quantizer>,
        arg: &str,
    ) -> PyResult<Array<'py>> {
        let py = other.py();
        if let Ok(q) = other.cast::<QTensor>()
            && q.get().quantizer() == quantizer
        {
            return q.get().element_codes(py);
        }
        quantize_array(py, &as_float32(other, arg)?, quantizer, None, arg)?.element_codes(py)
    }
}

#[pymethods]
impl QTensor {
    /// A contiguous copy with memory of its own.
    fn clone(&self, py: Python<'_>) -> PyResult<QTensor> {
        self.copied(py)
    }

    /// A tensor of the same shape, dtype and parameters, whose codes are whatever memory holds.
    #[staticmethod]
    pub(super) fn empty_like(input: &Bound<'_, QTensor>) -> PyResult<QTensor> {
        input.get().fresh(input.py())
    }

    /// A tensor of the same shape, dtype and parameters that holds the value 0 everywhere.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0], 0.5, 3, qt.quint8)
    /// >>> qt.QTensor.zeros_like(q).int_repr()
    /// array([3], dtype=uint8)
    #[staticmethod]
    pub(super) fn zeros_like(input: &Bound<'_, QTensor>) -> PyResult<QTensor> {
        Self::full_like(input, 0.0f64.into_pyobject(input.py())?.as_any())
    }

    /// A tensor of the same shape, dtype and parameters that holds one value everywhere.
    #[staticmethod]
    pub(super) fn full_like(input: &Bound<'_, QTensor>, fill_value: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        let py = input.py();
        let value = number(fill_value, "fill_value")?;
        let like = input.get();
        let spread = np(py)?
            .call_method1("broadcast_to", (like.codes_of(py, value, "fill_value")?, like.shape(py)?))?;
        QTensor::wrap(spread.call_method1("copy", ("C",))?.cast_into()?, Arc::clone(like.quantizer()))
    }

    /// The same values with another scale and zero point: dequantized, then quantized.
    ///
    /// Parameters
    /// ----------
    /// scale : float, or array_like of float, shape (channels,)
    ///     Numbers for channels need an `axis`.
    /// zero_point : int, or array_like of int, shape (channels,)
    /// dtype : dtype, optional
    ///     This tensor's, by default.
    /// axis : int, optional
    ///     The axis of the channels.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0], 1.0, 0, qt.qint8)
    /// >>> q.requantize(0.5, 10, qt.quint8).int_repr()
    /// array([12, 14], dtype=uint8)
    #[pyo3(signature = (scale, zero_point, dtype=None, *, axis=None))]
    fn requantize(
        &self,
        py: Python<'_>,
        scale: &Bound<'_, PyAny>,
        zero_point: &Bound<'_, PyAny>,
        dtype: Option<&Bound<'_, PyAny>>,
        axis: Option<isize>,
    ) -> PyResult<QTensor> {
        let dtype = dtype.map_or(Ok(self.quantizer().dtype()), parse_dtype)?;
        let quantizer = match axis {
            Some(axis) => per_channel(self.dims(py), scale, zero_point, axis, dtype, None)?,
            None => per_tensor(scale, zero_point, dtype, None)?,
        };
        quantize_array(py, &self.dequantized(py)?, &Arc::new(quantizer), None, "the tensor")
    }

    /// Negative values replaced by 0.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([-1.0, 1.0], 0.5, 0, qt.qint8).relu().tolist()
    /// [0.0, 1.0]
    pub(super) fn relu(&self, py: Python<'_>) -> PyResult<QTensor> {
        self.clamped(py, Some(0.0), None)
    }

    /// Values below `min` replaced by it, and those above `max`; both rounded to the tensor's grid.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([-1.0, 1.0, 3.0], 0.5, 0, qt.qint8).clamp(0.0, 2.0).tolist()
    /// [0.0, 1.0, 2.0]
    #[pyo3(signature = (min=None, max=None))]
    pub(super) fn clamp(
        &self,
        py: Python<'_>,
        min: Option<&Bound<'_, PyAny>>,
        max: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<QTensor> {
        let (min, max) = (Self::bound(min, "min")?, Self::bound(max, "max")?);
        if min.is_none() && max.is_none() {
            return Err(Error::value("min", "None, as max", "given, or max, or both").into());
        }
        self.clamped(py, min, max)
    }

    /// This tensor's elements where `condition` holds, `other`'s elsewhere, requantized to this tensor's scale.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    /// >>> q.where(q > 1.5, 0.0).tolist()
    /// [0.0, 2.0]
    #[pyo3(name = "where")]
    pub(super) fn where_<'py>(
        &self,
        py: Python<'py>,
        condition: &Bound<'py, PyAny>,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<QTensor> {
        let condition = np(py)?.call_method1("asarray", (condition,))?.cast_into::<PyUntypedArray>()?;
        if condition.dtype().kind() != b'b' {
            let got = format!("dtype {}", condition.dtype());
            return Err(Error::type_("condition", got, "an array of bool").into());
        }
        let codes = match self.quantizer().params() {
            QParams::PerTensor { .. } => self.recoded(other, self.quantizer(), "other")?,
            // Quantized channel by channel, so in this tensor's shape.
            _ => {
                let values = super::index::broadcast(&as_float32(other, "other")?, self.dims(py))?;
                self.recoded(values.as_any(), self.quantizer(), "other")?
            }
        };
        let own = self.element_codes(py)?;
        let chosen = np(py)?.call_method1("where", (&condition, &own, codes)).map_err(|_| {
            let valid = format!("one that broadcasts with {}", tuple_text(own.shape()));
            Error::value("condition", tuple_text(condition.shape()), valid)
        })?;
        let chosen: Array<'_> = chosen.cast_into()?;
        if self.quantizer().axis().is_some() && chosen.shape() != self.dims(py) {
            return Err(Error::value(
                "condition",
                describe(&condition),
                "of the tensor's shape, per channel",
            )
            .into());
        }
        QTensor::wrap(contiguous(&chosen)?, Arc::clone(self.quantizer()))
    }
}
