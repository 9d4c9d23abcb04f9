//! Activations, stored as an instruction set multiplies them.

use std::borrow::Cow;

use super::bounded::Bounds;
use super::multiply::Activations;
use super::pack::PackedWeights;
use super::patches::{Lines, Runs};
use super::{Codes, Matrix, Patches, Source};
use crate::arch::product::{Product, Rows, Stored, Zeros};
use crate::arch::{Byte, Kernel, Vector};
use crate::error::Stopped;
use crate::memory::{filled, reserve};
use crate::threads;

/// Rows whose distance is a multiple of this compete for the same few lines of the first cache.
const CONFLICT: usize = 4096;

/// Rows of activations: the caller's memory where it will do, a copy otherwise.
pub(super) struct Prepared<'a, A: Stored> {
    pub(super) rows: Lie<'a, A>,
    /// Rows of a line, which no block may reach beyond.
    pub(super) line: usize,
    pub(super) count: usize,
    /// What was added to each code.
    pub(super) offset: i32,
    /// The sum of each row as it is stored, where it was asked for.
    pub(super) sums: Vec<i32>,
    /// What else was done to them.
    pub(super) bounds: Option<Bounds>,
}

/// How rows lie.
pub(super) enum Lie<'a, A: Stored> {
    /// One after the other, so far apart.
    Apart(Cow<'a, [A]>, usize),
    /// In an image, and each in several runs; what of them is zeros.
    Image(Cow<'a, [A]>, Lines, Runs, (Vec<(usize, usize)>, (usize, usize))),
    /// In an image, whose runs do not suit the weights: they are put together block by block, when they are needed,
    /// so far apart, and so do their runs lie.
    Pieces(Patches<'a>, Runs, usize, usize),
}

/// Rows that are made together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// The line that they belong to, or several whole ones, and the first one's number there.
    pub(super) line: usize,
    pub(super) lines: usize,
    pub(super) at: usize,
    /// The first one's number, and how many there are of each line.
    pub(super) first: usize,
    pub(super) count: usize,
}

/// Fewer rows than this are not worth that they read weights of more than `FEW_BYTES` once more.
const FEW: usize = 4;
const FEW_BYTES: usize = 16 << 10;

/// Whether lines of so many rows, of so many in all, are so short that rows of several lines are put together.
pub(super) fn is_thin(line: usize, count: usize, weights: &PackedWeights) -> bool {
    line < FEW && line < count && weights.columns() * weights.padded > FEW_BYTES
}

/// How far apart rows of so many are stored.
pub(super) fn apart<A>(padded: usize) -> usize {
    let conflicts = padded > 0 && padded.is_multiple_of(CONFLICT / size_of::<A>());
    if conflicts { padded + 64 } else { padded }
}

impl<'a, A: Stored> Prepared<'a, A> {
    pub(super) fn new<P: Product<A = A>>(
        x: &Activations<'a>,
        weights: &PackedWeights,
    ) -> Result<Self, Stopped> {
        let sums = weights.columns.zero_points.is_some();
        match x.codes {
            Source::Matrix(x) => match x.codes {
                Codes::U8(codes) => Self::of::<P, u8>(codes, x, sums),
                Codes::I8(codes) => Self::of::<P, i8>(codes, x, sums),
            },
            Source::Patches(patches) => match patches.codes {
                Codes::U8(codes) => Self::of_patches::<P, u8>(codes, patches, x.zero_points, weights, sums),
                Codes::I8(codes) => Self::of_patches::<P, i8>(codes, patches, x.zero_points, weights, sums),
            },
        }
    }

    fn of_patches<P: Product<A = A>, C: Byte>(
        codes: &'a [C],
        x: Patches<'a>,
        zero_points: &[i32],
        weights: &PackedWeights,
        sums: bool,
    ) -> Result<Self, Stopped> {
        let (runs, count, offset) = (x.runs(), x.rows(), A::offset::<C>());
        let sum = |start: usize| {
            let run =
                |at: &usize| codes[start + at..][..runs.length].iter().map(|c| c.widened()).sum::<i32>();
            x.depth() as i32 * offset + runs.starts.iter().map(run).sum::<i32>()
        };
        let sums = if sums { x.starts(0).take(count).map(sum).collect() } else { Vec::new() };
        let lines = x.lines();
        let line = lines.count;
        let few = is_thin(line, count, weights);
        // Other groups would store the same image once more.
        let stored = A::as_is(codes);
        let alone = x.group.1 == x.channels;
        let fits = P::RUNS && weights.run == runs.length && runs.length > 0;
        if !fits || few || !(stored.is_some() || alone) {
            let run = if weights.run == runs.length { weights.padded_run() } else { runs.length };
            return Ok(Self {
                rows: Lie::Pieces(x, runs, weights.padded, run),
                line: count.max(1),
                count,
                offset,
                sums,
                bounds: None,
            });
        }
        // What pads a run meets weights of 0, but is read.
        let last = lines.starts.iter().max().unwrap_or(&0) + (line - 1) * lines.step;
        let end = last + runs.starts.iter().max().unwrap_or(&0) + weights.padded_run();
        let data = match stored {
            Some(codes) if codes.len() >= end => Cow::Borrowed(codes),
            _ => Cow::Owned(store(codes, end.max(codes.len()))?),
        };
        // Padding is stored as 0 where that is the zero point.
        let zeros = match zero_points {
            [zero_point] if zero_point + offset == 0 => x.zeros(weights.padded_run()),
            _ => Default::default(),
        };
        let rows = Lie::Image(data, lines, runs, zeros);
        Ok(Self { rows, line, count, offset, sums, bounds: None })
    }

    fn of<P: Product<A = A>, C: Byte>(codes: &'a [C], x: Matrix<'a>, sums: bool) -> Result<Self, Stopped> {
        let Matrix { rows: count, columns: depth, row_stride, column_stride, .. } = x;
        let offset = A::offset::<C>();
        let source = |r: usize| (0..depth).map(move |k| codes[r * row_stride + k * column_stride]);
        let sums = match sums {
            true => (0..count).map(|r| source(r).map(|c| c.widened() + offset).sum()).collect(),
            false => Vec::new(),
        };
        let fits = column_stride == 1 && depth.is_multiple_of(P::DEPTH) && depth > 0;
        let conflicts = count > 1 && row_stride.is_multiple_of(CONFLICT / size_of::<A>());
        if fits
            && !conflicts
            && let Some(data) = A::as_is(codes)
        {
            let rows = Lie::Apart(Cow::Borrowed(data), row_stride);
            return Ok(Self { rows, line: count, count, offset, sums, bounds: None });
        }
        let stride = apart::<A>(depth.next_multiple_of(P::DEPTH));
        let mut data = filled(count * stride, A::default());
        let per_piece = (threads::CHUNK_BYTES / stride.max(1)).max(1);
        let bytes = count * depth * (1 + size_of::<A>());
        let pieces = data.chunks_mut((per_piece * stride).max(1)).enumerate();
        threads::for_each(bytes, pieces, |(i, piece)| {
            for (r, to) in piece.chunks_exact_mut(stride).enumerate() {
                let r = i * per_piece + r;
                if column_stride == 1 {
                    for (to, &code) in to.iter_mut().zip(&codes[r * row_stride..][..depth]) {
                        *to = A::of(code);
                    }
                } else {
                    to.iter_mut().zip(source(r)).for_each(|(to, code)| *to = A::of(code));
                }
            }
            true
        })?;
        let rows = Lie::Apart(Cow::Owned(data), stride);
        Ok(Self { rows, line: count, count, offset, sums, bounds: None })
    }

    /// The rows of a block, in `room` where they have to be made.
    #[inline]
    pub(super) fn rows<'r, V: Vector>(&'r self, v: V, block: Block, room: &'r mut Vec<A>) -> Rows<'r, A> {
        let Block { line, lines, at, first, count } = block;
        let (patches, runs, stride, run) = match &self.rows {
            Lie::Apart(data, stride) => {
                let excess = self.bounds.as_ref().and_then(|bounds| bounds.excess(0));
                return Rows { excess, ..Rows::new(data, *stride, self.count) }.part(first, count);
            }
            Lie::Image(data, all, runs, (of_lines, (first, last))) => {
                let own = line..line + lines;
                let first = if at == 0 { *first } else { 0 };
                let last = if at + count == self.line { *last } else { 0 };
                let zeros =
                    Zeros { runs: of_lines.get(own.clone()).unwrap_or_default(), sides: (first, last) };
                let (data, lines) = (&data[at * all.step..], &all.starts[own]);
                let excess = self.bounds.as_ref().and_then(|bounds| bounds.excess(at * all.step));
                return Rows { data, stride: all.step, count, lines, runs: &runs.starts, zeros, excess };
            }
            Lie::Pieces(patches, runs, stride, run) => (patches, runs, *stride, *run),
        };
        let wanted = count * stride + MOST_AT_ONCE;
        reserve(room, wanted.saturating_sub(room.len()));
        room.resize(wanted, A::default());
        match patches.codes {
            Codes::U8(codes) => v.run(Fill { patches, runs, codes, first, count, stride, run, room }),
            Codes::I8(codes) => v.run(Fill { patches, runs, codes, first, count, stride, run, room }),
        }
        Rows::new(room, stride, count)
    }
}

/// Codes as they are stored, in so much memory.
fn store<A: Stored, C: Byte>(codes: &[C], room: usize) -> Result<Vec<A>, Stopped> {
    let mut data = filled(room, A::default());
    let bytes = codes.len() * (1 + size_of::<A>());
    let pieces = data.chunks_mut(threads::CHUNK_BYTES).zip(codes.chunks(threads::CHUNK_BYTES));
    threads::for_each(bytes, pieces, |(to, codes)| {
        to.iter_mut().zip(codes).for_each(|(to, &code)| *to = A::of(code));
        true
    })?;
    Ok(data)
}

/// Elements that are copied at once, at most.
const MOST_AT_ONCE: usize = 64;

/// Puts rows together, one after the other. What lies behind each of them may be anything: it meets weights of 0.
struct Fill<'a, A, C> {
    patches: &'a Patches<'a>,
    runs: &'a Runs,
    codes: &'a [C],
    first: usize,
    count: usize,
    stride: usize,
    /// From one run to the next.
    run: usize,
    /// There is more of it, by `MOST_AT_ONCE`.
    room: &'a mut [A],
}

