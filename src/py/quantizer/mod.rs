//! The quantizer objects, and how scales and zero points are read from what users pass.

mod classes;

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use quantray_core::display::QParamsText;
use quantray_core::qparams::{DType, QParams, Quantizer, Scheme};

pub use classes::*;

use super::array::{Array, as_array, axis_in, contiguous, elements, from_slice, integer, number};
use super::dtype::parse_scheme;
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
