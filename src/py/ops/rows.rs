//! Softmax and layer normalization, of floats and of tensors: these are dequantized, and the result quantized.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::float::{self, LayerNorm, Mask, Place, Softmax};
use quantray_core::qparams::{DType, Quantizer};

use super::elementwise::{Wanted, result_params};
use super::matrices::activation;
use crate::array::{
    Array, Int, Output, as_array, as_float32, axis_in, contiguous, describe, elements, elements_over, finite,
    has_type, len, np, overlap, same_memory, tuple_text,
};
use crate::create::{quantize_array, quantize_to_range};
use crate::dtype::parse_dtype;
use crate::error::{Error, Result};
use crate::run::{kernel, place};
use crate::tensor::QTensor;

type Object<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// A tensor's values changed by `f` and quantized again: as is `wanted`, with `default` where no scale is, or else in
/// one chosen from the result's range.
fn quantized<'py>(
    q: &Bound<'py, QTensor>,
    wanted: Wanted<'_, 'py>,
    default: Option<fn(DType) -> (f64, i32)>,
    f: impl FnOnce(&Array<'py>) -> PyResult<()>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, q) = (q.py(), q.get());
    activation(q, "input")?;
    let dtype = wanted.dtype.map_or(Ok(q.quantizer().dtype()), parse_dtype)?;
    let quantizer: Option<Arc<Quantizer>> = match (default, wanted.scale) {
        (None, None) => {
            if wanted.out.is_some() {
                return Err(Error::type_("scale", "None", "given together with out").into());
            }
            wanted.no_zero_point_alone()?;
            None
        }
        (default, _) => {
            let default = default.map_or((1.0, 0), |of| of(dtype));
            Some(result_params(wanted.scale, wanted.zero_point, dtype, default)?)
        }
    };
    let values = q.dequantized(py)?;
    f(&values)?;
    let made = match quantizer {
        Some(quantizer) => quantize_array(py, &values, &quantizer, wanted.out, "the result")?,
        None => quantize_to_range(py, &values, dtype, false)?,
    };
    Ok(Bound::new(py, made)?.into_any())
}

/// A mask that broadcasts to the input, with `axis` last: its memory, and the steps along the other axes.
pub(super) fn mask_rows<'py>(
    mask: &Bound<'py, PyAny>,
    shape: &[usize],
    axis: usize,
) -> PyResult<(Array<'py>, Vec<usize>)> {
    let mask = as_array(mask)?;
    if has_type(&mask, <bool as crate::array::Element>::TYPE) {
        let valid = "of numbers that are added: 0 where the input counts, -inf where it does not \
                     (numpy.where(keep, 0, -numpy.inf))";
        return Err(Error::type_("mask", "dtype bool", valid).into());
    }
    let own = as_float32(&mask, "mask")?;
    let py = own.py();
    let wide: Array<'py> = np(py)?
        .call_method1("broadcast_to", (&own, shape.to_vec()))
        .and_then(|wide| np(py)?.call_method1("moveaxis", (wide, axis, -1)))
        .map_err(|_| {
            let valid = format!("of a shape that broadcasts to the input's, {}", tuple_text(shape));
            Error::value("mask", tuple_text(own.shape()), valid)
        })?
        .cast_into()?;
    // A row must lie in one piece; rows may be shared.
    let width = size_of::<f32>() as isize;
    let (own, wide) = match wide.strides().last() {
        Some(&step) if step == width || len(&wide) == 0 => (own, wide),
        _ => {
            let copy = contiguous(&wide)?;
            (copy.clone(), copy)
        }
    };
    let steps = wide.strides()[..shape.len() - 1].iter().map(|&step| (step / width) as usize).collect();
    Ok((own, steps))
}

