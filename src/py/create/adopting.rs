//! Quantized tensors of integers, whose memory they adopt.

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use quantray_core::qparams::{DType, Quantizer};

use crate::array::{
    Array, Int, as_array, code_type, describe, fresh_view, has_type, is_contiguous, len, lengths, tuple_text,
};
use crate::dtype::parse_dtype;
use crate::error::{Error, Result};
use crate::quantizer;
use crate::tensor::QTensor;

/// A tensor over the memory of an integer array, without a copy. Packed dtypes need the `size` of the tensor
/// where it does not end at a byte's end.
pub fn adopt(codes: &Array<'_>, quantizer: Arc<Quantizer>, size: Option<Vec<usize>>) -> PyResult<QTensor> {
    let dtype = quantizer.dtype();
    if !has_type(codes, code_type(dtype)) {
        let valid = format!("{} in native byte order for {}", dtype.numpy_name(), dtype.name());
        return Err(Error::type_("input", format!("dtype {}", codes.dtype()), valid).into());
    }
    if !dtype.is_packed() {
        if let Some(size) = size.filter(|s| s != codes.shape()) {
            return Err(Error::value(
                "size",
                tuple_text(&size),
                format!("the input's, {}", tuple_text(codes.shape())),
            )
            .into());
        }
        quantizer.check_shape(codes.shape()).map_err(Error)?;
        return Ok(QTensor::from_parts(fresh_view(codes)?, quantizer, None));
    }
    if codes.ndim() != 1 || !is_contiguous(codes) {
        let valid = format!("one-dimensional and contiguous: the packed bytes of a {} tensor", dtype.name());
        return Err(Error::value("input", tuple_text(codes.shape()), valid).into());
    }
    let per_byte = dtype.elements_per_item();
    let size = size.unwrap_or_else(|| vec![len(codes) * per_byte]);
    let numel = size.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if numel.map(|n| n.div_ceil(per_byte)) != Some(len(codes)) {
        let valid = format!("one whose elements fill the {} bytes of the input", len(codes));
        return Err(Error::value("size", tuple_text(&size), valid).into());
    }
    quantizer.check_shape(&size).map_err(Error)?;
    Ok(QTensor::from_parts(fresh_view(codes)?, quantizer, Some(size.into())))
}

/// The dtype of a tensor that adopts an integer array: the array's, or the packed one that was asked for.
fn adopted_dtype(codes: &Array<'_>, dtype: Option<&Bound<'_, PyAny>>) -> PyResult<DType> {
    if let Some(dtype) = dtype {
        return parse_dtype(dtype);
    }
    let known = [DType::QInt8, DType::QUInt8, DType::QInt32];
    Ok(known.into_iter().find(|&d| has_type(codes, code_type(d))).ok_or_else(|| {
        let kind = codes.dtype().kind();
        let advice = match kind {
            b'i' | b'u' | b'b' => {
                "int8, uint8 or int32 in native byte order: the memory is adopted, never copied in silence, so \
                 convert it first, for example with .astype(np.uint8)"
            }
            _ => "int8, uint8 or int32: floats are quantized with quantize_per_tensor",
        };
        Error::type_("input", format!("dtype {}", codes.dtype()), advice)
    })?)
}

/// An array whose memory a tensor can adopt.
fn adoptable<'py>(input: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
    if let Ok(a) = input.cast::<PyUntypedArray>() {
        return Ok(a.clone());
    }
    if input.is_instance_of::<PyList>() || input.is_instance_of::<PyTuple>() || input.extract::<f64>().is_ok()
    {
        let valid =
            "an integer array whose memory can be adopted, for example np.array(values, dtype=np.uint8)";
        return Err(Error::type_("input", describe(input), valid).into());
    }
    as_array(input)
}

