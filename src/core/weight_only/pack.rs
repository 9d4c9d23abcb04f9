//! Codes in groups, laid out once for one instruction set's products.

use super::activations::padded;
use super::{Groups, Layout};
use crate::arch::product::{CHUNK, Chunk, HALF_RUN, Wide, WithWide, wide_isa, with_wide};
use crate::arch::{Isa, Lines};
use crate::memory::{collected, room};

/// Codes in groups, for one instruction set.
///
/// Chunks of 64 columns lie one after the other, and in each of them its groups, in panels that are as deep as the group.
#[derive(Debug, Clone)]
pub struct PackedGroups {
    isa: Isa,
    layout: Layout,
    codes: Lines,
    /// One for each column of each group of each chunk.
    scales: Vec<f32>,
    /// As the scales, where they are not all the middle.
    zero_points: Option<Vec<u8>>,
}

impl PackedGroups {
    /// Packs a matrix of codes with one row for each output.
    ///
    /// # Panics
    /// Lengths that disagree.
    pub fn new(isa: Isa, layout: Layout, weights: Groups<'_>) -> Self {
        let groups = layout.columns * layout.groups();
        assert_eq!(weights.codes.len(), layout.columns * layout.depth, "a code for each input and output");
        assert_eq!(weights.scales.len(), groups, "a scale for each group");
        assert!(weights.zero_points.is_none_or(|z| z.len() == groups), "a zero point for each group");
        let isa = wide_isa(if Isa::available().contains(&isa) { isa } else { Isa::Scalar });
        let zero_points = weights.zero_points.filter(|z| z.iter().any(|&z| z != layout.middle()));
        Self {
            isa,
            layout,
            codes: with_wide(isa, Pack { layout, codes: weights.codes }),
            scales: table(&layout, weights.scales),
            zero_points: zero_points.map(|z| table(&layout, z)),
        }
    }

    /// The instruction set that they are packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How many there are of what.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The codes as they were, a row for each output.
    pub fn codes(&self) -> Vec<u8> {
        with_wide(self.isa, Unpack(self))
    }

    /// The scales as they were: for each output those of its groups.
    pub fn scales(&self) -> Vec<f32> {
        untable(&self.layout, &self.scales)
    }

    /// The zero points as they were, or None where they are all in the middle.
    pub fn zero_points(&self) -> Option<Vec<u8>> {
        self.zero_points.as_ref().map(|z| untable(&self.layout, z))
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.codes.bytes().len() + 4 * self.scales.len() + self.zero_points.as_ref().map_or(0, Vec::len)
    }

    /// How many chunks there are.
    pub(super) fn chunks(&self) -> usize {
        self.layout.columns.div_ceil(CHUNK)
    }

    /// All groups of one chunk.
    #[inline]
    pub(super) fn chunk<P: Wide>(&self, chunk: usize) -> Chunk<'_> {
        let Layout { group, bits, .. } = self.layout;
        let (depth, groups) = (padded(self.layout.depth), self.layout.groups());
        let bytes = CHUNK * depth * bits / 8;
        let halves = bits == 4;
        let offset = if halves { 0 } else { P::OFFSET };
        let of_chunk = chunk * groups..(chunk + 1) * groups;
        Chunk {
            codes: &self.codes.bytes()[chunk * bytes..][..bytes],
            halves,
            depth,
            group,
            scales: &self.scales.as_chunks().0[of_chunk.clone()],
            zero_points: self.zero_points.as_ref().map(|z| &z.as_chunks().0[of_chunk]),
            offset,
            middle: i32::from(self.layout.middle()) + offset,
            ahead: false,
        }
    }
}

/// Where a group of a chunk starts, and how many bytes it has.
fn place(layout: &Layout, chunk: usize, group: usize) -> (usize, usize) {
    let bytes = |depth: usize| CHUNK * depth * layout.bits / 8;
    let start = bytes(padded(layout.depth)) * chunk + bytes(layout.group) * group;
    (start, bytes(padded(layout.part(group).len())))
}

