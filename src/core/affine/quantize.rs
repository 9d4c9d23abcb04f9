//! Floats to codes.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::walk::{Lane, Source, Spans, Uses, Walk};
use super::{Affine, nan_in, wide};
use crate::arch::{self, Byte, Isa, Kernel, Slot, Vector};
use crate::error::Stopped;
use crate::threads;

/// What a table for [`Quantize`] has to hold.
pub(super) fn uses(before: bool) -> Uses {
    Uses { inv: true, zero_point: before, zero_point16: !before, ..Uses::default() }
}

/// To i8 or u8.
pub(super) fn bytes<C: Byte>(
    x: &[f32],
    out: &mut [MaybeUninit<C>],
    affine: &Affine<'_>,
) -> Result<(), Stopped> {
    let before = affine.is_float().then_some(if C::SIGNED { 127.0 } else { 255.0 });
    let walk = Walk::new(affine, uses(before.is_some()));
    let moved = x.len() * 5;
    let stream = moved >= arch::stream_from();
    let isa = Isa::current();
    let nan = AtomicBool::new(false);
    let step = walk.step(threads::CHUNK_BYTES / 5);
    threads::for_each(moved, out.chunks_mut(step).enumerate(), |(i, out)| {
        let found = arch::dispatch(isa, Quantize { x, out, start: i * step, walk: &walk, before, stream });
        if found {
            nan.store(true, Ordering::Relaxed);
        }
        !found
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(()) }
}

/// To i32.
pub(super) fn wide(x: &[f32], out: &mut [MaybeUninit<i32>], affine: &Affine<'_>) -> Result<(), Stopped> {
    wide::quantize(x, out, affine)
}

/// The kernel of a chunk. It returns whether it met NaN.
pub(super) struct Quantize<'a, S> {
    /// All of the input.
    pub x: &'a [f32],
    /// The chunk, which starts at the flat position `start`.
    pub out: &'a mut [S],
    pub start: usize,
    pub walk: &'a Walk<'a>,
    /// The largest code, if the zero point is added before rounding (and then the smallest code is that of the byte).
    pub before: Option<f32>,
    /// Whether to store around the caches.
    pub stream: bool,
}

impl<C: Byte, S: Slot<Item = C>> Kernel for Quantize<'_, S> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> bool {
        match (self.before, V::STREAMS && self.stream) {
            (None, false) => self.spans::<V, C, false, false>(v, 0.0),
            (None, true) => self.spans::<V, C, true, false>(v, 0.0),
            (Some(qmax), false) => self.spans::<V, C, false, true>(v, qmax),
            (Some(qmax), true) => self.spans::<V, C, true, true>(v, qmax),
        }
    }
}

impl<S> Quantize<'_, S> {
    #[inline(always)]
    fn spans<V: Vector, C: Byte, const STREAM: bool, const BEFORE: bool>(self, v: V, qmax: f32) -> bool
    where
        S: Slot<Item = C>,
    {
        let range = self.start..self.start + self.out.len();
        let groups = Groups::<V, BEFORE> { v, qmax };
        let mut op =
            Op::<V, S, STREAM, BEFORE> { groups, x: self.x, out: self.out, start: self.start, nan: v.none() };
        self.walk.each(range, &mut op);
        if STREAM {
            v.fence();
        }
        v.any(op.nan)
    }
}

/// The codes of a slice with one set of parameters, for a kernel that has other things to do, too; it returns whether it
/// met NaN.
#[inline(always)]
pub(crate) fn codes<V: Vector, C: Byte, S: Slot<Item = C>>(
    v: V,
    x: &[f32],
    out: &mut [S],
    (scale, zero_point): (f32, i32),
) -> bool {
    let groups = Groups::<V, false> { v, qmax: 0.0 };
    let mut op = Op::<V, S, false, false> { groups, x, out, start: 0, nan: v.none() };
    op.span(0..x.len(), Lane { inv: 1.0 / scale, scale, zero_point: f64::from(zero_point) });
    v.any(op.nan)
}

struct Op<'a, V: Vector, S, const STREAM: bool, const BEFORE: bool> {
    groups: Groups<V, BEFORE>,
    x: &'a [f32],
    out: &'a mut [S],
    start: usize,
    nan: V::M,
}

impl<V: Vector, C: Byte, S: Slot<Item = C>, const STREAM: bool, const BEFORE: bool> Spans
    for Op<'_, V, S, STREAM, BEFORE>
{
    #[inline(always)]
    fn span<P: Source>(&mut self, range: Range<usize>, source: P) {
        let x = &self.x[range.clone()];
        let out = &mut self.out[range.start - self.start..range.end - self.start];
        let head = if STREAM { out.as_ptr().align_offset(V::GROUP).min(out.len()) } else { 0 };
        let (x_head, x) = x.split_at(head);
        let (out_head, out) = out.split_at_mut(head);
        let mut nan = self.nan;
        if STREAM {
            nan = self.groups.edge(x_head, out_head, source, 0, nan);
        }
        let mut x = x.chunks_exact(V::GROUP);
        let mut out = out.chunks_exact_mut(V::GROUP);
        let mut at = head;
        for (x, out) in x.by_ref().zip(out.by_ref()) {
            nan = self.groups.group::<_, _, _, STREAM>(x, out, source, at, nan);
            at += V::GROUP;
        }
        self.nan = self.groups.edge(x.remainder(), out.into_remainder(), source, at, nan);
    }
}

/// What a group needs beside its memory.
#[derive(Clone, Copy)]
struct Groups<V, const BEFORE: bool> {
    v: V,
    qmax: f32,
}

impl<V: Vector, const BEFORE: bool> Groups<V, BEFORE> {
    /// One group; `at` is its position in the source.
    #[inline(always)]
    fn group<C: Byte, S: Slot<Item = C>, P: Source, const STREAM: bool>(
        self,
        x: &[f32],
        out: &mut [S],
        source: P,
        at: usize,
        nan: V::M,
    ) -> V::M {
        let v = self.v;
        if STREAM {
            v.prefetch(x);
        }
        let x = v.load(x);
        let nan = v.or(nan, v.or(v.unordered(x[0], x[1]), v.unordered(x[2], x[3])));
        let inv = source.inv(v, at);
        let mut steps = x;
        for j in 0..4 {
            steps[j] = v.mul(x[j], inv[j]);
            if BEFORE {
                steps[j] = v.add(steps[j], source.zero_point(v, at)[j]);
                steps[j] = v.min(steps[j], v.splat(self.qmax));
            }
        }
        let zero_points = if BEFORE { v.splat16(0) } else { source.zero_point16(v, at) };
        v.store_bytes::<C, S, STREAM>(v.narrow::<C>(steps, zero_points), out);
        nan
    }

    /// Less than a group: the same group, over copies.
    #[inline(always)]
    fn edge<C: Byte, S: Slot<Item = C>, P: Source>(
        self,
        x: &[f32],
        out: &mut [S],
        source: P,
        at: usize,
        nan: V::M,
    ) -> V::M {
        if x.is_empty() {
            return nan;
        }
        let (mut floats, mut codes) = ([0f32; 64], [C::default(); 64]);
        self.v.store::<_, false>(self.v.load_part(x), &mut floats);
        let nan = self.group::<_, C, _, false>(&floats, &mut codes, source, at, nan);
        arch::copy_to(&codes[..x.len()], out);
        nan
    }
}