/// A quantized tensor over the memory of an integer array, without a copy.
///
/// Writing to one shows in the other. A read-only array gives a read-only tensor.
///
/// Parameters
/// ----------
/// input : ndarray of int8, uint8 or int32, any shape
///     The codes; its dtype decides the tensor's.
/// scale : float
///     The size of one step.
/// zero_point : int
///     The code that stands for 0.
/// qscheme : qscheme, optional
///     `per_tensor_affine` (the default) or `per_tensor_symmetric`.
/// dtype : dtype, optional
///     Needed only for `quint4x2` and `quint2x4`, whose packed bytes are a flat uint8 array.
/// size : tuple of int, optional
///     The shape of a packed tensor; by default all elements of the bytes, flat.
///
/// Returns
/// -------
/// QTensor
///
/// >>> import numpy as np, quantray as qt
/// >>> ints = np.array([22, 58, 31], dtype=np.uint8)
/// >>> q = qt.make_per_tensor_quantized_tensor(ints, 1e-2, 0)
/// >>> q[0] = 0.444
/// >>> ints
/// array([44, 58, 31], dtype=uint8)
///
/// Source: `torch._make_per_tensor_quantized_tensor`.
#[pyfunction]
#[pyo3(signature = (input, scale, zero_point, *, qscheme=None, dtype=None, size=None))]
pub fn make_per_tensor_quantized_tensor<'py>(
    input: &Bound<'py, PyAny>,
    scale: &Bound<'py, PyAny>,
    zero_point: &Bound<'py, PyAny>,
    qscheme: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    size: Option<Vec<Int>>,
) -> PyResult<QTensor> {
    let size = lengths(size, "size")?;
    let codes = adoptable(input)?;
    let dtype = adopted_dtype(&codes, dtype)?;
    adopt(&codes, Arc::new(quantizer::per_tensor(scale, zero_point, dtype, qscheme)?), size)
}

/// A quantized tensor over the memory of an integer array, with a scale and a zero point for each channel.
///
/// Parameters
/// ----------
/// input : ndarray of int8, uint8 or int32
///     The codes; its dtype decides the tensor's. The memory is adopted without a copy.
/// scales : array_like of float, shape (channels,), or a number for all
///     The size of one step, for each channel.
/// zero_points : array_like of int, shape (channels,), or a number for all
///     The code that stands for 0, for each channel; floats make it `per_channel_affine_float_qparams`.
/// axis : int
///     The axis of the channels; counted from the end where negative.
/// qscheme, dtype, size
///     As in `make_per_tensor_quantized_tensor`.
///
/// Returns
/// -------
/// QTensor
///
/// >>> import numpy as np, quantray as qt
/// >>> ints = np.array([[10, 20], [10, 20]], dtype=np.int8)
/// >>> qt.make_per_channel_quantized_tensor(ints, [0.1, 1.0], [0, 0], 0).tolist()
/// [[1.0, 2.0], [10.0, 20.0]]
///
/// Source: `torch._make_per_channel_quantized_tensor`.
#[pyfunction]
#[pyo3(signature = (input, scales, zero_points, axis, *, qscheme=None, dtype=None, size=None))]
pub fn make_per_channel_quantized_tensor<'py>(
    input: &Bound<'py, PyAny>,
    scales: &Bound<'py, PyAny>,
    zero_points: &Bound<'py, PyAny>,
    axis: isize,
    qscheme: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    size: Option<Vec<Int>>,
) -> PyResult<QTensor> {
    let size = lengths(size, "size")?;
    let codes = adoptable(input)?;
    let dtype = adopted_dtype(&codes, dtype)?;
    let whole = [len(&codes) * dtype.elements_per_item()];
    let shape = match (&size, dtype.is_packed()) {
        (Some(size), _) => size,
        (None, true) => &whole[..],
        (None, false) => codes.shape(),
    };
    let quantizer = quantizer::per_channel(shape, scales, zero_points, axis, dtype, qscheme)?;
    adopt(&codes, Arc::new(quantizer), size)
}

/// How many units of memory the codes of a tensor of this shape fill.
pub fn code_shape(dtype: DType, shape: &[usize]) -> Result<Vec<usize>> {
    if !dtype.is_packed() {
        return Ok(shape.to_vec());
    }
    let numel = shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .ok_or_else(|| Error::value("size", tuple_text(shape), "small enough to be addressed"))?;
    Ok(vec![numel.div_ceil(dtype.elements_per_item())])
}
