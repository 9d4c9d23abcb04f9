//! The smallest and the largest value.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::affine::{Channels, nan_in};
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::memory::filled;
use crate::threads;

/// The smallest and the largest value seen: a commutative monoid under [`MinMax::merge`], with [`MinMax::EMPTY`].
///
/// A zero is always +0, so that the answer does not depend on the order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinMax {
    /// The smallest; infinity if nothing was seen.
    pub min: f32,
    /// The largest; -infinity if nothing was seen.
    pub max: f32,
}

impl MinMax {
    /// Nothing seen yet.
    pub const EMPTY: Self = Self { min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// What both saw.
    #[must_use]
    #[inline]
    pub fn merge(self, other: Self) -> Self {
        let min = if other.min < self.min { other.min } else { self.min };
        let max = if other.max > self.max { other.max } else { self.max };
        Self { min: min + 0.0, max: max + 0.0 }
    }
}

/// Floats of one piece of work.
const CHUNK: usize = 64 << 10;
/// A run from here on is reduced on its own; shorter ones side by side.
const LONG_RUN: usize = 32;
/// Runs that are reduced side by side: as many floats, in whole periods.
const WIDTH: usize = 1024;
/// The most floats that are reduced side by side: their state stays in the fastest cache.
const WIDEST: usize = 2048;
/// Floats of one piece of work side by side, whose state is folded once.
const TALL_CHUNK: usize = 256 << 10;

/// Of all values.
///
/// # Errors
/// NaN has no place in a range.
pub fn min_max(x: &[f32]) -> Result<MinMax, Stopped> {
    let isa = Isa::current();
    let all = Mutex::new((MinMax::EMPTY, false));
    threads::for_each(size_of_val(x), x.chunks(CHUNK), |x| {
        let (part, nan) = arch::dispatch(isa, Run(x));
        let mut all = all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *all = (all.0.merge(part), all.1 | nan);
        !nan
    })?;
    let (all, nan) = all.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    if nan { Err(nan_in(x)) } else { Ok(all) }
}

/// Of each channel.
///
/// # Errors
/// NaN has no place in a range.
///
/// # Panics
/// The layout and the array disagree.
pub fn min_max_per_channel(x: &[f32], layout: Channels) -> Result<Vec<MinMax>, Stopped> {
    assert_eq!(layout.len(), x.len(), "the channels' layout and the array disagree");
    if x.is_empty() {
        return Ok(filled(layout.channels, MinMax::EMPTY));
    }
    if layout.inner >= LONG_RUN || layout.outer == 1 { runs(x, layout) } else { side_by_side(x, layout) }
}

/// Long runs: each one on its own.
fn runs(x: &[f32], layout: Channels) -> Result<Vec<MinMax>, Stopped> {
    let isa = Isa::current();
    let all = Mutex::new(filled(layout.channels, MinMax::EMPTY));
    let nan = AtomicBool::new(false);
    threads::for_each(size_of_val(x), x.chunks(CHUNK).enumerate(), |(i, chunk)| {
        let (first, found) =
            (i * CHUNK / layout.inner, arch::dispatch(isa, Runs(chunk, i * CHUNK, layout.inner)));
        let mut all = all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (run, part) in found.0.into_iter().enumerate() {
            let channel = &mut all[(first + run) % layout.channels];
            *channel = channel.merge(part);
        }
        nan.fetch_or(found.1, Ordering::Relaxed);
        !found.1
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(all.into_inner().unwrap_or_else(|p| p.into_inner())) }
}

/// Short runs: the array as a matrix whose rows are whole periods, each column on its own.
fn side_by_side(x: &[f32], layout: Channels) -> Result<Vec<MinMax>, Stopped> {
    let isa = Isa::current();
    let period = layout.channels * layout.inner;
    let width = period * (WIDTH / period).max(1);
    let rows = x.len().div_ceil(width);
    let columns = width.div_ceil(width.div_ceil(WIDEST));
    let tall = (TALL_CHUNK / columns).max(1);
    let pieces = width.div_ceil(columns);
    let all = Mutex::new(filled(layout.channels, MinMax::EMPTY));
    let nan = AtomicBool::new(false);
    threads::for_each(size_of_val(x), 0..rows.div_ceil(tall) * pieces, |i| {
        let (rows, from) = (i / pieces * tall..rows.min((i / pieces + 1) * tall), i % pieces * columns);
        let to = width.min(from + columns);
        let mut state = filled(0, MinMax::EMPTY);
        let found = arch::dispatch(isa, Columns { x, width, rows, columns: from..to, state: &mut state });
        let mut all = all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (column, part) in (from..to).zip(state) {
            let channel = &mut all[column / layout.inner % layout.channels];
            *channel = channel.merge(part);
        }
        nan.fetch_or(found, Ordering::Relaxed);
        !found
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(all.into_inner().unwrap_or_else(|p| p.into_inner())) }
}

/// Widens ranges, lane by lane, to hold a group; it returns where NaN was met.
#[inline(always)]
fn widen<V: Vector>(v: V, x: [V::F; 4], lo: &mut [V::F; 4], hi: &mut [V::F; 4], nan: V::M) -> V::M {
    for j in 0..4 {
        // In this order a NaN leaves the range as it was, on x86.
        lo[j] = v.min(x[j], lo[j]);
        hi[j] = v.max(x[j], hi[j]);
    }
    v.or(nan, v.or(v.unordered(x[0], x[1]), v.unordered(x[2], x[3])))
}

/// The range of a slice, and whether it holds NaN (and then the range is anything).
pub(crate) struct Run<'a>(pub(crate) &'a [f32]);

impl Kernel for Run<'_> {
    type Output = (MinMax, bool);

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> (MinMax, bool) {
        if self.0.is_empty() {
            return (MinMax::EMPTY, false);
        }
        let (range, nan) = range::<V, false>(v, self.0);
        (range.merge(MinMax::EMPTY), nan)
    }
}

/// The range of a row and 0, and whether it met NaN: for rows so short that the end of a row counts.
#[inline(always)]
pub(crate) fn range_and_zero<V: Vector>(v: V, x: &[f32]) -> (MinMax, bool) {
    range::<V, true>(v, x)
}

/// The range of a slice, which is not empty, or of it and 0, and whether it met NaN.
#[inline(always)]
fn range<V: Vector, const AND_ZERO: bool>(v: V, x: &[f32]) -> (MinMax, bool) {
    let first = if AND_ZERO { 0.0 } else { x[0] };
    let (mut lo, mut hi) = ([v.splat(first); 4], [v.splat(first); 4]);
    let mut nan = v.none();
    let groups = x.chunks_exact(V::GROUP);
    let rest = groups.remainder();
    for group in groups {
        nan = widen(v, v.load(group), &mut lo, &mut hi, nan);
    }
    if !rest.is_empty() {
        let group = if AND_ZERO {
            v.load_part(rest)
        } else {
            let mut padded = [first; 64];
            padded[..rest.len()].copy_from_slice(rest);
            v.load(&padded)
        };
        nan = widen(v, group, &mut lo, &mut hi, nan);
    }
    (ends(v, lo, hi), v.any(nan))
}

/// The least and the greatest of four vectors each: of halves and halves again, none of which waits for its neighbour.
#[inline(always)]
fn ends<V: Vector>(v: V, lo: [V::F; 4], hi: [V::F; 4]) -> MinMax {
    let lo = v.min(v.min(lo[0], lo[1]), v.min(lo[2], lo[3]));
    let hi = v.max(v.max(hi[0], hi[1]), v.max(hi[2], hi[3]));
    let (mut los, mut his) = ([0f32; 64], [0f32; 64]);
    v.store::<_, false>([lo; 4], &mut los);
    v.store::<_, false>([hi; 4], &mut his);
    let mut half = V::LANES / 2;
    while half > 0 {
        for i in 0..half {
            los[i] = if los[i + half] < los[i] { los[i + half] } else { los[i] };
            his[i] = if his[i + half] > his[i] { his[i + half] } else { his[i] };
        }
        half /= 2;
    }
    MinMax { min: los[0], max: his[0] }
}

/// The ranges of the runs of a chunk, which starts at a flat position, and the runs' length.
struct Runs<'a>(&'a [f32], usize, usize);

