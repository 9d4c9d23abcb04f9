//! Data types, schemes, scale and zero point, their validation, and **the rounding contract**.
//!
//! Every kernel agrees, bit for bit, with the plain functions of this file. Float arithmetic is float32
//! without fused multiply-add; rounding is half to even.
//!
//! | step | formula |
//! | --- | --- |
//! | quantize | `inv = 1f32 / f32(scale)`; `q = clamp(rint(x * inv) + zero_point, qmin, qmax)` |
//! | dequantize | `f32(scale) * f32(q - zero_point)` |
//! | qint32 | `rint(x * inv)` in float32; the zero point and the clamp in float64 |
//! | packed, and float zero points | `q = clamp(rint(x * inv + zero_point))` |
//!
//! They are those of PyTorch 2.15 (`torch.quantize_per_tensor`, FBGEMM's `Quantize`), where it agrees with itself.

use std::sync::Arc;

use crate::error::{Error, Result};

/// What an element of a quantized tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// Signed, 8 bits.
    QInt8,
    /// Unsigned, 8 bits.
    QUInt8,
    /// Signed, 32 bits: biases and accumulators.
    QInt32,
    /// Unsigned, 4 bits, two to a byte, the first in the low bits.
    QUInt4x2,
    /// Unsigned, 2 bits, four to a byte, the first in the lowest bits.
    QUInt2x4,
}

impl DType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::QInt8, Self::QUInt8, Self::QInt32, Self::QUInt4x2, Self::QUInt2x4];

    /// torch's name, without `torch.`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QInt8 => "qint8",
            Self::QUInt8 => "quint8",
            Self::QInt32 => "qint32",
            Self::QUInt4x2 => "quint4x2",
            Self::QUInt2x4 => "quint2x4",
        }
    }

    /// The NumPy dtype of the memory that holds the codes.
    pub const fn numpy_name(self) -> &'static str {
        match self {
            Self::QInt8 => "int8",
            Self::QInt32 => "int32",
            Self::QUInt8 | Self::QUInt4x2 | Self::QUInt2x4 => "uint8",
        }
    }

    /// Bits of one element.
    pub const fn bits(self) -> usize {
        match self {
            Self::QInt8 | Self::QUInt8 => 8,
            Self::QInt32 => 32,
            Self::QUInt4x2 => 4,
            Self::QUInt2x4 => 2,
        }
    }

    /// Bytes of one unit of memory.
    pub const fn item_size(self) -> usize {
        match self {
            Self::QInt32 => 4,
            _ => 1,
        }
    }

    /// Elements that share one unit of memory.
    pub const fn elements_per_item(self) -> usize {
        match self {
            Self::QUInt4x2 => 2,
            Self::QUInt2x4 => 4,
            _ => 1,
        }
    }

    /// Whether several elements share a byte.
    pub const fn is_packed(self) -> bool {
        self.elements_per_item() > 1
    }

    /// Whether codes below 0 exist.
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::QInt8 | Self::QInt32)
    }

    /// The smallest code.
    pub const fn qmin(self) -> i32 {
        match self {
            Self::QInt8 => i8::MIN as i32,
            Self::QInt32 => i32::MIN,
            _ => 0,
        }
    }

    /// The largest code.
    pub const fn qmax(self) -> i32 {
        match self {
            Self::QInt8 => i8::MAX as i32,
            Self::QUInt8 => u8::MAX as i32,
            Self::QInt32 => i32::MAX,
            Self::QUInt4x2 => 15,
            Self::QUInt2x4 => 3,
        }
    }

    /// The one zero point of a symmetric scheme: 0 where codes are signed, the middle of the range otherwise.
    pub const fn symmetric_zero_point(self) -> i32 {
        if self.is_signed() { 0 } else { (self.qmax() + 1) / 2 }
    }
}

/// How codes map to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// One scale and one zero point.
    PerTensorAffine,
    /// One scale; the zero point lies in the middle.
    PerTensorSymmetric,
    /// A scale and a zero point for each position along one axis.
    PerChannelAffine,
    /// A scale for each position along one axis; the zero point lies in the middle.
    PerChannelSymmetric,
    /// As `PerChannelAffine`, with float32 zero points that are added before rounding.
    PerChannelAffineFloatQParams,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::PerTensorAffine,
        Self::PerTensorSymmetric,
        Self::PerChannelAffine,
        Self::PerChannelSymmetric,
        Self::PerChannelAffineFloatQParams,
    ];

    /// torch's name, without `torch.`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerTensorAffine => "per_tensor_affine",
            Self::PerTensorSymmetric => "per_tensor_symmetric",
            Self::PerChannelAffine => "per_channel_affine",
            Self::PerChannelSymmetric => "per_channel_symmetric",
            Self::PerChannelAffineFloatQParams => "per_channel_affine_float_qparams",
        }
    }

    /// Whether there is one pair of parameters for the whole tensor.
    pub const fn is_per_tensor(self) -> bool {
        matches!(self, Self::PerTensorAffine | Self::PerTensorSymmetric)
    }

    /// Whether the zero point is fixed in the middle.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::PerTensorSymmetric | Self::PerChannelSymmetric)
    }

    /// The scheme of one channel on its own.
    pub const fn per_tensor(self) -> Self {
        if self.is_symmetric() { Self::PerTensorSymmetric } else { Self::PerTensorAffine }
    }
}

