//! Convolutions whose groups have one input channel: every output is a sum over the elements of its kernel alone.
//!
//! Channels lie side by side, so that a vector holds the sums of as many outputs. For each line of the output the lines
//! of the image that it meets are interleaved once into cells ([`crate::arch::channelwise`]), which all its positions
//! share: each holds a few neighbours, one from each line, or several of one line where that takes fewer cells (in one
//! dimension). Padding appears there, and nowhere else.

mod weights;

use std::mem::MaybeUninit;

use super::geometry::Piece;
use crate::arch::channelwise::{
    CHANNELS, Channelwise, Positions, Weight, WithChannelwise, cell, with_channelwise,
};
use crate::arch::product::{Stored, ToBytes};
use crate::arch::{Byte, Isa, Vector, Window, map};
use crate::error::Stopped;
use crate::gemm::{AsBytes, Corrections, Epilogue, Finish, FinishBlock, Space, WithEpilogue};
use crate::memory::filled;
use crate::threads;

pub(super) use weights::Depthwise;

/// Sums in as much time as a thread reads and writes a byte.
const PER_BYTE: usize = 3;
/// Positions whose cells and sums stay in the first cache.
const AT_ONCE: usize = 32;

/// A depthwise convolution of images that lie channels last, with as many channels as there are outputs.
pub(super) struct Run<'a, C> {
    pub(super) isa: Isa,
    pub(super) depthwise: &'a Depthwise,
    pub(super) piece: &'a Piece,
    pub(super) codes: &'a [C],
    /// Lengths of the images.
    pub(super) space: Space,
    /// What lies before each axis.
    pub(super) before: Space,
    /// Positions along each axis.
    pub(super) output: Space,
    pub(super) x_zero: &'a [i32; 1],
    pub(super) finish: &'a Finish<'a>,
}

impl<C: Byte> WithEpilogue for Run<'_, C> {
    fn run<E: Epilogue>(self, epilogue: &E, to: &mut [MaybeUninit<E::Out>]) -> Result<(), Stopped> {
        if to.is_empty() {
            return Ok(());
        }
        with_channelwise(self.isa, AllLines { run: &self, epilogue, to })
    }
}

struct AllLines<'a, 'b, C, E: Epilogue> {
    run: &'a Run<'b, C>,
    epilogue: &'a E,
    to: &'a mut [MaybeUninit<E::Out>],
}

impl<C: Byte, E: Epilogue> WithChannelwise for AllLines<'_, '_, C, E> {
    type Output = Result<(), Stopped>;

