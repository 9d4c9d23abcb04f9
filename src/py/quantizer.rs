//! The quantizer objects, and how scales and zero points are read from what users pass.

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantray_core::display::{QParamsText, python_float_repr};
use quantray_core::qparams::{DType, QParams, Quantizer, Scheme};

use super::array::{Array, as_array, axis_in, contiguous, elements, from_slice, integer, number};
use super::create;
use super::dtype::{PyDType, PyScheme, dtype_object, parse_dtype, parse_scheme, scheme_object};
use super::tensor::QTensor;
use crate::error::{Error, Result};

const PER_TENSOR: [Scheme; 2] = [Scheme::PerTensorAffine, Scheme::PerTensorSymmetric];
const PER_CHANNEL: [Scheme; 3] =
    [Scheme::PerChannelAffine, Scheme::PerChannelSymmetric, Scheme::PerChannelAffineFloatQParams];

/// The quantizer that one scale and one zero point make.
pub fn per_tensor(
    scale: &Bound<'_, PyAny>,
    zero_point: &Bound<'_, PyAny>,
    dtype: DType,
    qscheme: Option<&Bound<'_, PyAny>>,
) -> PyResult<Quantizer> {
    let symmetric = parse_scheme(qscheme, &PER_TENSOR)?.is_some_and(Scheme::is_symmetric);
    Ok(Quantizer::per_tensor(dtype, number(scale, "scale")?, integer(zero_point, "zero_point")?, symmetric)
        .map_err(Error)?)
}

/// One number, or one for each channel.
enum Shared<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: Clone> Shared<T> {
    /// One for each of `n` channels.
    fn expand(self, n: usize, arg: &str, axis: usize) -> Result<Vec<T>> {
        match self {
            Self::One(v) => Ok(vec![v; n]),
            Self::Many(v) if v.len() == n => Ok(v),
            Self::Many(v) => {
                let valid = format!("one number, or as many as the input has along axis {axis}, {n}");
                Err(Error::value(arg, format!("{} numbers", v.len()), valid))
            }
        }
    }
}

/// Numbers from a scalar or a one-dimensional array, as NumPy casts them to `T` by name.
fn numbers<T: super::array::Element>(object: &Array<'_>, arg: &str) -> PyResult<Shared<T>> {
    let a = contiguous(&object.call_method1("astype", (T::NAME,))?.cast_into()?)?;
    match a.ndim() {
        0 => Ok(Shared::One(elements::<T>(&a)[0])),
        1 => Ok(Shared::Many(elements::<T>(&a).to_vec())),
        n => Err(Error::value(arg, format!("{n} dimensions"), "a number or one-dimensional").into()),
    }
}

fn real_array<'py>(object: &Bound<'py, PyAny>, arg: &str) -> PyResult<Array<'py>> {
    let a = as_array(object)?;
    if b"iuf".contains(&a.dtype().kind()) {
        return Ok(a);
    }
    Err(Error::type_(arg, format!("dtype {}", a.dtype()), "a number or an array of numbers").into())
}

/// Zero points: integers as they are, floats that hold integers where integers are asked for.
fn integers(a: &Array<'_>, arg: &str) -> PyResult<Shared<i64>> {
    if a.dtype().kind() == b'f' {
        let whole = match numbers::<f64>(a, arg)? {
            Shared::One(v) => vec![v],
            Shared::Many(v) => v,
        };
        if let Some(i) = whole.iter().position(|v| v.fract() != 0.0 || !v.is_finite()) {
            return Err(Error::type_(format!("{arg}[{i}]"), whole[i], "an integer").into());
        }
    } else if a.dtype().kind() == b'u' && a.dtype().itemsize() == 8 {
        let largest = a.call_method0("max")?.extract::<u64>().unwrap_or(0);
        if largest > i64::MAX as u64 {
            return Err(Error::value(arg, largest, "64-bit signed integers").into());
        }
    }
    numbers::<i64>(a, arg)
}

/// The quantizer that scales and zero points along `axis` make, for an input of this shape.
pub fn per_channel(
    shape: &[usize],
    scales: &Bound<'_, PyAny>,
    zero_points: &Bound<'_, PyAny>,
    axis: isize,
    dtype: DType,
    qscheme: Option<&Bound<'_, PyAny>>,
) -> PyResult<Quantizer> {
    per_channel_in(shape, scales, zero_points, axis, dtype, parse_scheme(qscheme, &PER_CHANNEL)?)
}

