//! Products of integers of 8, 16 or 24 bits and codes of 8 or 4 bits: what floats are multiplied as where only weights
//! are quantized.
//!
//! An integer of 24 bits is `high * 256 + low`, a shorter one `low` alone. It is multiplied digit by digit, in rows of their
//! own: digits of 16 bits, or of 8 where the instruction set multiplies bytes. Either way the sums of `high` and of `low`
//! are exact, and the same. Panels are those of the parent, of codes that may lie two to a byte.

use std::ops::Range;

use super::halves::Widen;
use super::{Panels, Product, Rows, Stored};
use crate::arch::isa::{Isa, with_best};
use crate::arch::vector::{Kernel, Vector};

/// The greatest absolute value that so many digits of 8 bits hold, on either side of 0.
pub(crate) const fn greatest(digits: usize) -> i32 {
    0x7f_7f7f >> (24 - 8 * digits)
}

/// What a digit is stored as.
pub(crate) trait Digit: Stored {
    /// How many an integer of 8, 16 or 24 bits has.
    fn count(bits: usize) -> usize;
    /// Writes down one of so many digits of each integer, the greatest one first.
    fn write(integers: &[i32], which: usize, count: usize, to: &mut [Self]);
    /// The sum of integers, of the sums of their digits.
    fn join<const D: usize>(digits: [i32; D]) -> Sum;
}

impl Digit for i16 {
    fn count(bits: usize) -> usize {
        if bits > 16 { 2 } else { 1 }
    }
    #[inline(always)]
    fn write(integers: &[i32], which: usize, count: usize, to: &mut [Self]) {
        let all = to.iter_mut().zip(integers);
        match (which, count) {
            (0, 2) => all.for_each(|(to, &x)| *to = ((x + 128) >> 8) as Self),
            (_, 2) => all.for_each(|(to, &x)| *to = (x as i8).into()),
            _ => all.for_each(|(to, &x)| *to = x as Self),
        }
    }
    #[inline(always)]
    fn join<const D: usize>(digits: [i32; D]) -> Sum {
        Sum { high: if D > 1 { digits[0] } else { 0 }, low: digits[D - 1] }
    }
}

impl Digit for i8 {
    fn count(bits: usize) -> usize {
        bits / 8
    }
    #[inline(always)]
    fn write(integers: &[i32], which: usize, count: usize, to: &mut [Self]) {
        let all = to.iter_mut().zip(integers);
        // What is above the last byte, rounded, leaves a digit from -128 on in it.
        match count - 1 - which {
            0 => all.for_each(|(to, &x)| *to = x as Self),
            1 => all.for_each(|(to, &x)| *to = ((x + 128) >> 8) as Self),
            _ => all.for_each(|(to, &x)| *to = ((((x + 128) >> 8) + 128) >> 8) as Self),
        }
    }
    #[inline(always)]
    fn join<const D: usize>(digits: [i32; D]) -> Sum {
        let pair = |first: i32, second: i32| first.wrapping_mul(256).wrapping_add(second);
        match *digits.as_slice() {
            [first, second, low] => Sum { high: pair(first, second), low },
            [first, second] => Sum { high: 0, low: pair(first, second) },
            _ => Sum { high: 0, low: digits[D - 1] },
        }
    }
}

/// Columns of a chunk: whole panels of every instruction set, and whole runs of codes of 4 bits.
pub(crate) const CHUNK: usize = 64;

/// Depths of groups are padded to a multiple of this, which every instruction set's products take.
pub(crate) const UNIT: usize = 16;

/// A sum of integers: of their `high`, which is 0 where they have less than 24 bits, and of their `low`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) high: i32,
    pub(crate) low: i32,
}

impl Sum {
    /// What a zero point adds to the sums of products.
    #[inline(always)]
    pub(super) fn times(self, zero_point: i32) -> Self {
        Self { high: self.high.wrapping_mul(zero_point), low: self.low.wrapping_mul(zero_point) }
    }
}

/// Integers in groups along the depth, from one row and one group on.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a, A> {
    /// Group by group the digits of each row, in rows of their own.
    pub(crate) digits: &'a [A],
    /// For each group what each row's integers are counted in.
    pub(crate) units: &'a [f32],
    /// For each group the sum of each row's integers.
    pub(crate) sums: &'a [Sum],
    /// Digits of an integer.
    pub(crate) count: usize,
    /// All that there are.
    pub(crate) rows: usize,
    /// Steps of a group; the last one may be shorter.
    pub(crate) group: usize,
    pub(crate) first_row: usize,
    pub(crate) first_group: usize,
}

impl<'a, A: Digit> Inputs<'a, A> {
    /// From another row and another group on, counted from these.
    #[inline]
    pub(crate) fn from(self, row: usize, group: usize) -> Self {
        Self { first_row: self.first_row + row, first_group: self.first_group + group, ..self }
    }