    fn run<P: Channelwise>(self, p: P) -> Result<(), Stopped> {
        let Self { run, epilogue, to } = self;
        let Depthwise { cells, parts, columns, .. } = run.depthwise;
        let offset = P::A::offset::<C>();
        let corrections = Corrections::new(columns, run.x_zero, run.finish.int_bias, offset, &[]);
        let (positions, stride, dilation) = (run.output[2], run.piece.stride()[2], run.piece.dilation()[2]);
        let count = positions.div_ceil(positions.div_ceil(AT_ONCE));
        let reach = cells.taps.iter().map(|(_, x)| x * dilation + 1).max().unwrap_or(1);
        let of_kind = (count - 1) * stride + reach;
        let taps = cells.taps.iter().map(|&(kind, x)| kind * of_kind + x * dilation);
        let taps: Vec<usize> = taps.collect::<Vec<_>>().repeat(*parts);
        let line = positions * columns.count;
        let work = taps.len() * P::KU * columns.count.next_multiple_of(CHANNELS) * positions / PER_BYTE;
        let base = if P::IN_REGISTERS { corrections.base() } else { None };
        let to_bytes = base.as_ref().and_then(|base| epilogue.to_bytes(base));
        let to_bytes = to_bytes.filter(|(finish, _)| finish.added.is_none());
        let [height, step] = [run.piece.kernel(), run.piece.stride()].map(|of| of[1]);
        // One kind of cell that holds all lines of two positions, one above the other.
        let pairs = to_bytes.is_some()
            && height + step <= P::KU
            && run.piece.kernel()[0] == 1
            && run.piece.dilation()[1] == 1
            && cells.kinds.len() == 1
            && cells.kinds[0].len() == height;
        let together = if pairs { 2 } else { 1 };
        let lines = (threads::CHUNK_BYTES / work.max(1)).max(1).next_multiple_of(together);
        let pieces = to.chunks_mut(lines * line).enumerate();
        threads::for_each(work * run.output.iter().product::<usize>() / positions, pieces, |(i, to)| {
            let kernel = Lines {
                p,
                run,
                epilogue,
                corrections: &corrections,
                to_bytes: to_bytes.as_ref(),
                pairs,
                taps: &taps,
                of_kind,
                count,
                fill: [C::saturated(run.x_zero[0]); CHANNELS],
            };
            let mut cells = room(cells.kinds.len() * of_kind * CHANNELS * P::KU);
            let mut sums = room::<i32>(if to_bytes.is_some() { 0 } else { count * CHANNELS });
            let mut spans = Vec::new();
            let (mut at, mut rest) = (i * lines, to);
            while !rest.is_empty() {
                // Two lines of one image, where that is how they are made.
                let some = together.min(run.output[1] - at % run.output[1]).min(rest.len() / line);
                let to;
                (to, rest) = rest.split_at_mut(some * line);
                kernel.lines(at, some, to, aligned(&mut cells), (aligned(&mut sums), &mut spans));
                at += some;
            }
            true
        })
    }
}

/// Bytes that vectors are read and written at once.
const ALIGNED: usize = 64;

/// Memory for so many, and for what `aligned` leaves out.
fn room<T: Clone + Default>(n: usize) -> Vec<T> {
    filled(n + ALIGNED / size_of::<T>(), T::default())
}

fn aligned<T>(room: &mut [T]) -> &mut [T] {
    let skip = room.as_ptr().align_offset(ALIGNED);
    &mut room[skip..]
}

/// What makes lines of the output.
struct Lines<'a, 'b, P, C, E: Epilogue> {
    p: P,
    run: &'a Run<'b, C>,
    epilogue: &'a E,
    corrections: &'a Corrections<'a>,
    /// Where codes are made in registers: how.
    to_bytes: Option<&'a (ToBytes<'a>, AsBytes<E::Out>)>,
    /// Whether cells hold what the position below meets, too.
    pairs: bool,
    taps: &'a [usize],
    /// Cells of a kind.
    of_kind: usize,
    /// Positions that are made at once.
    count: usize,
    /// What padding holds.
    fill: [C; CHANNELS],
}

impl<P: Channelwise, C: Byte, E: Epilogue> Lines<'_, '_, P, C, E> {
    /// One line, or two where cells hold all elements of both, one below the other.
    fn lines(
        &self,
        line: usize,
        lines: usize,
        to: &mut [MaybeUninit<E::Out>],
        cells: &mut [P::A],
        (sums, spans): (&mut [i32], &mut Vec<Span>),
    ) {
        let Run { depthwise, piece, output, .. } = self.run;
        let columns = depthwise.columns.count;
        let (y, rest) = (line % output[1], line / output[1]);
        let (z, image) = (rest % output[0], rest / output[0]);
        let block = self.taps.len() * CHANNELS * P::KU;
        let weights = P::W::of(&depthwise.weights);
        let mut to = Window::new(to, columns, 0..columns);
        for at in (0..output[2]).step_by(self.count) {
            let count = self.count.min(output[2] - at);
            self.spans(image, [z, y, at], spans);
            for first in (0..columns).step_by(CHANNELS) {
                let channels = CHANNELS.min(columns - first);
                self.interleave(spans, first, channels, cells);
                let positions = Positions {
                    cells,
                    count,
                    step: piece.stride()[2],
                    taps: self.taps,
                    weights: &weights[first / CHANNELS * block..][..block],
                    second: (lines > 1).then_some((piece.stride()[1], output[2])),
                    channels,
                };
                let end = (lines - 1) * output[2] + at + count;
                let to = to.part(at..end, first..first + channels);
                if let Some((finish, as_bytes)) = self.to_bytes {
                    self.p.codes(&positions, &finish.from(0, first), as_bytes(to));
                    continue;
                }
                self.p.sums(&positions, sums);
                self.p.vector().run(FinishBlock {
                    corrections: self.corrections,
                    epilogue: self.epilogue,
                    sums,
                    stride: CHANNELS,
                    first_row: line * output[2] + at,
                    first_column: first,
                    to,
                });
            }
        }
    }

