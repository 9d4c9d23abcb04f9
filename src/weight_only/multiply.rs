//! The product: cut for the caches and the threads, and added up group by group.

use std::mem::MaybeUninit;

use super::activations::{Integers, Part};
use super::pack::{CHUNK, Chunk, PackedGroups};
use crate::arch::product::{Digit, Panels, Wide, Widen, WithWide, with_wide};
use crate::arch::{Kernel, Vector, copy_to};
use crate::error::Stopped;
use crate::gemm::{Place, Plan};
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
/// The sums of one block of an instruction set: at most 12 rows of digits.
const SUMS: usize = 12 * CHUNK;

/// `x` times the transpose of `weights`, into rows of as many floats as there are outputs, by the module's formula.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn multiply(
    x: &[f32],
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
    with_wide(weights.isa(), Multiply { x, weights, finish, to })
}

struct Multiply<'a> {
    x: &'a [f32],
    weights: &'a PackedGroups,
    finish: &'a Finish<'a>,
    to: &'a mut [MaybeUninit<f32>],
}

impl WithWide for Multiply<'_> {
    type Output = Result<(), Stopped>;

    fn run<P: Wide>(self, p: P) -> Result<(), Stopped> {
        let Self { x, weights, finish, to } = self;
        let layout = weights.layout();
        for (i, to) in to.chunks_mut(ROWS * layout.columns).enumerate() {
            let rows = to.len() / layout.columns;
            let x = Integers::new(p, &x[i * ROWS * layout.depth..][..rows * layout.depth], layout)?;
            // `threads` counts work in bytes that are read and written.
            let products = rows * layout.columns * layout.depth * P::A::COUNT;
            let bytes = (products / P::PER_BYTE).max(weights.bytes());
            let sharing = threads::sharing(bytes);
            let plan = plan(rows, weights, sharing);
            let tasks = plan.tasks(to, Place { first: 0, of: layout.columns }, layout.columns, CHUNK);
            let bytes = if sharing > 1 { bytes } else { 0 };
            threads::for_each(bytes, tasks.into_iter(), |mut task| {
                let mut room = Room::new(layout.group);
                for (b, to) in task.to.chunks_mut(BLOCK).enumerate() {
                    for chunk in task.panels.clone() {
                        let first = task.first_row + b * BLOCK;
                        room.add_up(p, weights, chunk, &x, first, to.len());
                        let at = (chunk - task.panels.start) * CHUNK;
                        room.finish(finish, chunk * CHUNK, at, to);
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
    let task_rows = (blocks * across).div_ceil(wanted.max(across)).max(1) * BLOCK;
    Plan { rows, panels: chunks, height: BLOCK, task_rows, task_panels }
}

/// Where a task works: all of it stays in the first caches.
struct Room {
    /// Codes of 4 bits, in bytes of their own.
    codes: Vec<i8>,
    sums: Vec<i32>,
    /// A row of a chunk for each row of a block.
    results: Vec<[f32; CHUNK]>,
}

impl Room {
    fn new(group: usize) -> Self {
        Self { codes: vec![0; CHUNK * group], sums: vec![0; SUMS], results: Vec::new() }
    }

    /// The sums over all groups, of some rows and one chunk.
    fn add_up<P: Wide>(
        &mut self,
        p: P,
        weights: &PackedGroups,
        chunk: usize,
        x: &Integers<P::A>,
        first: usize,
        rows: usize,
    ) {
        let layout = weights.layout();
        let at_once = P::MR / P::A::COUNT;
        let offset = if layout.bits == 8 { P::OFFSET } else { 0 };
        self.results.clear();
        self.results.resize(rows, [0.0; CHUNK]);
        for g in 0..layout.groups() {
            let Chunk { panels, scales, zero_points } = weights.chunk::<P>(chunk, g, rows == 1);
            // Codes that several blocks meet are unpacked once.
            let unpacked = layout.bits == 4 && rows > at_once;
            if unpacked {
                p.vector().run(Widen { halves: panels.data, to: &mut self.codes });
            }
            for (b, results) in self.results.chunks_mut(at_once).enumerate() {
                let Part { digits, units, sums } = x.part(g, first + b * at_once, results.len());
                if unpacked {
                    let data = &self.codes[..CHUNK * panels.depth];
                    p.block(digits, Panels { data, ..panels }, &mut self.sums, CHUNK);
                } else if layout.bits == 4 {
                    p.block_of_halves(digits, panels, &mut self.codes, &mut self.sums, CHUNK);
                } else {
                    p.block(digits, panels, &mut self.sums, CHUNK);
                }
                p.vector().run(Accumulate::<P::A> {
                    sums: self.sums.as_chunks().0,
                    zero_points,
                    // Without those the middle, for all.
                    middle: i32::from(layout.middle()) + offset,
                    offset,
                    row_sums: sums,
                    units,
                    scales,
                    to: results,
                    digit: std::marker::PhantomData,
                });
            }
        }
    }

    /// Writes the results of a chunk to a piece of each row, from `at` on.
    fn finish(&self, finish: &Finish<'_>, first: usize, at: usize, to: &mut [&mut [MaybeUninit<f32>]]) {
        for (results, to) in self.results.iter().zip(to) {
            let mut results = *results;
            let n = CHUNK.min(to.len() - at);
            if let Some(bias) = finish.bias {
                results.iter_mut().zip(&bias[first..first + n]).for_each(|(y, bias)| *y += bias);
            }
            if finish.relu {
                // NaN stays.
                results.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
            }
            copy_to(&results[..n], &mut to[at..]);
        }
    }
}

/// Adds the sums of one group to the results of some rows.
struct Accumulate<'a, A> {
    /// Those of each digit of the first row, then of the next one.
    sums: &'a [[i32; CHUNK]],
    zero_points: Option<&'a [u8; CHUNK]>,
    middle: i32,
    /// What was added to each code, and has to be to a zero point.
    offset: i32,
    row_sums: &'a [super::activations::Sum],
    units: &'a [f32],
    scales: &'a [f32; CHUNK],
    to: &'a mut [[f32; CHUNK]],
    digit: std::marker::PhantomData<A>,
}

impl<A: Digit> Kernel for Accumulate<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let sums = self.sums.chunks_exact(A::COUNT);
        let rows = self.row_sums.iter().zip(self.units).zip(self.to);
        for (sums, ((of_row, &unit), to)) in sums.zip(rows) {
            let (first, second, last) = (&sums[0], &sums[1], &sums[A::COUNT - 1]);
            let add = |y: &mut f32, i: usize, zero_point: (i32, i32)| {
                let high = A::high(first[i], second[i]).wrapping_sub(zero_point.0);
                let low = last[i].wrapping_sub(zero_point.1);
                *y += (high as f32 * 256.0 + low as f32) * unit * self.scales[i];
            };
            match self.zero_points {
                None => {
                    let both = (self.middle.wrapping_mul(of_row.high), self.middle.wrapping_mul(of_row.low));
                    to.iter_mut().enumerate().for_each(|(i, y)| add(y, i, both));
                }
                Some(zero_points) => to.iter_mut().enumerate().for_each(|(i, y)| {
                    let zero_point = i32::from(zero_points[i]) + self.offset;
                    add(y, i, (zero_point.wrapping_mul(of_row.high), zero_point.wrapping_mul(of_row.low)));
                }),
            }
        }
    }
}
