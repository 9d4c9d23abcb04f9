//! The product: cut for the caches and the threads, and finished block by block.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::Source;
use super::columns::{Columns, PADDED};
use super::epilogue::{Corrections, Epilogue, FinishBlock, ToCodes, ToFloats, ToSums, finish_as_one};
use super::pack::PackedWeights;
use super::residual::{Residual, SumToCodes, SumToFloats};
use super::rows::{Block, Prepared};
use crate::arch::product::{Panels, Product, WithProduct, with_product};
use crate::arch::{self, Lines, Vector, Window};
use crate::error::Stopped;
use crate::threads;

/// One value for all rows, or one for each.
pub type Each<'a, T> = &'a [T];

/// Activations: codes, and what they stand for.
#[derive(Debug, Clone, Copy)]
pub struct Activations<'a> {
    /// A row for each output row.
    pub codes: Source<'a>,
    /// The size of a step. Not used for sums.
    pub scales: Each<'a, f32>,
    /// The codes that stand for 0.
    pub zero_points: Each<'a, i32>,
}

/// What is added to each column.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish<'a> {
    /// A real number for each output, or none. Not used for sums.
    pub bias: Option<&'a [f32]>,
    /// An integer for each output, in steps of a product (the scale of the activations times the weights'), or none.
    pub int_bias: Option<&'a [i32]>,
    /// Negative results become 0. Not used for sums.
    pub relu: bool,
    /// What is added to results, before they are rounded and before ReLU. Not with sums.
    pub residual: Option<Residual<'a>>,
}

/// Where results go, in rows one after the other, and what they are.
#[derive(Debug)]
pub enum Results<'a> {
    /// The sums.
    Sums(&'a mut [MaybeUninit<i32>]),
    /// Real numbers.
    Floats(&'a mut [MaybeUninit<f32>]),
    /// Codes of this scale and zero point, unsigned.
    U8(&'a mut [MaybeUninit<u8>], f32, i32),
    /// Codes of this scale and zero point, signed.
    I8(&'a mut [MaybeUninit<i8>], f32, i32),
}

/// `x` times the transpose of `weights`, by the rounding contract's formula for linear layers.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree; codes as results where rows have scales of their own.
pub fn multiply(
    x: &Activations<'_>,
    weights: &PackedWeights,
    finish: &Finish<'_>,
    results: Results<'_>,
) -> Result<(), Stopped> {
    multiply_into(x, weights, finish, results, Place { first: 0, of: weights.columns() })
}

impl Results<'_> {
    /// The same room, for less long.
    pub(crate) fn again(&mut self) -> Results<'_> {
        match self {
            Self::Sums(to) => Results::Sums(to),
            Self::Floats(to) => Results::Floats(to),
            Self::U8(to, scale, zero_point) => Results::U8(to, *scale, *zero_point),
            Self::I8(to, scale, zero_point) => Results::I8(to, *scale, *zero_point),
        }
    }
}

/// Which columns of wider rows of results a product writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) first: usize,
    /// Columns of a row.
    pub(crate) of: usize,
}

/// As [`multiply`], into some columns of wider rows.
pub(crate) fn multiply_into(
    x: &Activations<'_>,
    weights: &PackedWeights,
    finish: &Finish<'_>,
    results: Results<'_>,
    place: Place,
) -> Result<(), Stopped> {
    let rows = x.codes.rows();
    assert_eq!(x.codes.columns(), weights.depth(), "as deep as the weights");
    assert!([1, rows].contains(&x.zero_points.len()), "one zero point, or one for each row");
    assert!([1, rows].contains(&x.scales.len()), "one scale, or one for each row");
    with_epilogue(x.scales, &weights.columns, finish, results, Run { x, weights, finish, place })
}

/// Something that turns sums into results.
pub(crate) trait WithEpilogue {
    /// Does it.
    fn run<E: Epilogue>(self, epilogue: &E, to: &mut [MaybeUninit<E::Out>]) -> Result<(), Stopped>;
}

