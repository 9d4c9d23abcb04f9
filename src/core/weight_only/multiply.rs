//! The product: cut for the caches and the threads, and added up group by group.

use std::mem::MaybeUninit;

use super::activations::{InputBits, Integers};
use super::floats;
use super::pack::PackedGroups;
use crate::arch::product::{CHUNK, Digit, Inputs, Room, Wide, WithWide, with_wide};
use crate::arch::{Isa, Window, copy_to};
use crate::error::Stopped;
use crate::gemm::{Place, Plan};
use crate::memory::filled;
use crate::threads;

/// What is done with sums at last.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a> {
    /// A number for each output, or none.
    pub bias: Option<&'a [f32]>,
    /// Negative results become 0.
    pub relu: bool,
}

/// Rows whose digits are made together: a call needs no more memory than these do.
const ROWS: usize = 512;
/// Rows that meet a group of weights before the next one: their digits and sums stay in the first caches.
const BLOCK: usize = 48;

/// `x`, of which `bits` are kept, times the transpose of `weights`, into rows of as many floats as there are outputs, by the
/// module's formula.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn multiply(
    x: &[f32],
    bits: InputBits,
    weights: &PackedGroups,
    finish: &Finish<'_>,
    to: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    let layout = weights.layout();
    if to.is_empty() {
        return Ok(());
    }
    let rows = to.len() / layout.columns;
    assert_eq!(to.len(), rows * layout.columns, "whole rows of results");
    assert_eq!(x.len(), rows * layout.depth, "as deep as the weights");
    assert!(finish.bias.is_none_or(|b| b.len() == layout.columns), "one bias for each output");
    with_wide(weights.isa(), Multiply { x, bits, weights, finish, to })
}

/// From how many rows on inputs that keep 24 bits are multiplied as floats on an instruction set.
pub fn floats_from(isa: Isa) -> usize {
    struct Rows;
    impl WithWide for Rows {
        type Output = usize;
        fn run<P: Wide>(self, _: P) -> usize {
            P::FLOATS_FROM
        }
    }
    with_wide(isa, Rows)
}

struct Multiply<'a> {
    x: &'a [f32],
    bits: InputBits,
    weights: &'a PackedGroups,
    finish: &'a Finish<'a>,
    to: &'a mut [MaybeUninit<f32>],
}

impl WithWide for Multiply<'_> {
    type Output = Result<(), Stopped>;

    fn run<P: Wide>(self, p: P) -> Result<(), Stopped> {
        let Self { x, bits, weights, finish, to } = self;
        let layout = weights.layout();
        let rows = to.len() / layout.columns;
        if bits == InputBits::TwentyFour && rows >= P::FLOATS_FROM && layout.depth > 0 {
            return floats::multiply(p, x, weights, finish, to);
        }
        for (i, to) in to.chunks_mut(ROWS * layout.columns).enumerate() {
            let rows = to.len() / layout.columns;
            let x = &x[i * ROWS * layout.depth..][..rows * layout.depth];
            let x = Integers::new(p, x, rows, bits, layout)?;
            // `threads` counts work in bytes that are read and written.
            let products = rows * layout.columns * layout.depth * P::A::count(bits.bits());
            let bytes = (products / P::PER_BYTE).max(weights.bytes());
            let sharing = threads::sharing(bytes);
            let plan = plan(rows, weights, sharing);
            let tasks = plan.tasks(to, Place { first: 0, of: layout.columns }, layout.columns, CHUNK);
            let bytes = if sharing > 1 { bytes } else { 0 };
            threads::for_each(bytes, tasks.into_iter(), |mut task| {
                let mut room = Room::new::<P>(layout.group);
                let (first, count) = (plan.row(task.blocks.start), task.to.rows());
                for at in (0..count).step_by(BLOCK) {
                    let rows = at..count.min(at + BLOCK);
                    for chunk in task.panels.clone() {
                        let inputs = x.all().from(first + rows.start, 0);
                        let sums = Sums::new(p, weights, chunk, inputs, rows.len(), &mut room);
                        let columns = (chunk - task.panels.start) * CHUNK..task.to.columns();
                        sums.finish(finish, chunk * CHUNK, task.to.part(rows.clone(), columns));
                    }
                }
                true
            })?;
        }
        Ok(())
    }
}

/// How a product is cut. One thread takes all columns for some rows, since weights are read once for each block of
/// those; several share the columns too.
fn plan(rows: usize, weights: &PackedGroups, threads: usize) -> Plan {
    let chunks = weights.chunks();
    let blocks = rows.div_ceil(BLOCK);
    let wanted = match threads {
        1 => 1,
        n => 4 * n,
    };
    // Long products look for an interrupt now and then.
    let often = (1 << 30) / (BLOCK * CHUNK * weights.layout().depth).max(1);
    let task_panels = (chunks * blocks).div_ceil(wanted).min(often.max(1)).min(chunks);
    let across = chunks.div_ceil(task_panels);
    let task_blocks = (blocks * across).div_ceil(wanted.max(across)).max(1);
    Plan { rows, line: rows, panels: chunks, height: BLOCK, task_blocks, task_panels }
}

/// A row of a chunk for each row of a block: they stay in the first cache.
struct Sums(Vec<[f32; CHUNK]>);

impl Sums {
    /// Those over all groups, of so many rows and one chunk.
    fn new<P: Wide>(
        p: P,
        weights: &PackedGroups,
        chunk: usize,
        inputs: Inputs<'_, P::A>,
        rows: usize,
        room: &mut Room,
    ) -> Self {
        let mut sums = filled(rows, [0.0; CHUNK]);
        p.add(inputs, weights.chunk::<P>(chunk), room, &mut sums);
        Self(sums)
    }

    /// Writes the results of a chunk to the first columns of `to`.
    fn finish(&self, finish: &Finish<'_>, first: usize, mut to: Window<'_, MaybeUninit<f32>>) {
        let n = CHUNK.min(to.columns());
        for (r, results) in self.0.iter().enumerate() {
            let mut results = *results;
            if let Some(bias) = finish.bias {
                results.iter_mut().zip(&bias[first..first + n]).for_each(|(y, bias)| *y += bias);
            }
            if finish.relu {
                // NaN stays.
                results.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
            }
            copy_to(&results[..n], to.row(r));
        }
    }
}
