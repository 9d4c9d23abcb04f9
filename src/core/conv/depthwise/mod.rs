//! Convolutions whose groups have one input channel: every output is a sum over the elements of its kernel alone.
//!
//! Channels lie side by side, so that a vector holds the sums of as many outputs. For each line of the output the lines
//! of the image that it meets are interleaved once into cells ([`crate::arch::channelwise`]), which all its positions
//! share: each holds a few neighbours, one from each line, or several of one line where that takes fewer cells (in one
//! dimension). Padding appears there, and nowhere else.

mod cells;
mod weights;

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::geometry::Piece;
use crate::arch::channelwise::{CHANNELS, Channelwise, Positions, Weight, WithChannelwise, with_channelwise};
use crate::arch::product::{Stored, ToBytes};
use crate::arch::{Isa, Window, map};
use crate::error::Stopped;
use crate::gemm::{Codes, Corrections, Epilogue, Finish, Finisher, Room, Space, WithEpilogue};
use crate::memory::filled;
use crate::threads;

use cells::{Cut, Interleave, MOST, Span};
pub(super) use weights::Depthwise;

/// Sums in as much time as a thread reads and writes a byte.
const PER_BYTE: usize = 3;
/// Positions whose cells and sums stay in the first cache.
const AT_ONCE: usize = 32;

/// A depthwise convolution of images that lie channels last, with as many channels as there are outputs.
pub(super) struct Run<'a> {
    pub(super) isa: Isa,
    pub(super) depthwise: &'a Depthwise,
    pub(super) piece: &'a Piece,
    pub(super) codes: Codes<'a>,
    /// Lengths of the images.
    pub(super) space: Space,
    /// What lies before each axis.
    pub(super) before: Space,
    /// Positions along each axis.
    pub(super) output: Space,
    pub(super) x_zero: &'a [i32; 1],
    pub(super) finish: &'a Finish<'a>,
}

impl WithEpilogue for Run<'_> {
    fn run<E: Epilogue>(self, epilogue: &E, to: &mut [MaybeUninit<E::Out>]) -> Result<(), Stopped> {
        if to.is_empty() {
            return Ok(());
        }
        with_channelwise(self.isa, AllLines { run: &self, epilogue, to })
    }
}

struct AllLines<'a, 'b, E: Epilogue> {
    run: &'a Run<'b>,
    epilogue: &'a E,
    to: &'a mut [MaybeUninit<E::Out>],
}

impl<E: Epilogue> WithChannelwise for AllLines<'_, '_, E> {
    type Output = Result<(), Stopped>;

