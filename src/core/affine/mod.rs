//! float32 to codes and back: quantize, dequantize, fake_quantize.
//!
//! One file for each operation, written once over the vector trait of [`crate::arch`]. `walk` cuts an array into spans
//! that share one set of parameters or have them in a table beside them, so that an operation only knows spans.
//! All agree bit for bit with the plain functions of [`crate::qparams`], at every position, on every instruction set
//! and number of threads.

mod dequantize;
mod divide;
mod fake_quantize;
pub mod gradient;
mod packed;
mod philox;
mod quantize;
mod rounded;
mod walk;
mod wide;

pub(crate) use divide::divided;
pub use divide::quantize_by_division;
pub(crate) use quantize::codes;

use std::mem::MaybeUninit;

pub use crate::arch::Pages;
use crate::error::Stopped;
use crate::qparams::DType;

pub use rounded::Rounding;

/// How an array, seen as `[outer, channels, inner]` in C order, is cut into channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Product of the lengths before the channel axis.
    pub outer: usize,
    /// Length of the channel axis.
    pub channels: usize,
    /// Product of the lengths after it.
    pub inner: usize,
}

impl Channels {
    /// The cut of an array of this shape along `axis`.
    pub fn of(shape: &[usize], axis: usize) -> Self {
        Self {
            outer: shape[..axis].iter().product(),
            channels: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }

    /// How many elements there are.
    pub fn len(self) -> usize {
        self.outer * self.channels * self.inner
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// The parameters of a kernel, already valid and in float32 ([`crate::qparams::Quantizer`] sees to both).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Affine<'a> {
    /// One pair for all.
    PerTensor {
        /// The size of one step.
        scale: f32,
        /// The code that stands for 0.
        zero_point: i32,
    },
    /// A pair for each channel.
    PerChannel {
        /// The size of one step, for each channel.
        scales: &'a [f32],
        /// The code that stands for 0, for each channel.
        zero_points: &'a [i32],
        /// Where the channels lie.
        layout: Channels,
    },
    /// A pair for each channel; the zero point is added before rounding.
    PerChannelFloat {
        /// The size of one step, for each channel.
        scales: &'a [f32],
        /// The value of code 0 in steps, negated, for each channel.
        zero_points: &'a [f32],
        /// Where the channels lie.
        layout: Channels,
    },
}

impl Affine<'_> {
    /// The lengths agree: `len` elements, and a pair for each channel.
    fn check(&self, len: usize) {
        let (scales, zero_points, layout) = match self {
            Self::PerTensor { .. } => return,
            Self::PerChannel { scales, zero_points, layout } => (scales.len(), zero_points.len(), layout),
            Self::PerChannelFloat { scales, zero_points, layout } => {
                (scales.len(), zero_points.len(), layout)
            }
        };
        assert_eq!(layout.len(), len, "the channels' layout and the array disagree");
        assert_eq!(scales, layout.channels, "one scale for each channel");
        assert_eq!(zero_points, layout.channels, "one zero point for each channel");
    }
}

mod sealed {
    use super::{Affine, MaybeUninit, Pages, Stopped};

    /// How the kernels of a code are reached.
    pub trait Kernels: Sized {
        /// A code that is in range.
        fn of(code: i32) -> Self;
        fn quantize(x: &[f32], out: &mut [MaybeUninit<Self>], affine: &Affine<'_>) -> Result<(), Stopped>;
        fn dequantize(
            codes: &[Self],
            out: &mut [MaybeUninit<f32>],
            affine: &Affine<'_>,
            pages: Pages,
        ) -> Result<(), Stopped>;
    }
}

/// An integer that holds one code: i8, u8 or i32.
pub trait Code: sealed::Kernels + Copy + Send + Sync + 'static {
    /// The data type whose codes it holds.
    const DTYPE: DType;
}

macro_rules! code {
    ($code:ty, $dtype:expr, $kernels:ident) => {
        impl Code for $code {
            const DTYPE: DType = $dtype;
        }
        impl sealed::Kernels for $code {
            #[inline(always)]
            fn of(code: i32) -> Self {
                code as Self
            }
            fn quantize(
                x: &[f32],
                out: &mut [MaybeUninit<Self>],
                affine: &Affine<'_>,
            ) -> Result<(), Stopped> {
                quantize::$kernels(x, out, affine)
            }
            fn dequantize(
                codes: &[Self],
                out: &mut [MaybeUninit<f32>],
                affine: &Affine<'_>,
                pages: Pages,
            ) -> Result<(), Stopped> {
                dequantize::$kernels(codes, out, affine, pages)
            }
        }
    };
}
code!(i8, DType::QInt8, bytes);
code!(u8, DType::QUInt8, bytes);
code!(i32, DType::QInt32, wide);

/// Floats to codes.
///
/// # Errors
/// NaN has no code; infinities saturate. After an error `out` holds anything.
///
/// # Panics
/// Lengths that disagree.
pub fn quantize<C: Code>(x: &[f32], out: &mut [MaybeUninit<C>], affine: &Affine<'_>) -> Result<(), Stopped> {
    assert_eq!(x.len(), out.len(), "as many codes as floats");
    affine.check(x.len());
    C::quantize(x, out, affine)
}

/// Floats to codes by any rounding.
///
/// # Errors
/// As for [`quantize`].
///
/// # Panics
/// Lengths that disagree.
pub fn quantize_rounded<C: Code>(
    x: &[f32],
    out: &mut [MaybeUninit<C>],
    affine: &Affine<'_>,
    rounding: Rounding,
) -> Result<(), Stopped> {
    if rounding == Rounding::Nearest {
        return quantize(x, out, affine);
    }
    assert_eq!(x.len(), out.len(), "as many codes as floats");
    affine.check(x.len());
    rounded::codes(x, out, affine, rounding)
}

/// Codes to floats.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn dequantize<C: Code>(
    codes: &[C],
    out: &mut [MaybeUninit<f32>],
    affine: &Affine<'_>,
    pages: Pages,
) -> Result<(), Stopped> {
    assert_eq!(codes.len(), out.len(), "as many floats as codes");
    affine.check(codes.len());
    C::dequantize(codes, out, affine, pages)
}

