//! Products of matrices that are both new in every call.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantray_core::arch::Isa;
use quantray_core::gemm::{Activations, Finish, PackedWeights, Results, WeightParams, multiply};
use quantray_core::qparams::{DType, Quantizer};

use super::matrices::{Operand, activation, integers, weight};
use crate::array::{Array, Element, Output, elements_mut, empty, integer, np, number, tuple_text};
use crate::create::{quantize_array, quantize_to_range};
use crate::dtype::parse_dtype;
use crate::error::Error;
use crate::run::kernel;
use crate::tensor::{Given, QTensor};

const NOTHING: Finish<'static> =
    Finish { bias: None, int_bias: None, relu: false, slopes: None, residual: None };

/// The product of two integer matrices, exactly.
///
/// Parameters
/// ----------
/// a : array_like
///     Shape (M, K), int8 or uint8, of any strides.
/// b : array_like
///     Shape (K, N), int8 or uint8, of any strides.
/// out : numpy.ndarray, optional
///     Shape (M, N), int32: where the product goes.
///
/// Returns
/// -------
/// numpy.ndarray
///     Shape (M, N), int32.
///
/// Raises
/// ------
/// ValueError
///     For shapes that do not fit, and where a sum of products could leave 32 bits.
///
/// >>> import numpy as np, quantray as qt
/// >>> qt.ops.int_mm(np.array([[1, 2]], np.uint8), np.array([[3], [-4]], np.int8))
/// array([[-5]], dtype=int32)
///
/// Source: `torch._int_mm`, ONNX `MatMulInteger`.
#[pyfunction]
#[pyo3(signature = (a, b, *, out=None))]
pub fn int_mm<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (a, b) = (integers(a, "a")?, integers(b, "b")?);
    let shape = match (a.shape(), b.shape()) {
        (&[m, k], &[depth, n]) if k == depth => [m, n],
        (&[_, k], other) => {
            return Err(
                Error::value("b", tuple_text(other), format!("of shape ({k}, N), as deep as a")).into()
            );
        }
        (other, _) => return Err(Error::value("a", tuple_text(other), "of shape (M, K)").into()),
    };
    let output = Output::new::<i32>(py, out, &shape, &a)?;
    let output = match out.is_some() && crate::array::overlap(&output.array, &b) {
        true => Output::new::<i32>(py, None, &shape, &a)?,
        false => output,
    };
    let params = WeightParams { scales: &[1.0], zero_points: &[0] };
    product(py, &a, &b, (&[1.0], &[0]), params, "b", Results::Sums(elements_mut(&output.array)))?;
    if let Some(out) = out
        && !output.array.is(out)
    {
        np(py)?.call_method1("copyto", (out, output.finish()?))?;
        return Ok(out.clone());
    }
    Ok(output.finish()?.into_any())
}

/// One product of two-dimensional arrays of codes.
fn product<'py>(
    py: Python<'py>,
    a: &Array<'py>,
    b: &Array<'py>,
    (scales, zero_points): (&[f32], &[i32]),
    params: WeightParams<'_>,
    arg: &str,
    results: Results<'_>,
) -> PyResult<()> {
    let (a, b) = (Operand::new(a)?, Operand::new(b)?);
    let x = Activations { codes: a.matrix().into(), scales, zero_points };
    let weights = b.matrix().transposed();
    let work = x.codes.rows() * weights.rows() * weights.columns() / 16;
    kernel(py, work, arg, &[], || {
        // A sum that could leave 32 bits is an error of its own.
        match PackedWeights::new(Isa::current(), weights, params) {
            Ok(packed) => multiply(&x, &packed, &NOTHING, results).map(Ok),
            Err(e) => Ok(Err(e)),
        }
    })?
    .map_err(Error)?;
    Ok(())
}

/// The matrix product of two quantized tensors: their integers are multiplied, exactly, and the result is quantized
/// again.
///
/// Parameters
/// ----------
/// a : QTensor
///     Shape (..., M, K), or (K,); qint8 or quint8, quantized per tensor.
/// b : QTensor
///     Shape (..., K, N), or (K,); qint8 or quint8, quantized per tensor, or, with two dimensions, per channel along
///     its last axis.
/// scale, zero_point : float and int, optional
///     Of the result. Without them they are chosen from its range, as `quantize_per_tensor_dynamic` does.
/// dtype : optional
///     Of the result; by default that of `a`.
///
/// Returns
/// -------
/// QTensor
///     Shape (..., M, N): leading axes are broadcast, as `numpy.matmul` does.
///
/// >>> import quantray as qt
/// >>> a = qt.quantize_per_tensor([[1.0, 2.0]], 1.0, 0, qt.qint8)
/// >>> qt.ops.matmul(a, a.T, scale=1.0, zero_point=0).tolist()
/// [[5.0]]
///
/// Source: `torch.ops.quantized.matmul`.
#[pyfunction]
#[pyo3(signature = (a, b, scale=None, zero_point=None, dtype=None))]
pub fn matmul<'py>(
    py: Python<'py>,
    a: Given<'py>,
    b: Given<'py>,
    scale: Option<&Bound<'py, PyAny>>,
    zero_point: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
) -> PyResult<QTensor> {
    let (a, b) = (&*a, &*b);
    let dtype = dtype.map_or(Ok(a.get().quantizer().dtype()), parse_dtype)?;
    if let (None, Some(z)) = (scale, zero_point) {
        return Err(Error::value("zero_point", z, "given with scale, or not at all").into());
    }
    let quantizer = match scale {
        None => None,
        Some(scale) => {
            let zero_point = zero_point.map_or(Ok(0), |z| integer(z, "zero_point"))?;
            Some(Arc::new(
                Quantizer::per_tensor(dtype, number(scale, "scale")?, zero_point, false).map_err(Error)?,
            ))
        }
    };
    let values = float_product(py, a.get(), b.get())?;
    match quantizer {
        None => quantize_to_range(py, &values, dtype, false),
        Some(quantizer) => quantize_array(py, &values, &quantizer, None, "the product"),
    }
}

