//! Sums that become codes before they leave the registers.

use std::mem::MaybeUninit;

use super::{Panels, Product, Rows, check_results};
use crate::arch::window::Window;

/// What turns the sums of each column into codes: `clamp(rint((f32(sum + base) + bias) * multiplier) + zero_point)`, for
/// products so small that none leaves 31 bits. Tables are padded to whole panels.
pub(crate) struct ToBytes<'a> {
    pub(crate) base: &'a [i32],
    pub(crate) bias: &'a [f32],
    pub(crate) multipliers: &'a [f32],
    /// For codes less `offset`, which is 0 or, where they are signed, -128: codes as unsigned bytes.
    pub(crate) zero_point: i16,
    pub(crate) least: u8,
    /// What turns the highest bit of signed codes.
    pub(crate) flip: u8,
    /// What is added before results are rounded, and with it another order of operations.
    pub(crate) added: Option<Added<'a>>,
}

/// Codes that are added, as what they stand for: `rint(((f32(sum + base) * multiplier + bias) + value) * inv)`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Added<'a> {
    /// From the first row and column on; rows are `stride` apart.
    pub(crate) codes: &'a [u8],
    pub(crate) stride: usize,
    pub(crate) scale: f32,
    /// Of codes as unsigned bytes.
    pub(crate) zero_point: i32,
    /// What turns the highest bit of signed codes.
    pub(crate) flip: u8,
    pub(crate) inv: f32,
}

impl<'a> ToBytes<'a> {
    /// The same, from a row and a column on.
    pub(crate) fn from(&self, row: usize, column: usize) -> Self {
        let (bias, multipliers) = (&self.bias[column..], &self.multipliers[column..]);
        let behind = |added: Added<'a>| {
            let codes = &added.codes[row * added.stride + column..];
            Added { codes, ..added }
        };
        Self { base: &self.base[column..], bias, multipliers, added: self.added.map(behind), ..*self }
    }

    /// How many columns its tables have.
    pub(crate) fn columns(&self) -> usize {
        self.base.len().min(self.bias.len()).min(self.multipliers.len())
    }
}

/// The checks that make the reads and writes of `Product::codes` safe.
#[inline]
pub(super) fn check<P: Product>(
    rows: Rows<'_, P::A>,
    panels: Panels<'_>,
    finish: &ToBytes<'_>,
    to: &Window<'_, MaybeUninit<u8>>,
) {
    let added = finish.added.map(|Added { codes, stride, .. }| (codes.len(), stride));
    check_results::<P, _>(rows, panels, to, added);
    assert!(finish.columns() >= panels.count * P::NR);
}
