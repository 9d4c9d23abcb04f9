//! Tensors of 32 bits under functions of elements: their values by the float operation, quantized again.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::ops::{Binary, Function};
use quantray_core::qparams::{DType, QParams, Quantizer};

use super::elementwise::{Fixed, Wanted};
use crate::array::{Array, Element, elements, elements_mut, elements_over, empty, integer, len, np, number};
use crate::create::quantize_array;
use crate::dtype::parse_dtype;
use crate::error::Error;
use crate::run::kernel;
use crate::tensor::QTensor;

/// Whether codes have 32 bits.
pub(super) fn is_wide(q: &QTensor) -> bool {
    q.quantizer().dtype() == DType::QInt32
}

/// What a result shall be: what was asked for, or else `default` in the input's dtype.
fn result(q: &QTensor, wanted: &Wanted<'_, '_>, default: Option<(f64, i32)>) -> PyResult<Arc<Quantizer>> {
    let dtype = wanted.dtype.map_or(Ok(q.quantizer().dtype()), parse_dtype)?;
    if dtype.is_packed() {
        return Err(Error::value("dtype", dtype.name(), "qint8, quint8 or qint32").into());
    }
    let (scale, zero_point) = match (wanted.scale, wanted.zero_point, default) {
        (Some(scale), zero_point, _) => {
            (number(scale, "scale")?, zero_point.map_or(Ok(0), |z| integer(z, "zero_point"))?)
        }
        (None, Some(z), _) => {
            return Err(Error::value("zero_point", z, "given with scale, or not at all").into());
        }
        (None, None, Some((scale, zero_point))) if dtype == q.quantizer().dtype() => {
            (scale, i64::from(zero_point))
        }
        (None, None, _) => {
            return Err(
                Error::type_("scale", "None", format!("given for an output of {}", dtype.name())).into()
            );
        }
    };
    Ok(Arc::new(Quantizer::per_tensor(dtype, scale, zero_point, false).map_err(Error)?))
}

/// A function of each element.
pub(super) fn unary<'py>(
    input: &Bound<'py, QTensor>,
    function: Function,
    wanted: Wanted<'_, 'py>,
    fixed: Option<Fixed>,
) -> PyResult<QTensor> {
    let (py, q) = (input.py(), input.get());
    let own = match q.quantizer().params() {
        QParams::PerTensor { scale, zero_point } => Some((*scale, *zero_point)),
        _ => None,
    };
    let quantizer = result(q, &wanted, fixed.map(|fixed| fixed(DType::QInt32)).or(own))?;
    let values = q.dequantized(py)?;
    let made = empty(py, f32::TYPE, values.shape())?;
    let (from, to) = (elements::<f32>(&values), elements_mut::<f32>(&made));
    kernel(py, 16 * from.len(), "input", values.shape(), || {
        to.iter_mut().zip(from).for_each(|(to, &x)| {
            to.write(function.of(x));
        });
        Ok(())
    })?;
    quantize_array(py, &made, &quantizer, wanted.out, "the result")
}

/// An operation of two tensors, which are broadcast.
pub(super) fn two<'py>(
    op: Binary,
    (a, b): (&QTensor, &QTensor),
    wanted: &Wanted<'_, 'py>,
    relu: bool,
    py: Python<'py>,
) -> PyResult<QTensor> {
    let quantizer = result(a, wanted, None)?;
    let (x, y) = super::elementwise::broadcast(&a.dequantized(py)?, &b.dequantized(py)?)?;
    let name = match op {
        Binary::Add => "add",
        Binary::Sub => "subtract",
        Binary::Mul => "multiply",
    };
    let made = np(py)?.call_method1(name, (x, y))?;
    let made: Array<'py> = np(py)?.call_method1("ascontiguousarray", (made,))?.cast_into()?;
    let made: Array<'py> = made.call_method1("reshape", (shape_of(a, b, &made)?,))?.cast_into()?;
    if relu && len(&made) > 0 {
        elements_over::<f32>(&made).iter_mut().for_each(|v| *v = v.max(0.0));
    }
    quantize_array(py, &made, &quantizer, wanted.out, "the result")
}

/// The shape of a result: `ascontiguousarray` makes one dimension of none.
fn shape_of(a: &QTensor, b: &QTensor, made: &Array<'_>) -> PyResult<Vec<usize>> {
    let py = made.py();
    let none = a.dims(py).is_empty() && b.dims(py).is_empty();
    Ok(if none { vec![] } else { made.shape().to_vec() })
}
