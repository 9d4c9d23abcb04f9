//! Products of many rows by floats.
//!
//! Digits take several products of integers where floats take one, but codes are read as they are. So from some number
//! of rows on ([`Wide::FLOATS_FROM`]) the codes of a few groups of a chunk are written out as the floats that they stand
//! for, in the layout of [`crate::float::product`], and meet all rows while they lie in the second cache.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::multiply::Finish;
use super::pack::PackedGroups;
use crate::arch::product::{CHUNK, Chunk, Wide};
use crate::arch::{self, Ending, FloatBlock, FloatRows, Kernel, Lines, Panel, TILES, Vector};
use crate::error::Stopped;
use crate::float::product::{PER_BYTE, panels};
use crate::gemm::{Place, Plan, Task};
use crate::threads;

/// Steps of the depth that are written out at once, but for longer groups: 128 KB of floats.
const DEPTH: usize = 512;
/// Floats of the rows that meet them before the next ones do: as many bytes.
const ROWS_CACHED: usize = 32 << 10;
/// Products of the longest task, between which interrupts are looked for.
const LONGEST: usize = 1 << 28;

/// The product, as [`super::multiply`], of inputs as they are.
pub(super) fn multiply<P: Wide>(
    p: P,
    x: &[f32],
    weights: &PackedGroups,
    finish: &Finish<'_>,
    to: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    let layout = weights.layout();
    let rows = to.len() / layout.columns;
    let products = rows.saturating_mul(layout.columns).saturating_mul(layout.depth);
    let bytes = (products / PER_BYTE).max(weights.bytes());
    let sharing = threads::sharing(bytes);
    let plan = plan(rows, weights, sharing);
    // Without their signs, floats are ordered as their bits are.
    let largest = |x: &[f32]| x.iter().fold(0, |most, x| most.max(x.to_bits() & !(1 << 31)));
    let finite: Vec<bool> =
        x.chunks_exact(layout.depth).map(|x| largest(x) < f32::INFINITY.to_bits()).collect();
    let tasks = plan.tasks(to, Place { first: 0, of: layout.columns }, layout.columns, CHUNK);
    threads::for_each(if sharing > 1 { bytes } else { 0 }, tasks.into_iter(), |mut task| {
        let first = plan.row(task.blocks.start);
        let rows = first..first + task.to.rows();
        run(p, &x[first * layout.depth..rows.end * layout.depth], weights, finish, &mut task);
        // A row that holds NaN or an infinity becomes NaN.
        for (r, _) in finite[rows].iter().enumerate().filter(|(_, is_finite)| !**is_finite) {
            task.to.row(r).fill(MaybeUninit::new(f32::NAN));
        }
        true
    })
}

/// How a product is cut: by columns first, since each task writes out the floats of its own.
fn plan(rows: usize, weights: &PackedGroups, threads: usize) -> Plan {
    let chunks = weights.chunks();
    let wanted = if threads > 1 { 4 * threads } else { 1 };
    let of_chunk = (rows * CHUNK).saturating_mul(weights.layout().depth);
    let task_panels = chunks.div_ceil(wanted).min(LONGEST / of_chunk).max(1);
    let down = wanted.div_ceil(chunks.div_ceil(task_panels)).max(of_chunk.div_ceil(LONGEST));
    let height = rows.div_ceil(down).next_multiple_of(TILES).min(rows);
    Plan { rows, line: rows, panels: chunks, height, task_blocks: 1, task_panels }
}

/// A task, of its own rows of `x`.
fn run<P: Wide>(p: P, x: &[f32], weights: &PackedGroups, finish: &Finish<'_>, task: &mut Task<'_, f32>) {
    let layout = weights.layout();
    let (rows, at_once) = (task.to.rows(), (DEPTH / layout.group).max(1));
    let mut floats = Lines::zeros(4 * CHUNK * (at_once * layout.group).min(layout.depth));
    let (mut bytes, mut starts) = (Lines::zeros(CHUNK * layout.group), Vec::new());
    for chunk in task.panels.clone() {
        let first = (chunk - task.panels.start) * CHUNK;
        let columns = CHUNK.min(task.to.columns() - first);
        let mut results = task.to.part(0..rows, first..first + columns);
        // The bias comes last, as for few rows: the same for each.
        let residual = finish.bias.map(|bias| (&bias[chunk * CHUNK..][..columns], 0));
        let low = if finish.relu { 0.0 } else { f32::NEG_INFINITY };
        let end = Ending { residual, limits: (low, f32::INFINITY), then: None };
        for g in (0..layout.groups()).step_by(at_once) {
            let groups = g..(g + at_once).min(layout.groups());
            let (from, to) = (layout.part(g).start, layout.part(groups.end - 1).end);
            let panels = panels(weights.isa(), to - from, columns);
            for g in groups.clone() {
                let part = layout.part(g);
                let codes = weights.chunk::<P>(chunk).groups(g..g + 1).in_bytes(p, bytes.bytes_mut());
                let (steps, panels, to) =
                    (part.start - from..part.end - from, &panels[..], floats.floats_mut());
                p.vector().run(Write::<P> { codes, steps, panels, to, of: PhantomData });
            }
            let tall = (ROWS_CACHED / (to - from)).next_multiple_of(TILES);
            for row in (0..rows).step_by(tall) {
                let count = tall.min(rows - row);
                starts.clear();
                starts.extend((row..row + count).map(|r| r * layout.depth + from));
                let block = FloatBlock {
                    rows: FloatRows { x, zeros: &[], starts: &starts, count },
                    panels: &panels,
                    weights: floats.floats(),
                    run: to - from,
                    chunk: arch::Chunk { taps: 0..1, run: 0..to - from },
                    begin: (g == 0).then_some(&[0.0; CHUNK]),
                    end: (groups.end == layout.groups()).then_some(end),
                    to: &mut results,
                    row,
                    column: 0,
                };
                arch::dispatch(weights.isa(), block);
            }
        }
    }
}