/// `exp(t) / sum(exp(t))` along an axis, with `t = input * factor + mask`.
///
/// Parameters
/// ----------
/// input : QTensor or array_like of real numbers, one or more dimensions
///     Numbers that are not quantized are rounded to float32 first. The last axis is the fastest.
/// axis : int
///     The axis whose sums become 1; counted from the end where negative.
/// scale, zero_point, dtype : float, int and dtype, optional
///     Of a tensor's result; by default 1/256, the least code and the input's. Floats take none.
/// factor : float
///     What the input is multiplied by first: for attention, `1 / sqrt(depth)`.
/// mask : array_like of real numbers, optional
///     Of a shape that broadcasts to the input's; added to the product. -inf leaves an element out.
/// out : ndarray, optional
///     Of the result's shape and type; for floats it may be the input.
///
/// Returns
/// -------
/// QTensor, or ndarray of float32
///     Of the input's shape. Where every element along the axis is -inf, or one is inf or NaN, all are NaN.
///
/// Raises
/// ------
/// TypeError
///     For floats with a scale, a zero point or a dtype, and for a mask of bool.
/// ValueError
///     For a mask that does not broadcast, and for NaN in a tensor's result.
///
/// >>> import numpy as np, quantray as qt
/// >>> qt.ops.softmax([[1.0, 1.0, 1.0]], mask=[0.0, 0.0, -np.inf])
/// array([[0.5, 0.5, 0. ]], dtype=float32)
///
/// Source: `torch.softmax`; `torch.nn.functional.scaled_dot_product_attention` for factor and mask.
#[pyfunction]
#[pyo3(signature = (input, axis=Int(-1), scale=None, zero_point=None, dtype=None, *, factor=1.0, mask=None, out=None))]
#[allow(clippy::too_many_arguments)] // those of the result, and those of attention
pub fn softmax<'py>(
    input: &Bound<'py, PyAny>,
    axis: Int,
    scale: Object<'_, 'py>,
    zero_point: Object<'_, 'py>,
    dtype: Object<'_, 'py>,
    factor: f64,
    mask: Object<'_, 'py>,
    out: Object<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = input.py();
    let wanted = Wanted { scale, zero_point, dtype, out };
    let factor = finite(factor as f32, "factor")?;
    let run = |x: &Array<'py>, output: &Output<'py>| {
        let shape = x.shape();
        let axis = axis_in("axis", axis.0, shape.len())?;
        let last = axis + 1 == shape.len();
        let mask = mask.map(|mask| mask_rows(mask, shape, axis)).transpose()?;
        let mask = match mask {
            // Results must not be written over what is still to be added.
            Some((own, steps)) if overlap(&own, &output.array) => {
                Some((own.call_method1("copy", ("C",))?.cast_into()?, steps))
            }
            other => other,
        };
        let lengths: Vec<usize> = (0..shape.len()).filter(|&i| i != axis).map(|i| shape[i]).collect();
        let mask = mask.as_ref().map(|(own, steps)| Mask::new(elements(own), &lengths, steps));
        let of = Softmax { n: shape[axis], factor, mask };
        if last {
            let place = place(x, output);
            return kernel(py, len(x), "input", shape, || float::softmax(&of, place));
        }
        let moved: Array<'py> =
            np(py)?.call_method1("moveaxis", (x, axis, -1))?.call_method1("copy", ("C",))?.cast_into()?;
        let place = Place::Over(elements_over(&moved));
        kernel(py, len(x), "input", shape, || float::softmax(&of, place))?;
        np(py)?
            .call_method1("copyto", (&output.array, np(py)?.call_method1("moveaxis", (moved, -1, axis))?))?;
        Ok(())
    };
    if let Ok(q) = input.cast::<QTensor>() {
        let fixed: fn(DType) -> (f64, i32) = |dtype| (1.0 / 256.0, dtype.qmin());
        return quantized(q, wanted, Some(fixed), |values| {
            run(values, &Output::over::<f32>(py, Some(values), values)?)
        });
    }
    wanted.nothing_for_floats()?;
    let x = as_float32(input, "input")?;
    axis_in("axis", axis.0, x.shape().len())?;
    let output = Output::over::<f32>(py, out, &x)?;
    run(&x, &output)?;
    Ok(output.finish()?.into_any())
}

/// The last axes that are normalized together: a length or several.
fn trailing(normalized_shape: &Bound<'_, PyAny>, shape: &[usize]) -> PyResult<Vec<usize>> {
    let wrong = |got: String| {
        let valid = format!("the last length or lengths of the input's shape, {}", tuple_text(shape));
        Error::value("normalized_shape", got, valid)
    };
    let lengths = match normalized_shape.extract::<usize>() {
        Ok(n) => vec![n],
        Err(_) => normalized_shape.extract::<Vec<usize>>().map_err(|_| {
            Error::type_("normalized_shape", describe(normalized_shape), "a length or lengths")
        })?,
    };
    match !lengths.is_empty() && shape.ends_with(&lengths) {
        true => Ok(lengths),
        false => Err(wrong(tuple_text(&lengths)).into()),
    }
}

/// An array of floats of this shape, which `what` has.
fn of_shape<'py>(object: &Bound<'py, PyAny>, arg: &str, shape: &[usize], what: &str) -> PyResult<Array<'py>> {
    let array = as_float32(object, arg)?;
    match array.shape() == shape {
        true => Ok(array),
        false => {
            let valid = format!("of {what}, {}", tuple_text(shape));
            Err(Error::value(arg, tuple_text(array.shape()), valid).into())
        }
    }
}

/// A function's arrays beside the input.
struct Beside<'py> {
    lengths: Vec<usize>,
    weight: Option<Array<'py>>,
    bias: Option<Array<'py>>,
    residual: Option<Array<'py>>,
}

