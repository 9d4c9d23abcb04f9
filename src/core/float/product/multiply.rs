//! Products: cut for the caches and the threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::packed::PackedFloats;
use crate::arch::{self, Chunk, Ending, FloatBlock, FloatRows, Panel, TILES, Then, Window};
use crate::error::Stopped;
use crate::float::{Function, apply_here};
use crate::threads;

/// What becomes of sums.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a> {
    /// A number for each column, or none.
    pub bias: Option<&'a [f32]>,
    /// A number that is added to each result, or none.
    pub residual: Option<&'a [f32]>,
    /// The least and the greatest result, before the function.
    pub limits: (f32, f32),
    /// What becomes of each then.
    pub then: Option<Function>,
}

impl Default for Finish<'_> {
    fn default() -> Self {
        Self { bias: None, residual: None, limits: (f32::NEG_INFINITY, f32::INFINITY), then: None }
    }
}

/// What is multiplied: rows, each of some runs of numbers.
pub(crate) trait Rows: Sync {
    /// How many there are.
    fn count(&self) -> usize;
    /// Runs of a row.
    fn taps(&self) -> usize;
    /// Numbers of a run.
    fn run(&self) -> usize;
    /// Floats that are read for a row, about.
    fn width(&self) -> usize {
        self.taps() * self.run()
    }
    /// Some of them; `room` may hold what tells where.
    fn block<'a>(&'a self, rows: Range<usize>, room: &'a mut Room) -> FloatRows<'a>;
}

/// What blocks need beside the memory that they are read from.
#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) starts: Vec<usize>,
    pub(crate) patches: Vec<f32>,
}

/// The rows of a matrix.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// From the first number on.
    pub x: &'a [f32],
    /// Rows.
    pub rows: usize,
    /// Columns, which follow each other.
    pub columns: usize,
    /// From one row to the next.
    pub down: usize,
}

impl Rows for Matrix<'_> {
    fn count(&self) -> usize {
        self.rows
    }

    fn taps(&self) -> usize {
        1
    }

    fn run(&self) -> usize {
        self.columns
    }

    fn block<'a>(&'a self, rows: Range<usize>, room: &'a mut Room) -> FloatRows<'a> {
        let count = rows.len();
        room.starts.clear();
        room.starts.extend(rows.map(|r| r * self.down));
        FloatRows { x: self.x, zeros: &[], starts: &room.starts, count }
    }
}

/// The rows of a block are read again for each panel: they stay in the second cache.
const ROWS_CACHED: usize = 128 << 10;
/// Steps of the depth that pass at once: of a panel as many weights stay in the first caches.
const DEPTH: usize = 512;
/// Products and sums in as much time as a thread reads and writes a byte.
pub(crate) const PER_BYTE: usize = 4;
/// Products and sums of the longest task, between which interrupts are looked for.
const LONGEST: usize = 1 << 28;

/// `x` times the weights, in rows one after the other.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn multiply(
    x: &Matrix<'_>,
    weights: &PackedFloats,
    finish: &Finish<'_>,
    to: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    multiply_parts(&[Part { rows: *x, weights }], finish, to)
}

/// Rows and weights whose product is some columns of the results.
pub(crate) struct Part<'a, R> {
    pub(crate) rows: R,
    pub(crate) weights: &'a PackedFloats,
}

/// Some rows times some panels, of one part.
struct Task<'a> {
    part: usize,
    rows: Range<usize>,
    panels: Range<usize>,
    /// The results' column that the part begins with.
    first: usize,
    to: Window<'a, MaybeUninit<f32>>,
}

