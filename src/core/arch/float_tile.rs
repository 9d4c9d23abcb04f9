//! Products of float matrices, tile by tile: some rows times a panel of columns, whose sums stay in registers.
//!
//! Rows are read where they lie: a row is some runs of numbers, one for each tap (an element of a convolution's kernel;
//! matrices have one), each with a start of its own, so that patches of images are rows without ever being put together.
//! After XNNPACK's indirect convolution (M. Dukhan, "The Indirect Convolution Algorithm", arXiv:1907.02129).
//!
//! Each sum is added up in the order of taps and numbers, whatever the tile: rows, threads and blocks change no bit.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{Isa, Kernel, Vector, Window, dispatch};

/// The start of a run that lies outside of the image, and so holds zeros.
pub(crate) const OUTSIDE: usize = usize::MAX;

/// What becomes of finished results.
pub(crate) type Then<'a> = &'a (dyn Fn(&mut [f32]) + Sync);

/// Rows of a block.
#[derive(Clone, Copy)]
pub(crate) struct FloatRows<'a> {
    /// What they are read from.
    pub(crate) x: &'a [f32],
    /// At least as many zeros as a run is long, where runs lie outside.
    pub(crate) zeros: &'a [f32],
    /// For each tap, where the run of each row starts.
    pub(crate) starts: &'a [usize],
    /// How many rows there are.
    pub(crate) count: usize,
}

/// Columns that are multiplied together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panel {
    /// The first column.
    pub(crate) first: usize,
    /// Columns, of which the last vector may have less than it holds.
    pub(crate) columns: usize,
    /// Vectors.
    pub(crate) vectors: usize,
    /// Where its weights start: for each tap and number of a run a weight for each column of all vectors.
    pub(crate) start: usize,
}

/// A part of the depth.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) taps: Range<usize>,
    /// The numbers of each run.
    pub(crate) run: Range<usize>,
}

/// What becomes of sums.
#[derive(Clone, Copy)]
pub(crate) struct Ending<'a> {
    /// Numbers that are added, from the first row and column of the window on, and from one row to the next.
    pub(crate) residual: Option<(&'a [f32], usize)>,
    /// The least and the greatest result.
    pub(crate) limits: (f32, f32),
    /// What becomes of each piece of a row then.
    pub(crate) then: Option<Then<'a>>,
}

/// A block of rows times some panels.
pub(crate) struct FloatBlock<'a, 'b, 'c> {
    pub(crate) rows: FloatRows<'a>,
    pub(crate) panels: &'a [Panel],
    pub(crate) weights: &'a [f32],
    /// How many numbers a run has: of all of the depth.
    pub(crate) run: usize,
    pub(crate) chunk: Chunk,
    /// What sums start from, a number for each column of the panels' vectors; none where they go on.
    pub(crate) begin: Option<&'a [f32]>,
    /// None where sums are not yet whole.
    pub(crate) end: Option<Ending<'a>>,
    pub(crate) to: &'b mut Window<'c, MaybeUninit<f32>>,
    /// The window's first row that is meant.
    pub(crate) row: usize,
    /// The column that the window begins with.
    pub(crate) column: usize,
}

/// Lanes of a vector, and vectors of the widest panel.
pub(crate) fn float_panels(isa: Isa) -> (usize, usize) {
    struct Shape;
    impl Kernel for Shape {
        type Output = (usize, usize);
        #[inline(always)]
        fn run<V: Vector>(self, _: V) -> (usize, usize) {
            (V::LANES, widest::<V>())
        }
    }
    dispatch(isa, Shape)
}

const fn widest<V: Vector>() -> usize {
    if V::REGISTERS >= 32 { 4 } else { 2 }
}

/// Of rows of a block, a multiple of this is cut into whole tiles.
pub(crate) const TILES: usize = 24;