impl<'py> Beside<'py> {
    /// Normalizes `x` into `output`.
    fn normalize(&self, x: &Array<'py>, eps: f64, output: &Output<'py>) -> PyResult<()> {
        // Results must not be written over what is still to be read.
        let apart = |array: &Option<Array<'py>>| -> PyResult<Option<Array<'py>>> {
            match array {
                Some(a) if overlap(a, &output.array) => {
                    Ok(Some(a.call_method1("copy", ("C",))?.cast_into()?))
                }
                other => Ok(other.clone()),
            }
        };
        let (weight, bias, residual) = (apart(&self.weight)?, apart(&self.bias)?, apart(&self.residual)?);
        let of = LayerNorm {
            n: self.lengths.iter().product(),
            eps,
            weight: weight.as_ref().map(elements),
            bias: bias.as_ref().map(elements),
            residual: residual.as_ref().map(elements),
        };
        let place = place(x, output);
        kernel(x.py(), len(x), "input", x.shape(), || float::layer_norm(&of, place))
    }
}

fn checked_eps(eps: f64) -> Result<f64> {
    match eps.is_finite() && eps >= 0.0 {
        true => Ok(eps),
        false => Err(Error::value("eps", eps, "finite, at least 0")),
    }
}

/// `(h - mean(h)) / sqrt(var(h) + eps) * weight + bias` over the last axes, with `h = input + residual`.
///
/// Parameters
/// ----------
/// input : QTensor or array_like of real numbers, one or more dimensions
///     Numbers that are not quantized are rounded to float32 first.
/// normalized_shape : int or sequence of int
///     The last length of the input's shape, or several: what is normalized together.
/// weight, bias : array_like of real numbers, optional
///     Of the normalized shape.
/// eps : float
///     What is added to the variance, which is that of all (not of a sample).
/// scale, zero_point, dtype : float, int and dtype, optional
///     Of a tensor's result. Without a scale it has one that is chosen from its range. Floats take none.
/// residual : QTensor or array_like of real numbers, optional
///     Of the input's shape; added to it first.
/// out : ndarray, optional
///     Of the result's shape and type; for floats it may be the input or the residual.
///
/// Returns
/// -------
/// QTensor, or ndarray of float32
///     Of the input's shape.
///
/// Raises
/// ------
/// TypeError
///     For floats with a scale, a zero point or a dtype.
/// ValueError
///     For shapes that do not fit, and for an eps that is negative or not finite.
///
/// >>> import quantray as qt
/// >>> qt.ops.layer_norm([[1.0, 3.0]], 2, residual=[[0.0, 2.0]], eps=0.0)
/// array([[-1.,  1.]], dtype=float32)
///
/// Source: Ba et al., Layer Normalization (2016); `torch.nn.functional.layer_norm`,
/// `torch.ops.quantized.layer_norm`.
#[pyfunction]
#[pyo3(signature = (
    input, normalized_shape, weight=None, bias=None, eps=1e-5, scale=None, zero_point=None, dtype=None, *,
    residual=None, out=None
))]
#[allow(clippy::too_many_arguments)] // torch's, and what is fused
pub fn layer_norm<'py>(
    input: &Bound<'py, PyAny>,
    normalized_shape: &Bound<'py, PyAny>,
    weight: Object<'_, 'py>,
    bias: Object<'_, 'py>,
    eps: f64,
    scale: Object<'_, 'py>,
    zero_point: Object<'_, 'py>,
    dtype: Object<'_, 'py>,
    residual: Object<'_, 'py>,
    out: Object<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = input.py();
    let wanted = Wanted { scale, zero_point, dtype, out };
    let eps = checked_eps(eps)?;
    let beside = |shape: &[usize]| -> PyResult<Beside<'py>> {
        let lengths = trailing(normalized_shape, shape)?;
        let along = |object: Object<'_, 'py>, arg| {
            object.map(|object| of_shape(object, arg, &lengths, "the normalized shape")).transpose()
        };
        let (weight, bias) = (along(weight, "weight")?, along(bias, "bias")?);
        let residual = residual.map(|r| of_shape(r, "residual", shape, "the input's shape")).transpose()?;
        Ok(Beside { lengths, weight, bias, residual })
    };
    if let Ok(q) = input.cast::<QTensor>() {
        let beside = beside(q.get().dims(py))?;
        return quantized(q, wanted, None, |values| {
            beside.normalize(values, eps, &Output::over::<f32>(py, Some(values), values)?)
        });
    }
    wanted.nothing_for_floats()?;
    let mut x = as_float32(input, "input")?;
    let mut beside = beside(x.shape())?;
    // The sum is the same the other way round, and may then go where the residual was.
    if let (Some(residual), Some(out)) = (&mut beside.residual, out)
        && let Ok(out) = out.cast()
        && same_memory(residual, out)
    {
        std::mem::swap(residual, &mut x);
    }
    let output = Output::over::<f32>(py, out, &x)?;
    beside.normalize(&x, eps, &output)?;
    Ok(output.finish()?.into_any())
}
