//! Convolutions whose groups have one input channel: every output is a sum over the elements of its kernel alone.
//!
//! Channels lie side by side, so that a vector holds the sums of as many outputs. For each line of the output the lines
//! of the image that it meets are interleaved once into cells ([`crate::arch::channelwise`]), which all its positions
//! share: each holds a few neighbours, one from each line, or several of one line where that takes fewer cells (in one
//! dimension). Padding appears there, and nowhere else.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::geometry::Piece;
use super::interleave::{Interleave, ToCells};
use crate::arch::channelwise::{
    CHANNELS, Channelwise, Positions, Weight, Weights, WithChannelwise, with_channelwise,
};
use crate::arch::product::{Stored, ToBytes};
use crate::arch::{Isa, Window};
use crate::error::Stopped;
use crate::gemm::{
    Codes, Columns, Corrections, Epilogue, Finish, Finisher, Room, Space, WeightParams, WithEpilogue,
};
use crate::memory::filled;
use crate::threads;

/// Sums in as much time as a thread reads and writes a byte.
const PER_BYTE: usize = 3;
/// Positions whose cells and sums stay in the first cache.
const AT_ONCE: usize = 32;

/// The elements of a kernel, as cells meet them.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    /// For each kind of cell what its elements are, as far as it has any: a line of the kernel, and an element of it for
    /// the first of the taps.
    pub(super) kinds: Vec<Vec<(usize, usize)>>,
    /// The cells that make a sum: their kind, and how far each lies from the first one.
    taps: Vec<(usize, usize)>,
}

impl Cells {
    /// For a kernel of so many lines, and cells of `ku` elements: the fewest that will do.
    fn new(lines: usize, length: usize, ku: usize) -> Self {
        if lines * length.div_ceil(ku) < lines.div_ceil(ku) * length {
            let kinds = (0..lines).map(|line| (0..ku.min(length)).map(|x| (line, x)).collect()).collect();
            let taps = (0..lines).flat_map(|kind| (0..length).step_by(ku).map(move |x| (kind, x))).collect();
            return Self { kinds, taps };
        }
        let all: Vec<_> = (0..lines).map(|line| (line, 0)).collect();
        let kinds: Vec<_> = all.chunks(ku).map(<[_]>::to_vec).collect();
        let taps = (0..kinds.len()).flat_map(|kind| (0..length).map(move |x| (kind, x))).collect();
        Self { kinds, taps }
    }

    /// Which element of which tap this element of the kernel is.
    fn place(&self, line: usize, x: usize) -> (usize, usize) {
        let of = |&(kind, first): &(usize, usize)| {
            self.kinds[kind].iter().position(|&(own, at)| own == line && first + at == x)
        };
        let mut all = self.taps.iter().enumerate().filter_map(|(tap, cell)| Some((tap, of(cell)?)));
        all.next().expect("an element of the kernel")
    }
}

/// Weights less their zero points.
#[derive(Debug, Clone)]
pub(super) struct Depthwise {
    pub(super) cells: Cells,
    /// Elements of a cell.
    ku: usize,
    /// Elements of a line of the kernel.
    length: usize,
    /// How many stored weights add up to one: more than one where bytes do not hold them.
    parts: usize,
    /// For each `CHANNELS` outputs, part and tap a cell.
    weights: Weights,
    pub(super) columns: Columns,
}

impl Depthwise {
    /// From `weight(output, tap)`, less its zero point, for the elements of a kernel of these lengths.
    pub(super) fn new(
        isa: Isa,
        outputs: usize,
        kernel: Space,
        scales: &[f32],
        weight: impl Fn(usize, usize) -> i32,
    ) -> Self {
        let taps = kernel.iter().product();
        let all: Vec<i32> =
            (0..outputs).flat_map(|o| (0..taps).map(move |t| (o, t))).map(|(o, t)| weight(o, t)).collect();
        with_channelwise(isa, Pack { outputs, kernel, scales, all: &all })
    }