impl FloatBlock<'_, '_, '_> {
    /// Refuses what lies outside of the memory.
    fn check(&self, lanes: usize) {
        let Self { rows, panels, weights, run, chunk, begin, end, to, row, column } = self;
        let taps = rows.starts.len() / rows.count.max(1);
        assert!(rows.starts.len() == taps * rows.count && chunk.taps.end <= taps, "a start for each row");
        assert!(chunk.run.start <= chunk.run.end && chunk.run.end <= *run, "a part of the runs");
        assert!(row + rows.count <= to.rows(), "a row of the window for each");
        let starts = &rows.starts[chunk.taps.start * rows.count..chunk.taps.end * rows.count];
        for &start in starts {
            let inside = match start {
                _ if chunk.run.is_empty() => true,
                OUTSIDE => chunk.run.end <= rows.zeros.len(),
                start => start.checked_add(chunk.run.end).is_some_and(|end| end <= rows.x.len()),
            };
            assert!(inside, "runs within the memory");
        }
        for panel in *panels {
            let wide = panel.vectors * lanes;
            assert!(panel.columns <= wide && panel.columns + lanes > wide, "panels without empty vectors");
            assert!(panel.start + chunk.taps.end * run * wide <= weights.len(), "a weight for each number");
            let at = panel.first.checked_sub(*column).expect("columns of the window");
            assert!(at + panel.columns <= to.columns(), "columns of the window");
            assert!(begin.is_none_or(|begin| panel.first + wide <= begin.len()), "something to begin with");
            if let Some((residual, stride)) = end.and_then(|end| end.residual)
                && rows.count > 0
            {
                let last = (row + rows.count - 1) * stride + at + panel.columns;
                assert!(last <= residual.len(), "a number for each result");
            }
        }
    }
}

impl Kernel for FloatBlock<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) {
        self.check(V::LANES);
        let panels = self.panels;
        for panel in panels {
            // As many sums as registers hold beside a row's number and the panel's weights.
            match (panel.vectors, V::REGISTERS >= 32) {
                (1, true) => strip::<V, 1, 8, 4>(v, &mut self, panel),
                (2, true) => strip::<V, 2, 8, 4>(v, &mut self, panel),
                (3, true) => strip::<V, 3, 8, 4>(v, &mut self, panel),
                (4, true) => strip::<V, 4, 6, 3>(v, &mut self, panel),
                (1, false) => strip::<V, 1, 8, 4>(v, &mut self, panel),
                (2, false) => strip::<V, 2, 6, 3>(v, &mut self, panel),
                _ => unreachable!("panels as `float_panels` has them"),
            }
        }
        let Some(then) = self.end.and_then(|end| end.then) else { return };
        let (Some(first), Some(last)) = (panels.first(), panels.last()) else { return };
        let columns = first.first - self.column..last.first + last.columns - self.column;
        let mut results = self.to.part(self.row..self.row + self.rows.count, columns);
        // Rows that follow each other are one: narrow ones would leave most of a group empty.
        let (rows, whole) = (results.rows(), results.is_dense());
        for row in 0..if whole { rows.min(1) } else { rows } {
            let results = match results.dense() {
                Some(all) => all,
                None => results.row(row),
            };
            // SAFETY: all of them were written above, and whatever was written is a number.
            then(unsafe { std::slice::from_raw_parts_mut(results.as_mut_ptr().cast(), results.len()) });
        }
    }
}

/// All rows times a panel, so many at once, or, of those that are left, so many or one.
#[inline(always)]
fn strip<V: Vector, const N: usize, const ROWS: usize, const SOME: usize>(
    v: V,
    block: &mut FloatBlock<'_, '_, '_>,
    panel: &Panel,
) {
    let mut at = 0;
    while at < block.rows.count {
        let left = block.rows.count - at;
        if left > SOME {
            tile::<V, N, ROWS>(v, block, panel, at, left.min(ROWS));
            at += ROWS;
        } else if left > 1 {
            tile::<V, N, SOME>(v, block, panel, at, left);
            at += SOME;
        } else {
            tile::<V, N, 1>(v, block, panel, at, 1);
            at += 1;
        }
    }
}