    fn run<P: Channelwise>(self, p: P) -> Result<(), Stopped> {
        let Self { run, epilogue, to } = self;
        let Run { depthwise, output, .. } = run;
        let offset = match run.codes {
            Codes::U8(_) => P::A::offset::<u8>(),
            Codes::I8(_) => P::A::offset::<i8>(),
        };
        // Zero points of channels are in the bias; sums hold none of the image's then.
        let each = depthwise.x_zeros.as_deref();
        let int_bias = each.map(|zeros| depthwise.bias_of(zeros, run.finish.int_bias));
        let (x_zero, int_bias) = match &int_bias {
            Some(bias) => (&[0], Some(&bias[..])),
            None => (run.x_zero, run.finish.int_bias),
        };
        let corrections = Corrections::new(&depthwise.columns, x_zero, int_bias, offset, &[]);
        let base = if P::IN_REGISTERS { corrections.base() } else { None };
        let to_bytes = base.as_ref().and_then(|base| epilogue.to_bytes(base));
        let (to_bytes, as_bytes) = to_bytes.filter(|(finish, _)| finish.added.is_none()).unzip();
        let lines = Lines::new(p, run, to_bytes.as_ref());
        let (unsigned, signed);
        let image: &dyn Interleave<P> = match run.codes {
            Codes::U8(codes) => {
                unsigned = Cut::new(p, codes, run.x_zero[0], each, depthwise.columns.count);
                &unsigned
            }
            Codes::I8(codes) => {
                signed = Cut::new(p, codes, run.x_zero[0], each, depthwise.columns.count);
                &signed
            }
        };
        let line = lines.line();
        let (at_once, work) = lines.pieces(to.len() / line);
        threads::for_each(work, to.chunks_mut(at_once * line).enumerate(), |(i, to)| {
            let (start, columns) = (i * at_once, depthwise.columns.count);
            let count = to.len() / line;
            let mut room = Room {
                v: p.vector(),
                corrections: &corrections,
                epilogue,
                as_bytes,
                as_floats: None,
                first: (start * output[2], 0),
                to: Window::new(to, columns, 0..columns),
            };
            // Seen through, it would be compiled once more for each kind of result.
            lines.piece(start..start + count, image, black_box(&mut room as &mut dyn Finisher));
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
struct Lines<'a, P> {
    p: P,
    run: &'a Run<'a>,
    /// Where codes are made in registers: how.
    to_bytes: Option<&'a ToBytes<'a>>,
    taps: Vec<usize>,
    /// Cells of a kind.
    of_kind: usize,
    /// Positions that are made at once.
    count: usize,
    /// What a line takes, in bytes that are read and written.
    work: usize,
    /// Lines that are made together: two, where cells hold what the position below meets, too.
    together: usize,
}

impl<'a, P: Channelwise> Lines<'a, P> {
    #[inline(never)]
    fn new(p: P, run: &'a Run<'a>, to_bytes: Option<&'a ToBytes<'a>>) -> Self {
        let Run { depthwise, piece, output, .. } = run;
        let Depthwise { cells, parts, columns, .. } = depthwise;
        let (positions, stride, dilation) = (output[2], piece.stride()[2], piece.dilation()[2]);
        let count = positions.div_ceil(positions.div_ceil(AT_ONCE));
        let reach = cells.taps.iter().map(|(_, x)| x * dilation + 1).max().unwrap_or(1);
        let of_kind = (count - 1) * stride + reach;
        let taps = cells.taps.iter().map(|&(kind, x)| kind * of_kind + x * dilation);
        let taps: Vec<usize> = taps.collect::<Vec<_>>().repeat(*parts);
        let work = taps.len() * P::KU * columns.count.next_multiple_of(CHANNELS) * positions / PER_BYTE;
        let [height, step] = [piece.kernel(), piece.stride()].map(|of| of[1]);
        // One kind of cell that holds all lines of two positions, one above the other.
        let pairs = to_bytes.is_some()
            && height + step <= P::KU
            && piece.kernel()[0] == 1
            && piece.dilation()[1] == 1
            && cells.kinds.len() == 1
            && cells.kinds[0].len() == height;
        let together = if pairs { 2 } else { 1 };
        Self { p, run, to_bytes, taps, of_kind, count, work, together }
    }

    /// How many lines of so many are a piece of work, and what all of them take: what several threads share is cut into
    /// two pieces for each, however little it is.
    fn pieces(&self, lines: usize) -> (usize, usize) {
        let work = self.work * lines;
        let most = match threads::sharing(work) {
            1 => lines,
            n => lines.div_ceil(2 * n),
        };
        let lines = (threads::CHUNK_BYTES / self.work.max(1)).clamp(1, most.max(1));
        (lines.next_multiple_of(self.together), work)
    }

    /// Results of a line.
    fn line(&self) -> usize {
        self.run.output[2] * self.run.depthwise.columns.count
    }

    /// Some lines.
    fn piece(&self, lines: Range<usize>, image: &dyn Interleave<P>, to: &mut dyn Finisher) {
        let (kinds, output) = (self.run.depthwise.cells.kinds.len(), self.run.output);
        let mut cells = room(kinds * self.of_kind * CHANNELS * P::KU);
        let mut sums = room::<i32>(if self.to_bytes.is_some() { 0 } else { self.count * CHANNELS });
        let mut space = Shared { cells: aligned(&mut cells), sums: aligned(&mut sums), spans: Vec::new() };
        let mut at = lines.start;
        while at < lines.end {
            // Two lines of one image, where that is how they are made.
            let some = self.together.min(output[1] - at % output[1]).min(lines.end - at);
            self.lines(at..at + some, (at - lines.start) * output[2], image, to, &mut space);
            at += some;
        }
    }

    /// One line, or two where cells hold all elements of both, one below the other: results from a row of the task on.
    fn lines(
        &self,
        own: Range<usize>,
        row: usize,
        image: &dyn Interleave<P>,
        to: &mut dyn Finisher,
        space: &mut Shared<'_, P::A>,
    ) {
        let Run { depthwise, piece, output, .. } = self.run;
        let columns = depthwise.columns.count;
        let (y, rest) = (own.start % output[1], own.start / output[1]);
        let (z, number) = (rest % output[0], rest / output[0]);
        let block = self.taps.len() * CHANNELS * P::KU;
        let weights = P::W::of(&depthwise.weights);
        for at in (0..output[2]).step_by(self.count) {
            let count = self.count.min(output[2] - at);
            self.spans(number, [z, y, at], &mut space.spans);
            for first in (0..columns).step_by(CHANNELS) {
                let channels = CHANNELS.min(columns - first);
                image.interleave(&space.spans, first, channels, space.cells);
                let positions = Positions {
                    cells: space.cells,
                    count,
                    step: piece.stride()[2],
                    taps: &self.taps,
                    weights: &weights[first / CHANNELS * block..][..block],
                    second: (own.len() > 1).then_some((piece.stride()[1], output[2])),
                    channels,
                };
                let end = row + (own.len() - 1) * output[2] + at + count;
                let (rows, columns) = (row + at..end, first..first + channels);
                if let Some(finish) = self.to_bytes {
                    self.p.codes(&positions, &finish.from(0, first), to.bytes(rows, columns));
                    continue;
                }
                self.p.sums(&positions, space.sums);
                to.finish(space.sums, CHANNELS, rows, columns);
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
            let below =
                (height..MOST).map(|line| ([0, line], 0)).take(if self.together > 1 { MOST } else { 0 });
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
}

/// Memory that lines share.
struct Shared<'a, A> {
    cells: &'a mut [A],
    sums: &'a mut [i32],
    spans: Vec<Span>,
}
