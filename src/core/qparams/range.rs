//! From a range of values to scale and zero point.

use super::DType;
use crate::error::{Error, Result};

/// The range of a fake quantization: `quant_min <= zero_point <= quant_max`.
pub fn check_quant_range(quant_min: i64, quant_max: i64) -> Result<(i32, i32)> {
    let fits = |v: i64| i32::try_from(v).ok();
    match (fits(quant_min), fits(quant_max)) {
        (None, _) => Err(Error::value("quant_min", quant_min, "a 32-bit integer")),
        (_, None) => Err(Error::value("quant_max", quant_max, "a 32-bit integer")),
        (Some(lo), Some(hi)) if lo > hi => {
            Err(Error::value("quant_min", quant_min, format!("at most quant_max, {quant_max}")))
        }
        (Some(lo), Some(hi)) => Ok((lo, hi)),
    }
}

/// Below this a dynamic range's scale is raised to it (FBGEMM's `SMALL_SCALE_THRESHOLD`).
const SMALL_SCALE: f32 = 6.1e-5;

/// The scale and the zero point for values from `min` to `max`, which are first widened to hold 0.
///
/// `reduce_range` leaves out one bit, as torch does for its 16-bit-saturating kernels.
/// Source: `quantize_per_tensor_dynamic` of PyTorch, FBGEMM's `ChooseQuantizationParams`.
///
/// # Errors
/// A range that is not finite, or whose extent overflows float32's, has no scale.
pub fn range_to_qparams(min: f32, max: f32, dtype: DType, reduce_range: bool) -> Result<(f64, i32)> {
    if !min.is_finite() || !max.is_finite() {
        return Err(Error::value("input", format!("values from {min} to {max}"), "finite"));
    }
    let (mut qmin, mut qmax) = (f64::from(dtype.qmin()), f64::from(dtype.qmax()));
    if reduce_range {
        (qmin, qmax) = ((qmin / 2.0).trunc(), (qmax / 2.0).trunc());
    }
    let (mut min, mut max) = (min.min(0.0), max.max(0.0));
    if let (found, true) = usual_qparams(min, max, (qmin, qmax)) {
        return Ok(found);
    }
    let mut scale = (f64::from(max) - f64::from(min)) / (qmax - qmin);
    if scale as f32 == 0.0 || (1.0 / scale as f32).is_infinite() {
        scale = 0.1;
    }
    if scale < f64::from(SMALL_SCALE) {
        let stretched = (f64::from(SMALL_SCALE) * (qmax - qmin)) as f32;
        let by = SMALL_SCALE / scale as f32;
        scale = f64::from(SMALL_SCALE);
        (min, max) = match (min == 0.0, max == 0.0) {
            (true, _) => (min, stretched),
            (_, true) => (-stretched, max),
            _ => (min * by, max * by),
        };
    }
    Ok((scale, zero_point(min, max, scale, (qmin, qmax))))
}

/// The same for a range that holds 0, and whether it is neither small nor infinite, as nearly all are: what they are for
/// others means nothing. Without a branch, and inlined into the kernels of rows.
#[inline(always)]
pub(crate) fn usual_qparams(min: f32, max: f32, (qmin, qmax): (f64, f64)) -> ((f64, i32), bool) {
    let scale = (f64::from(max) - f64::from(min)) / (qmax - qmin);
    let is_usual = (scale >= f64::from(SMALL_SCALE)) & (scale < f64::INFINITY);
    ((scale, zero_point(min, max, scale, (qmin, qmax))), is_usual)
}

/// The code that stands for 0, from the end of the range that is nearer to its code.
#[inline(always)]
fn zero_point(min: f32, max: f32, scale: f64, (qmin, qmax): (f64, f64)) -> i32 {
    let (low, high) = (f64::from(min) / scale, f64::from(max) / scale);
    let is_low = qmin.abs() - low.abs() < qmax.abs() - high.abs();
    let zero_point = if is_low { qmin - low } else { qmax - high };
    zero_point.round_ties_even().clamp(qmin, qmax) as i32
}

/// The scale and the zero point of quint8 for values from `min` to `max`, which are first widened to hold 0.
///
/// All of it in float32; a range of nothing but 0 has a scale of 1.
/// Source: the ONNX operator DynamicQuantizeLinear, as onnxruntime computes it.
///
/// # Errors
/// A range that is not finite, or whose extent overflows float32's, has no scale.
pub fn range_to_onnx_qparams(min: f32, max: f32) -> Result<(f32, u8)> {
    let (min, max) = (min.min(0.0), max.max(0.0));
    let scale = if max == min { 1.0 } else { (max - min) / 255.0 };
    if !scale.is_finite() || scale == 0.0 {
        return Err(Error::value(
            "input",
            format!("values from {min} to {max}"),
            "finite, of a range that has a scale",
        ));
    }
    Ok((scale, (0.0 - min / scale).clamp(0.0, 255.0).round_ties_even() as u8))
}
