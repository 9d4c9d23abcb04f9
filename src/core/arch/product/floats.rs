//! Sums that become floats before they leave the registers.

use std::mem::MaybeUninit;

use super::{Panels, Product, Rows, check_results};
use crate::arch::window::Window;

/// What turns sums into floats: `f32(sum + base - zero point * column sum) * (scale * column scale) + bias`, plus what is
/// added. Tables of columns are padded to whole panels, or empty where all are zeros; those of rows have one value, or one
/// for each row.
#[derive(Clone, Copy)]
pub(crate) struct ToNumbers<'a> {
    pub(crate) base: &'a [i32],
    /// Of weights: less than 2^22 from 0.
    pub(crate) sums: &'a [i32],
    pub(crate) weights: &'a [f32],
    pub(crate) bias: &'a [f32],
    /// As [`Halves`].
    pub(crate) zero_points: &'a [Halves],
    pub(crate) scales: &'a [f32],
    /// What is added, from the first row and column on, and how far apart its rows are.
    pub(crate) added: Option<(&'a [f32], usize)>,
    pub(crate) relu: bool,
}

/// A zero point less than 256, negative, and 128 times it, as halves of 16 bits: what is multiplied by the low seven bits
/// of a column's sum, and by the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Halves(i32);

/// How many bits of a column's sum meet the first half.
pub(crate) const LOW: u32 = 7;

impl Halves {
    /// None for other zero points.
    pub(crate) fn of(zero_point: i32) -> Option<Self> {
        let half = |x: i32| i32::from(x as i16 as u16);
        (0..256).contains(&zero_point).then(|| Self(half(-zero_point) | half(-zero_point << LOW) << 16))
    }
}

/// Depths up to which sums of weights are small enough.
pub(crate) const DEEPEST: usize = 1 << 15;

impl ToNumbers<'_> {
    /// The same, from a row and a column on.
    pub(crate) fn from(&self, row: usize, column: usize) -> Self {
        fn columns<T>(table: &[T], column: usize) -> &[T] {
            if table.is_empty() { table } else { &table[column..] }
        }
        fn rows<T>(table: &[T], row: usize) -> &[T] {
            if table.len() == 1 { table } else { &table[row..] }
        }
        Self {
            base: columns(self.base, column),
            sums: &self.sums[column..],
            weights: &self.weights[column..],
            bias: columns(self.bias, column),
            zero_points: rows(self.zero_points, row),
            scales: rows(self.scales, row),
            added: self.added.map(|(all, stride)| (&all[row * stride + column..], stride)),
            relu: self.relu,
        }
    }
}

/// The checks that make the reads and writes of `Product::floats` safe.
#[inline]
pub(super) fn check<P: Product>(
    rows: Rows<'_, P::A>,
    panels: Panels<'_>,
    finish: &ToNumbers<'_>,
    to: &Window<'_, MaybeUninit<f32>>,
) {
    check_results::<P, _>(rows, panels, to, finish.added.map(|(all, stride)| (all.len(), stride)));
    let (count, columns) = (to.rows(), panels.count * P::NR);
    assert!(finish.sums.len().min(finish.weights.len()) >= columns);
    assert!([finish.base.len(), finish.bias.len()].iter().all(|&n| n == 0 || n >= columns));
    assert!([finish.zero_points.len(), finish.scales.len()].iter().all(|&n| n == 1 || n >= count));
}
