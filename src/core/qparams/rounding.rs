//! The rounding contract: one value, or one code, at a time.

/// Whether `rint(x * inv)` of this value is a number.
#[inline(always)]
fn steps(x: f32, inv: f32) -> f32 {
    (x * inv).round_ties_even()
}

/// The code of one value of an 8-bit dtype: the contract's `quantize`. `x` is not NaN.
#[inline(always)]
pub fn quantize_one(x: f32, inv: f32, zero_point: i32, qmin: i32, qmax: i32) -> i32 {
    // Clamped before the zero point is added: the sum is exact, and nothing overflows in the conversion.
    let lo = (qmin - zero_point) as f32;
    let hi = (qmax - zero_point) as f32;
    steps(x, inv).max(lo).min(hi) as i32 + zero_point
}

/// The code of one value in qint32: the zero point and the clamp in float64.
#[inline(always)]
pub fn quantize_one_i32(x: f32, inv: f32, zero_point: i32) -> i32 {
    (f64::from(steps(x, inv)) + f64::from(zero_point)).clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
}

/// The code of one value with the zero point added before rounding: packed dtypes and float zero points.
#[inline(always)]
pub fn quantize_one_before(x: f32, inv: f32, zero_point: f32, qmin: i32, qmax: i32) -> i32 {
    (x * inv + zero_point).round_ties_even().max(qmin as f32).min(qmax as f32) as i32
}

/// The value of one code. The difference is exact in float64, also for qint32.
#[inline(always)]
pub fn dequantize_one(code: i32, scale: f32, zero_point: i32) -> f32 {
    scale * ((i64::from(code) - i64::from(zero_point)) as f32)
}

/// The value of one code with a float zero point.
#[inline(always)]
pub fn dequantize_one_float(code: i32, scale: f32, zero_point: f32) -> f32 {
    (code as f32 - zero_point) * scale
}

/// One value through fake quantization to `quant_min ..= quant_max`: `dequantize(quantize(x))`.
#[inline(always)]
pub fn fake_quantize_one(
    x: f32,
    scale: f32,
    inv: f32,
    zero_point: i32,
    quant_min: i32,
    quant_max: i32,
) -> f32 {
    let steps = f64::from(steps(x, inv));
    let lo = f64::from(quant_min) - f64::from(zero_point);
    let hi = f64::from(quant_max) - f64::from(zero_point);
    // `+ 0.0` turns -0 into 0, as the trip through an integer does.
    scale * ((steps.max(lo).min(hi) + 0.0) as f32)
}

/// Whether fake quantization lets the gradient of one value pass: the code lies inside the range.
#[inline(always)]
pub fn passes_gradient(x: f32, inv: f32, zero_point: i32, quant_min: i32, quant_max: i32) -> bool {
    let code = f64::from(steps(x, inv)) + f64::from(zero_point);
    f64::from(quant_min) <= code && code <= f64::from(quant_max)
}
