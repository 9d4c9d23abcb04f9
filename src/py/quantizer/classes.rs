//! The classes that Python sees.

use std::sync::Arc;

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantray_core::display::python_float_repr;
use quantray_core::qparams::{QParams, Quantizer};

use super::{per_channel, per_tensor, scales_array, zero_points_array};
use crate::array::{Array, as_array, type_name};
use crate::create;
use crate::dtype::{PyDType, PyScheme, dtype_object, parse_dtype, scheme_object};
use crate::error::Error;
use crate::tensor::QTensor;

/// One scale and one zero point for a whole tensor. Immutable; equal where dtype, scheme and parameters are.
///
/// Parameters
/// ----------
/// scale : float
///     The size of one step; positive, at least the smallest normal float32.
/// zero_point : int
///     The code that stands for 0; a code of the dtype.
/// dtype : dtype
///     What the codes are: `qint8`, `quint8`, `qint32`, `quint4x2` or `quint2x4`.
/// qscheme : qscheme, optional
///     `per_tensor_affine` (the default) or `per_tensor_symmetric`.
///
/// >>> import quantray as qt
/// >>> qt.PerTensorAffineQuantizer(0.1, 10, qt.quint8).quantize([1.0, 2.0]).int_repr()
/// array([20, 30], dtype=uint8)
#[pyclass(module = "quantray", frozen)]
pub struct PerTensorAffineQuantizer {
    pub(super) inner: Arc<Quantizer>,
}

#[pymethods]
impl PerTensorAffineQuantizer {
    #[new]
    #[pyo3(signature = (scale, zero_point, dtype, qscheme=None))]
    fn new(
        scale: &Bound<'_, PyAny>,
        zero_point: &Bound<'_, PyAny>,
        dtype: &Bound<'_, PyAny>,
        qscheme: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self { inner: Arc::new(per_tensor(scale, zero_point, parse_dtype(dtype)?, qscheme)?) })
    }

    /// The size of one step.
    #[getter]
    fn scale(&self) -> f64 {
        match self.inner.params() {
            QParams::PerTensor { scale, .. } => *scale,
            _ => f64::NAN,
        }
    }

    /// The code that stands for 0.
    #[getter]
    fn zero_point(&self) -> i32 {
        match self.inner.params() {
            QParams::PerTensor { zero_point, .. } => *zero_point,
            _ => 0,
        }
    }

    /// What the codes are.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDType>> {
        dtype_object(py, self.inner.dtype())
    }

    /// `per_tensor_affine` or `per_tensor_symmetric`.
    #[getter]
    fn qscheme<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyScheme>> {
        scheme_object(py, self.inner.scheme())
    }

    /// The input as a QTensor with these parameters.
    fn quantize(&self, py: Python<'_>, input: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        create::quantize_with(py, input, &self.inner, None)
    }

    /// Codes, or a QTensor, as float32 values of the same shape.
    fn dequantize<'py>(&self, py: Python<'py>, codes: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        dequantize(py, &self.inner, codes)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|o| o.get().inner == self.inner)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        (self.scale(), self.zero_point(), self.inner.dtype().name(), self.inner.scheme().name())
            .into_pyobject(py)?
            .hash()
    }

    fn __repr__(&self) -> String {
        format!(
            "PerTensorAffineQuantizer(scale={}, zero_point={}, dtype={}, qscheme={})",
            python_float_repr(self.scale()),
            self.zero_point(),
            self.inner.dtype().name(),
            self.inner.scheme().name()
        )
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, me) = (slf.py(), slf.get());
        let args = (me.scale(), me.zero_point(), me.dtype(py)?, me.qscheme(py)?);
        Ok((slf.get_type().into_any(), args.into_pyobject(py)?))
    }
}

/// A scale and a zero point for each position along one axis. Immutable; equal where dtype, scheme, axis and
/// parameters are.
///
/// Parameters
/// ----------
/// scales : array_like of float, shape (channels,)
///     The size of one step, for each channel.
/// zero_points : array_like of int or float, shape (channels,), or a number
///     The code that stands for 0, for each channel; floats make it `per_channel_affine_float_qparams`.
/// axis : int
///     The axis of the channels, from 0.
/// dtype : dtype
///     What the codes are: `qint8`, `quint8`, `qint32`, `quint4x2` or `quint2x4`.
/// qscheme : qscheme, optional
///     `per_channel_affine` (the default), `per_channel_symmetric` or `per_channel_affine_float_qparams`.
///
/// >>> import quantray as qt
/// >>> z = qt.PerChannelAffineQuantizer([0.1, 0.01], [0, 0], 1, qt.qint8)
/// >>> z.quantize([[1.0, 1.0]]).int_repr()
/// array([[ 10, 100]], dtype=int8)
#[pyclass(module = "quantray", frozen)]
pub struct PerChannelAffineQuantizer {
    pub(super) inner: Arc<Quantizer>,
}