/// Whether two tensors can be multiplied as integers: 8 bits, and no channels, or none that the sum runs over.
pub fn multiplies(py: Python<'_>, a: &QTensor, b: &QTensor) -> bool {
    let eight = |q: &QTensor| matches!(q.quantizer().dtype(), DType::QInt8 | DType::QUInt8);
    let last = |axis| axis == 1 && b.codes(py).ndim() == 2;
    eight(a) && eight(b) && a.quantizer().axis().is_none() && b.quantizer().axis().is_none_or(last)
}

/// The product's values: exact sums times their scale.
fn float_product<'py>(py: Python<'py>, a: &QTensor, b: &QTensor) -> PyResult<Array<'py>> {
    let (scale, zero_point) = activation(a, "a")?;
    let last = b.codes(py).ndim().saturating_sub(1);
    let (w_scales, w_zeros) = weight(b, last, "b")?;
    let params = WeightParams { scales: &w_scales, zero_points: &w_zeros };
    let (scales, zero_points) = ([scale], [zero_point]);
    let np = np(py)?;
    // As in NumPy: a vector is a row on the left and a column on the right, and its axis is left out of the result.
    let (left, right) = (a.codes(py), b.codes(py));
    let (a_vector, b_vector) = (left.ndim() == 1, right.ndim() == 1);
    let left: Array<'py> = np.call_method1("atleast_2d", (left,))?.cast_into()?;
    let right: Array<'py> = match b_vector {
        true => right.call_method1("reshape", (-1, 1))?.cast_into()?,
        false => right.clone(),
    };
    let no = || {
        let valid = format!(
            "of shape (..., {}, N), with leading axes that broadcast",
            left.shape().last().unwrap_or(&0)
        );
        Error::value("b", tuple_text(b.codes(py).shape()), valid)
    };
    if a.codes(py).ndim() == 0 || right.ndim() < 2 {
        return Err(Error::value("a and b", "a number", "of at least one dimension").into());
    }
    let (m, k) = (left.shape()[left.ndim() - 2], left.shape()[left.ndim() - 1]);
    let (depth, n) = (right.shape()[right.ndim() - 2], right.shape()[right.ndim() - 1]);
    if k != depth {
        return Err(no().into());
    }
    let leading = |x: &Array<'py>| PyTuple::new(py, &x.shape()[..x.ndim() - 2]);
    let batch: Vec<usize> = np
        .call_method1("broadcast_shapes", (leading(&left)?, leading(&right)?))
        .map_err(|_| no())?
        .extract()?;
    let spread = |x: &Array<'py>, rows: usize, columns: usize| -> PyResult<Array<'py>> {
        let shape: Vec<usize> = batch.iter().copied().chain([rows, columns]).collect();
        Ok(np.call_method1("broadcast_to", (x, PyTuple::new(py, shape)?))?.cast_into()?)
    };
    let shape: Vec<usize> = batch.iter().copied().chain([m, n]).collect();
    let made = empty(py, f32::TYPE, &shape)?;
    let to = elements_mut::<f32>(&made);
    if w_scales.len() > 1 && right.ndim() > 2 {
        let got = format!("{} with channels", tuple_text(right.shape()));
        return Err(Error::value("b", got, "of two dimensions, or quantized per tensor").into());
    }
    let params_of_x = (&scales[..], &zero_points[..]);
    if right.ndim() == 2 {
        // All rows of the left one meet the same columns: one product.
        let rows: Array<'py> = match left.ndim() {
            2 => left.clone(),
            _ => left.call_method1("reshape", (batch.iter().product::<usize>() * m, k))?.cast_into()?,
        };
        product(py, &rows, &right, params_of_x, params, "b", Results::Floats(to))?;
    } else {
        let (left, right) = (spread(&left, m, k)?, spread(&right, k, n)?);
        for (i, to) in to.chunks_mut((m * n).max(1)).enumerate() {
            let mut rest = i;
            let mut at: Vec<usize> = batch
                .iter()
                .rev()
                .map(|&length| {
                    let here = rest % length;
                    rest /= length;
                    here
                })
                .collect();
            at.reverse();
            let at = PyTuple::new(py, at)?;
            let one = |x: &Array<'py>| -> PyResult<Array<'py>> { Ok(x.get_item(&at)?.cast_into()?) };
            product(py, &one(&left)?, &one(&right)?, params_of_x, params, "b", Results::Floats(to))?;
        }
    }
    let kept: Vec<usize> =
        batch.iter().copied().chain((!a_vector).then_some(m)).chain((!b_vector).then_some(n)).collect();
    Ok(made.call_method1("reshape", (PyTuple::new(py, kept)?,))?.cast_into()?)
}