/// Does something with what finishes sums: of activations with these scales, times these columns.
pub(crate) fn with_epilogue<W: WithEpilogue>(
    scales: &[f32],
    columns: &Columns,
    finish: &Finish<'_>,
    results: Results<'_>,
    work: W,
) -> Result<(), Stopped> {
    let n = columns.count;
    assert!(finish.bias.is_none_or(|b| b.len() == n), "one bias for each output");
    assert!(finish.int_bias.is_none_or(|b| b.len() == n), "one bias for each output");
    let (bias, relu) = (finish.bias, finish.relu);
    let one = || {
        let &[scale] = scales else { panic!("codes as results of rows with scales of their own") };
        scale
    };
    if let Some(residual) = finish.residual {
        let own = (residual, relu);
        return match results {
            Results::Sums(_) => panic!("sums have no residual"),
            Results::Floats(to) => {
                assert_eq!(residual.len(), to.len(), "a residual for each result");
                work.run(&SumToFloats::new(columns, scales, bias, own), to)
            }
            Results::U8(to, scale, zero_point) => {
                assert_eq!(residual.len(), to.len(), "a residual for each result");
                work.run(&SumToCodes::<u8>::new(columns, scales, bias, own, (scale, zero_point)), to)
            }
            Results::I8(to, scale, zero_point) => {
                assert_eq!(residual.len(), to.len(), "a residual for each result");
                work.run(&SumToCodes::<i8>::new(columns, scales, bias, own, (scale, zero_point)), to)
            }
        };
    }
    match results {
        Results::Sums(to) => work.run(&ToSums, to),
        Results::Floats(to) => work.run(&ToFloats::new(columns, scales, bias, relu), to),
        Results::U8(to, scale, zero_point) => {
            work.run(&ToCodes::<u8>::new(columns, one(), bias, relu, (scale, zero_point)), to)
        }
        Results::I8(to, scale, zero_point) => {
            work.run(&ToCodes::<i8>::new(columns, one(), bias, relu, (scale, zero_point)), to)
        }
    }
}

struct Run<'a, 'b> {
    x: &'a Activations<'b>,
    weights: &'a PackedWeights,
    finish: &'a Finish<'a>,
    place: Place,
}

impl WithEpilogue for Run<'_, '_> {
    fn run<E: Epilogue>(self, epilogue: &E, to: &mut [MaybeUninit<E::Out>]) -> Result<(), Stopped> {
        let Self { x, weights, place, .. } = self;
        assert_eq!(to.len(), x.codes.rows() * place.of, "room for the results");
        if to.is_empty() || weights.columns() == 0 {
            return Ok(());
        }
        with_product(weights.isa(), Multiply { run: self, epilogue, to })
    }
}

struct Multiply<'a, 'b, E: Epilogue> {
    run: Run<'a, 'b>,
    epilogue: &'a E,
    to: &'a mut [MaybeUninit<E::Out>],
}

/// Weights of a task stay in the second cache while its rows pass.
const CACHED: usize = 384 << 10;
/// Sums of a block stay in the first cache.
const BLOCK: usize = 2048;
/// Bytes of weights, in the last cache, in as much time as a thread reads and writes a byte of memory.
const CACHED_PER_BYTE: usize = 3;

/// Blocks of so few rows have kernels of their own.
const FEW: usize = 4;
/// Rows that meet a panel while it is in the first cache, and their bytes that are there, too.
const AT_ONCE: usize = 64;
const CLOSE: usize = 16 << 10;

/// Some rows times some panels.
pub(crate) struct Task<'a, T> {
    /// Blocks of rows.
    pub(crate) blocks: Range<usize>,
    pub(crate) panels: Range<usize>,
    /// Their results.
    pub(crate) to: Window<'a, MaybeUninit<T>>,
}

impl<E: Epilogue> WithProduct for Multiply<'_, '_, E> {
    type Output = Result<(), Stopped>;

