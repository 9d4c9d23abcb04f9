//! Scales and zero points for activations, from their own range, and their codes.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::affine::{self, Affine, Channels};
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::{Result, Stopped};
use crate::memory::filled;
use crate::observe;
use crate::qparams::{DType, range_to_onnx_qparams, range_to_qparams, usual_qparams};
use crate::threads;

/// Scales and zero points.
type Params = (Vec<f32>, Vec<i32>);

/// How ranges become scales and zero points of quint8, and floats codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Formula {
    /// As the contract has it.
    #[default]
    Contract,
    /// The same with codes of 7 bits.
    SevenBits,
    /// As ONNX's DynamicQuantizeLinear: a range in float32, and division.
    Onnx,
}

impl Formula {
    /// Of ranges that hold 0, for some rows; whether each has parameters.
    #[inline(always)]
    fn all_params(
        self,
        least: &[f32; SOME],
        greatest: &[f32; SOME],
        scales: &mut [f32],
        zero_points: &mut [i32],
    ) -> bool {
        let ends = (0.0, if self == Self::SevenBits { 127.0 } else { 255.0 });
        let mut is_usual = self != Self::Onnx;
        for ((scale, zero_point), (&min, &max)) in
            scales.iter_mut().zip(zero_points.iter_mut()).zip(least.iter().zip(greatest))
        {
            let (found, usual) = usual_qparams(min, max, ends);
            (*scale, *zero_point) = (found.0 as f32, found.1);
            is_usual &= usual;
        }
        is_usual || self.each_of_params(least, greatest, scales, zero_points)
    }

    /// The same, one by one: of small ranges, of those that have none, and ONNX's.
    #[inline(never)]
    fn each_of_params(
        self,
        least: &[f32; SOME],
        greatest: &[f32; SOME],
        scales: &mut [f32],
        zero_points: &mut [i32],
    ) -> bool {
        let ranges = least.iter().zip(greatest);
        scales.iter_mut().zip(zero_points).zip(ranges).all(|((scale, zero_point), (&min, &max))| {
            let found = self.params(min, max);
            found.map(|found| (*scale, *zero_point) = found).is_ok()
        })
    }

    fn params(self, min: f32, max: f32) -> Result<(f32, i32)> {
        if self == Self::Onnx {
            return range_to_onnx_qparams(min, max).map(|(scale, zero_point)| (scale, i32::from(zero_point)));
        }
        let (scale, zero_point) = range_to_qparams(min, max, DType::QUInt8, self == Self::SevenBits)?;
        Ok((scale as f32, zero_point))
    }

    /// The codes of floats that are numbers, on one grid.
    #[inline(always)]
    fn codes<V: Vector>(
        self,
        v: V,
        x: &[f32],
        codes: &mut [MaybeUninit<u8>],
        (scale, zero_point): (f32, i32),
    ) {
        if self == Self::Onnx {
            affine::divided(v, x, codes, (scale, zero_point as u8));
        } else {
            affine::codes(v, x, codes, (scale, zero_point));
        }
    }

    /// Floats as codes on what their ranges have become: one grid, or one for each of as many rows.
    ///
    /// # Errors
    /// NaN, or an interrupt.
    ///
    /// # Panics
    /// Lengths that disagree.
    pub fn quantize(
        self,
        x: &[f32],
        codes: &mut [MaybeUninit<u8>],
        (scales, zero_points): (&[f32], &[i32]),
    ) -> std::result::Result<(), Stopped> {
        let each = x.len() / scales.len().max(1);
        if self == Self::Onnx {
            let rows = x.chunks_exact(each.max(1)).zip(codes.chunks_exact_mut(each.max(1)));
            for ((x, codes), (&scale, &zero_point)) in rows.zip(scales.iter().zip(zero_points)) {
                affine::quantize_by_division(x, codes, scale, zero_point as u8)?;
            }
            return Ok(());
        }
        let layout = Channels { outer: 1, channels: scales.len(), inner: each };
        let params = match (scales, zero_points) {
            (&[scale], &[zero_point]) => Affine::PerTensor { scale, zero_point },
            (scales, zero_points) => Affine::PerChannel { scales, zero_points, layout },
        };
        affine::quantize(x, codes, &params)
    }
}

/// Floats that are there, or that are made where they are wanted.
pub trait Floats: Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Those from one to another: where they lie, or made in `room`.
    fn get<'a>(&'a self, range: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32];

    /// Bytes that are read and written in as much time as it takes to make all of them.
    fn work(&self) -> usize {
        0
    }
}

impl Floats for &[f32] {
    fn count(&self) -> usize {
        self.len()
    }

    fn get<'a>(&'a self, range: Range<usize>, _: &'a mut Vec<f32>) -> &'a [f32] {
        &self[range]
    }
}

