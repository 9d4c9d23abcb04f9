//! The weights of convolutions whose groups have one input channel.

use crate::arch::Isa;
use crate::arch::channelwise::{CHANNELS, Channelwise, Weight, Weights, WithChannelwise, with_channelwise};
use crate::gemm::{Columns, Space, WeightParams};
use crate::memory::filled;

/// The elements of a kernel, as cells meet them.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    /// For each kind of cell what its elements are, as far as it has any: a line of the kernel, and an element of it for
    /// the first of the taps.
    pub(super) kinds: Vec<Vec<(usize, usize)>>,
    /// The cells that make a sum: their kind, and how far each lies from the first one.
    pub(super) taps: Vec<(usize, usize)>,
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
pub(in super::super) struct Depthwise {
    pub(super) cells: Cells,
    /// Elements of a cell.
    ku: usize,
    /// Where an element of a channel lies in a cell, which may be whole.
    place: fn(usize, usize, bool) -> usize,
    /// Elements of a line of the kernel.
    length: usize,
    /// How many stored weights add up to one: more than one where bytes do not hold them.
    pub(super) parts: usize,
    /// For each `CHANNELS` outputs, part and tap a cell.
    pub(super) weights: Weights,
    pub(in super::super) columns: Columns,
    /// For each output the zero point of the channel that it is of, where these are not all the image's.
    pub(in super::super) x_zeros: Option<Vec<i32>>,
}

impl Depthwise {
    /// From `weight(output, tap)`, less its zero point, for the elements of a kernel of these lengths.
    pub(in super::super) fn new(
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
    pub(in super::super) fn weight(&self, output: usize, tap: usize) -> i32 {
        match &self.weights {
            Weights::I8(stored) => self.sum(stored, output, tap),
            Weights::I16(stored) => self.sum(stored, output, tap),
        }
    }

    /// What is added to sums of codes, in which channels' zero points are: these, and a bias.
    pub(super) fn bias_of(&self, zeros: &[i32], bias: Option<&[i32]>) -> Vec<i32> {
        let of = |(o, (zero, sum)): (usize, (&i32, &i32))| bias.map_or(0, |bias| bias[o]) - zero * sum;
        zeros.iter().zip(&self.columns.sums).enumerate().map(of).collect()
    }

    fn sum<W: Weight>(&self, stored: &[W], output: usize, tap: usize) -> i32 {
        let (tap, element) = self.cells.place(tap / self.length, tap % self.length);
        (0..self.parts).map(|part| stored[self.at(output, part, tap, element)].value()).sum()
    }

    /// Where a weight is stored.
    fn at(&self, output: usize, part: usize, tap: usize, element: usize) -> usize {
        let cell = (output / CHANNELS * self.parts + part) * self.cells.taps.len() + tap;
        let channel = output % CHANNELS;
        let whole = output - channel + CHANNELS <= self.columns.count;
        cell * CHANNELS * self.ku + (self.place)(channel, element, whole)
    }

    pub(in super::super) fn bytes(&self) -> usize {
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
            place: P::place,
            length,
            parts: all.iter().map(parts_of).max().unwrap_or(0).max(1),
            weights: P::W::wrap(Vec::new()),
            columns: Columns::new(outputs, sums, params, 0, 0),
            x_zeros: None,
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