/// Scales and zero points, without the integers that they belong to.
#[derive(Debug, Clone, PartialEq)]
pub enum QParams {
    /// One pair for the whole tensor.
    PerTensor {
        /// The size of one step.
        scale: f64,
        /// The code that stands for 0.
        zero_point: i32,
    },
    /// One pair for each position along `axis`.
    PerChannel {
        /// The size of one step, for each channel.
        scales: Arc<[f64]>,
        /// The code that stands for 0, for each channel.
        zero_points: Arc<[i32]>,
        /// Which axis the channels lie along.
        axis: usize,
    },
    /// One pair for each position along `axis`, in float32.
    PerChannelFloat {
        /// The size of one step, for each channel.
        scales: Arc<[f32]>,
        /// The value of code 0 in steps, negated, for each channel.
        zero_points: Arc<[f32]>,
        /// Which axis the channels lie along.
        axis: usize,
    },
}

impl QParams {
    /// The axis of the channels, if there are any.
    pub fn axis(&self) -> Option<usize> {
        match self {
            Self::PerTensor { .. } => None,
            Self::PerChannel { axis, .. } | Self::PerChannelFloat { axis, .. } => Some(*axis),
        }
    }

    /// How many channels there are, if there are any.
    pub fn channels(&self) -> Option<usize> {
        match self {
            Self::PerTensor { .. } => None,
            Self::PerChannel { scales, .. } => Some(scales.len()),
            Self::PerChannelFloat { scales, .. } => Some(scales.len()),
        }
    }

    /// The same parameters with the channels along another axis.
    pub fn with_axis(&self, to: usize) -> Self {
        let mut moved = self.clone();
        match &mut moved {
            Self::PerTensor { .. } => {}
            Self::PerChannel { axis, .. } | Self::PerChannelFloat { axis, .. } => *axis = to,
        }
        moved
    }

    /// The parameters of the channels at `indices`, in that order.
    pub fn take(&self, indices: &[usize]) -> Self {
        match self {
            Self::PerTensor { .. } => self.clone(),
            Self::PerChannel { scales, zero_points, axis } => Self::PerChannel {
                scales: indices.iter().map(|&i| scales[i]).collect(),
                zero_points: indices.iter().map(|&i| zero_points[i]).collect(),
                axis: *axis,
            },
            Self::PerChannelFloat { scales, zero_points, axis } => Self::PerChannelFloat {
                scales: indices.iter().map(|&i| scales[i]).collect(),
                zero_points: indices.iter().map(|&i| zero_points[i]).collect(),
                axis: *axis,
            },
        }
    }
}

/// What turns floats into codes and back: a data type, a scheme and its parameters. Immutable, and valid by
/// construction.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantizer {
    dtype: DType,
    scheme: Scheme,
    params: QParams,
}

impl Quantizer {
    /// One scale and zero point for all; `symmetric` also demands the zero point of a symmetric scheme.
    pub fn per_tensor(dtype: DType, scale: f64, zero_point: i64, symmetric: bool) -> Result<Self> {
        check_scale("scale", scale)?;
        let zero_point = check_zero_point("zero_point", zero_point, dtype, symmetric)?;
        let scheme = if symmetric { Scheme::PerTensorSymmetric } else { Scheme::PerTensorAffine };
        Ok(Self { dtype, scheme, params: QParams::PerTensor { scale, zero_point } })
    }

    /// A scale and a zero point for each channel along `axis`.
    pub fn per_channel(
        dtype: DType,
        scales: &[f64],
        zero_points: &[i64],
        axis: usize,
        symmetric: bool,
    ) -> Result<Self> {
        check_lengths(scales.len(), zero_points.len())?;
        for (i, &s) in scales.iter().enumerate() {
            check_scale_at("scales", i, s)?;
        }
        let zero_points = zero_points
            .iter()
            .enumerate()
            .map(|(i, &z)| check_zero_point_at("zero_points", i, z, dtype, symmetric))
            .collect::<Result<_>>()?;
        let scheme = if symmetric { Scheme::PerChannelSymmetric } else { Scheme::PerChannelAffine };
        Ok(Self { dtype, scheme, params: QParams::PerChannel { scales: scales.into(), zero_points, axis } })
    }

    /// A float32 scale and zero point for each channel along `axis`.
    pub fn per_channel_float(dtype: DType, scales: &[f32], zero_points: &[f32], axis: usize) -> Result<Self> {
        if matches!(dtype, DType::QInt8 | DType::QInt32) {
            return Err(Error::value(
                "dtype",
                dtype.name(),
                "quint8, quint4x2 or quint2x4 with per_channel_affine_float_qparams",
            ));
        }
        check_lengths(scales.len(), zero_points.len())?;
        for (i, &s) in scales.iter().enumerate() {
            check_scale_at("scales", i, f64::from(s))?;
        }
        if let Some(i) = zero_points.iter().position(|z| !z.is_finite()) {
            return Err(Error::value(format!("zero_points[{i}]"), zero_points[i], "finite"));
        }
        Ok(Self {
            dtype,
            scheme: Scheme::PerChannelAffineFloatQParams,
            params: QParams::PerChannelFloat { scales: scales.into(), zero_points: zero_points.into(), axis },
        })
    }