    /// Group by group the digits of all rows, the units and sums of these rows and those after them.
    #[cfg(target_arch = "x86_64")] // Nobody else asks for several at once.
    #[inline(always)]
    pub(super) fn groups(&self) -> impl Iterator<Item = (&'a [A], &'a [f32], &'a [Sum])> + use<'a, A> {
        let (rows, first) = (self.rows, self.first_row);
        let each = rows * self.count * self.group;
        let digits = self.digits[each * self.first_group..].chunks(each);
        let units = self.units[rows * self.first_group..].chunks_exact(rows);
        let sums = self.sums[rows * self.first_group..].chunks_exact(rows);
        digits.zip(units).zip(sums).map(move |((d, u), s)| (d, &u[first..], &s[first..]))
    }

    /// The first group, and where in it the digits of these rows start.
    #[inline(always)]
    pub(super) fn one_group(&self, steps: usize) -> (&'a [A], &'a [f32], &'a [Sum]) {
        let at = self.first_group * self.rows;
        let digits = &self.digits[(at * self.group + self.first_row * steps) * self.count..];
        (digits, &self.units[at + self.first_row..], &self.sums[at + self.first_row..])
    }
}

/// Groups of a chunk of columns.
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// For each group `CHUNK / NR` panels; where codes lie two to a byte, half as many bytes.
    pub(crate) codes: &'a [i8],
    pub(crate) halves: bool,
    /// Of all groups, padded.
    pub(crate) depth: usize,
    /// Steps of a group; the last one may be shorter.
    pub(crate) group: usize,
    /// One for each column of each group.
    pub(crate) scales: &'a [[f32; CHUNK]],
    /// Codes that stand for 0, before `offset` is added.
    pub(crate) zero_points: Option<&'a [[u8; CHUNK]]>,
    /// What was added to each code.
    pub(crate) offset: i32,
    /// Without zero points the code that stands for 0 in all columns.
    pub(crate) middle: i32,
    /// Whether to ask for codes ahead of use, where few rows meet them.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "no other architecture's kernel asks")
    )]
    pub(crate) ahead: bool,
}

impl Chunk<'_> {
    /// Some of the groups.
    pub(crate) fn groups(&self, range: Range<usize>) -> Self {
        let steps = |g: usize| (g * self.group).min(self.depth);
        let (from, to) = (steps(range.start), steps(range.end));
        let bytes = |steps: usize| CHUNK * steps / if self.halves { 2 } else { 1 };
        Self {
            codes: &self.codes[bytes(from)..bytes(to)],
            depth: to - from,
            scales: &self.scales[range.clone()],
            zero_points: self.zero_points.map(|z| &z[range]),
            ..*self
        }
    }

    /// The same with codes in bytes of their own, for which there is room.
    #[inline]
    pub(crate) fn in_bytes<'b, P: Wide>(self, p: P, room: &'b mut [i8]) -> Chunk<'b>
    where
        Self: 'b,
    {
        if !self.halves {
            return self;
        }
        let codes = &mut room[..2 * self.codes.len()];
        p.vector().run(Widen { halves: self.codes, to: codes });
        Chunk { codes, halves: false, ..self }
    }
}

/// Room for codes of one chunk and some groups, and for the sums of a block.
pub(crate) struct Room {
    codes: Vec<i8>,
    sums: Vec<i32>,
}

impl Room {
    /// For groups of so many.
    pub(crate) fn new<P: Wide>(group: usize) -> Self {
        Self { codes: vec![0; P::UNPACKED.max(CHUNK * group)], sums: Vec::new() }
    }
}

/// An instruction set for these products. Slices that are too short panic.
pub(crate) trait Wide: Product<A: Digit> {
    /// What is added to an unsigned code of 8 bits to get what its byte in a panel is read as. To one of 4 bits nothing
    /// is.
    const OFFSET: i32 = -128;
    /// So many rows meet all groups in one call of [`Wide::add_block`], and codes that lie two to a byte as they are.
    const FEW: usize = 0;
    /// So many rows of one digit meet codes that lie two to a byte as they are, some groups at a time.
    const HALVES: usize = 0;
    /// Codes of so many bytes, but at least a group, meet a block of more rows in one call, which may have several groups.
    const UNPACKED: usize = 0;
    /// From so many rows on, products by the floats that codes stand for are faster than those of digits, where integers
    /// have 24 bits: floats take half of what two digits of 16 bits take, and more than three that are multiplied as bytes.
    const FLOATS_FROM: usize = 12;

    /// Adds some rows of inputs times a chunk of columns to the results: one group, or, where there are at most `FEW` rows or
    /// `UNPACKED` is not 0, any number of them; at most `MR` rows of digits.
    #[inline]
    fn add_block(
        self,
        inputs: Inputs<'_, Self::A>,
        chunk: Chunk<'_>,
        sums: &mut Vec<i32>,
        to: &mut [[f32; CHUNK]],
    ) {
        assert!(!chunk.halves && chunk.scales.len() == 1, "one group of codes in bytes of their own");
        let (data, _, _) = inputs.one_group(chunk.depth);
        let stride = chunk.depth;
        let panels =
            Panels { data: chunk.codes, depth: chunk.depth, count: CHUNK / Self::NR, are_new: false };
        sums.resize(Self::MR * CHUNK, 0);
        self.block(Rows::new(data, stride, inputs.count * to.len()), panels, sums, CHUNK);
        let sums = sums.as_chunks().0;
        match inputs.count {
            1 => self.vector().run(Accumulate::<_, 1> { sums, inputs, chunk, to }),
            2 => self.vector().run(Accumulate::<_, 2> { sums, inputs, chunk, to }),
            _ => self.vector().run(Accumulate::<_, 3> { sums, inputs, chunk, to }),
        }
    }

