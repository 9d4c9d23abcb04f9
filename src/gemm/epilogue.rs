//! From exact sums to results.

use std::mem::MaybeUninit;

use super::columns::{Columns, PADDED};
use crate::arch::{Byte, Kernel, Slot, Vector, copy_to};

/// What turns sums into integers that stand for `sum((x - zx) * (w - zw))`, plus an integer bias.
pub(crate) struct Corrections<'a> {
    columns: &'a Columns,
    /// For each column: the bias, less the zero point of all activations times the sum of the weights; padded.
    base: Vec<i32>,
    /// The zero points of the rows, where they have their own.
    zero_points: Option<&'a [i32]>,
    offset: i32,
    row_sums: &'a [i32],
}

impl<'a> Corrections<'a> {
    /// `offset` is what was added to each activation, also to those whose sums are `row_sums`.
    pub(crate) fn new(
        columns: &'a Columns,
        zero_points: &'a [i32],
        bias: Option<&[i32]>,
        offset: i32,
        row_sums: &'a [i32],
    ) -> Self {
        let mut base = vec![0; columns.sums.len()];
        if let Some(bias) = bias {
            base[..bias.len()].copy_from_slice(bias);
        }
        let own = (zero_points.len() > 1).then_some(zero_points);
        if own.is_none() {
            let all = zero_points.first().copied().unwrap_or(0) + offset;
            for (base, sum) in base.iter_mut().zip(&columns.sums) {
                *base = base.wrapping_sub(all.wrapping_mul(*sum));
            }
        }
        Self { columns, base, zero_points: own, offset, row_sums }
    }

    /// What a group of columns needs, from the column `at` on.
    #[inline(always)]
    fn group<V: Vector>(&self, v: V, at: usize) -> CorrectGroup<V> {
        CorrectGroup {
            base: v.load32(&self.base[at..]),
            sums: self.zero_points.map(|_| v.load32(&self.columns.sums[at..])),
            zero_points: self.columns.zero_points.as_ref().map(|all| v.load32(&all[at..])),
        }
    }

    /// Corrects a group of the sums of a row.
    #[inline(always)]
    fn apply<V: Vector>(&self, v: V, row: usize, group: &CorrectGroup<V>, mut sums: [V::I; 4]) -> [V::I; 4] {
        for j in 0..4 {
            sums[j] = v.add32(sums[j], group.base[j]);
        }
        if let (Some(zero_points), Some(weights)) = (self.zero_points, group.sums) {
            let zero_point = v.splat32(zero_points[row] + self.offset);
            for j in 0..4 {
                sums[j] = v.sub32(sums[j], v.mul32(zero_point, weights[j]));
            }
        }
        if let Some(zero_points) = group.zero_points {
            let row_sum = v.splat32(self.row_sums[row]);
            for j in 0..4 {
                sums[j] = v.sub32(sums[j], v.mul32(row_sum, zero_points[j]));
            }
        }
        sums
    }
}

/// The part of [`Corrections`] that a group of columns needs, in registers while its rows pass.
struct CorrectGroup<V: Vector> {
    base: [V::I; 4],
    sums: Option<[V::I; 4]>,
    zero_points: Option<[V::I; 4]>,
}

/// What corrected sums become.
pub(crate) trait Epilogue: Sync {
    /// A result.
    type Out: Slot<Item = Self::Out> + Copy + Default + Send + Sync;

    /// What a group of columns needs, in registers while its rows pass.
    type Group<V: Vector>;

    /// That, from the column `at` on.
    fn group<V: Vector>(&self, v: V, at: usize) -> Self::Group<V>;

    /// Finishes a group of the sums of a row.
    fn finish<V: Vector, S: Slot<Item = Self::Out>>(
        &self,
        v: V,
        row: usize,
        group: &Self::Group<V>,
        sums: [V::I; 4],
        to: &mut [S],
    );
}

/// A block of sums, corrected and finished with an instruction set's vectors.
pub(crate) struct FinishBlock<'a, 'b, E: Epilogue> {
    pub(crate) corrections: &'a Corrections<'a>,
    pub(crate) epilogue: &'a E,
    /// `stride` apart, one row for each of `to`; up to a multiple of a group, as tables.
    pub(crate) sums: &'a mut [i32],
    pub(crate) stride: usize,
    pub(crate) first_row: usize,
    pub(crate) first_column: usize,
    /// The columns of `to` that these are.
    pub(crate) columns: std::ops::Range<usize>,
    pub(crate) to: &'a mut [&'b mut [MaybeUninit<E::Out>]],
}