    /// The cells that positions from `position` on meet, cut where one of their elements enters or leaves the image.
    fn spans(&self, image: usize, position: Space, spans: &mut Vec<Span>) {
        let Run { depthwise, piece, space, before, .. } = self.run;
        let (stride, dilation, origin) = (piece.stride(), piece.dilation(), piece.origin(*before));
        let (height, pixel) = (piece.kernel()[1], depthwise.columns.count);
        // Where an element of the kernel lies, in elements of the image from its start.
        let at = |a: usize, tap: usize| {
            (origin[a] + position[a] * stride[a] + tap * dilation[a]) as isize - before[a] as isize
        };
        let inside = |a: usize, tap: usize| usize::try_from(at(a, tap)).ok().filter(|&i| i < space[a]);
        spans.clear();
        for (kind, elements) in depthwise.cells.kinds.iter().enumerate() {
            // The line of the image that each element is of, and where the first cell's lies there.
            let mut lines = [(None, 0isize); MOST];
            let place = |(line, x): (usize, usize)| ([line / height, line % height], x);
            // What the position below meets, where one kind is all lines of the kernel.
            let below = (height..MOST).map(|line| ([0, line], 0)).take(if self.pairs { MOST } else { 0 });
            let elements = elements.iter().copied().map(place).chain(below);
            for (to, ([z, y], x)) in lines.iter_mut().zip(elements) {
                let line = inside(0, z).zip(inside(1, y));
                *to = (line.map(|(z, y)| (image * space[0] + z) * space[1] + y), at(2, x));
            }
            let mut done = 0;
            while done < self.of_kind {
                // As far as none of the elements enters or leaves the image.
                let mut count = self.of_kind - done;
                let starts = map(lines, |(line, x)| {
                    let line = line?;
                    let x = x + done as isize;
                    match usize::try_from(x) {
                        Ok(x) if x < space[2] => {
                            count = count.min(space[2] - x);
                            Some((line * space[2] + x) * pixel)
                        }
                        Ok(_) => None,
                        Err(_) => {
                            count = count.min(x.unsigned_abs());
                            None
                        }
                    }
                });
                spans.push(Span { cell: kind * self.of_kind + done, count, starts });
                done += count;
            }
        }
    }

    /// Makes the cells of some channels.
    fn interleave(&self, spans: &[Span], first: usize, channels: usize, cells: &mut [P::A]) {
        let Run { depthwise, codes, .. } = self.run;
        let (pixel, cell) = (depthwise.columns.count, cell::<P>(channels));
        for Span { cell: from, count, starts } in spans {
            let cells = &mut cells[from * cell..][..count * cell];
            if starts.iter().all(Option::is_none) {
                cells.fill(P::A::of(self.fill[0]));
                continue;
            }
            let own = map(*starts, |start| match start {
                Some(start) => (&codes[start + first..], pixel),
                None => (&self.fill[..], 0),
            });
            self.p.interleave(&own[..P::KU], channels, *count, cells);
        }
    }
}

/// Cells of one kind, one after the other.
struct Span {
    /// The first one, and how many.
    cell: usize,
    count: usize,
    /// Where each element of the first one lies; none where it is padding.
    starts: [Option<usize>; MOST],
}

/// Elements of a cell, at most.
const MOST: usize = 4;
