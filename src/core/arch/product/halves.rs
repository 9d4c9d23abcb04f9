//! Codes of 4 bits, two to a byte.

use crate::arch::vector::{Kernel, Vector};

/// Codes of 4 bits lie two to a byte, those of a run and those that are so many after them.
pub(crate) const HALF_RUN: usize = 64;

/// Codes of 4 bits in bytes of their own.
pub(super) struct Widen<'a> {
    pub(super) halves: &'a [i8],
    pub(super) to: &'a mut [i8],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let runs = self.to.as_chunks_mut::<{ 2 * HALF_RUN }>().0;
        for (run, halves) in runs.iter_mut().zip(self.halves.as_chunks::<HALF_RUN>().0) {
            let (first, second) = run.split_at_mut(HALF_RUN);
            for ((first, second), &both) in first.iter_mut().zip(second).zip(halves) {
                *first = both & 15;
                *second = (both as u8 >> 4) as i8;
            }
        }
    }
}
