//! Layer normalization of rows, with a residual before it and a weight and a bias after it.

use super::rows::{self, AT_ONCE, Part, Sum, reduce};
use super::{Cells, Place, for_each_piece, math};
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::threads;

/// What a layer normalization takes beside its input.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm<'a> {
    /// How long a row is.
    pub n: usize,
    /// What is added to the variance.
    pub eps: f64,
    /// What each element of a row is multiplied by at last.
    pub weight: Option<&'a [f32]>,
    /// What is then added.
    pub bias: Option<&'a [f32]>,
    /// What is added to the input first, as long as it.
    pub residual: Option<&'a [f32]>,
}

/// `(h - mean(h)) / sqrt(var(h) + eps) * weight + bias` of each row, with `h = x + residual`; the variance is that of
/// all, not of a sample. A row that holds an infinity or NaN becomes NaN.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn layer_norm(of: &LayerNorm<'_>, place: Place<'_>) -> Result<(), Stopped> {
    normalize(of, place, true)
}

/// The same without the mean: `h / sqrt(mean(h * h) + eps) * weight + bias`.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn rms_norm(of: &LayerNorm<'_>, place: Place<'_>) -> Result<(), Stopped> {
    normalize(of, place, false)
}

fn normalize(of: &LayerNorm<'_>, place: Place<'_>, centered: bool) -> Result<(), Stopped> {
    let len = place.len();
    if len == 0 {
        return Ok(());
    }
    assert!(len.is_multiple_of(of.n), "whole rows");
    assert!([of.weight, of.bias].iter().flatten().all(|w| w.len() == of.n), "as long as a row");
    assert!(of.residual.is_none_or(|residual| residual.len() == len), "a residual for each float");
    let step = (threads::CHUNK_BYTES / 12 / of.n).max(1) * of.n;
    let isa = Isa::current();
    for_each_piece!(place, step, 12 * len, |i: usize, cells| {
        let residual = of.residual.map(|residual| &residual[i * step..]);
        match residual {
            Some(residual) => arch::dispatch(isa, Rows::<_, true> { cells, of, residual, centered }),
            None => arch::dispatch(isa, Rows::<_, false> { cells, of, residual: &[], centered }),
        }
    })
}

/// Some rows, with a residual or without.
struct Rows<'a, C, const RESIDUAL: bool> {
    cells: C,
    of: &'a LayerNorm<'a>,
    residual: &'a [f32],
    /// Whether the mean is taken off.
    centered: bool,
}

impl<C: Cells, const RESIDUAL: bool> Kernel for Rows<'_, C, RESIDUAL> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Self { mut cells, of, residual, centered } = self;
        let n = of.n;
        for (first, count) in rows::blocks(cells.input().len() / n, n) {
            let (mut means, mut inverses) = ([0f32; AT_ONCE], [0f32; AT_ONCE]);
            let starts = || (first * n..(first + count) * n).step_by(n);
            for (mean, start) in means.iter_mut().zip(starts()).filter(|_| centered) {
                let total = reduce(v, Sum, n, &mut Sums::<RESIDUAL>::new(cells.input(), residual, start, n));
                *mean = (f64::from(total) / n as f64) as f32;
            }
            for ((&mean, inv), start) in means.iter().zip(&mut inverses).zip(starts()) {
                let squares = reduce(
                    v,
                    Sum,
                    n,
                    &mut Squares { h: Sums::<RESIDUAL>::new(cells.input(), residual, start, n), mean },
                );
                *inv = (1.0 / (f64::from(squares) / n as f64 + of.eps).sqrt()) as f32;
            }
            for ((&mean, &inv), start) in means.iter().zip(&inverses).zip(starts()) {
                let cells = &mut cells;
                rows::groups(v, n, &mut Normalized::<_, RESIDUAL> { cells, start, residual, mean, inv, of });
            }
        }
    }
}

/// A row plus the residual.
#[derive(Clone, Copy)]
struct Sums<'a, const RESIDUAL: bool> {
    x: &'a [f32],
    residual: &'a [f32],
}

impl<'a, const RESIDUAL: bool> Sums<'a, RESIDUAL> {
    /// The row from `start` on.
    #[inline(always)]
    fn new(x: &'a [f32], residual: &'a [f32], start: usize, n: usize) -> Self {
        let residual = if RESIDUAL { &residual[start..start + n] } else { residual };
        Self { x: &x[start..start + n], residual }
    }
}

impl<V: Vector, const RESIDUAL: bool> Part<V> for Sums<'_, RESIDUAL> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) -> [V::F; 4] {
        let x = rows::load(v, self.x, at, len);
        match RESIDUAL {
            true => rows::zip::<V>(x, rows::load(v, self.residual, at, len), |x, r| v.add(x, r)),
            false => x,
        }
    }
}

/// The squares of that less its mean.
struct Squares<'a, const RESIDUAL: bool> {
    h: Sums<'a, RESIDUAL>,
    mean: f32,
}

impl<V: Vector, const RESIDUAL: bool> Part<V> for Squares<'_, RESIDUAL> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) -> [V::F; 4] {
        let mut group = self.h.part(v, at, len);
        for h in &mut group {
            let off = v.sub(*h, v.splat(self.mean));
            *h = v.mul(off, off);
        }
        group
    }
}

/// The result, for the row from `start` on.
struct Normalized<'a, C, const RESIDUAL: bool> {
    cells: &'a mut C,
    start: usize,
    residual: &'a [f32],
    mean: f32,
    inv: f32,
    of: &'a LayerNorm<'a>,
}

impl<V: Vector, C: Cells, const RESIDUAL: bool> Part<V> for Normalized<'_, C, RESIDUAL> {
    type Output = ();

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) {
        let mut h = Sums::<RESIDUAL>::new(self.cells.input(), self.residual, self.start, self.of.n);
        let mut group = h.part(v, at, len);
        for h in &mut group {
            *h = v.mul(v.sub(*h, v.splat(self.mean)), v.splat(self.inv));
        }
        if let Some(weight) = self.of.weight {
            group = rows::zip::<V>(group, rows::load(v, weight, at, len), |y, w| v.mul(y, w));
        }
        if let Some(bias) = self.of.bias {
            group = rows::zip::<V>(group, rows::load(v, bias, at, len), |y, b| v.add(y, b));
        }
        rows::store(v, math::one_nan(v, group), self.cells.output(), self.start + at, len);
    }
}
