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
        if let Some(mask) = &of.mask {
            let mask = |row| mask.row(first + row, n);
            return arch::dispatch(isa, Rows::<_, _, true, true> { cells, n, factor, mask });
        }
        let mask = |_| -> &[f32] { &[] };
        match factor == 1.0 {
            true => arch::dispatch(isa, Rows::<_, _, false, false> { cells, n, factor, mask }),
            false => arch::dispatch(isa, Rows::<_, _, true, false> { cells, n, factor, mask }),
        }
    })
}

/// Some rows, and what is added to each, by its number.
struct Rows<C, M, const TIMES: bool, const MASKED: bool> {
    cells: C,
    n: usize,
    factor: f32,
    mask: M,
}

impl<'a, C: Cells, M: Fn(usize) -> &'a [f32], const TIMES: bool, const MASKED: bool> Kernel
    for Rows<C, M, TIMES, MASKED>
{
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Self { mut cells, n, factor, mask } = self;
        let rows = cells.input().len() / n;
        let mut scratch = filled(n * rows::blocks(rows, n).next().map_or(0, |(_, count)| count), 0f32);
        for (first, count) in rows::blocks(rows, n) {
            let whole = first * n..(first + count) * n;
            let (mut tops, mut sums) = ([0f32; AT_ONCE], [0f32; AT_ONCE]);
            for (i, x) in cells.input()[whole.clone()].chunks_exact(n).enumerate() {
                tops[i] =
                    reduce(v, Max, n, &mut Scaled::<TIMES, MASKED> { x, factor, mask: mask(first + i) });
            }
            let input = cells.input()[whole.clone()].chunks_exact(n);
            for (i, (x, powers)) in input.zip(scratch.chunks_exact_mut(n)).enumerate() {
                let scaled = Scaled::<TIMES, MASKED> { x, factor, mask: mask(first + i) };
                sums[i] = reduce(v, Sum, n, &mut Powers { scaled, top: tops[i], powers });
            }
            let output = cells.output()[whole].chunks_exact_mut(n);
            for ((powers, out), sum) in scratch.chunks_exact(n).zip(output).zip(sums) {
                // NaN anywhere in a row reaches its sum.
                match sum.is_nan() {
                    true => out.iter_mut().for_each(|y| *y = Slot::of(f32::NAN)),
                    false => rows::groups(v, n, &mut Shares { powers, inv: 1.0 / sum, out }),
                }
            }
        }
    }
}

/// A row times the factor, which is not multiplied by where it is 1, plus the mask.
struct Scaled<'a, const TIMES: bool, const MASKED: bool> {
    x: &'a [f32],
    factor: f32,
    mask: &'a [f32],
}

impl<V: Vector, const TIMES: bool, const MASKED: bool> Part<V> for Scaled<'_, TIMES, MASKED> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) -> [V::F; 4] {
        let mut group = rows::load(v, self.x, at, len);
        if TIMES {
            for x in &mut group {
                *x = v.mul(*x, v.splat(self.factor));
            }
        }
        match MASKED {
            true => rows::zip::<V>(group, rows::load(v, self.mask, at, len), |t, mask| v.add(t, mask)),
            false => group,
        }
    }
}

/// `exp` of that less its maximum, which is kept.
struct Powers<'a, const TIMES: bool, const MASKED: bool> {
    scaled: Scaled<'a, TIMES, MASKED>,
    top: f32,
    powers: &'a mut [f32],
}

impl<V: Vector, const TIMES: bool, const MASKED: bool> Part<V> for Powers<'_, TIMES, MASKED> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) -> [V::F; 4] {
        let mut group = self.scaled.part(v, at, len);
        for t in &mut group {
            *t = v.sub(*t, v.splat(self.top));
        }
        let group = Exp::group(v, group);
        rows::store(v, group, self.powers, at, len);
        group
    }
}

/// Each by the sum.
struct Shares<'a, S> {
    powers: &'a [f32],
    inv: f32,
    out: &'a mut [S],
}

impl<V: Vector, S: Slot<Item = f32>> Part<V> for Shares<'_, S> {
    type Output = ();

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) {
        let mut group = rows::load(v, self.powers, at, len);
        for power in &mut group {
            *power = v.mul(*power, v.splat(self.inv));
        }
        rows::store(v, group, self.out, at, len);
    }
}