/// Writes out the floats of one group: for each step a float for each column of each panel.
struct Write<'a, P> {
    codes: Chunk<'a>,
    /// Where the steps of the group lie in the panels.
    steps: Range<usize>,
    panels: &'a [Panel],
    to: &'a mut [f32],
    of: PhantomData<P>,
}

impl<P: Wide> Kernel for Write<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        const { assert!(P::NR.is_multiple_of(V::LANES)) };
        let Self { codes, steps, panels, to, .. } = self;
        let mut zero_points = [codes.middle as f32; CHUNK];
        if let Some([own, ..]) = codes.zero_points {
            zero_points.iter_mut().zip(own).for_each(|(to, &z)| *to = (i32::from(z) + codes.offset) as f32);
        }
        for panel in panels {
            let wide = panel.vectors * V::LANES;
            let to = &mut to[panel.start + steps.start * wide..][..steps.len() * wide];
            for column in (0..wide).step_by(V::LANES) {
                let at = panel.first + column;
                let from = &codes.codes[at / P::NR * P::NR * codes.depth..][..P::NR * codes.depth];
                let columns = Columns {
                    codes: &from[at % P::NR * P::KU..],
                    across: P::NR * P::KU,
                    scales: &codes.scales[0][at..],
                    zero_points: &zero_points[at..],
                    to: &mut to[column..],
                    wide,
                    steps: steps.len(),
                };
                match (V::LANES, P::KU) {
                    (4, 1) => columns.write::<4, i8>(),
                    (4, 2) => columns.write::<4, i16>(),
                    (8, 4) => columns.write::<8, i32>(),
                    (16, 2) => columns.write::<16, i16>(),
                    _ => unreachable!("an instruction set whose products are never of floats"),
                }
            }
        }
    }
}

/// A vector of columns, whose codes lie some steps at a time.
struct Columns<'a> {
    codes: &'a [i8],
    /// From the codes of some steps to those of the next ones.
    across: usize,
    scales: &'a [f32],
    zero_points: &'a [f32],
    to: &'a mut [f32],
    /// From one step to the next.
    wide: usize,
    steps: usize,
}

impl Columns<'_> {
    /// `N` columns, whose codes of some steps are a `W`, the first in its low bits: read as such and not byte by byte, so
    /// that all of it is vectors.
    #[inline(always)]
    fn write<const N: usize, W: bytemuck::Pod + Into<i32>>(self) {
        const { assert!(cfg!(target_endian = "little")) };
        let Self { codes, across, scales, zero_points, to, wide, steps } = self;
        let at_once = size_of::<W>();
        let words: &[W] = bytemuck::cast_slice(codes);
        let (mut own_scales, mut own_zeros) = ([0.0; N], [0.0; N]);
        own_scales.copy_from_slice(&scales[..N]);
        own_zeros.copy_from_slice(&zero_points[..N]);
        for first in (0..steps).step_by(at_once) {
            // Arrays of their own, which are no part of the memory that is written.
            let (mut own, mut values) = ([0; N], [0.0; N]);
            own.iter_mut()
                .zip(&words[first / at_once * across / at_once..][..N])
                .for_each(|(to, &w)| *to = w.into());
            for step in 0..at_once.min(steps - first) {
                for i in 0..N {
                    let code: i32 = own[i] << (32 - 8 * (step + 1)) >> 24;
                    values[i] = own_scales[i] * (code as f32 - own_zeros[i]);
                }
                to[(first + step) * wide..][..N].copy_from_slice(&values);
            }
        }
    }
}