    /// The same for any number of rows and groups.
    #[inline]
    fn add(self, inputs: Inputs<'_, Self::A>, chunk: Chunk<'_>, room: &mut Room, to: &mut [[f32; CHUNK]]) {
        let Room { codes, sums } = room;
        if to.len() <= Self::FEW {
            return self.add_block(inputs, Chunk { ahead: true, ..chunk }, sums, to);
        }
        // Twelve rows of one digit are slower than eight: their sums leave the registers.
        let at_once = (Self::MR / inputs.count).min(8);
        let (all, step) = (chunk.scales.len(), (Self::UNPACKED / (CHUNK * chunk.group)).max(1));
        let as_they_are = inputs.count == 1 && at_once <= Self::HALVES;
        for g in (0..all).step_by(step) {
            let mut chunk = chunk.groups(g..all.min(g + step));
            // Codes that several blocks meet are unpacked once.
            if !as_they_are {
                chunk = chunk.in_bytes(self, codes);
            }
            for (b, to) in to.chunks_mut(at_once).enumerate() {
                let chunk = Chunk { ahead: chunk.halves && b == 0, ..chunk };
                self.add_block(inputs.from(b * at_once, g), chunk, sums, to);
            }
        }
    }
}

/// Adds the sums of one group to the results of some rows, for integers of `D` digits.
struct Accumulate<'a, A, const D: usize> {
    /// Those of each digit of the first row, then of the next one.
    sums: &'a [[i32; CHUNK]],
    inputs: Inputs<'a, A>,
    chunk: Chunk<'a>,
    to: &'a mut [[f32; CHUNK]],
}

impl<A: Digit, const D: usize> Kernel for Accumulate<'_, A, D> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { inputs, chunk, .. } = self;
        let (_, units, of_rows) = inputs.one_group(chunk.depth);
        let scales = &chunk.scales[0];
        let rows = of_rows.iter().zip(units).zip(self.to);
        for (digits, ((of_row, &unit), to)) in self.sums.as_chunks::<D>().0.iter().zip(rows) {
            let add = |y: &mut f32, i: usize, zero_point: Sum| {
                let Sum { high, low } = A::join(std::array::from_fn::<_, D, _>(|digit| digits[digit][i]));
                let (high, low) = (high.wrapping_sub(zero_point.high), low.wrapping_sub(zero_point.low));
                *y += (high as f32 * 256.0 + low as f32) * unit * scales[i];
            };
            match chunk.zero_points {
                None => {
                    let zero_point = of_row.times(chunk.middle);
                    to.iter_mut().enumerate().for_each(|(i, y)| add(y, i, zero_point));
                }
                Some([zero_points, ..]) => to.iter_mut().enumerate().for_each(|(i, y)| {
                    add(y, i, of_row.times(i32::from(zero_points[i]) + chunk.offset));
                }),
                Some([]) => {}
            }
        }
    }
}

impl Wide for crate::arch::scalar::Scalar {}
#[cfg(target_arch = "x86_64")]
impl Wide for crate::arch::x86_64::avx2::Avx2 {}
#[cfg(target_arch = "x86_64")]
impl Wide for crate::arch::x86_64::avx512::Avx512 {}
#[cfg(target_arch = "aarch64")]
impl Wide for crate::arch::aarch64::neon::Neon {}
#[cfg(target_arch = "aarch64")]
impl Wide for super::Dotprod {
    const FLOATS_FROM: usize = usize::MAX;
}
#[cfg(target_arch = "aarch64")]
impl Wide for super::I8mm {
    const FLOATS_FROM: usize = usize::MAX;
}

/// Something that is done with an instruction set's products of such integers.
pub(crate) trait WithWide {
    /// What it returns.
    type Output;
    /// Does it.
    fn run<P: Wide>(self, p: P) -> Self::Output;
}

/// The instruction set whose products of such integers are used where `isa` is chosen.
pub fn wide_isa(isa: Isa) -> Isa {
    match isa {
        Isa::Amx => Isa::Avx512Vnni,
        Isa::AvxVnni => Isa::Avx2,
        other => other,
    }
}

/// Does something with the products of [`wide_isa`], or with the portable ones where the CPU does not have it.
pub(crate) fn with_wide<W: WithWide>(isa: Isa, work: W) -> W::Output {
    with_best!(
        isa, |p| work.run(p),
        x86_64: [
            Avx512Vnni: super::signed::Signed,
            Avx512: crate::arch::x86_64::avx512::Avx512,
            Avx2: crate::arch::x86_64::avx2::Avx2,
        ],
        aarch64: [
            I8mm: super::I8mm,
            Dotprod: super::Dotprod,
            Neon: crate::arch::aarch64::neon::Neon,
        ],
    )
}
