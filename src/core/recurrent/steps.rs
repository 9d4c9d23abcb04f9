//! One direction of a layer: step after step, over blocks of units.
//!
//! States lie in blocks of `WIDE` units with all rows, so that a block is a piece of work of its own: its columns of
//! the product, then its cells.

use std::ops::Range;

use super::cell::{Cell, Gates, Step};
use crate::arch::Vector;
use crate::error::{Error, Result, Stopped};
use crate::gemm::WIDE;
use crate::memory::filled;
use crate::threads::{self, Poll};

/// A state times the weights of a layer, again in each step.
pub(super) trait Hidden: Sync {
    /// The vectors that go with it.
    type V: Vector;
    fn vector(&self) -> Self::V;
    /// How many rows `multiply` takes.
    fn rows_at_once(&self) -> usize;
    /// How long its rows are for so many columns.
    fn width(&self, columns: usize) -> usize;
    /// Takes the state, in blocks.
    fn take(&mut self, state: &[f32]) -> std::result::Result<Result<()>, Stopped>;
    /// Some rows times some columns, which start where a block does.
    fn multiply(&self, rows: Range<usize>, columns: Range<usize>, room: &mut Room);
}

/// What a product needs room for.
#[derive(Clone)]
pub(super) struct Room {
    pub(super) sums: Vec<i32>,
    pub(super) floats: Vec<f32>,
}

/// The input's part of the gates.
pub(super) enum Inputs<'a> {
    /// Of all steps and rows, a row after the other, gate by gate.
    Ready(&'a [f32]),
    /// Made when they are needed: some rows of steps, in blocks of units, gate by gate in each.
    Made(&'a dyn Make),
}

/// Makes the input's part of the gates.
pub(super) trait Make: Sync {
    /// Of the rows of some steps.
    fn make(&self, rows: Range<usize>, to: &mut Vec<f32>) -> std::result::Result<(), Stopped>;
}

/// Rows of the output, one for each step and row of the batch.
pub(super) struct Output<'a> {
    pub(super) rows: Vec<&'a mut [f32]>,
    /// From one step to the next, and from one row of the batch to the next.
    pub(super) strides: [usize; 2],
}

/// The first and, later, the last states of a direction: rows of units.
#[derive(Debug)]
pub struct States<'a> {
    /// The hidden state, which is the output: as many units as the projection gives, if there is one.
    pub h: &'a mut [f32],
    /// The cell state; empty where the cell has none.
    pub c: &'a mut [f32],
}

/// One direction of a layer.
pub(super) struct Pass<'a> {
    pub(super) cell: Cell,
    pub(super) units: usize,
    pub(super) steps: usize,
    pub(super) batch: usize,
    /// From the last step to the first.
    pub(super) reverse: bool,
    pub(super) inputs: Inputs<'a>,
    pub(super) states: States<'a>,
    pub(super) output: Output<'a>,
}

/// How many rows of input gates are made at once: enough for the product to be fast, few enough for the second cache.
const MADE: usize = 64;
/// Products of a step in as much time as a thread reads and writes a byte: `threads` counts work in bytes.
pub(super) const PER_BYTE: usize = 3;

