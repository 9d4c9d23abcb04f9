//! 32-bit codes, and fake quantization to ranges that float32 does not hold: portable loops in float64, which the
//! compiler turns into vectors.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::walk::{Source, Spans, Uses, Walk};
use super::{Affine, nan_in};
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::threads;

/// `x` to i32: [`crate::qparams::quantize_one_i32`].
pub(super) fn quantize(x: &[f32], out: &mut [MaybeUninit<i32>], affine: &Affine<'_>) -> Result<(), Stopped> {
    let walk = Walk::new(affine, Uses { inv: true, zero_point64: true, ..Uses::default() });
    let nan = AtomicBool::new(false);
    let before = affine.is_float();
    each_chunk(&walk, out, |start, out| {
        let mut op = Quantize { x, out, start, before, nan: false };
        run(&walk, start, op.out.len(), &mut op);
        if op.nan {
            nan.store(true, Ordering::Relaxed);
        }
        !op.nan
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(()) }
}

/// i32 to floats: [`crate::qparams::dequantize_one`].
pub(super) fn dequantize(
    codes: &[i32],
    out: &mut [MaybeUninit<f32>],
    affine: &Affine<'_>,
) -> Result<(), Stopped> {
    let walk = Walk::new(affine, Uses { scale: true, zero_point64: true, ..Uses::default() });
    let float = affine.is_float();
    each_chunk(&walk, out, |start, out| {
        let mut op = Dequantize { codes, out, start, float };
        run(&walk, start, op.out.len(), &mut op);
        true
    })
}

fn each_chunk<T: Send>(
    walk: &Walk<'_>,
    out: &mut [T],
    f: impl Fn(usize, &mut [T]) -> bool + Sync,
) -> Result<(), Stopped> {
    let step = walk.step(threads::CHUNK_BYTES / 8);
    threads::for_each(out.len() * 8, out.chunks_mut(step).enumerate(), |(i, out)| f(i * step, out))
}

/// Visits the spans with the best instructions switched on.
pub(super) fn run(walk: &Walk<'_>, start: usize, len: usize, op: &mut impl Spans) {
    struct Spanned<'a, 'w, O>(&'a Walk<'w>, Range<usize>, &'a mut O);
    impl<O: Spans> Kernel for Spanned<'_, '_, O> {
        type Output = ();
        #[inline(always)]
        fn run<V: Vector>(self, _: V) {
            self.0.each(self.1, self.2);
        }
    }
    arch::dispatch(Isa::current(), Spanned(walk, start..start + len, op));
}

struct Quantize<'a> {
    x: &'a [f32],
    out: &'a mut [MaybeUninit<i32>],
    start: usize,
    before: bool,
    nan: bool,
}

impl Spans for Quantize<'_> {
    #[inline(always)]
    fn span<S: Source>(&mut self, range: Range<usize>, source: S) {
        let x = &self.x[range.clone()];
        let out = &mut self.out[range.start - self.start..range.end - self.start];
        let (lo, hi) = (f64::from(i32::MIN), f64::from(i32::MAX));
        let mut nan = false;
        for (i, (&x, out)) in x.iter().zip(out).enumerate() {
            let (inv, zero_point) = source.steps(i);
            nan |= x.is_nan();
            let code = if self.before {
                f64::from((x * inv + zero_point as f32).round_ties_even())
            } else {
                f64::from((x * inv).round_ties_even()) + zero_point
            };
            *out = MaybeUninit::new(code.clamp(lo, hi) as i32);
        }
        self.nan |= nan;
    }
}

struct Dequantize<'a> {
    codes: &'a [i32],
    out: &'a mut [MaybeUninit<f32>],
    start: usize,
    float: bool,
}

impl Spans for Dequantize<'_> {
    #[inline(always)]
    fn span<S: Source>(&mut self, range: Range<usize>, source: S) {
        let codes = &self.codes[range.clone()];
        let out = &mut self.out[range.start - self.start..range.end - self.start];
        for (i, (&code, out)) in codes.iter().zip(out).enumerate() {
            let (scale, zero_point) = source.values(i);
            // The difference of two i32 is exact in float64, so there is one rounding, as from i64.
            let steps = if self.float {
                code as f32 - zero_point as f32
            } else {
                (f64::from(code) - zero_point) as f32
            };
            *out = MaybeUninit::new(scale * steps);
        }
    }
}
