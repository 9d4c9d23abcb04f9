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

    /// Corrects the sums of a row, from the column `first` on.
    #[inline(always)]
    fn apply(&self, row: usize, first: usize, sums: &mut [i32]) {
        let n = sums.len();
        for (sum, base) in sums.iter_mut().zip(&self.base[first..][..n]) {
            *sum = sum.wrapping_add(*base);
        }
        if let Some(zero_points) = self.zero_points {
            let zero_point = zero_points[row] + self.offset;
            for (sum, weights) in sums.iter_mut().zip(&self.columns.sums[first..][..n]) {
                *sum = sum.wrapping_sub(zero_point.wrapping_mul(*weights));
            }
        }
        if let Some(zero_points) = &self.columns.zero_points {
            let row_sum = self.row_sums[row];
            for (sum, zero_point) in sums.iter_mut().zip(&zero_points[first..][..n]) {
                *sum = sum.wrapping_sub(row_sum.wrapping_mul(*zero_point));
            }
        }
    }
}

/// What corrected sums become.
pub(crate) trait Epilogue: Sync {
    /// A result.
    type Out: Copy + Send + Sync;

    /// Finishes the sums of a row from the column `first` on: as many as `to` takes. There are more sums, up to a
    /// multiple of a group, and tables hold as many.
    fn finish<V: Vector>(
        &self,
        v: V,
        row: usize,
        first: usize,
        sums: &[i32],
        to: &mut [MaybeUninit<Self::Out>],
    );
}

/// A block of sums, corrected and finished with an instruction set's vectors.
pub(crate) struct FinishBlock<'a, 'b, E: Epilogue> {
    pub(crate) corrections: &'a Corrections<'a>,
    pub(crate) epilogue: &'a E,
    /// `stride` apart, one row for each of `to`.
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
        let padded = self.columns.len().next_multiple_of(V::GROUP);
        for (r, to) in self.to.iter_mut().enumerate() {
            let sums = &mut self.sums[r * self.stride..][..padded];
            self.corrections.apply(self.first_row + r, self.first_column, sums);
            self.epilogue.finish(
                v,
                self.first_row + r,
                self.first_column,
                sums,
                &mut to[self.columns.clone()],
            );
        }
    }
}

/// The sums themselves.
pub(crate) struct ToSums;

impl Epilogue for ToSums {
    type Out = i32;

    #[inline(always)]
    fn finish<V: Vector>(&self, _: V, _: usize, _: usize, sums: &[i32], to: &mut [MaybeUninit<i32>]) {
        copy_to(&sums[..to.len()], to);
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

    #[inline(always)]
    fn finish<V: Vector>(&self, _: V, row: usize, first: usize, sums: &[i32], to: &mut [MaybeUninit<f32>]) {
        let scale = if self.scales.len() > 1 { self.scales[row] } else { self.scales[0] };
        let least = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        for (g, sums) in sums.chunks_exact(V::GROUP).enumerate() {
            let at = first + g * V::GROUP;
            let (weights, bias) = (&self.columns.scales[at..][..V::GROUP], &self.bias[at..][..V::GROUP]);
            let mut group = [0f32; PADDED];
            for i in 0..V::GROUP {
                let value = sums[i] as f32 * (scale * weights[i]) + bias[i];
                group[i] = if value > least { value } else { least };
            }
            let to = &mut to[g * V::GROUP..];
            let n = to.len().min(V::GROUP);
            copy_to(&group[..n], to);
        }
    }
}

/// `clamp(rint((f32(sum) + bias / sxw) * (sxw / sy)) + zy)`.
pub(crate) struct ToCodes<C> {
    /// `sxw / sy` for each column; padded.
    pub(crate) multipliers: Vec<f32>,
    /// `bias / sxw` for each column; padded.
    pub(crate) bias: Vec<f32>,
    pub(crate) zero_point: i32,
    /// The least and the greatest code.
    pub(crate) range: (i32, i32),
    pub(crate) codes: std::marker::PhantomData<C>,
}

impl<C: Byte> Epilogue for ToCodes<C> {
    type Out = C;

    #[inline(always)]
    fn finish<V: Vector>(&self, v: V, _: usize, first: usize, sums: &[i32], to: &mut [MaybeUninit<C>]) {
        // Clamped before rounding, at integers: the same, and the sum with the zero point is exact.
        let (lo, hi) = ((self.range.0 - self.zero_point) as f32, (self.range.1 - self.zero_point) as f32);
        let zero_point = v.splat16(self.zero_point as i16);
        for (g, sums) in sums.chunks_exact(V::GROUP).enumerate() {
            let at = first + g * V::GROUP;
            let (multipliers, bias) = (&self.multipliers[at..][..V::GROUP], &self.bias[at..][..V::GROUP]);
            let mut group = [0f32; PADDED];
            for i in 0..V::GROUP {
                let value = (sums[i] as f32 + bias[i]) * multipliers[i];
                let value = if value > lo { value } else { lo };
                group[i] = if value < hi { value } else { hi };
            }
            let codes = v.narrow::<C>(v.load(&group), zero_point);
            let to = &mut to[g * V::GROUP..];
            if to.len() >= V::GROUP {
                v.store_bytes::<C, _, false>(codes, to);
            } else {
                let mut some = [C::default(); PADDED];
                v.store_bytes::<C, C, false>(codes, &mut some);
                copy_to(&some[..to.len()], to);
            }
        }
    }
}

/// Marks that `MaybeUninit` of a result is a slot for it.
const _: () = {
    const fn slot<S: Slot>() {}
    slot::<MaybeUninit<i32>>();
};