impl Kernel for Runs<'_> {
    type Output = (Vec<MinMax>, bool);

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> (Vec<MinMax>, bool) {
        let Self(mut x, start, inner) = self;
        let mut all = Vec::with_capacity(x.len() / inner + 2);
        let mut nan = false;
        let mut len = inner - start % inner;
        while !x.is_empty() {
            let (run, rest) = x.split_at(len.min(x.len()));
            let (part, found) = Run(run).run(v);
            all.push(part);
            nan |= found;
            (x, len) = (rest, inner);
        }
        (all, nan)
    }
}

/// The ranges of some columns over some rows. It returns whether it met NaN.
struct Columns<'a> {
    x: &'a [f32],
    width: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    state: &'a mut Vec<MinMax>,
}

impl Kernel for Columns<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> bool {
        let n = self.columns.len();
        let (mut lo, mut hi) = (filled(n, f32::INFINITY), filled(n, f32::NEG_INFINITY));
        let (mut nan, mut nan_rest) = (v.none(), false);
        for row in self.rows {
            let start = row * self.width + self.columns.start;
            let end = self.x.len().min(row * self.width + self.columns.end);
            let Some(x) = self.x.get(start..end) else { break };
            let body = x.len() / V::GROUP * V::GROUP;
            let (x, x_rest) = x.split_at(body);
            let ((lo, lo_rest), (hi, hi_rest)) = (lo.split_at_mut(body), hi.split_at_mut(body));
            let (los, his) = (lo.chunks_exact_mut(V::GROUP), hi.chunks_exact_mut(V::GROUP));
            for ((x, lo), hi) in x.chunks_exact(V::GROUP).zip(los).zip(his) {
                let x = v.load(x);
                let (mut l, mut h) = (v.load(lo), v.load(hi));
                nan = widen(v, x, &mut l, &mut h, nan);
                v.store::<_, false>(l, lo);
                v.store::<_, false>(h, hi);
            }
            for ((&x, lo), hi) in x_rest.iter().zip(lo_rest).zip(hi_rest) {
                *lo = if x < *lo { x } else { *lo };
                *hi = if x > *hi { x } else { *hi };
                nan_rest |= x.is_nan();
            }
        }
        self.state.extend(lo.into_iter().zip(hi).map(|(min, max)| MinMax { min, max }));
        v.any(nan) | nan_rest
    }
}