#[pymethods]
impl PerChannelAffineQuantizer {
    #[new]
    #[pyo3(signature = (scales, zero_points, axis, dtype, qscheme=None))]
    fn new(
        scales: &Bound<'_, PyAny>,
        zero_points: &Bound<'_, PyAny>,
        axis: usize,
        dtype: &Bound<'_, PyAny>,
        qscheme: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if axis >= 64 {
            return Err(Error::index("axis", axis, "from 0 to 63").into());
        }
        // Any input whose axis has as many channels fits; its other lengths do not matter here.
        let mut shape = vec![1; axis + 1];
        shape[axis] = as_array(scales)?.shape().first().copied().unwrap_or(1);
        let dtype = parse_dtype(dtype)?;
        Ok(Self { inner: Arc::new(per_channel(&shape, scales, zero_points, axis as isize, dtype, qscheme)?) })
    }

    /// The size of one step, for each channel: float64 (float32 beside float zero points), shape (channels,).
    #[getter]
    fn scales<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        scales_array(py, &self.inner)
    }

    /// The code that stands for 0, for each channel: int64 (float32 in the float scheme), shape (channels,).
    #[getter]
    fn zero_points<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        zero_points_array(py, &self.inner)
    }

    /// The axis of the channels.
    #[getter]
    fn axis(&self) -> usize {
        self.inner.axis().unwrap_or(0)
    }

    /// What the codes are.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDType>> {
        dtype_object(py, self.inner.dtype())
    }

    /// The scheme, one of the per-channel ones.
    #[getter]
    fn qscheme<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyScheme>> {
        scheme_object(py, self.inner.scheme())
    }

    /// The input as a QTensor with these parameters; it must have as many channels along `axis`.
    fn quantize(&self, py: Python<'_>, input: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        create::quantize_with(py, input, &self.inner, None)
    }

    /// Codes, or a QTensor, as float32 values of the same shape.
    fn dequantize<'py>(&self, py: Python<'py>, codes: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        dequantize(py, &self.inner, codes)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|o| o.get().inner == self.inner)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        let scales: Vec<f64> = self.scales(py)?.call_method0("tolist")?.extract()?;
        let zeros: Vec<f64> = self.zero_points(py)?.call_method0("tolist")?.extract()?;
        let key =
            (PyTuple::new(py, scales)?, PyTuple::new(py, zeros)?, self.axis(), self.inner.scheme().name());
        key.into_pyobject(py)?.hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let list = |a: Array<'_>| -> PyResult<String> { Ok(a.call_method0("tolist")?.str()?.to_string()) };
        Ok(format!(
            "PerChannelAffineQuantizer(scales={}, zero_points={}, axis={}, dtype={}, qscheme={})",
            list(self.scales(py)?)?,
            list(self.zero_points(py)?)?,
            self.axis(),
            self.inner.dtype().name(),
            self.inner.scheme().name()
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, me) = (slf.py(), slf.get());
        let args = (me.scales(py)?, me.zero_points(py)?, me.axis(), me.dtype(py)?, me.qscheme(py)?);
        Ok((slf.get_type().into_any(), args.into_pyobject(py)?))
    }
}

/// Codes (an integer array of the dtype's memory) or a QTensor, as values.
fn dequantize<'py>(
    py: Python<'py>,
    quantizer: &Arc<Quantizer>,
    codes: &Bound<'py, PyAny>,
) -> PyResult<Array<'py>> {
    if let Ok(q) = codes.cast::<QTensor>() {
        return q.get().dequantized(py);
    }
    let codes = codes
        .cast::<PyUntypedArray>()
        .map_err(|_| Error::type_("codes", type_name(codes), "an integer NumPy array or a QTensor"))?;
    create::adopt(codes, quantizer.clone(), None)?.dequantized(py)
}
