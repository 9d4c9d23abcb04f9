//! From scores to weights, and from their sums of values to means.

use std::mem::MaybeUninit;

use super::super::math::{Exp255, Map};
use super::super::rows::{self, AT_ONCE, Max, Part, Sum, reduce};
use crate::arch::{self, Kernel, Vector, Window};

/// Turns the scores of some queries into codes of weights, and what sums of those are multiplied by.
pub(super) struct Weights<'a, M> {
    pub(super) n: usize,
    pub(super) count: usize,
    pub(super) scores: &'a [i32],
    pub(super) wide: usize,
    pub(super) key_offsets: &'a [i32],
    pub(super) factor: f32,
    pub(super) mask: M,
    /// Room for as many rows of `wide` as are visited at once.
    pub(super) powers: &'a mut [f32],
    pub(super) codes: &'a mut [u8],
    /// From one query's codes to the next one's.
    pub(super) stride: usize,
    pub(super) inverses: &'a mut [f32],
}

impl<'m, M: Fn(usize) -> Option<&'m [f32]>> Kernel for Weights<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Self { n, wide, stride, .. } = self;
        for (first, count) in rows::blocks(self.count, n) {
            let mut tops = [0f32; AT_ONCE];
            for (i, top) in tops[..count].iter_mut().enumerate() {
                let row = first + i;
                let mut score = Scores {
                    scores: &self.scores[row * wide..][..wide],
                    offsets: self.key_offsets,
                    factor: self.factor,
                    mask: (self.mask)(row),
                    to: &mut self.powers[i * wide..][..wide],
                };
                *top = reduce(v, Max, n, &mut score);
            }
            for (i, &top) in tops[..count].iter().enumerate() {
                let codes = &mut self.codes[(first + i) * stride..][..stride];
                if top == f32::NEG_INFINITY {
                    codes.fill(0);
                    self.inverses[first + i] = 0.0;
                    continue;
                }
                let scores = &self.powers[i * wide..][..wide];
                self.inverses[first + i] = 1.0 / reduce(v, Sum, n, &mut Powers { scores, top, codes });
            }
        }
    }
}

/// Scores as numbers, which are kept.
struct Scores<'a, 'm> {
    scores: &'a [i32],
    offsets: &'a [i32],
    factor: f32,
    mask: Option<&'m [f32]>,
    to: &'a mut [f32],
}

impl<V: Vector> Part<V> for Scores<'_, '_> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) -> [V::F; 4] {
        let (scores, offsets) = (v.load32(&self.scores[at..]), v.load32(&self.offsets[at..]));
        let mut group = [v.splat(self.factor); 4];
        for j in 0..4 {
            group[j] = v.mul(v.to_float(v.sub32(scores[j], offsets[j])), group[j]);
        }
        if let Some(mask) = self.mask {
            group = rows::zip::<V>(group, rows::load(v, mask, at, len), |t, mask| v.add(t, mask));
        }
        v.store::<_, false>(group, &mut self.to[at..]);
        group
    }
}

/// `255 exp(score - top)`, rounded, as codes.
struct Powers<'a> {
    scores: &'a [f32],
    top: f32,
    codes: &'a mut [u8],
}

impl<V: Vector> Part<V> for Powers<'_> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, _: usize) -> [V::F; 4] {
        let mut group = v.load(&self.scores[at..]);
        for t in &mut group {
            *t = v.sub(*t, v.splat(self.top));
        }
        group = Exp255::group(v, group);
        for power in &mut group {
            *power = v.round(*power);
        }
        v.store_bytes::<u8, _, false>(v.narrow::<u8>(group, v.splat16(0)), &mut self.codes[at..]);
        group
    }
}

/// Sums of values by those of weights.
pub(super) struct Means<'a, 'b> {
    pub(super) to: Window<'b, MaybeUninit<f32>>,
    pub(super) sums: &'a [i32],
    pub(super) columns: usize,
    pub(super) value_offsets: &'a [i32],
    pub(super) value_scales: &'a [f32],
    pub(super) inverses: &'a [f32],
}

/// What loops without closures take at once, so that they are compiled with the instructions that are switched on.
const SIDE: usize = 16;

impl Kernel for Means<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, _: V) {
        let width = self.to.columns();
        // All that is read is there in whole groups.
        let padded = width.next_multiple_of(SIDE);
        let offsets = self.value_offsets[..padded].as_chunks::<SIDE>().0;
        let scales = self.value_scales[..padded].as_chunks::<SIDE>().0;
        for row in 0..self.to.rows() {
            let inv = self.inverses[row];
            let sums = self.sums[row * self.columns..][..padded].as_chunks::<SIDE>().0;
            let to = self.to.row(row);
            for i in 0..sums.len() {
                let mut means = [0f32; SIDE];
                for j in 0..SIDE {
                    means[j] = sums[i][j].wrapping_sub(offsets[i][j]) as f32 * (scales[i][j] * inv);
                }
                let to = &mut to[i * SIDE..];
                match to.len() >= SIDE {
                    true => arch::copy_to(&means, to),
                    false => arch::copy_to(&means[..to.len()], to),
                }
            }
        }
    }
}