    /// What an element is.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How codes map to values.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The scales and zero points.
    pub fn params(&self) -> &QParams {
        &self.params
    }

    /// The axis of the channels, if there are any.
    pub fn axis(&self) -> Option<usize> {
        self.params.axis()
    }

    /// The same quantizer with its channels along another axis.
    pub fn with_axis(&self, axis: usize) -> Self {
        Self { params: self.params.with_axis(axis), ..*self }
    }

    /// The same quantizer for the channels at `indices`, in that order.
    pub fn take(&self, indices: &[usize]) -> Self {
        Self { params: self.params.take(indices), ..*self }
    }

    /// The quantizer of one channel on its own. With float zero points there is none, since a scheme with one
    /// float zero point does not exist: the error says what to do.
    pub fn channel(&self, index: usize) -> Result<Self> {
        match &self.params {
            QParams::PerTensor { .. } => Ok(self.clone()),
            QParams::PerChannel { scales, zero_points, .. } => Ok(Self {
                dtype: self.dtype,
                scheme: self.scheme.per_tensor(),
                params: QParams::PerTensor { scale: scales[index], zero_point: zero_points[index] },
            }),
            QParams::PerChannelFloat { .. } => Err(Error::unsupported(
                "selecting one channel would need one float zero point for the whole tensor, which no scheme has",
                "slice it to keep the axis (q[i:i+1]) or call dequantize() first",
            )),
        }
    }

    /// Checks that a tensor of this shape can have these parameters.
    pub fn check_shape(&self, shape: &[usize]) -> Result<()> {
        let (Some(axis), Some(channels)) = (self.params.axis(), self.params.channels()) else {
            return Ok(());
        };
        match shape.get(axis) {
            None => {
                Err(Error::index("axis", axis, format!("below the number of dimensions, {}", shape.len())))
            }
            Some(&n) if n != channels => Err(Error::value(
                "scales",
                format!("{channels} of them"),
                format!("as many as the input has along axis {axis}, {n}"),
            )),
            Some(_) => Ok(()),
        }
    }
}

fn check_lengths(scales: usize, zero_points: usize) -> Result<()> {
    if scales == zero_points {
        return Ok(());
    }
    Err(Error::value(
        "zero_points",
        format!("{zero_points} of them"),
        format!("as many as there are scales, {scales}"),
    ))
}

/// A scale is a finite float32 of at least the smallest normal one: below that its inverse overflows, or steps
/// get lost to rounding.
pub fn check_scale(arg: &str, scale: f64) -> Result<()> {
    let narrow = scale as f32;
    if narrow.is_finite() && narrow >= f32::MIN_POSITIVE {
        return Ok(());
    }
    Err(Error::value(
        arg,
        format!("{scale:?}"),
        format!("positive and finite as a float32, at least {:e}", f32::MIN_POSITIVE),
    ))
}

fn check_scale_at(arg: &str, index: usize, scale: f64) -> Result<()> {
    check_scale("", scale).map_err(|e| rename(e, format!("{arg}[{index}]")))
}

/// A zero point is a code of the data type.
pub fn check_zero_point(arg: &str, zero_point: i64, dtype: DType, symmetric: bool) -> Result<i32> {
    let middle = dtype.symmetric_zero_point();
    if symmetric && zero_point != i64::from(middle) {
        return Err(Error::value(
            arg,
            zero_point,
            format!("{middle} in a symmetric scheme of {}", dtype.name()),
        ));
    }
    i32::try_from(zero_point).ok().filter(|z| (dtype.qmin()..=dtype.qmax()).contains(z)).ok_or_else(|| {
        let valid = format!("a code of {}, {} to {}", dtype.name(), dtype.qmin(), dtype.qmax());
        Error::value(arg, zero_point, valid)
    })
}

fn check_zero_point_at(
    arg: &str,
    index: usize,
    zero_point: i64,
    dtype: DType,
    symmetric: bool,
) -> Result<i32> {
    check_zero_point("", zero_point, dtype, symmetric).map_err(|e| rename(e, format!("{arg}[{index}]")))
}

fn rename(error: Error, name: String) -> Error {
    match error {
        Error::Value { got, valid, .. } => Error::Value { arg: name, got, valid },
        other => other,
    }
}

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
    let from_min = qmin - f64::from(min) / scale;
    let from_max = qmax - f64::from(max) / scale;
    let min_error = qmin.abs() - (f64::from(min) / scale).abs();
    let max_error = qmax.abs() - (f64::from(max) / scale).abs();
    let zero_point = if min_error < max_error { from_min } else { from_max };
    Ok((scale, zero_point.round_ties_even().clamp(qmin, qmax) as i32))
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