impl<E: Epilogue> Kernel for FinishBlock<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        for start in (0..self.columns.len()).step_by(V::GROUP) {
            let at = self.first_column + start;
            let (correct, group) = (self.corrections.group(v, at), self.epilogue.group(v, at));
            let columns =
                self.columns.start + start..self.columns.end.min(self.columns.start + start + V::GROUP);
            for (r, to) in self.to.iter_mut().enumerate() {
                let (row, to) = (self.first_row + r, &mut to[columns.clone()]);
                let sums = v.load32(&self.sums[r * self.stride + start..]);
                let sums = self.corrections.apply(v, row, &correct, sums);
                if to.len() == V::GROUP {
                    self.epilogue.finish(v, row, &group, sums, to);
                } else {
                    let mut some = [E::Out::default(); PADDED];
                    self.epilogue.finish(v, row, &group, sums, &mut some);
                    copy_to(&some[..to.len()], to);
                }
            }
        }
    }
}

/// The sums themselves.
pub(crate) struct ToSums;

impl Epilogue for ToSums {
    type Out = i32;
    type Group<V: Vector> = ();

    #[inline(always)]
    fn group<V: Vector>(&self, _: V, _: usize) {}

    #[inline(always)]
    fn finish<V: Vector, S: Slot<Item = i32>>(&self, v: V, _: usize, (): &(), sums: [V::I; 4], to: &mut [S]) {
        v.store32(sums, to);
    }
}

/// `f32(sum) * (sx * sw) + bias`, with ReLU or without.
pub(crate) struct ToFloats<'a> {
    pub(crate) columns: &'a Columns,
    /// One, or one for each row.
    pub(crate) scales: &'a [f32],
    pub(crate) bias: Vec<f32>,
    pub(crate) relu: bool,
}

impl Epilogue for ToFloats<'_> {
    type Out = f32;
    /// Scales of weights, and the bias.
    type Group<V: Vector> = [[V::F; 4]; 2];

    #[inline(always)]
    fn group<V: Vector>(&self, v: V, at: usize) -> [[V::F; 4]; 2] {
        [v.load(&self.columns.scales[at..]), v.load(&self.bias[at..])]
    }

    #[inline(always)]
    fn finish<V: Vector, S: Slot<Item = f32>>(
        &self,
        v: V,
        row: usize,
        [weights, bias]: &[[V::F; 4]; 2],
        sums: [V::I; 4],
        to: &mut [S],
    ) {
        let scale = v.splat(if self.scales.len() > 1 { self.scales[row] } else { self.scales[0] });
        let mut values = *bias;
        for j in 0..4 {
            values[j] = v.add(v.mul(v.to_float(sums[j]), v.mul(scale, weights[j])), bias[j]);
        }
        if self.relu {
            values = values.map(|value| at_least(v, value, 0.0));
        }
        v.store::<S, false>(values, to);
    }
}

/// The larger one; of NaN and a number the number.
#[inline(always)]
fn at_least<V: Vector>(v: V, value: V::F, least: f32) -> V::F {
    let least = v.splat(least);
    v.select(v.less(least, value), value, least)
}

/// `clamp(rint((f32(sum) + bias / sxw) * (sxw / sy)) + zy)`.
pub(crate) struct ToCodes<C> {
    /// `sxw / sy` for each column; padded.
    pub(crate) multipliers: Vec<f32>,
    /// `bias / sxw` for each column; padded.
    pub(crate) bias: Vec<f32>,
    pub(crate) zero_point: i32,
    /// The least code.
    pub(crate) least: i32,
    pub(crate) codes: std::marker::PhantomData<C>,
}

impl<C: Byte> Epilogue for ToCodes<C> {
    type Out = C;
    /// Multipliers, and the bias.
    type Group<V: Vector> = [[V::F; 4]; 2];

    #[inline(always)]
    fn group<V: Vector>(&self, v: V, at: usize) -> [[V::F; 4]; 2] {
        [v.load(&self.multipliers[at..]), v.load(&self.bias[at..])]
    }

    #[inline(always)]
    fn finish<V: Vector, S: Slot<Item = C>>(
        &self,
        v: V,
        _: usize,
        [multipliers, bias]: &[[V::F; 4]; 2],
        sums: [V::I; 4],
        to: &mut [S],
    ) {
        // Clamped before rounding, at an integer: the same. At the other end `narrow` clamps.
        let least = (self.least - self.zero_point) as f32;
        let mut steps = *bias;
        for j in 0..4 {
            steps[j] = at_least(v, v.mul(v.add(v.to_float(sums[j]), bias[j]), multipliers[j]), least);
        }
        let zero_point = v.splat16(self.zero_point as i16);
        v.store_bytes::<C, S, false>(v.narrow::<C>(steps, zero_point), to);
    }
}

/// Marks that `MaybeUninit` of a result is a slot for it.
const _: () = {
    const fn slot<S: Slot>() {}
    slot::<MaybeUninit<i32>>();
};