    fn run<P: Product>(self, p: P) -> Result<(), Stopped> {
        let Self { run: Run { x, weights, finish, place }, epilogue, to } = self;
        let table = &weights.columns;
        let prepared = Prepared::<P::A>::new::<P>(x, weights)?;
        let corrections =
            Corrections::new(table, x.zero_points, finish.int_bias, prepared.offset, &prepared.sums);
        let (rows, columns, depth) = (x.codes.rows(), weights.columns(), weights.padded);
        let panels = columns.div_ceil(P::NR);
        // `threads` counts work in bytes that are read and written.
        let bytes = (rows * columns * depth / P::PER_BYTE).max(columns * depth / CACHED_PER_BYTE);
        let sharing = threads::sharing(bytes);
        let plan = Plan::new::<P>((rows, prepared.line), panels, depth, sharing);
        let tasks = plan.tasks(to, place, columns, P::NR);
        // Weights that all fit the last cache come faster when asked for; from memory the CPU's own guesses are better.
        let ahead = plan.blocks() == 1 && columns * depth <= arch::last_level_cache() / 4;
        let bytes = if sharing > 1 { bytes } else { 0 };
        let strip = |panels: Range<usize>| {
            let bytes = P::NR * depth;
            let data = &weights.panels.bytes()[panels.start * bytes..panels.end * bytes];
            Panels { data, depth, count: panels.len(), ahead }
        };
        // Where rows are few, weights are read ahead, and more sums than one are made for each output.
        let registers = P::IN_REGISTERS && plan.height > FEW && depth > 0;
        let base = if registers { corrections.base() } else { None };
        if let Some((finish, as_bytes)) = base.as_ref().and_then(|base| epilogue.to_bytes(base)) {
            return threads::for_each(bytes, tasks.into_iter(), |task| {
                let Task { blocks, panels, to } = task;
                let (mut to, mut done, mut room) = (as_bytes(to), 0, Vec::new());
                let first = plan.row(blocks.start);
                for block in plan.blocks_of(blocks, (AT_ONCE, (CLOSE / depth.max(1)).min(AT_ONCE))) {
                    let rows = prepared.rows(p.vector(), block, &mut room);
                    let own = done..done + block.lines * block.count;
                    let finish = finish.from(first + done, panels.start * P::NR);
                    done = own.end;
                    let columns = 0..to.columns();
                    p.codes(rows, strip(panels.clone()), &finish, to.part(own, columns));
                }
                true
            });
        }
        threads::for_each(bytes, tasks.into_iter(), |mut task| {
            // Panels whose sums are finished together: whole groups, unless they are the last ones.
            let whole = (task.panels.len() * P::NR).next_multiple_of(PADDED);
            let width = ((BLOCK / plan.height).clamp(PADDED, 512) / PADDED * PADDED).min(whole);
            // Where rows follow each other without a gap, so do their sums.
            let as_one = columns <= width
                && task.to.is_dense()
                && task.to.columns() == columns
                && (columns >= P::NR || P::IN_ORDER)
                && !columns.is_multiple_of(P::V::GROUP)
                && finish_as_one(&corrections, epilogue);
            let stride = if as_one { columns } else { width };
            // Rows whose sums are finished together, where that takes all of their columns.
            let more = if width < whole { 0 } else { BLOCK / stride };
            let at_once = more.max(plan.height).min(task.to.rows());
            let mut sums = Lines::zeros(4 * (at_once * stride + PADDED));
            let sums = sums.ints_mut();
            let mut room = Vec::new();
            // Rows that have results, and those that have sums.
            let (from, mut done, mut waiting) = (plan.row(task.blocks.start), 0, 0);
            for block in plan.blocks_of(task.blocks.clone(), (at_once, 0)) {
                let rows = prepared.rows(p.vector(), block, &mut room);
                let at_row = waiting;
                waiting += block.lines * block.count;
                let full = waiting + plan.height * block.lines > at_once || done + waiting == task.to.rows();
                for at in task.panels.clone().step_by((width / P::NR).max(1)) {
                    let panels = at..task.panels.end.min(at + width / P::NR);
                    let mut whole = panels.clone();
                    if stride < panels.len() * P::NR && panels.len() > 1 {
                        // What the last panel has beyond the last column, the next row's first panel writes over.
                        whole.end -= 1;
                        let sums = &mut sums[at_row * stride + whole.len() * P::NR..];
                        p.block(rows, strip(whole.end..panels.end), sums, stride);
                    }
                    p.block(rows, strip(whole), &mut sums[at_row * stride..], stride);
                    if full {
                        let start = (at - task.panels.start) * P::NR;
                        let end = (start + panels.len() * P::NR).min(task.to.columns());
                        p.vector().run(FinishBlock {
                            corrections: &corrections,
                            epilogue,
                            sums,
                            stride,
                            first_row: from + done,
                            first_column: at * P::NR,
                            to: task.to.part(done..done + waiting, start..end),
                        });
                    }
                }
                if full {
                    (done, waiting) = (done + waiting, 0);
                }
            }
            true
        })
    }
}