impl Pass<'_> {
    /// Runs it, and leaves the last states.
    pub(super) fn run<H: Hidden>(
        mut self,
        mut hidden: H,
        mut projection: Option<H>,
    ) -> std::result::Result<Result<()>, Stopped> {
        let (units, batch, gates) = (self.units, self.batch, self.cell.gates());
        let block = batch * WIDE;
        let mut h = filled(units.div_ceil(WIDE) * block, 0f32);
        let mut c = h.clone();
        to_blocks(self.states.c, units, &mut c);
        let outputs = self.states.h.len() / batch;
        let mut projected =
            filled(if projection.is_some() { outputs.div_ceil(WIDE) * block } else { 0 }, 0f32);
        to_blocks(self.states.h, outputs, if projection.is_some() { &mut projected } else { &mut h });

        let at_once = hidden.rows_at_once().min(batch);
        let room = hidden.width(gates * WIDE) * at_once;
        let room = Room { sums: filled(room, 0), floats: filled(room, 0.0) };
        let mut rooms = filled(h.len() / block, room);
        let work = batch * gates * units * outputs / PER_BYTE;
        let mut poll = Poll::new();
        let mut made = Vec::new();
        let per_chunk = MADE.div_ceil(batch);
        for chunk in 0..self.steps.div_ceil(per_chunk) {
            if poll.interrupted() {
                return Err(Stopped::Interrupted);
            }
            let done = chunk * per_chunk;
            let count = per_chunk.min(self.steps - done);
            let first = if self.reverse { self.steps - done - count } else { done };
            let input = match self.inputs {
                Inputs::Ready(all) => Input { values: &all[first * batch * gates * units..], blocks: false },
                Inputs::Made(make) => {
                    make.make(first * batch..(first + count) * batch, &mut made)?;
                    Input { values: &made, blocks: true }
                }
            };
            for i in 0..count {
                let step = if self.reverse { count - 1 - i } else { i };
                let state = if projection.is_some() { &projected } else { &h };
                if let Err(error) = taken(hidden.take(state), first + step)? {
                    return Ok(Err(error));
                }
                let row = &input.values[step * batch * gates * units..];
                let blocks = h.chunks_exact_mut(block).zip(c.chunks_exact_mut(block)).zip(&mut rooms);
                threads::for_each(work, blocks.enumerate(), |(b, ((h, c), room))| {
                    let own = WIDE.min(units - b * WIDE);
                    let columns = gates * WIDE * b..gates * (WIDE * b + own);
                    let input = match input.blocks {
                        true => Gates { values: &row[columns.start..], stride: gates * units, apart: own },
                        false => Gates { values: &row[WIDE * b..], stride: gates * units, apart: units },
                    };
                    for at in (0..batch).step_by(at_once) {
                        let rows = at..batch.min(at + at_once);
                        hidden.multiply(rows.clone(), columns.clone(), room);
                        let stride = hidden.width(columns.len());
                        Step {
                            hidden: Gates { values: &room.floats, stride, apart: own },
                            input: input.row(at),
                            units: own,
                            h: &mut h[at * WIDE..rows.end * WIDE],
                            c: &mut c[at * WIDE..rows.end * WIDE],
                        }
                        .run(self.cell, hidden.vector());
                    }
                    true
                })?;
                if let Some(projection) = &mut projection
                    && let Err(error) = taken(projection.take(&h), first + step)?
                {
                    return Ok(Err(error));
                }
                if let Some(projection) = &projection {
                    project(projection, &mut projected, outputs, &mut rooms[0]);
                }
                let state = if projection.is_some() { &projected } else { &h };
                self.output.write(first + step, state, batch);
            }
        }
        from_blocks(&c, units, self.states.c);
        from_blocks(if projection.is_some() { &projected } else { &h }, outputs, self.states.h);
        Ok(Ok(()))
    }
}

/// Input gates from a step on.
struct Input<'a> {
    values: &'a [f32],
    blocks: bool,
}

/// A state that has no scale: says which one.
fn taken(
    taken: std::result::Result<Result<()>, Stopped>,
    step: usize,
) -> std::result::Result<Result<()>, Stopped> {
    let got = match taken {
        Ok(Err(Error::Value { got, .. })) => got,
        Err(Stopped::Nan { .. }) => "NaN".into(),
        other => return other,
    };
    Ok(Err(Error::value("the hidden state", format!("{got} at step {step}"), "finite, to be quantized")))
}

/// The state times the weights of a projection, block by block.
fn project<H: Hidden>(projection: &H, projected: &mut [f32], outputs: usize, room: &mut Room) {
    let blocks = outputs.div_ceil(WIDE);
    let at_once = projection.rows_at_once();
    for (b, block) in projected.chunks_exact_mut(projected.len() / blocks).enumerate() {
        let columns = WIDE * b..outputs.min(WIDE * (b + 1));
        let width = projection.width(columns.len());
        for (i, rows) in block.chunks_mut(at_once * WIDE).enumerate() {
            let first = i * at_once;
            projection.multiply(first..first + rows.len() / WIDE, columns.clone(), room);
            for (to, from) in rows.chunks_exact_mut(WIDE).zip(room.floats.chunks_exact(width)) {
                to[..columns.len()].copy_from_slice(&from[..columns.len()]);
            }
        }
    }
}

impl Output<'_> {
    fn write(&mut self, step: usize, state: &[f32], batch: usize) {
        for (b, block) in state.chunks_exact(batch * WIDE).enumerate() {
            for (r, from) in block.chunks_exact(WIDE).enumerate() {
                let to = &mut self.rows[step * self.strides[0] + r * self.strides[1]][b * WIDE..];
                let n = to.len().min(WIDE);
                to[..n].copy_from_slice(&from[..n]);
            }
        }
    }
}

/// Rows of units to blocks.
fn to_blocks(rows: &[f32], units: usize, blocks: &mut [f32]) {
    let count = rows.len() / units.max(1);
    for (r, row) in rows.chunks_exact(units).enumerate() {
        for (b, from) in row.chunks(WIDE).enumerate() {
            blocks[(b * count + r) * WIDE..][..from.len()].copy_from_slice(from);
        }
    }
}

/// Blocks to rows of units.
pub(super) fn from_blocks(blocks: &[f32], units: usize, rows: &mut [f32]) {
    let count = rows.len() / units.max(1);
    for (r, row) in rows.chunks_exact_mut(units).enumerate() {
        for (b, to) in row.chunks_mut(WIDE).enumerate() {
            to.copy_from_slice(&blocks[(b * count + r) * WIDE..][..to.len()]);
        }
    }
}