/// As [`multiply`], of parts that have as many rows, side by side.
pub(crate) fn multiply_parts<R: Rows>(
    parts: &[Part<'_, R>],
    finish: &Finish<'_>,
    to: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    let columns: usize = parts.iter().map(|part| part.weights.columns()).sum();
    let rows = parts.first().map_or(0, |part| part.rows.count());
    assert_eq!(to.len(), rows * columns, "room for the results");
    assert!(finish.residual.is_none_or(|residual| residual.len() == to.len()), "a number for each result");
    assert!(finish.bias.is_none_or(|bias| bias.len() == columns), "a number for each column");
    if to.is_empty() {
        return Ok(());
    }
    let mut work = 0usize;
    for Part { rows: own, weights } in parts {
        assert_eq!(own.taps() * own.run(), weights.depth(), "as deep as the weights");
        assert_eq!(own.count(), rows, "as many rows");
        work = work.saturating_add(rows.saturating_mul(weights.columns()).saturating_mul(weights.depth()));
    }
    let sharing = threads::sharing(work / PER_BYTE);
    let wanted = if sharing > 1 { (4 * sharing).div_ceil(parts.len()) } else { 1 };
    let (mut tasks, mut begins) = (Vec::new(), Vec::with_capacity(parts.len()));
    let (mut rest, mut first) = (Window::new(to, columns, 0..columns), 0);
    for (i, Part { rows, weights }) in parts.iter().enumerate() {
        let own = first..first + weights.columns();
        begins.push(weights.begin(finish.bias.map(|bias| &bias[own.clone()])));
        let window;
        (window, rest) = rest.split_columns(own.len());
        cut(rows, weights, window, wanted, |rows, panels, to| {
            tasks.push(Task { part: i, rows, panels, first, to });
        });
        first = own.end;
    }
    let bytes = if sharing > 1 { work / PER_BYTE } else { 0 };
    threads::for_each(bytes, tasks.into_iter(), |mut task| {
        let Part { rows, weights } = &parts[task.part];
        run(rows, weights, finish, &begins[task.part], &mut task, columns);
        true
    })
}

/// Cuts a product: by rows where these outweigh the weights, else by columns, since each task reads all of both.
fn cut<'a, R: Rows>(
    x: &R,
    weights: &PackedFloats,
    to: Window<'a, MaybeUninit<f32>>,
    wanted: usize,
    mut task: impl FnMut(Range<usize>, Range<usize>, Window<'a, MaybeUninit<f32>>),
) {
    let (rows, panels) = (x.count(), weights.panels.len());
    if panels == 0 {
        return;
    }
    let wanted = wanted.max(rows.saturating_mul(weights.columns()).saturating_mul(weights.depth()) / LONGEST);
    let blocks = rows.div_ceil(TILES);
    let by_rows = rows.saturating_mul(x.width()) >= weights.depth() * weights.columns();
    let (row_cuts, panel_cuts) = match by_rows {
        true => (wanted, wanted.div_ceil(blocks)),
        false => (wanted.div_ceil(panels), wanted),
    };
    let tall = rows.div_ceil(row_cuts.clamp(1, blocks)).next_multiple_of(TILES);
    let wide = panels.div_ceil(panel_cuts.clamp(1, panels));
    let mut rest = to;
    for first in (0..panels).step_by(wide) {
        let some = first..(first + wide).min(panels);
        let columns = weights.panels[some.clone()].iter().map(|panel| panel.columns).sum();
        let mut strip;
        (strip, rest) = rest.split_columns(columns);
        for from in (0..rows).step_by(tall) {
            let own = from..(from + tall).min(rows);
            let piece;
            (piece, strip) = strip.split_rows(own.len());
            task(own, some.clone(), piece);
        }
    }
}

/// All parts of the depth, each at most so deep where that can be.
fn chunks(taps: usize, run: usize) -> impl Iterator<Item = Chunk> {
    let (some_taps, some_run) = if run >= DEPTH { (1, DEPTH) } else { ((DEPTH / run.max(1)).max(1), run) };
    let even = |n: usize, most: usize| n.div_ceil(n.div_ceil(most.max(1)).max(1)).max(1);
    let (some_taps, some_run) = (even(taps, some_taps), even(run, some_run));
    (0..taps.max(1)).step_by(some_taps).flat_map(move |t| {
        (0..run.max(1))
            .step_by(some_run)
            .map(move |r| Chunk { taps: t..(t + some_taps).min(taps), run: r..(r + some_run).min(run) })
    })
}

/// A task; `of` columns are a row of the results.
fn run<R: Rows>(
    x: &R,
    weights: &PackedFloats,
    finish: &Finish<'_>,
    begin: &[f32],
    task: &mut Task<'_>,
    of: usize,
) {
    let panels: &[Panel] = &weights.panels[task.panels.clone()];
    let Some(column) = panels.first().map(|panel| panel.first) else { return };
    let tall = (ROWS_CACHED / (4 * x.width().max(1))).next_multiple_of(TILES).max(TILES);
    let chunks: Vec<Chunk> = chunks(x.taps(), x.run()).collect();
    let mut room = Room::default();
    let then = finish.then.map(|function| move |x: &mut [f32]| apply_here(function, x));
    let end = Ending {
        residual: finish.residual.map(|all| (&all[task.rows.start * of + task.first + column..], of)),
        limits: finish.limits,
        then: then.as_ref().map(|then| then as Then<'_>),
    };
    for first in task.rows.clone().step_by(tall) {
        let own = first..(first + tall).min(task.rows.end);
        let row = first - task.rows.start;
        let rows = x.block(own, &mut room);
        for (i, chunk) in chunks.iter().enumerate() {
            arch::dispatch(
                weights.isa(),
                FloatBlock {
                    rows,
                    panels,
                    weights: weights.data(),
                    run: x.run(),
                    chunk: chunk.clone(),
                    begin: (i == 0).then_some(begin),
                    end: (i + 1 == chunks.len()).then_some(end),
                    to: &mut task.to,
                    row,
                    column,
                },
            );
        }
    }
}

/// `x` times weights that are needed once, on this thread alone.
pub(crate) fn multiply_here(x: &Matrix<'_>, weights: &PackedFloats, to: &mut [MaybeUninit<f32>]) {
    multiply_onto(x, weights, &weights.begin(None), to);
}

/// `x` times weights on this thread alone, added to numbers for each column, as `PackedFloats::begin` has them.
pub(crate) fn multiply_onto(
    x: &Matrix<'_>,
    weights: &PackedFloats,
    begin: &[f32],
    to: &mut [MaybeUninit<f32>],
) {
    let columns = weights.columns();
    assert!(x.columns == weights.depth() && to.len() == x.rows * columns, "matrices that fit");
    if to.is_empty() {
        return;
    }
    let to = Window::new(to, columns, 0..columns);
    let mut task = Task { part: 0, rows: 0..x.rows, panels: 0..weights.panels.len(), first: 0, to };
    run(x, weights, &Finish::default(), begin, &mut task, columns);
}
