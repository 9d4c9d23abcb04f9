//! What zero points and an integer bias add to exact sums.

use std::borrow::Cow;

use super::columns::{Columns, padded};
use crate::arch::Vector;
use crate::arch::product::{DEEPEST, Halves};

/// What turns sums into integers that stand for `sum((x - zx) * (w - zw))`, plus an integer bias.
pub(crate) struct Corrections<'a> {
    columns: &'a Columns,
    /// Padded, or empty.
    bias: Cow<'a, [i32]>,
    /// The zero point of the activations, or one for each row.
    zero_points: &'a [i32],
    offset: i32,
    row_sums: &'a [i32],
}

impl<'a> Corrections<'a> {
    /// `offset` is what was added to each activation, also to those whose sums are `row_sums`.
    pub(crate) fn new(
        columns: &'a Columns,
        zero_points: &'a [i32],
        bias: Option<&'a [i32]>,
        offset: i32,
        row_sums: &'a [i32],
    ) -> Self {
        Self { columns, bias: padded(bias.unwrap_or_default()), zero_points, offset, row_sums }
    }

    /// Whether rows have values of their own.
    pub(super) fn of_rows(&self) -> bool {
        self.zero_points.len() != 1 || self.columns.zero_points.is_some()
    }

    /// What is added to the sums of each column, where rows have no values of their own; padded.
    #[inline(never)]
    pub(crate) fn base(&self) -> Option<Vec<i32>> {
        let &[zero_point] = self.zero_points else { return None };
        if self.columns.zero_points.is_some() {
            return None;
        }
        let (sums, zero_point) = (&self.columns.sums, zero_point + self.offset);
        let of_zero = sums.iter().map(|sum| zero_point.wrapping_mul(*sum).wrapping_neg());
        Some(match self.bias.is_empty() {
            true => of_zero.collect(),
            false => of_zero.zip(&*self.bias).map(|(base, bias)| base.wrapping_add(*bias)).collect(),
        })
    }

    /// The zero points of rows, as they meet sums in registers, of products so deep; none where columns have zero points,
    /// too.
    pub(crate) fn halves(&self, depth: usize) -> Option<Vec<Halves>> {
        if self.columns.zero_points.is_some() || depth > DEEPEST {
            return None;
        }
        self.zero_points.iter().map(|zero_point| Halves::of(zero_point + self.offset)).collect()
    }

    /// With those.
    pub(crate) fn of_zeros<'b>(&'b self, zero_points: &'b [Halves]) -> ZerosOfRows<'b> {
        ZerosOfRows { zero_points, bias: &self.bias }
    }

    /// What a group of columns needs, from the column `at` on.
    #[inline(always)]
    pub(super) fn group<V: Vector>(&self, v: V, at: usize) -> CorrectGroup<V> {
        let sums = v.load32(&self.columns.sums[at..]);
        let mut base = if self.bias.is_empty() { [v.splat32(0); 4] } else { v.load32(&self.bias[at..]) };
        let each = self.zero_points.len() > 1;
        if let &[zero_point] = self.zero_points {
            let zero_point = v.splat32(zero_point + self.offset);
            for j in 0..4 {
                base[j] = v.sub32(base[j], v.mul32(zero_point, sums[j]));
            }
        }
        let zero_points = self.columns.zero_points.as_ref().map(|all| v.load32(&all[at..]));
        CorrectGroup { base, sums: each.then_some(sums), zero_points }
    }

    /// Corrects a group of the sums of a row.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "adaptors of iterators are not always inlined here")]
    pub(super) fn apply<V: Vector>(
        &self,
        v: V,
        row: usize,
        group: &CorrectGroup<V>,
        mut sums: [V::I; 4],
    ) -> [V::I; 4] {
        for j in 0..4 {
            sums[j] = v.add32(sums[j], group.base[j]);
        }
        if let Some(weights) = group.sums {
            let zero_point = v.splat32(self.zero_points[row] + self.offset);
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

/// What [`Corrections`] are for an instruction set that makes floats before sums leave the registers.
pub(crate) struct ZerosOfRows<'a> {
    pub(super) zero_points: &'a [Halves],
    /// Padded, or empty.
    pub(super) bias: &'a [i32],
}

/// The part of [`Corrections`] that a group of columns needs, in registers while its rows pass.
pub(super) struct CorrectGroup<V: Vector> {
    /// The bias, less the zero point of all activations times the sums of the weights.
    base: [V::I; 4],
    /// The sums of the weights, where rows have zero points of their own.
    sums: Option<[V::I; 4]>,
    zero_points: Option<[V::I; 4]>,
}