    /// What `weight` gave.
    pub(super) fn weight(&self, output: usize, tap: usize) -> i32 {
        match &self.weights {
            Weights::I8(stored) => self.sum(stored, output, tap),
            Weights::I16(stored) => self.sum(stored, output, tap),
        }
    }

    fn sum<W: Weight>(&self, stored: &[W], output: usize, tap: usize) -> i32 {
        let (tap, element) = self.cells.place(tap / self.length, tap % self.length);
        (0..self.parts).map(|part| stored[self.at(output, part, tap, element)].value()).sum()
    }

    /// Where a weight is stored.
    fn at(&self, output: usize, part: usize, tap: usize, element: usize) -> usize {
        let cell = (output / CHANNELS * self.parts + part) * self.cells.taps.len() + tap;
        (cell * CHANNELS + output % CHANNELS) * self.ku + element
    }

    pub(super) fn bytes(&self) -> usize {
        let own = match &self.weights {
            Weights::I8(stored) => stored.len(),
            Weights::I16(stored) => 2 * stored.len(),
        };
        own + self.columns.bytes()
    }
}

struct Pack<'a> {
    outputs: usize,
    kernel: Space,
    scales: &'a [f32],
    /// For each output those of the kernel's elements.
    all: &'a [i32],
}

impl WithChannelwise for Pack<'_> {
    type Output = Depthwise;

    fn run<P: Channelwise>(self, _: P) -> Depthwise {
        let Self { outputs, kernel: [depth, height, length], scales, all } = self;
        let taps = depth * height * length;
        let mut sums = filled(outputs, 0i32);
        for (sum, weights) in sums.iter_mut().zip(all.chunks_exact(taps.max(1))) {
            *sum = weights.iter().sum();
        }
        let parts_of = |&w: &i32| {
            let (mut left, mut parts) = (w, 0);
            while left != 0 {
                (left, parts) = (left - P::W::saturated(left).value(), parts + 1);
            }
            parts
        };
        let params = WeightParams { scales, zero_points: &[0] };
        let mut own = Depthwise {
            cells: Cells::new(depth * height, length, P::KU),
            ku: P::KU,
            length,
            parts: all.iter().map(parts_of).max().unwrap_or(0).max(1),
            weights: P::W::wrap(Vec::new()),
            columns: Columns::new(outputs, sums, params, 0, 0),
        };
        let cells = outputs.div_ceil(CHANNELS) * own.parts * own.cells.taps.len();
        let mut stored = filled(cells * CHANNELS * P::KU, P::W::default());
        for tap in 0..taps {
            let (cell, element) = own.cells.place(tap / length, tap % length);
            for output in 0..outputs {
                let mut left = all[output * taps + tap];
                for part in 0..own.parts {
                    let w = P::W::saturated(left);
                    stored[own.at(output, part, cell, element)] = w;
                    left -= w.value();
                }
            }
        }
        own.weights = P::W::wrap(stored);
        own
    }
}

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
        let Run { depthwise, piece, output, .. } = run;
        let offset = match run.codes {
            Codes::U8(_) => P::A::offset::<u8>(),
            Codes::I8(_) => P::A::offset::<i8>(),
        };
        let corrections = Corrections::new(&depthwise.columns, run.x_zero, run.finish.int_bias, offset, &[]);
        let base = if P::IN_REGISTERS { corrections.base() } else { None };
        let (to_bytes, as_bytes) = base.as_ref().and_then(|base| epilogue.to_bytes(base)).unzip();
        let lines = Lines::new(p, (depthwise, piece, *output), to_bytes.as_ref());
        let (unsigned, signed);
        let image: &dyn ToCells<P> = match run.codes {
            Codes::U8(codes) => {
                unsigned = Interleave::new(p, run, codes, &lines);
                &unsigned
            }
            Codes::I8(codes) => {
                signed = Interleave::new(p, run, codes, &lines);
                &signed
            }
        };
        let (at_once, line) = (lines.at_once, lines.line());
        let work = lines.work * output.iter().product::<usize>() / output[2];
        threads::for_each(work, to.chunks_mut(at_once * line).enumerate(), |(i, to)| {
            let (start, columns) = (i * at_once, depthwise.columns.count);
            let count = to.len() / line;
            let mut room = Room {
                v: p.vector(),
                corrections: &corrections,
                epilogue,
                as_bytes,
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
pub(super) struct Lines<'a, P> {
    p: P,
    depthwise: &'a Depthwise,
    piece: &'a Piece,
    /// Positions along each axis.
    output: Space,
    /// Where codes are made in registers: how.
    to_bytes: Option<&'a ToBytes<'a>>,
    /// Whether cells hold what the position below meets, too.
    pub(super) pairs: bool,
    taps: Vec<usize>,
    /// Cells of a kind.
    pub(super) of_kind: usize,
    /// Positions that are made at once.
    count: usize,
    /// What a line takes, in bytes that are read and written.
    work: usize,
    /// Lines of a piece of work.
    at_once: usize,
}

impl<'a, P: Channelwise> Lines<'a, P> {
    #[inline(never)]
    fn new(
        p: P,
        (depthwise, piece, output): (&'a Depthwise, &'a Piece, Space),
        to_bytes: Option<&'a ToBytes<'a>>,
    ) -> Self {
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
        let at_once = (threads::CHUNK_BYTES / work.max(1)).max(1).next_multiple_of(together);
        Self { p, depthwise, piece, output, to_bytes, pairs, taps, of_kind, count, work, at_once }
    }

    /// Results of a line.
    fn line(&self) -> usize {
        self.output[2] * self.depthwise.columns.count
    }

    /// Some lines.
    fn piece(&self, lines: Range<usize>, image: &dyn ToCells<P>, to: &mut dyn Finisher) {
        let kinds = self.depthwise.cells.kinds.len();
        let mut cells = room(kinds * self.of_kind * CHANNELS * P::KU);
        let mut sums = room::<i32>(if self.to_bytes.is_some() { 0 } else { self.count * CHANNELS });
        let (cells, sums) = (aligned(&mut cells), aligned(&mut sums));
        let mut at = lines.start;
        while at < lines.end {
            // Two lines of one image, where that is how they are made.
            let together = if self.pairs { 2 } else { 1 };
            let some = together.min(self.output[1] - at % self.output[1]).min(lines.end - at);
            self.lines(at, some, (at - lines.start) * self.output[2], image, to, cells, sums);
            at += some;
        }
    }

    /// One line, or as many as cells hold all elements of, one below the other: results from a row of the task on.
    #[expect(clippy::too_many_arguments, reason = "memory that lines share")]
    fn lines(
        &self,
        line: usize,
        lines: usize,
        row: usize,
        image: &dyn ToCells<P>,
        to: &mut dyn Finisher,
        cells: &mut [P::A],
        sums: &mut [i32],
    ) {
        let Self { depthwise, piece, output, .. } = self;
        let columns = depthwise.columns.count;
        let (y, rest) = (line % output[1], line / output[1]);
        let (z, number) = (rest % output[0], rest / output[0]);
        let block = self.taps.len() * CHANNELS * P::KU;
        let weights = P::W::of(&depthwise.weights);
        for at in (0..output[2]).step_by(self.count) {
            let count = self.count.min(output[2] - at);
            for first in (0..columns).step_by(CHANNELS) {
                let channels = CHANNELS.min(columns - first);
                image.interleave(number, [z, y, at], first, channels, cells);
                for l in 0..lines {
                    let positions = Positions {
                        cells,
                        count,
                        step: piece.stride()[2],
                        taps: &self.taps,
                        weights: &weights[first / CHANNELS * block..][..block],
                        later: l * piece.stride()[1],
                        channels,
                    };
                    let row = row + l * output[2] + at;
                    let (rows, columns) = (row..row + count, first..first + channels);
                    if let Some(finish) = self.to_bytes {
                        self.p.codes(&positions, &finish.from(first), to.bytes(rows, columns));
                        continue;
                    }
                    self.p.sums(&positions, sums);
                    to.finish(sums, CHANNELS, rows, columns);
                }
            }
        }
    }
}
