//! Floats to the floats that their codes stand for, and where the gradient passes.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::walk::{Source, Spans, Uses, Walk};
use super::{Affine, nan_in, wide};
use crate::arch::{self, Isa, Kernel, Pages, Slot, Vector};
use crate::error::Stopped;
use crate::{qparams, threads};

/// Up to here the sum of two integers is exact in float32.
const SMALL: i32 = 1 << 23;

/// The whole operation.
pub(super) fn run(
    x: &[f32],
    out: &mut [MaybeUninit<f32>],
    mask: Option<&mut [MaybeUninit<bool>]>,
    affine: &Affine<'_>,
    bounds: (i32, i32),
    pages: Pages,
) -> Result<(), Stopped> {
    let small = |n: i32| (-SMALL..=SMALL).contains(&n);
    let exact = match affine {
        Affine::PerTensor { zero_point, .. } => small(*zero_point),
        Affine::PerChannel { zero_points, .. } => zero_points.iter().all(|&z| small(z)),
        Affine::PerChannelFloat { .. } => true,
    } && (affine.is_float() || small(bounds.0) && small(bounds.1));
    let uses = Uses { inv: true, scale: true, zero_point: exact, zero_point64: !exact, ..Uses::default() };
    let walk = Walk::new(affine, uses);
    let moved = x.len() * (8 + usize::from(mask.is_some()));
    let step = walk.step(threads::CHUNK_BYTES / 8);
    let stream = pages.streamed(moved, 4 * out.len());
    let isa = Isa::current();
    let nan = AtomicBool::new(false);
    let chunk = |i: usize, out: &mut [MaybeUninit<f32>], mask: Option<&mut [MaybeUninit<bool>]>| {
        let start = i * step;
        let end = start + out.len();
        let chunk = Chunk { x: &x[start..end], out, mask, start, walk: &walk, bounds };
        let found = if exact {
            arch::dispatch(isa, FakeQuantize { chunk, before: affine.is_float(), stream })
        } else {
            let mut op = Plain { chunk, nan: false };
            wide::run(&walk, start, end - start, &mut op);
            op.nan
        };
        if found {
            nan.store(true, Ordering::Relaxed);
        }
        !found
    };
    match mask {
        None => threads::for_each(moved, out.chunks_mut(step).enumerate(), |(i, out)| chunk(i, out, None)),
        Some(mask) => {
            let chunks = out.chunks_mut(step).zip(mask.chunks_mut(step)).enumerate();
            threads::for_each(moved, chunks, |(i, (out, mask))| chunk(i, out, Some(mask)))
        }
    }?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(()) }
}

/// A chunk, which starts at the flat position `start`.
struct Chunk<'a> {
    x: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
    mask: Option<&'a mut [MaybeUninit<bool>]>,
    start: usize,
    walk: &'a Walk<'a>,
    bounds: (i32, i32),
}

/// The kernel of a chunk whose zero points and bounds are exact in float32. It returns whether it met NaN.
struct FakeQuantize<'a> {
    chunk: Chunk<'a>,
    /// Whether the zero point is added before rounding.
    before: bool,
    /// Whether to store around the caches.
    stream: bool,
}

impl Kernel for FakeQuantize<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> bool {
        let nan = match (self.before, V::STREAMS && self.stream) {
            (false, false) => spans::<V, false, false>(v, self.chunk),
            (false, true) => spans::<V, true, false>(v, self.chunk),
            (true, false) => spans::<V, false, true>(v, self.chunk),
            (true, true) => spans::<V, true, true>(v, self.chunk),
        };
        if self.stream {
            v.fence();
        }
        nan
    }
}

#[inline(always)]
fn spans<V: Vector, const STREAM: bool, const BEFORE: bool>(v: V, chunk: Chunk<'_>) -> bool {
    let (walk, range) = (chunk.walk, chunk.start..chunk.start + chunk.x.len());
    let mut op = Op::<V, STREAM, BEFORE> { v, chunk, nan: v.none() };
    walk.each(range, &mut op);
    v.any(op.nan)
}

struct Op<'a, V: Vector, const STREAM: bool, const BEFORE: bool> {
    v: V,
    chunk: Chunk<'a>,
    nan: V::M,
}

