//! From exact sums to results.

use std::mem::MaybeUninit;
use std::ops::Range;

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

    /// Takes what the zero points of a row and of the weights add from the sums of a row, from the column `first` on.
    #[inline(always)]
    fn apply(&self, row: usize, first: usize, sums: &mut [i32]) {
        let n = sums.len();
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

    /// Whether `apply` does anything.
    fn any(&self) -> bool {
        self.zero_points.is_some() || self.columns.zero_points.is_some()
    }
}

/// The sums of some rows and a group of columns.
pub(crate) struct Sums<'a> {
    /// From the first row's first column on, corrected but for `base`; each row holds a whole group.
    sums: &'a [i32],
    /// From one row to the next.
    stride: usize,
    /// What is added to each row.
    base: &'a [i32],
    /// The first row, and the first column: tables hold a whole group from there on.
    row: usize,
    column: usize,
    /// Where in the results' rows the columns go: a group of them, or less at the end.
    to: Range<usize>,
}

impl Sums<'_> {
    /// The sums of a row.
    #[inline(always)]
    fn row<V: Vector>(&self, v: V, r: usize, base: [V::I; 4]) -> [V::I; 4] {
        let mut sums = v.load32(&self.sums[r * self.stride..]);
        for (sum, base) in sums.iter_mut().zip(base) {
            *sum = v.add32(*sum, base);
        }
        sums
    }
}

/// What corrected sums become.
pub(crate) trait Epilogue: Sync {
    /// A result.
    type Out: Copy + Send + Sync;

    /// Finishes the sums of as many rows as there are in `to`.
    fn finish<V: Vector>(&self, v: V, sums: &Sums<'_>, to: &mut [&mut [MaybeUninit<Self::Out>]]);
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
    pub(crate) columns: Range<usize>,
    pub(crate) to: &'a mut [&'b mut [MaybeUninit<E::Out>]],
}

impl<E: Epilogue> Kernel for FinishBlock<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Self { corrections, epilogue, sums, stride, first_row, first_column, columns, to } = self;
        if corrections.any() {
            let padded = columns.len().next_multiple_of(V::GROUP);
            for r in 0..to.len() {
                corrections.apply(first_row + r, first_column, &mut sums[r * stride..][..padded]);
            }
        }
        // A group's tables stay in registers while the rows pass.
        for at in (0..columns.len()).step_by(V::GROUP) {
            let sums = Sums {
                sums: &sums[at..],
                stride,
                base: &corrections.base[first_column + at..],
                row: first_row,
                column: first_column + at,
                to: columns.start + at..columns.end.min(columns.start + at + V::GROUP),
            };
            epilogue.finish(v, &sums, to);
        }
    }
}

/// The sums themselves.
pub(crate) struct ToSums;

impl Epilogue for ToSums {
    type Out = i32;

    #[inline(always)]
    fn finish<V: Vector>(&self, _: V, sums: &Sums<'_>, to: &mut [&mut [MaybeUninit<i32>]]) {
        for (r, to) in to.iter_mut().enumerate() {
            let to = &mut to[sums.to.clone()];
            let row = sums.sums[r * sums.stride..].iter().zip(sums.base);
            for (to, (sum, base)) in to.iter_mut().zip(row) {
                to.write(sum.wrapping_add(*base));
            }
        }
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
    fn finish<V: Vector>(&self, v: V, sums: &Sums<'_>, to: &mut [&mut [MaybeUninit<f32>]]) {
        let least = v.splat(if self.relu { 0.0 } else { f32::NEG_INFINITY });
        let (base, bias) = (v.load32(sums.base), v.load(&self.bias[sums.column..]));
        let weights = v.load(&self.columns.scales[sums.column..]);
        for (r, to) in to.iter_mut().enumerate() {
            let scale =
                v.splat(if self.scales.len() > 1 { self.scales[sums.row + r] } else { self.scales[0] });
            let of = sums.row(v, r, base);
            let values = std::array::from_fn(|j| {
                let value = v.add(v.mul(v.to_float(of[j]), v.mul(scale, weights[j])), bias[j]);
                // `max` is not the same on all CPUs where scales so large that their product is infinite meet a sum of 0.
                v.select(v.less(least, value), value, least)
            });
            let to = &mut to[sums.to.clone()];
            if to.len() == V::GROUP {
                v.store::<_, false>(values, to);
            } else {
                let mut some = [0f32; PADDED];
                v.store::<f32, false>(values, &mut some);
                copy_to(&some[..to.len()], to);
            }
        }
    }
}

/// `clamp(rint((f32(sum) + bias / sxw) * (sxw / sy)) + zy)`.
pub(crate) struct ToCodes<C> {
    /// `sxw / sy` for each column, finite; padded.
    pub(crate) multipliers: Vec<f32>,
    /// `bias / sxw` for each column, finite; padded.
    pub(crate) bias: Vec<f32>,
    pub(crate) zero_point: i32,
    /// The least code.
    pub(crate) least: i32,
    pub(crate) codes: std::marker::PhantomData<C>,
}

impl<C: Byte> Epilogue for ToCodes<C> {
    type Out = C;

    #[inline(always)]
    fn finish<V: Vector>(&self, v: V, sums: &Sums<'_>, to: &mut [&mut [MaybeUninit<C>]]) {
        // Clamped before rounding, at an integer: the same, and the sum with the zero point is exact.
        let least = v.splat((self.least - self.zero_point) as f32);
        let zero_point = v.splat16(self.zero_point as i16);
        let (base, bias) = (v.load32(sums.base), v.load(&self.bias[sums.column..]));
        let multipliers = v.load(&self.multipliers[sums.column..]);
        for (r, to) in to.iter_mut().enumerate() {
            let of = sums.row(v, r, base);
            let steps = std::array::from_fn(|j| {
                v.max(v.mul(v.add(v.to_float(of[j]), bias[j]), multipliers[j]), least)
            });
            let codes = v.narrow::<C>(steps, zero_point);
            let to = &mut to[sums.to.clone()];
            if to.len() == V::GROUP {
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