/// Floats to the floats that their codes in `quant_min ..= quant_max`, given as a pair, stand for, and, in `mask`, where the gradient
/// passes: [`crate::qparams::passes_gradient`].
///
/// # Errors
/// NaN has no code; infinities saturate. After an error `out` and `mask` hold anything.
///
/// # Panics
/// Lengths that disagree.
pub fn fake_quantize(
    x: &[f32],
    out: &mut [MaybeUninit<f32>],
    mask: Option<&mut [MaybeUninit<bool>]>,
    affine: &Affine<'_>,
    (quant_min, quant_max): (i32, i32),
    pages: Pages,
) -> Result<(), Stopped> {
    assert_eq!(x.len(), out.len(), "as many floats out as in");
    assert!(mask.as_ref().is_none_or(|mask| mask.len() == x.len()), "as many truth values as floats");
    affine.check(x.len());
    fake_quantize::run(x, out, mask, affine, (quant_min, quant_max), pages)
}

/// Floats to codes of a packed data type: flat, element 0 in the low bits, the rest of the last byte 0. The zero point
/// is added before rounding: [`crate::qparams::quantize_one_before`].
///
/// # Errors
/// NaN has no code; infinities saturate. After an error `out` holds anything.
///
/// # Panics
/// Lengths that disagree, or a data type that is not packed.
pub fn quantize_packed(
    dtype: DType,
    x: &[f32],
    out: &mut [MaybeUninit<u8>],
    affine: &Affine<'_>,
) -> Result<(), Stopped> {
    assert!(dtype.is_packed(), "{} is not packed", dtype.name());
    assert_eq!(x.len().div_ceil(dtype.elements_per_item()), out.len(), "a byte for each {}", dtype.name());
    affine.check(x.len());
    packed::quantize(dtype, x, out, affine)
}

/// Floats to codes of a packed data type by any rounding.
///
/// # Errors
/// As for [`quantize_packed`].
///
/// # Panics
/// Lengths that disagree, or a data type that is not packed.
pub fn quantize_packed_rounded(
    dtype: DType,
    x: &[f32],
    out: &mut [MaybeUninit<u8>],
    affine: &Affine<'_>,
    rounding: Rounding,
) -> Result<(), Stopped> {
    if rounding == Rounding::Nearest {
        return quantize_packed(dtype, x, out, affine);
    }
    assert!(dtype.is_packed(), "{} is not packed", dtype.name());
    assert_eq!(x.len().div_ceil(dtype.elements_per_item()), out.len(), "a byte for each {}", dtype.name());
    affine.check(x.len());
    rounded::packed(dtype, x, out, affine, rounding)
}

/// Codes of a packed data type to floats: the first `out.len()` of them.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree, or a data type that is not packed.
pub fn dequantize_packed(
    dtype: DType,
    codes: &[u8],
    out: &mut [MaybeUninit<f32>],
    affine: &Affine<'_>,
) -> Result<(), Stopped> {
    assert!(dtype.is_packed(), "{} is not packed", dtype.name());
    assert_eq!(
        out.len().div_ceil(dtype.elements_per_item()),
        codes.len(),
        "a byte for each {}",
        dtype.name()
    );
    affine.check(out.len());
    packed::dequantize(dtype, codes, out, affine)
}

/// What a kernel that met NaN reports: a second, plain look, since the first one only sees whether there is any.
#[cold]
pub fn nan_in(x: &[f32]) -> Stopped {
    let first = x.iter().position(|x| x.is_nan()).unwrap_or(0);
    Stopped::Nan { count: x[first..].iter().filter(|x| x.is_nan()).count(), first }
}
