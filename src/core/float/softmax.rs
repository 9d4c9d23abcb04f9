//! Softmax of rows, with a factor and a mask before it, as attention has it.

use super::math::{Exp, Map};
use super::rows::{self, AT_ONCE, Max, Part, Sum, reduce};
use super::{Cells, Place, for_each_piece};
use crate::arch::{self, Isa, Kernel, Slot, Vector};
use crate::error::Stopped;
use crate::memory::filled;
use crate::threads;

/// Floats that are added to rows: each row has its own, or shares it with others.
#[derive(Debug, Clone)]
pub struct Mask<'a> {
    values: &'a [f32],
    /// Lengths and steps of what counts rows, the innermost first, without those of length 1.
    axes: Vec<(usize, usize)>,
}

impl<'a> Mask<'a> {
    /// For rows that are counted along axes of these lengths, outermost first; one step along an axis is as many
    /// floats on in `values`, or none where the axis is broadcast.
    pub fn new(values: &'a [f32], lengths: &[usize], steps: &[usize]) -> Self {
        let mut axes: Vec<(usize, usize)> = Vec::new();
        for (&n, &step) in lengths.iter().zip(steps).rev().filter(|&(&n, _)| n != 1) {
            match axes.last_mut() {
                // Two axes that one step runs through are one.
                Some((inner, inner_step)) if step == *inner * *inner_step => *inner *= n,
                _ => axes.push((n, step)),
            }
        }
        Self { values, axes }
    }

    /// What is added to a row of `n`.
    pub(super) fn row(&self, mut row: usize, n: usize) -> &'a [f32] {
        let mut start = 0;
        for &(length, step) in &self.axes {
            start += row % length * step;
            row /= length;
        }
        &self.values[start..start + n]
    }
}

/// What a softmax takes beside its input.
#[derive(Debug, Clone)]
pub struct Softmax<'a> {
    /// How long a row is.
    pub n: usize,
    /// What the input is multiplied by.
    pub factor: f32,
    /// What is then added.
    pub mask: Option<Mask<'a>>,
}

/// `exp(t) / sum(exp(t))` of each row, with `t = x * factor + mask` less its maximum. A row whose maximum is not
/// finite, or that holds NaN, becomes NaN.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn softmax(of: &Softmax<'_>, place: Place<'_>) -> Result<(), Stopped> {
    let len = place.len();
    if len == 0 {
        return Ok(());
    }
    assert!(len.is_multiple_of(of.n), "whole rows");
    let count = (threads::CHUNK_BYTES / 16 / of.n).max(1);
    let isa = Isa::current();
    for_each_piece!(place, count * of.n, 16 * len, |i: usize, cells| {
        let first = i * count;
        let (n, factor) = (of.n, of.factor);
        match &of.mask {
            None if factor == 1.0 => arch::dispatch(isa, Rows::<_, false> { cells, n, factor, mask: None }),
            mask => arch::dispatch(
                isa,
                Rows::<_, true> { cells, n, factor, mask: mask.as_ref().map(|mask| (mask, first)) },
            ),
        }
    })
}

/// Some rows, of which the first one has a number in the mask; `SHAPED` where something happens before the powers.
struct Rows<'a, C, const SHAPED: bool> {
    cells: C,
    n: usize,
    factor: f32,
    mask: Option<(&'a Mask<'a>, usize)>,
}

impl<C: Cells, const SHAPED: bool> Kernel for Rows<'_, C, SHAPED> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Self { mut cells, n, factor, mask } = self;
        // Without a mask nothing is added to a row that is multiplied: one kernel less.
        let nothing = filled(if SHAPED && mask.is_none() { n } else { 0 }, 0f32);
        let mask = |row| match mask {
            Some((mask, first)) => mask.row(first + row, n),
            None => &nothing[..],
        };
        // Floats and results of as many rows lie in the first cache.
        for (first, count) in rows::blocks(cells.input().len() / n, 2 * n) {
            let (mut tops, mut sums) = ([0f32; AT_ONCE], [0f32; AT_ONCE]);
            for (i, top) in tops[..count].iter_mut().enumerate() {
                let x = &cells.input()[(first + i) * n..][..n];
                *top = reduce(v, Max, n, &mut Scaled::<SHAPED> { x, factor, mask: mask(first + i) });
            }
            for (i, sum) in sums[..count].iter_mut().enumerate() {
                let (start, top, mask) = ((first + i) * n, tops[i], mask(first + i));
                *sum = reduce(
                    v,
                    Sum,
                    n,
                    &mut Powers::<_, SHAPED> { cells: &mut cells, start, factor, mask, top },
                );
            }
            let output = cells.output()[first * n..(first + count) * n].chunks_exact_mut(n);
            for (out, sum) in output.zip(sums) {
                // NaN anywhere in a row reaches its sum.
                match sum.is_nan() {
                    true => out.iter_mut().for_each(|y| *y = Slot::of(f32::NAN)),
                    false => rows::groups(v, n, &mut Shares { inv: 1.0 / sum, out }),
                }
            }
        }
    }
}

/// A row times the factor, plus the mask; or as it is.
pub(super) struct Scaled<'a, const SHAPED: bool> {
    x: &'a [f32],
    factor: f32,
    mask: &'a [f32],
}

impl<'a> Scaled<'a, false> {
    /// A row as it is.
    pub(super) fn as_it_is(x: &'a [f32]) -> Self {
        Self { x, factor: 1.0, mask: &[] }
    }
}

impl<V: Vector, const SHAPED: bool> Part<V> for Scaled<'_, SHAPED> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) -> [V::F; 4] {
        let mut group = rows::load(v, self.x, at, len);
        if SHAPED {
            for x in &mut group {
                *x = v.mul(*x, v.splat(self.factor));
            }
            group = rows::zip::<V>(group, rows::load(v, self.mask, at, len), |t, mask| v.add(t, mask));
        }
        group
    }
}

/// `exp` of that less its maximum, which becomes the result for now: memory that is far away comes while powers are worked
/// out.
struct Powers<'a, C, const SHAPED: bool> {
    cells: &'a mut C,
    /// Where the row starts.
    start: usize,
    factor: f32,
    mask: &'a [f32],
    top: f32,
}

impl<V: Vector, C: Cells, const SHAPED: bool> Part<V> for Powers<'_, C, SHAPED> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) -> [V::F; 4] {
        let Self { ref mut cells, start, factor, mask, top } = *self;
        let mut group = Scaled::<SHAPED> { x: &cells.input()[start..], factor, mask }.part(v, at, len);
        for t in &mut group {
            *t = v.sub(*t, v.splat(top));
        }
        let group = Exp::group(v, group);
        rows::store(v, group, &mut cells.output()[start..], at, len);
        group
    }
}

/// Each power by the sum.
struct Shares<'a, S> {
    inv: f32,
    out: &'a mut [S],
}

impl<V: Vector, S: Slot<Item = f32>> Part<V> for Shares<'_, S> {
    type Output = ();

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) {
        // SAFETY: the powers of the whole row have been written there.
        let powers = unsafe { arch::written(self.out) };
        let mut group = rows::load(v, powers, at, len);
        for power in &mut group {
            *power = v.mul(*power, v.splat(self.inv));
        }
        rows::store(v, group, self.out, at, len);
    }
}