/// The same in a given scheme; without one, the zero points decide.
pub fn per_channel_in(
    shape: &[usize],
    scales: &Bound<'_, PyAny>,
    zero_points: &Bound<'_, PyAny>,
    axis: isize,
    dtype: DType,
    scheme: Option<Scheme>,
) -> PyResult<Quantizer> {
    let axis = axis_in("axis", axis, shape.len())?;
    let n = shape[axis];
    let scales = real_array(scales, "scales")?;
    let zeros = real_array(zero_points, "zero_points")?;
    // As in torch, float zero points ask for the scheme that keeps them, where the dtype has it; whole ones are
    // integers elsewhere.
    let float = match scheme {
        Some(s) => s == Scheme::PerChannelAffineFloatQParams,
        None if matches!(dtype, DType::QInt8 | DType::QInt32) && integers(&zeros, "zero_points").is_ok() => {
            false
        }
        None => zeros.dtype().kind() == b'f',
    };
    Ok(if float {
        let scales = numbers::<f32>(&scales, "scales")?.expand(n, "scales", axis)?;
        let zeros = numbers::<f32>(&zeros, "zero_points")?.expand(n, "zero_points", axis)?;
        Quantizer::per_channel_float(dtype, &scales, &zeros, axis).map_err(Error)?
    } else {
        let scales = numbers::<f64>(&scales, "scales")?.expand(n, "scales", axis)?;
        let zeros = integers(&zeros, "zero_points")?.expand(n, "zero_points", axis)?;
        Quantizer::per_channel(dtype, &scales, &zeros, axis, scheme.is_some_and(Scheme::is_symmetric))
            .map_err(Error)?
    })
}

/// The object that a user sees for a quantizer.
pub fn object<'py>(py: Python<'py>, quantizer: &Arc<Quantizer>) -> PyResult<Bound<'py, PyAny>> {
    let inner = Arc::clone(quantizer);
    Ok(match quantizer.axis() {
        None => Bound::new(py, PerTensorAffineQuantizer { inner })?.into_any(),
        Some(_) => Bound::new(py, PerChannelAffineQuantizer { inner })?.into_any(),
    })
}

/// The parameters as the text of a tensor shows them. The integers are widened into `zero_points`.
pub fn text<'a>(params: &'a QParams, zero_points: &'a mut Vec<i64>) -> QParamsText<'a> {
    match params {
        QParams::PerTensor { scale, zero_point } => {
            QParamsText::PerTensor { scale: *scale, zero_point: i64::from(*zero_point) }
        }
        QParams::PerChannel { scales, zero_points: narrow, axis } => {
            zero_points.extend(narrow.iter().map(|&z| i64::from(z)));
            QParamsText::PerChannel { scales, zero_points, axis: *axis }
        }
        QParams::PerChannelFloat { scales, zero_points, axis } => {
            QParamsText::PerChannelFloat { scales, zero_points, axis: *axis }
        }
    }
}

/// The scales of a per-channel quantizer as a fresh array: float64, or float32 beside float zero points.
pub fn scales_array<'py>(py: Python<'py>, quantizer: &Quantizer) -> PyResult<Array<'py>> {
    match quantizer.params() {
        QParams::PerTensor { scale, .. } => from_slice::<f64>(py, &[*scale]),
        QParams::PerChannel { scales, .. } => from_slice::<f64>(py, scales),
        QParams::PerChannelFloat { scales, .. } => from_slice::<f32>(py, scales),
    }
}

/// The zero points of a per-channel quantizer as a fresh array: int64, or float32.
pub fn zero_points_array<'py>(py: Python<'py>, quantizer: &Quantizer) -> PyResult<Array<'py>> {
    let wide = |z: &[i32]| z.iter().map(|&z| i64::from(z)).collect::<Vec<_>>();
    match quantizer.params() {
        QParams::PerTensor { zero_point, .. } => from_slice::<i64>(py, &[i64::from(*zero_point)]),
        QParams::PerChannel { zero_points, .. } => from_slice::<i64>(py, &wide(zero_points)),
        QParams::PerChannelFloat { zero_points, .. } => from_slice::<f32>(py, zero_points),
    }
}

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
    inner: Arc<Quantizer>,
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
    inner: Arc<Quantizer>,
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
    let codes = codes.cast::<PyUntypedArray>().map_err(|_| {
        Error::type_("codes", super::array::type_name(codes), "an integer NumPy array or a QTensor")
    })?;
    create::adopt(codes, quantizer.clone(), None)?.dequantized(py)
}
