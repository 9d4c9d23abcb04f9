//! Convolutions whose groups have one input channel: every output is a sum over the elements of its kernel alone.
//!
//! Channels lie side by side, so that a vector holds the sums of as many outputs. For each line of the output the lines
//! of the image that it meets are interleaved once into cells ([`crate::arch::channelwise`]), which all its positions
//! share: each holds a few neighbours, one from each line, or several of one line where that takes fewer cells (in one
//! dimension). Padding appears there, and nowhere else.

use std::mem::MaybeUninit;

use super::geometry::Piece;
use crate::arch::channelwise::{
    CHANNELS, Channelwise, Line, Positions, Weight, Weights, WithChannelwise, cell, with_channelwise,
};
use crate::arch::product::{Stored, ToBytes};
use crate::arch::{Byte, Isa, Vector, Window, map};
use crate::error::Stopped;
use crate::gemm::{
    AsBytes, Columns, Corrections, Epilogue, Finish, FinishBlock, Space, WeightParams, WithEpilogue,
};
use crate::memory::filled;
use crate::threads;

/// Sums in as much time as a thread reads and writes a byte.
const PER_BYTE: usize = 3;
/// Positions whose cells and sums stay in the first cache.
const AT_ONCE: usize = 32;

/// The elements of a kernel, as cells meet them.
#[derive(Debug, Clone)]
struct Cells {
    /// For each kind of cell what its elements are, as far as it has any: a line of the kernel, and an element of it for
    /// the first of the taps.
    kinds: Vec<Vec<(usize, usize)>>,
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
    cells: Cells,
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
            let (mut at, mut rest) = (i * lines, to);
            while !rest.is_empty() {
                // Two lines of one image, where that is how they are made.
                let some = together.min(run.output[1] - at % run.output[1]).min(rest.len() / line);
                let to;
                (to, rest) = rest.split_at_mut(some * line);
                kernel.lines(at, some, to, aligned(&mut cells), aligned(&mut sums));
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
    /// One line, or as many as cells hold all elements of, one below the other.
    fn lines(
        &self,
        line: usize,
        lines: usize,
        to: &mut [MaybeUninit<E::Out>],
        cells: &mut [P::A],
        sums: &mut [i32],
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
            for first in (0..columns).step_by(CHANNELS) {
                let channels = CHANNELS.min(columns - first);
                self.interleave(image, [z, y, at], first, channels, cells);
                for l in 0..lines {
                    let positions = Positions {
                        cells,
                        count,
                        step: piece.stride()[2],
                        taps: self.taps,
                        weights: &weights[first / CHANNELS * block..][..block],
                        later: l * piece.stride()[1],
                        channels,
                    };
                    let row = l * output[2] + at;
                    let to = to.part(row..row + count, first..first + channels);
                    if let Some((finish, as_bytes)) = self.to_bytes {
                        self.p.codes(&positions, &finish.from(first), as_bytes(to));
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
    }

    /// Makes the cells that positions from `position` on meet, of some channels.
    fn interleave(&self, image: usize, position: Space, first: usize, channels: usize, cells: &mut [P::A]) {
        let Run { depthwise, piece, codes, space, before, .. } = self.run;
        let (stride, dilation, origin) = (piece.stride(), piece.dilation(), piece.origin(*before));
        let height = piece.kernel()[1];
        let (pixel, padding) = (depthwise.columns.count, (&self.fill[..], 0));
        // Where an element of the kernel lies, in elements of the image from its start.
        let at = |a: usize, tap: usize| {
            (origin[a] + position[a] * stride[a] + tap * dilation[a]) as isize - before[a] as isize
        };
        let inside = |a: usize, tap: usize| usize::try_from(at(a, tap)).ok().filter(|&i| i < space[a]);
        let cell = cell::<P>(channels);
        for (kind, cells) in cells.chunks_mut(self.of_kind * cell).enumerate() {
            let Some(kind) = depthwise.cells.kinds.get(kind) else { break };
            // The line of the image that each element is of, and where the first cell's lies there.
            let mut lines = [(None, 0isize); MOST];
            let place = |(line, x): (usize, usize)| ([line / height, line % height], x);
            // What the position below meets, where one kind is all lines of the kernel.
            let below = (height..MOST).map(|line| ([0, line], 0)).take(if self.pairs { MOST } else { 0 });
            let elements = kind.iter().copied().map(place).chain(below);
            for (to, ([z, y], x)) in lines.iter_mut().zip(elements) {
                let codes = inside(0, z).zip(inside(1, y)).and_then(|(z, y)| {
                    let before = (image * space[0] + z) * space[1] + y;
                    codes.get(before * space[2] * pixel + first..)
                });
                *to = (codes, at(2, x));
            }
            let mut done = 0;
            while done < self.of_kind {
                // As far as none of the elements enters or leaves the image.
                let mut run = self.of_kind - done;
                let own: [Line<'_, C>; MOST] = map(lines, |(line, x)| {
                    let Some(line) = line else { return padding };
                    let x = x + done as isize;
                    match usize::try_from(x) {
                        Ok(x) if x < space[2] => {
                            run = run.min(space[2] - x);
                            (&line[x * pixel..], pixel)
                        }
                        Ok(_) => padding,
                        Err(_) => {
                            run = run.min(x.unsigned_abs());
                            padding
                        }
                    }
                });
                self.p.interleave(&own[..P::KU], channels, run, &mut cells[done * cell..]);
                done += run;
            }
        }
    }
}

/// Elements of a cell, at most.
const MOST: usize = 4;