impl<A: Stored, C: Byte> Kernel for Fill<'_, A, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        match self.runs.length {
            0 => {}
            1..=4 => self.copy::<4>(),
            5..=16 => self.copy::<16>(),
            17..=32 => self.copy::<32>(),
            _ => self.copy::<MOST_AT_ONCE>(),
        }
    }
}

impl<A: Stored, C: Byte> Fill<'_, A, C> {
    /// Copies `N` elements at once, also where a run has less: the next one, or the next row, is written over the rest.
    #[inline(always)]
    fn copy<const N: usize>(self) {
        let Runs { length, ref starts } = *self.runs;
        let whole = length.next_multiple_of(N);
        let last = starts.iter().max().map_or(0, |run| run + whole);
        for (r, start) in self.patches.starts(self.first).take(self.count).enumerate() {
            let to = &mut self.room[r * self.stride..];
            if start + last > self.codes.len() {
                for (i, run) in starts.iter().enumerate() {
                    let to = &mut to[i * self.run..][..length];
                    to.iter_mut().zip(&self.codes[start + run..]).for_each(|(to, &code)| *to = A::of(code));
                }
                continue;
            }
            for (i, run) in starts.iter().enumerate() {
                let from = &self.codes[start + run..][..whole];
                let to = &mut to[i * self.run..][..whole];
                for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(from.as_chunks::<N>().0) {
                    // No `map`: a function of its own, which knows no instructions but those that every CPU has.
                    let mut some = [A::default(); N];
                    for k in 0..N {
                        some[k] = A::of(from[k]);
                    }
                    *to = some;
                }
            }
        }
    }
}