/// Some rows times a panel. Those beyond `count` are the last one again, whose sums are dropped.
///
/// Callers have been through `FloatBlock::check`.
#[expect(clippy::needless_range_loop, reason = "each turn is a register")]
#[inline(always)]
fn tile<V: Vector, const N: usize, const ROWS: usize>(
    v: V,
    block: &mut FloatBlock<'_, '_, '_>,
    panel: &Panel,
    at: usize,
    count: usize,
) {
    let FloatBlock { rows, weights, run, chunk, begin, end, to, row, column, .. } = block;
    let (count, lanes) = (count.min(ROWS).min(rows.count - at), V::LANES);
    let first = panel.first - *column;
    let mut sums = [[v.splat(0.0); N]; ROWS];
    // Of the last vector so many columns count.
    let last = panel.columns - (N - 1) * lanes;
    if let Some(begin) = begin {
        for n in 0..N {
            // SAFETY: there is a number for each column of the panel's vectors.
            let start = unsafe { v.read(begin.as_ptr().add(panel.first + n * lanes)) };
            for sums in &mut sums {
                sums[n] = start;
            }
        }
    } else {
        for m in 0..ROWS {
            if m >= count {
                continue;
            }
            let from = to.row(*row + at + m)[first..first + panel.columns].as_ptr().cast::<f32>();
            for n in 0..N {
                // SAFETY: as many columns as are read are in the row; an earlier chunk has written them.
                sums[m][n] = unsafe { part(v, from.add(n * lanes), if n + 1 == N { last } else { lanes }) };
            }
        }
    }
    for tap in chunk.taps.clone() {
        let starts = &rows.starts[tap * rows.count + at..][..count];
        let mut from = [rows.zeros.as_ptr(); ROWS];
        let mut any = false;
        for m in 0..ROWS {
            let start = starts[m.min(count - 1)];
            if start != OUTSIDE {
                from[m] = rows.x.as_ptr().wrapping_add(start + chunk.run.start);
                any = true;
            }
        }
        if !any {
            // Zeros add nothing.
            continue;
        }
        let mut w = weights.as_ptr().wrapping_add(panel.start + (tap * *run + chunk.run.start) * N * lanes);
        for k in 0..chunk.run.len() {
            // SAFETY: `check` has seen that runs lie within `x` or are zeros, and that there are weights for them.
            unsafe {
                let weights: [V::F; N] = std::array::from_fn(|n| v.read(w.add(n * lanes)));
                w = w.add(N * lanes);
                for m in 0..ROWS {
                    let x = v.splat(*from[m].add(k));
                    for n in 0..N {
                        sums[m][n] = v.fused(x, weights[n], sums[m][n]);
                    }
                }
            }
        }
    }
    if let Some(end) = end {
        let (lo, hi) = (v.splat(end.limits.0), v.splat(end.limits.1));
        for m in 0..ROWS {
            if let Some((residual, stride)) = end.residual
                && m < count
            {
                let from = residual[(*row + at + m) * stride + first..][..panel.columns].as_ptr();
                for n in 0..N {
                    // SAFETY: as many columns as are read are in the row.
                    let own = unsafe { part(v, from.add(n * lanes), if n + 1 == N { last } else { lanes }) };
                    sums[m][n] = v.add(sums[m][n], own);
                }
            }
            for n in 0..N {
                // NaN stays: `max` and `min` give it where their second argument is NaN.
                sums[m][n] = v.min(hi, v.max(lo, sums[m][n]));
            }
        }
    }
    for m in 0..ROWS {
        if m >= count {
            continue;
        }
        let to = to.row(*row + at + m)[first..first + panel.columns].as_mut_ptr().cast::<f32>();
        for n in 0..N {
            // SAFETY: as many columns as are written are in the row.
            unsafe {
                match n + 1 == N && last < lanes {
                    true => v.write_some(sums[m][n], to.add(n * lanes), last),
                    false => v.write(sums[m][n], to.add(n * lanes)),
                }
            }
        }
    }
}

/// Reads a vector, or less.
///
/// # Safety
/// `n` floats are there.
#[inline(always)]
unsafe fn part<V: Vector>(v: V, from: *const f32, n: usize) -> V::F {
    // SAFETY: the caller's promise.
    unsafe { if n < V::LANES { v.read_some(from, n) } else { v.read(from) } }
}
