//! The logarithm of softmax, of rows.

use std::mem::MaybeUninit;

use super::math::{Exp, Map};
use super::rows::{self, AT_ONCE, Max, Part, Sum, reduce};
use super::softmax::Scaled;
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::Stopped;
use crate::threads;

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
    fn run<V: Vector>(self, v: V) {
        let Self { x, n, to } = self;
        for (first, count) in rows::blocks(x.len() / n, n) {
            let whole = first * n..(first + count) * n;
            let (mut tops, mut sums) = ([0f32; AT_ONCE], [0f32; AT_ONCE]);
            for (x, top) in x[whole.clone()].chunks_exact(n).zip(&mut tops) {
                *top = reduce(v, Max, n, &mut Scaled::as_it_is(x));
            }
            for (i, x) in x[whole.clone()].chunks_exact(n).enumerate() {
                sums[i] = reduce(v, Sum, n, &mut Powers { x, top: tops[i] });
            }
            let to = to[whole.clone()].chunks_exact_mut(n);
            for (i, (x, to)) in x[whole].chunks_exact(n).zip(to).enumerate() {
                // NaN anywhere in a row reaches its sum.
                let log = libm::log(f64::from(sums[i])) as f32;
                rows::groups(v, n, &mut Logs { x, top: tops[i], log, to });
            }
        }
    }
}

/// `exp` of a row less its maximum.
struct Powers<'a> {
    x: &'a [f32],
    top: f32,
}

impl<V: Vector> Part<V> for Powers<'_> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) -> [V::F; 4] {
        let mut group = rows::load(v, self.x, at, len);
        for x in &mut group {
            *x = v.sub(*x, v.splat(self.top));
        }
        Exp::group(v, group)
    }
}

/// What is left of a row without its maximum and a logarithm.
struct Logs<'a> {
    x: &'a [f32],
    top: f32,
    log: f32,
    to: &'a mut [MaybeUninit<f32>],
}

impl<V: Vector> Part<V> for Logs<'_> {
    type Output = ();

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) {
        let mut group = rows::load(v, self.x, at, len);
        for x in &mut group {
            *x = v.sub(v.sub(*x, v.splat(self.top)), v.splat(self.log));
        }
        rows::store(v, group, self.to, at, len);
    }
}