/// A number for each group of each column, in chunks; padded with the last column's.
fn table<T: Copy>(layout: &Layout, values: &[T]) -> Vec<T> {
    let (groups, columns) = (layout.groups(), layout.columns);
    let columns = |chunk: usize| (chunk * CHUNK..(chunk + 1) * CHUNK).map(move |n| n.min(columns - 1));
    let all = (0..layout.columns.div_ceil(CHUNK))
        .flat_map(|chunk| (0..groups).map(move |g| (chunk, g)))
        .flat_map(|(chunk, g)| columns(chunk).map(move |n| n * groups + g))
        .map(|at| values[at]);
    collected(layout.columns.next_multiple_of(CHUNK) * groups, all)
}

/// What [`table`] was made of.
fn untable<T: Copy>(layout: &Layout, table: &[T]) -> Vec<T> {
    let groups = layout.groups();
    let all = (0..layout.columns)
        .flat_map(|n| (0..groups).map(move |g| (n / CHUNK * groups + g) * CHUNK + n % CHUNK))
        .map(|at| table[at]);
    collected(layout.columns * groups, all)
}

/// Where a column's step is in a group of a chunk, counted in codes.
#[inline(always)]
fn index<P: Wide>(depth: usize, column: usize, step: usize) -> usize {
    let panel = column / P::NR * P::NR * depth;
    panel + step / P::KU * P::NR * P::KU + column % P::NR * P::KU + step % P::KU
}

/// The byte that a code of 4 bits lies in, and how many bits from its lowest one.
#[inline(always)]
fn half(index: usize) -> (usize, u32) {
    (
        index / (2 * HALF_RUN) * HALF_RUN + index % HALF_RUN,
        if index % (2 * HALF_RUN) < HALF_RUN { 0 } else { 4 },
    )
}

struct Pack<'a> {
    layout: Layout,
    codes: &'a [u8],
}

impl WithWide for Pack<'_> {
    type Output = Lines;

    fn run<P: Wide>(self, _: P) -> Lines {
        let Self { layout, codes } = self;
        let chunks = layout.columns.div_ceil(CHUNK);
        let mut packed = Lines::zeros(CHUNK * padded(layout.depth) * layout.bits / 8 * chunks);
        for (chunk, g) in (0..chunks).flat_map(|chunk| (0..layout.groups()).map(move |g| (chunk, g))) {
            let (at, len) = place(&layout, chunk, g);
            let to = &mut packed.bytes_mut()[at..at + len];
            let depth = padded(layout.part(g).len());
            for column in 0..CHUNK.min(layout.columns - chunk * CHUNK) {
                let row = &codes[(chunk * CHUNK + column) * layout.depth..][layout.part(g)];
                for (step, &code) in row.iter().enumerate() {
                    let i = index::<P>(depth, column, step);
                    if layout.bits == 4 {
                        let (byte, shift) = half(i);
                        to[byte] |= ((code & 15) << shift) as i8;
                    } else {
                        to[i] = (i32::from(code) + P::OFFSET) as i8;
                    }
                }
            }
        }
        packed
    }
}

struct Unpack<'a>(&'a PackedGroups);

impl WithWide for Unpack<'_> {
    type Output = Vec<u8>;

    fn run<P: Wide>(self, _: P) -> Vec<u8> {
        let layout = self.0.layout;
        let mut codes = room(layout.columns * layout.depth);
        for n in 0..layout.columns {
            for g in 0..layout.groups() {
                let part = layout.part(g);
                let (at, len) = place(&layout, n / CHUNK, g);
                let from = &self.0.codes.bytes()[at..at + len];
                codes.extend((0..part.len()).map(|step| {
                    let i = index::<P>(padded(part.len()), n % CHUNK, step);
                    if layout.bits == 4 {
                        let (byte, shift) = half(i);
                        from[byte] as u8 >> shift & 15
                    } else {
                        (i32::from(from[i]) - P::OFFSET) as u8
                    }
                }));
            }
        }
        codes
    }
}
