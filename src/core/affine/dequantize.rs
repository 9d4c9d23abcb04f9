//! Codes to floats.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::walk::{Source, Spans, Uses, Walk};
use super::{Affine, wide};
use crate::arch::{self, Byte, Isa, Kernel, Pages, Slot, Vector};
use crate::error::Stopped;
use crate::threads;

/// What a table for [`Dequantize`] has to hold.
pub(super) const USES: Uses =
    Uses { inv: false, scale: true, zero_point: true, zero_point16: false, zero_point64: false };

/// From i8 or u8.
pub(super) fn bytes<C: Byte>(
    codes: &[C],
    out: &mut [MaybeUninit<f32>],
    affine: &Affine<'_>,
    pages: Pages,
) -> Result<(), Stopped> {
    let walk = Walk::new(affine, USES);
    let moved = codes.len() * 5;
    let stream = pages.streamed(moved, 4 * out.len());
    let isa = Isa::current();
    let step = walk.step(threads::CHUNK_BYTES / 5);
    threads::for_each(moved, out.chunks_mut(step).enumerate(), |(i, out)| {
        let (start, end) = (i * step, i * step + out.len());
        arch::dispatch(isa, Dequantize { codes: &codes[start..end], out, start, walk: &walk, stream });
        true
    })
}

/// From i32.
pub(super) fn wide(
    codes: &[i32],
    out: &mut [MaybeUninit<f32>],
    affine: &Affine<'_>,
    _: Pages,
) -> Result<(), Stopped> {
    wide::dequantize(codes, out, affine)
}

/// The kernel of a chunk, which starts at the flat position `start`.
pub(super) struct Dequantize<'a, C> {
    pub codes: &'a [C],
    pub out: &'a mut [MaybeUninit<f32>],
    pub start: usize,
    pub walk: &'a Walk<'a>,
    /// Whether to store around the caches.
    pub stream: bool,
}

impl<C: Byte> Kernel for Dequantize<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        if V::STREAMS && self.stream {
            self.spans::<V, true>(v);
            v.fence();
        } else {
            self.spans::<V, false>(v);
        }
    }
}

impl<C: Byte> Dequantize<'_, C> {
    #[inline(always)]
    fn spans<V: Vector, const STREAM: bool>(self, v: V) {
        let range = self.start..self.start + self.codes.len();
        let mut op = Op::<V, C, STREAM> { v, codes: self.codes, out: self.out, start: self.start };
        self.walk.each(range, &mut op);
    }
}

struct Op<'a, V, C, const STREAM: bool> {
    v: V,
    codes: &'a [C],
    out: &'a mut [MaybeUninit<f32>],
    start: usize,
}

impl<V: Vector, C: Byte, const STREAM: bool> Spans for Op<'_, V, C, STREAM> {
    #[inline(always)]
    fn span<P: Source>(&mut self, range: Range<usize>, source: P) {
        let range = range.start - self.start..range.end - self.start;
        let v = self.v;
        let (codes, out) = (&self.codes[range.clone()], &mut self.out[range]);
        let head = if STREAM { out.as_ptr().align_offset(V::GROUP).min(out.len()) } else { 0 };
        let (codes_head, codes) = codes.split_at(head);
        let (out_head, out) = out.split_at_mut(head);
        if STREAM {
            edge::<_, _, _, _, STREAM>(v, codes_head, out_head, source, 0);
        }
        let mut codes = codes.chunks_exact(V::GROUP);
        let mut out = out.chunks_exact_mut(V::GROUP);
        let mut at = head;
        for (codes, out) in codes.by_ref().zip(out.by_ref()) {
            group::<_, _, _, _, STREAM>(v, codes, out, source, at);
            at += V::GROUP;
        }
        edge::<_, _, _, _, STREAM>(v, codes.remainder(), out.into_remainder(), source, at);
    }
}

/// One group; `at` is its position in the source. The difference of two codes is exact in float32.
#[inline(always)]
fn group<V: Vector, C: Byte, S: Slot<Item = f32>, P: Source, const STREAM: bool>(
    v: V,
    codes: &[C],
    out: &mut [S],
    source: P,
    at: usize,
) {
    let (scale, zero_point) = (source.scale(v, at), source.zero_point(v, at));
    let mut values = v.widen(codes);
    for j in 0..4 {
        values[j] = v.mul(v.sub(values[j], zero_point[j]), scale[j]);
    }
    v.store::<S, STREAM>(values, out);
}

/// Less than a group: the same group, over copies.
#[inline(always)]
fn edge<V: Vector, C: Byte, S: Slot<Item = f32>, P: Source, const STREAM: bool>(
    v: V,
    codes: &[C],
    out: &mut [S],
    source: P,
    at: usize,
) {
    if codes.is_empty() {
        return;
    }
    let (mut padded, mut floats) = ([C::default(); 64], [0f32; 64]);
    padded[..codes.len()].copy_from_slice(codes);
    group::<_, _, _, _, false>(v, &padded, &mut floats, source, at);
    v.store_some::<S, STREAM>(&floats[..codes.len()], out);
}
