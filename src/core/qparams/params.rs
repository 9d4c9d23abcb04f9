//! Scale and zero point, and their validation.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{DType, Scheme};
use crate::error::{Error, Result};

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
        check_scales(scales.iter().copied())?;
        let zero_points = check_zero_points(zero_points, dtype, symmetric)?;
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
        check_scales(scales.iter().map(|&s| f64::from(s)))?;
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
    if is_scale(scale) {
        return Ok(());
    }
    Err(Error::value(
        arg,
        format!("{scale:?}"),
        format!("positive and finite as a float32, at least {:e}", f32::MIN_POSITIVE),
    ))
}

#[inline]
fn is_scale(scale: f64) -> bool {
    let narrow = scale as f32;
    narrow.is_finite() && narrow >= f32::MIN_POSITIVE
}

/// [`check_scale`] of thousands: only the first that is none costs a name.
fn check_scales(mut scales: impl Iterator<Item = f64> + Clone) -> Result<()> {
    let all = scales.clone();
    match scales.position(|scale| !is_scale(scale)) {
        None => Ok(()),
        Some(i) => all.skip(i).take(1).try_for_each(|scale| check_scale(&format!("scales[{i}]"), scale)),
    }
}

/// A zero point is a code of the data type.
pub fn check_zero_point(arg: &str, zero_point: i64, dtype: DType, symmetric: bool) -> Result<i32> {
    let codes = zero_points_of(dtype, symmetric);
    if codes.contains(&zero_point) {
        return Ok(zero_point as i32);
    }
    let valid = match symmetric {
        true => format!("{} in a symmetric scheme of {}", codes.start(), dtype.name()),
        false => format!("a code of {}, {} to {}", dtype.name(), codes.start(), codes.end()),
    };
    Err(Error::value(arg, zero_point, valid))
}

/// The codes that may stand for 0.
fn zero_points_of(dtype: DType, symmetric: bool) -> RangeInclusive<i64> {
    let middle = dtype.symmetric_zero_point();
    let (first, last) = if symmetric { (middle, middle) } else { (dtype.qmin(), dtype.qmax()) };
    i64::from(first)..=i64::from(last)
}

/// [`check_zero_point`] of thousands.
fn check_zero_points(zero_points: &[i64], dtype: DType, symmetric: bool) -> Result<Arc<[i32]>> {
    let codes = zero_points_of(dtype, symmetric);
    match zero_points.iter().position(|z| !codes.contains(z)) {
        None => Ok(zero_points.iter().map(|&z| z as i32).collect()),
        Some(i) => check_zero_point(&format!("zero_points[{i}]"), zero_points[i], dtype, symmetric)
            .map(|z| [z].into()),
    }
}
