//! How a product is cut for caches and threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::pack::PackedWeights;
use super::rows::Block;
use crate::arch::product::Product;
use crate::arch::{Vector, Window};
use crate::threads;

/// Weights of a task stay in the second cache while its rows pass.
const CACHED: usize = 384 << 10;
/// Bytes of weights, in the last cache, in as much time as a thread reads and writes a byte of memory.
const CACHED_PER_BYTE: usize = 3;

/// Which columns of wider rows of results a product writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) first: usize,
    /// Columns of a row.
    pub(crate) of: usize,
}

/// Some rows times some panels.
pub(crate) struct Task<'a, T> {
    /// Blocks of rows.
    pub(crate) blocks: Range<usize>,
    pub(crate) panels: Range<usize>,
    /// Their results.
    pub(crate) to: Window<'a, MaybeUninit<T>>,
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
    /// For so many rows, in lines of `line`; and what there is to do, in bytes that are read and written.
    pub(super) fn of<P: Product>(rows: usize, line: usize, weights: &PackedWeights) -> (Self, usize) {
        let (columns, depth) = (weights.columns(), weights.padded);
        let bytes = (rows * columns * depth / P::PER_BYTE).max(columns * depth / CACHED_PER_BYTE);
        let sharing = threads::sharing(bytes);
        let plan = Self::new::<P>((rows, line), columns.div_ceil(P::NR), depth, sharing);
        (plan, if sharing > 1 { bytes } else { 0 })
    }

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
    pub(super) fn blocks(&self) -> usize {
        self.rows / self.line * self.line.div_ceil(self.height)
    }

    /// Some of them, several together: lines with so many rows, where each is a block, or blocks of a line with so many.
    pub(super) fn blocks_of(
        &self,
        blocks: Range<usize>,
        (whole, part): (usize, usize),
    ) -> impl Iterator<Item = Block> {
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
