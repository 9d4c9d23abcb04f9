//! Floats to codes by another rounding than the contract's: down, half away from 0, or by chance. Portable loops, which
//! the compiler turns into vectors.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::walk::{Source, Spans, Uses, Walk};
use super::{Affine, Code, nan_in, packed, philox, wide};
use crate::arch::Slot;
use crate::error::Stopped;
use crate::qparams::DType;
use crate::threads;

/// How a number of steps becomes a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, halves to the even one: the contract's.
    Nearest,
    /// Down.
    Floor,
    /// To the nearest, halves away from 0.
    HalfAway,
    /// Up as often as the fraction says. The number that decides is counter-based: a function of these two and of the
    /// element's flat position.
    Stochastic {
        /// What all calls have in common.
        seed: u64,
        /// How many calls there were.
        call: u64,
    },
}

/// Elements that are rounded at once.
const PIECE: usize = 512;

impl Rounding {
    /// Rounds in place what starts at a flat position, at most [`PIECE`] elements. Infinities stay.
    #[inline(always)]
    fn round(self, x: &mut [f32], start: usize) {
        match self {
            Self::Nearest => x.iter_mut().for_each(|x| *x = x.round_ties_even()),
            Self::Floor => x.iter_mut().for_each(|x| *x = x.floor()),
            Self::HalfAway => x.iter_mut().for_each(|x| *x = x.round()),
            Self::Stochastic { seed, call } => {
                let mut chances = [0.0; PIECE];
                let chances = &mut chances[..x.len()];
                philox::uniform([seed, call], start, chances);
                for (x, &chance) in x.iter_mut().zip(&*chances) {
                    let below = x.floor();
                    *x = below + if chance < *x - below { 1.0 } else { 0.0 };
                }
            }
        }
    }
}

/// To codes that have memory of their own.
pub(super) fn codes<C: Code>(
    x: &[f32],
    out: &mut [MaybeUninit<C>],
    affine: &Affine<'_>,
    rounding: Rounding,
) -> Result<(), Stopped> {
    let walk = Walk::new(affine, USES);
    let step = walk.step(threads::CHUNK_BYTES / 8);
    let nan = AtomicBool::new(false);
    let before = affine.is_float();
    let range = C::DTYPE.qmin()..C::DTYPE.qmax();
    threads::for_each(out.len() * 8, out.chunks_mut(step).enumerate(), |(i, out)| {
        let (start, len) = (i * step, out.len());
        let mut op = Round { x, out, start, rounding, before, range: range.clone(), nan: false };
        wide::run(&walk, start, len, &mut op);
        if op.nan {
            nan.store(true, Ordering::Relaxed);
        }
        !op.nan
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(()) }
}

/// To codes of which several share a byte.
pub(super) fn packed(
    dtype: DType,
    x: &[f32],
    out: &mut [MaybeUninit<u8>],
    affine: &Affine<'_>,
    rounding: Rounding,
) -> Result<(), Stopped> {
    let walk = Walk::new(affine, USES);
    let per_byte = dtype.elements_per_item();
    let step = packed::step(&walk, per_byte);
    let nan = AtomicBool::new(false);
    threads::for_each(x.len() * 8, out.chunks_mut(step / per_byte).enumerate(), |(i, out)| {
        let mut found = false;
        for (j, out) in out.chunks_mut(packed::PIECE / per_byte).enumerate() {
            let start = i * step + j * packed::PIECE;
            let len = packed::PIECE.min(x.len() - start);
            let mut buffer = [0u8; packed::PIECE];
            let whole = &mut buffer[..len];
            let range = dtype.qmin()..dtype.qmax();
            let mut op = Round { x, out: whole, start, rounding, before: true, range, nan: false };
            wide::run(&walk, start, len, &mut op);
            found |= op.nan;
            packed::pack(per_byte, &buffer, out);
        }
        if found {
            nan.store(true, Ordering::Relaxed);
        }
        !found
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(()) }
}

const USES: Uses =
    Uses { inv: true, zero_point64: true, scale: false, zero_point: false, zero_point16: false };

struct Round<'a, S> {
    x: &'a [f32],
    /// The chunk, which starts at the flat position `start`.
    out: &'a mut [S],
    start: usize,
    rounding: Rounding,
    /// Whether the zero point is added before rounding.
    before: bool,
    /// From the smallest code to the largest.
    range: Range<i32>,
    nan: bool,
}

impl<C: Code, S: Slot<Item = C>> Spans for Round<'_, S> {
    #[inline(always)]
    fn span<P: Source>(&mut self, range: Range<usize>, source: P) {
        let x = &self.x[range.clone()];
        let out = &mut self.out[range.start - self.start..range.end - self.start];
        let (lo, hi) = (f64::from(self.range.start), f64::from(self.range.end));
        let mut steps = [0.0f32; PIECE];
        for (piece, (x, out)) in x.chunks(PIECE).zip(out.chunks_mut(PIECE)).enumerate() {
            let (at, steps) = (piece * PIECE, &mut steps[..x.len()]);
            for (i, (&x, step)) in x.iter().zip(steps.iter_mut()).enumerate() {
                let (inv, zero_point) = source.steps(at + i);
                self.nan |= x.is_nan();
                *step = x * inv + if self.before { zero_point as f32 } else { 0.0 };
            }
            self.rounding.round(steps, range.start + at);
            for (i, (&step, out)) in steps.iter().zip(out).enumerate() {
                let zero_point = if self.before { 0.0 } else { source.steps(at + i).1 };
                *out = S::of(C::of((f64::from(step) + zero_point).clamp(lo, hi) as i32));
            }
        }
    }
}