/// How a product is cut.
pub(crate) struct Plan {
    pub(crate) rows: usize,
    /// Rows of a line, which no block reaches beyond.
    pub(crate) line: usize,
    pub(crate) panels: usize,
    /// Rows of a block.
    pub(crate) height: usize,
    /// Blocks and panels of a task.
    pub(crate) task_blocks: usize,
    pub(crate) task_panels: usize,
}

impl Plan {
    fn new<P: Product>((rows, line): (usize, usize), panels: usize, depth: usize, threads: usize) -> Self {
        // Whole groups of vectors.
        let unit = (P::V::GROUP / P::NR).max(1);
        // 13 rows are 7 and 6 rather than 12 and 1: a block of few rows waits for weights.
        let height = line.div_ceil(line.div_ceil(P::MR)).next_multiple_of(P::ROWS);
        let blocks = rows / line * line.div_ceil(height);
        let wanted = match threads {
            1 => 1,
            n => 4 * n,
        };
        let fit = CACHED / (P::NR * depth).max(1);
        // With one block of rows nothing is used again, so that only the threads want pieces.
        let cached = if blocks == 1 { panels } else { fit.max(unit) };
        let fair = (panels * blocks).div_ceil(wanted).max(unit);
        let task_panels = cached.min(fair).next_multiple_of(unit).min(panels.next_multiple_of(unit));
        let chunks = panels.div_ceil(task_panels);
        // Rows are cut finer: the last task of a few is what threads wait for.
        let pieces = if threads == 1 { 1 } else { 2 * wanted };
        let per_task = (blocks * chunks).div_ceil(pieces.max(chunks)).max(1);
        // Long products look for an interrupt now and then.
        let often = (64 << 20) / (height * P::NR * task_panels * depth).max(1);
        Self { rows, line, panels, height, task_blocks: per_task.min(often.max(1)), task_panels }
    }

    /// Blocks of rows.
    fn blocks(&self) -> usize {
        self.rows / self.line * self.line.div_ceil(self.height)
    }

    /// Some of them, several together: lines with so many rows, where each is a block, or blocks of a line with so many.
    fn blocks_of(&self, blocks: Range<usize>, (whole, part): (usize, usize)) -> impl Iterator<Item = Block> {
        let (length, height) = (self.line, self.height);
        let per_line = length.div_ceil(height);
        let together = (if per_line == 1 { whole } else { part } / height).max(1);
        let mut block = blocks.start;
        std::iter::from_fn(move || {
            let (line, own) = (block / per_line, block % per_line);
            let some = together.min(blocks.end.checked_sub(block).filter(|&left| left > 0)?);
            let (lines, some) = if per_line == 1 { (some, some) } else { (1, some.min(per_line - own)) };
            block += some;
            let at = own * height;
            let count = if per_line == 1 { length } else { (some * height).min(length - at) };
            Some(Block { line, lines, at, first: line * length + at, count })
        })
    }

    /// The first row of a block, or the end of all.
    pub(crate) fn row(&self, block: usize) -> usize {
        let per_line = self.line.div_ceil(self.height);
        block / per_line * self.line + block % per_line * self.height
    }

    /// The tasks: for each run of panels, all rows.
    pub(crate) fn tasks<'a, T>(
        &self,
        to: &'a mut [MaybeUninit<T>],
        place: Place,
        columns: usize,
        nr: usize,
    ) -> Vec<Task<'a, T>> {
        let mut tasks = Vec::new();
        let mut rest = Window::new(to, place.of, place.first..place.first + columns);
        for first in (0..self.panels).step_by(self.task_panels) {
            let panels = first..(first + self.task_panels).min(self.panels);
            let width = (panels.len() * nr).min(rest.columns());
            let mut strip;
            (strip, rest) = rest.split_columns(width);
            for first in (0..self.blocks()).step_by(self.task_blocks) {
                let blocks = first..(first + self.task_blocks).min(self.blocks());
                let piece;
                (piece, strip) = strip.split_rows(self.row(blocks.end) - self.row(first));
                tasks.push(Task { blocks, panels: panels.clone(), to: piece });
            }
        }
        tasks
    }
}