impl<V: Vector, const STREAM: bool, const BEFORE: bool> Spans for Op<'_, V, STREAM, BEFORE> {
    #[inline(always)]
    fn span<P: Source>(&mut self, range: Range<usize>, source: P) {
        let (v, bounds) = (self.v, self.chunk.bounds);
        let range = range.start - self.chunk.start..range.end - self.chunk.start;
        let (x, out) = (&self.chunk.x[range.clone()], &mut self.chunk.out[range.clone()]);
        let mut mask = self.chunk.mask.as_deref_mut().map(|mask| &mut mask[range]);
        let head = if STREAM { out.as_ptr().align_offset(V::GROUP).min(out.len()) } else { 0 };
        let body = head + (x.len() - head) / V::GROUP * V::GROUP;
        let mut nan = self.nan;
        for edge in [0..head, body..x.len()] {
            if edge.is_empty() {
                continue;
            }
            let (mut floats, mut results, mut passes) = ([0.0; 64], [0f32; 64], [false; 64]);
            floats[..edge.len()].copy_from_slice(&x[edge.clone()]);
            let found = group::<_, _, _, false, BEFORE>(v, &floats, &mut results, source, edge.start, bounds);
            nan = v.or(nan, found.0);
            v.store_bools(found.1, &mut passes);
            v.store_some::<_, STREAM>(&results[..edge.len()], &mut out[edge.clone()]);
            if let Some(mask) = &mut mask {
                arch::copy_to(&passes[..edge.len()], &mut mask[edge]);
            }
        }
        let (x, out) = (x[head..body].chunks_exact(V::GROUP), out[head..body].chunks_exact_mut(V::GROUP));
        let mut at = head;
        if let Some(mask) = mask {
            for ((x, out), mask) in x.zip(out).zip(mask[head..body].chunks_exact_mut(V::GROUP)) {
                let found = group::<_, _, _, STREAM, BEFORE>(v, x, out, source, at, bounds);
                nan = v.or(nan, found.0);
                v.store_bools(found.1, mask);
                at += V::GROUP;
            }
        } else {
            for (x, out) in x.zip(out) {
                nan = v.or(nan, group::<_, _, _, STREAM, BEFORE>(v, x, out, source, at, bounds).0);
                at += V::GROUP;
            }
        }
        self.nan = nan;
    }
}

/// One group; `at` is its position in the source. It returns where NaN is, and where the gradient passes.
#[inline(always)]
fn group<V: Vector, S: Slot<Item = f32>, P: Source, const STREAM: bool, const BEFORE: bool>(
    v: V,
    x: &[f32],
    out: &mut [S],
    source: P,
    at: usize,
    (quant_min, quant_max): (i32, i32),
) -> (V::M, [V::M; 4]) {
    if STREAM {
        v.prefetch(x);
    }
    let x = v.load(x);
    let nan = v.or(v.unordered(x[0], x[1]), v.unordered(x[2], x[3]));
    let (inv, scale, zero_point) = (source.inv(v, at), source.scale(v, at), source.zero_point(v, at));
    let (mut values, mut passes) = (x, [v.none(); 4]);
    for j in 0..4 {
        let (mut lo, mut hi) = (v.splat(quant_min as f32), v.splat(quant_max as f32));
        let mut steps = v.mul(x[j], inv[j]);
        if BEFORE {
            steps = v.add(steps, zero_point[j]);
        } else {
            (lo, hi) = (v.sub(lo, zero_point[j]), v.sub(hi, zero_point[j]));
        }
        let steps = v.round(steps);
        passes[j] = v.within(steps, lo, hi);
        // `+ 0.0` turns -0 into 0, as the trip through an integer does.
        let mut code = v.add(v.min(v.max(steps, lo), hi), v.splat(0.0));
        if BEFORE {
            code = v.sub(code, zero_point[j]);
        }
        values[j] = v.mul(code, scale[j]);
    }
    v.store::<S, STREAM>(values, out);
    (nan, passes)
}

/// Any other zero points and bounds: [`qparams::fake_quantize_one`] for each element.
struct Plain<'a> {
    chunk: Chunk<'a>,
    nan: bool,
}

impl Spans for Plain<'_> {
    #[inline(always)]
    fn span<S: Source>(&mut self, range: Range<usize>, source: S) {
        let range = range.start - self.chunk.start..range.end - self.chunk.start;
        let (lo, hi) = self.chunk.bounds;
        let x = &self.chunk.x[range.clone()];
        for (i, (&x, out)) in x.iter().zip(&mut self.chunk.out[range.clone()]).enumerate() {
            let ((inv, zero_point), (scale, _)) = (source.steps(i), source.values(i));
            self.nan |= x.is_nan();
            *out = MaybeUninit::new(qparams::fake_quantize_one(x, scale, inv, zero_point as i32, lo, hi));
        }
        let Some(mask) = &mut self.chunk.mask else { return };
        for (i, (&x, mask)) in x.iter().zip(&mut mask[range]).enumerate() {
            let (inv, zero_point) = source.steps(i);
            *mask = MaybeUninit::new(qparams::passes_gradient(x, inv, zero_point as i32, lo, hi));
        }
    }
}