/// Rows up to so many floats stay in the first two caches between the look at their range and their codes.
pub(crate) const CACHED: usize = 16 << 10;
/// Floats of rows that are made at once: they stay in the first cache.
const AT_ONCE: usize = 4096;
/// Rows that are looked at before the first one's codes are made.
const SOME: usize = 32;

/// The codes of `x` in quint8; the scale and the zero point of all of it, or one of each for each of its `rows`.
///
/// # Errors
/// NaN, or an interrupt; inside, a range that is not finite. Then codes mean nothing.
///
/// # Panics
/// Lengths that disagree.
pub fn dynamic_codes(
    x: &dyn Floats,
    rows: usize,
    per_row: bool,
    formula: Formula,
    codes: &mut [MaybeUninit<u8>],
) -> std::result::Result<Result<Params>, Stopped> {
    assert_eq!(x.count(), codes.len(), "a code for each float");
    let count = if per_row { rows } else { 1 };
    let n = x.count().checked_div(count).unwrap_or(0);
    if (1..=CACHED).contains(&n) {
        let (mut scales, mut zero_points) = (filled(count, 1f32), filled(count, 0i32));
        let (step, few) = ((threads::CHUNK_BYTES / 5 / n).max(1), (AT_ONCE / n).max(1));
        let params = scales.chunks_mut(step).zip(zero_points.chunks_mut(step));
        let pieces = codes.chunks_mut(step * n).zip(params).enumerate();
        let (isa, good) = (Isa::current(), AtomicBool::new(true));
        threads::for_each(6 * x.count() + x.work(), pieces, |(i, (codes, (scales, zero_points)))| {
            let (mut room, mut at) = (Vec::new(), i * step * n);
            let params = scales.chunks_mut(few).zip(zero_points.chunks_mut(few));
            let fine = codes.chunks_mut(few * n).zip(params).all(|(codes, (scales, zero_points))| {
                let x = x.get(at..at + codes.len(), &mut room);
                at += codes.len();
                arch::dispatch(isa, Rows { x, n, formula, codes, scales, zero_points })
            });
            good.fetch_and(fine, Ordering::Relaxed);
            fine
        })?;
        if good.into_inner() {
            return Ok(Ok((scales, zero_points)));
        }
        // What is wrong, and where first, is said below.
    }
    let mut room = Vec::new();
    let x = x.get(0..x.count(), &mut room);
    let (scales, zero_points) = match dynamic_params(x, rows, per_row, formula)? {
        Ok(params) => params,
        Err(error) => return Ok(Err(error)),
    };
    formula.quantize(x, codes, (&scales, &zero_points))?;
    Ok(Ok((scales, zero_points)))
}

/// Some rows of `n`: their parameters, and their codes. Gives whether each has a range.
struct Rows<'a> {
    x: &'a [f32],
    n: usize,
    formula: Formula,
    codes: &'a mut [MaybeUninit<u8>],
    scales: &'a mut [f32],
    zero_points: &'a mut [i32],
}

impl Kernel for Rows<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> bool {
        let (n, formula) = (self.n, self.formula);
        let rows = self.x.chunks(SOME * n).zip(self.codes.chunks_mut(SOME * n));
        let params = self.scales.chunks_mut(SOME).zip(self.zero_points.chunks_mut(SOME));
        // Each of the three takes its time and waits for what is before it: rows do not wait for each other.
        for ((x, codes), (scales, zero_points)) in rows.zip(params) {
            let (mut least, mut greatest, mut nan) = ([0f32; SOME], [0f32; SOME], false);
            for (i, x) in x.chunks_exact(n).enumerate() {
                let (range, found) = observe::range_and_zero(v, x);
                (least[i], greatest[i]) = (range.min, range.max);
                nan |= found;
            }
            if nan || !formula.all_params(&least, &greatest, scales, zero_points) {
                return false;
            }
            let params = scales.iter().zip(zero_points.iter());
            for ((x, codes), params) in x.chunks_exact(n).zip(codes.chunks_exact_mut(n)).zip(params) {
                formula.codes(v, x, codes, (*params.0, *params.1));
            }
        }
        true
    }
}

/// The scale and the zero point of quint8 for all of `x`, or one of each for each of its `rows`.
///
/// # Errors
/// NaN, or an interrupt; inside, a range that is not finite.
pub fn dynamic_params(
    x: &[f32],
    rows: usize,
    per_row: bool,
    formula: Formula,
) -> std::result::Result<Result<Params>, Stopped> {
    let ranges = if x.is_empty() {
        filled(if per_row { rows } else { 1 }, (0.0, 0.0))
    } else if per_row {
        let layout = Channels { outer: 1, channels: rows, inner: x.len() / rows };
        observe::min_max_per_channel(x, layout)?.into_iter().map(|r| (r.min, r.max)).collect()
    } else {
        let range = observe::min_max(x)?;
        vec![(range.min, range.max)]
    };
    Ok(ranges.into_iter().map(|(min, max)| formula.params(min, max)).collect())
}
