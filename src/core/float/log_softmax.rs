//! The logarithm of softmax, of rows.

use std::mem::MaybeUninit;

use super::plain;
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::Stopped;
use crate::threads;

/// Sums that run side by side.
const LANES: usize = 64;

/// `x - max(x) - log(sum(exp(x - max(x))))` of each row of `n`; NaN where a row holds NaN, or nothing finite.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn log_softmax(x: &[f32], n: usize, to: &mut [MaybeUninit<f32>]) -> Result<(), Stopped> {
    assert!(x.len() == to.len() && x.len().is_multiple_of(n.max(1)), "whole rows");
    let step = (threads::CHUNK_BYTES / 16 / n.max(1)).max(1) * n.max(1);
    let isa = Isa::current();
    threads::for_each(16 * x.len(), x.chunks(step).zip(to.chunks_mut(step)), |(x, to)| {
        dispatch(isa, Rows { x, n, to });
        true
    })
}

struct Rows<'a> {
    x: &'a [f32],
    n: usize,
    to: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        for (x, to) in self.x.chunks_exact(self.n).zip(self.to.chunks_exact_mut(self.n)) {
            let (blocks, rest) = x.as_chunks::<LANES>();
            let mut tops = [f32::NEG_INFINITY; LANES];
            for some in blocks {
                for i in 0..LANES {
                    tops[i] = if some[i] > tops[i] { some[i] } else { tops[i] };
                }
            }
            let mut top = f32::NEG_INFINITY;
            for &x in rest.iter().chain(&tops) {
                top = if x > top { x } else { top };
            }
            let mut sums = [0f32; LANES];
            for some in blocks {
                for i in 0..LANES {
                    sums[i] += plain::exp(some[i] - top);
                }
            }
            for (i, &x) in rest.iter().enumerate() {
                sums[i] += plain::exp(x - top);
            }
            let mut sum = 0.0;
            for lane in sums {
                sum += f64::from(lane);
            }
            let log = libm::log(sum) as f32;
            for (to, &x) in to.iter_mut().zip(x) {
                to.write(x - top - log);
            }
        }
    }
}
