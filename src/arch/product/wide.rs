//! Products of 24-bit integers and codes of 8 or 4 bits: what floats are multiplied as where only weights are quantized.
//!
//! An integer is `high * 256 + low`, and is multiplied digit by digit, in rows of their own: two digits of 16 bits, or
//! three of 8 where the instruction set multiplies bytes. Either way the sums of `high` and of `low` are exact, and the
//! same. Panels are those of the parent, of codes that may lie two to a byte.

use super::{Panels, Product, Rows, Stored};
use crate::arch::isa::Isa;
use crate::arch::vector::{Kernel, Vector};

/// The greatest absolute value that three digits of 8 bits hold, on either side of 0.
pub(crate) const GREATEST: i32 = 127 << 16 | 127 << 8 | 127;

/// What a digit is stored as.
pub(crate) trait Digit: Stored {
    /// How many an integer has. The last one is `low`.
    const COUNT: usize;
    /// One of them.
    fn of_parts(high: i32, low: i32, which: usize) -> Self;
    /// What stands for `high`, of what stands for the first two digits.
    fn high(first: i32, second: i32) -> i32;
}

impl Digit for i16 {
    const COUNT: usize = 2;
    #[inline(always)]
    fn of_parts(high: i32, low: i32, which: usize) -> Self {
        if which == 0 { high as Self } else { low as Self }
    }
    #[inline(always)]
    fn high(first: i32, _: i32) -> i32 {
        first
    }
}

impl Digit for i8 {
    const COUNT: usize = 3;
    #[inline(always)]
    fn of_parts(high: i32, low: i32, which: usize) -> Self {
        let first = (high + 128) >> 8;
        match which {
            0 => first as Self,
            1 => (high - (first << 8)) as Self,
            _ => low as Self,
        }
    }
    #[inline(always)]
    fn high(first: i32, second: i32) -> i32 {
        first.wrapping_mul(256).wrapping_add(second)
    }
}

/// Codes of 4 bits lie two to a byte, those of a run and those that are so many after them.
pub(crate) const HALF_RUN: usize = 64;

/// Columns of a chunk: whole panels of every instruction set, and whole runs of codes of 4 bits.
pub(crate) const CHUNK: usize = 64;

/// A sum of integers: of their `high` and of their `low`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) high: i32,
    pub(crate) low: i32,
}

/// One group of some rows of inputs.
pub(crate) struct Inputs<'a, A> {
    /// The digits of the first one, then those of the next one.
    pub(crate) digits: Rows<'a, A>,
    /// What integers are counted in, for each row.
    pub(crate) units: &'a [f32],
    /// The sum of each row's integers.
    pub(crate) sums: &'a [Sum],
}

/// One group of a chunk of columns.
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// `CHUNK / NR` of them; where codes lie two to a byte `data` is half as long.
    pub(crate) panels: Panels<'a>,
    pub(crate) halves: bool,
    pub(crate) scales: &'a [f32; CHUNK],
    /// Codes that stand for 0, before `offset` is added.
    pub(crate) zero_points: Option<&'a [u8; CHUNK]>,
    /// What was added to each code.
    pub(crate) offset: i32,
    /// Without zero points the code that stands for 0 in all columns.
    pub(crate) middle: i32,
}

/// Room for codes of one chunk and group, and for the sums of a block.
pub(crate) struct Room {
    codes: Vec<i8>,
    sums: Vec<i32>,
}

impl Room {
    /// For groups of so many.
    pub(crate) fn new(group: usize) -> Self {
        Self { codes: vec![0; CHUNK * group], sums: Vec::new() }
    }
}

/// An instruction set for these products. Slices that are too short panic.
pub(crate) trait Wide: Product<A: Digit> {
    /// What is added to an unsigned code of 8 bits to get what its byte in a panel is read as. To one of 4 bits nothing
    /// is.
    const OFFSET: i32 = -128;
    /// Whether codes that lie two to a byte are multiplied as they are.
    const HALVES: bool = false;

    /// Adds one group of some rows (at most `MR` rows of digits) and a chunk of columns to the results.
    #[inline]
    fn add_group(
        self,
        inputs: Inputs<'_, Self::A>,
        chunk: Chunk<'_>,
        sums: &mut Vec<i32>,
        to: &mut [[f32; CHUNK]],
    ) {
        assert!(!chunk.halves, "codes in bytes of their own");
        sums.resize(Self::MR * CHUNK, 0);
        self.block(inputs.digits, chunk.panels, sums, CHUNK);
        self.vector().run(Accumulate { sums: sums.as_chunks().0, inputs: &inputs, chunk, to });
    }

    /// The same for any number of rows, `each` of so many.
    #[inline]
    fn add_groups<'a>(
        self,
        mut chunk: Chunk<'a>,
        room: &'a mut Room,
        to: &mut [[f32; CHUNK]],
        inputs: impl Fn(usize, usize) -> Inputs<'a, Self::A>,
    ) {
        let at_once = Self::MR / Self::A::COUNT;
        let Room { codes, sums } = room;
        // Codes that several blocks meet are unpacked once.
        if chunk.halves && !(Self::HALVES && to.len() <= at_once) {
            let codes = &mut codes[..2 * chunk.panels.data.len()];
            self.vector().run(Widen { halves: chunk.panels.data, to: codes });
            chunk = Chunk { panels: Panels { data: codes, ..chunk.panels }, halves: false, ..chunk };
        }
        for (b, to) in to.chunks_mut(at_once).enumerate() {
            self.add_group(inputs(b * at_once, to.len()), chunk, sums, to);
        }
    }
}

/// Adds the sums of one group to the results of some rows.
struct Accumulate<'a, A> {
    /// Those of each digit of the first row, then of the next one.
    sums: &'a [[i32; CHUNK]],
    inputs: &'a Inputs<'a, A>,
    chunk: Chunk<'a>,
    to: &'a mut [[f32; CHUNK]],
}

impl<A: Digit> Kernel for Accumulate<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { inputs, chunk, .. } = self;
        let rows = inputs.sums.iter().zip(inputs.units).zip(self.to);
        for (sums, ((of_row, &unit), to)) in self.sums.chunks_exact(A::COUNT).zip(rows) {
            let (first, second, last) = (&sums[0], &sums[1], &sums[A::COUNT - 1]);
            let add = |y: &mut f32, i: usize, zero_point: Sum| {
                let high = A::high(first[i], second[i]).wrapping_sub(zero_point.high);
                let low = last[i].wrapping_sub(zero_point.low);
                *y += (high as f32 * 256.0 + low as f32) * unit * chunk.scales[i];
            };
            match chunk.zero_points {
                None => {
                    let zero_point = of_row.times(chunk.middle);
                    to.iter_mut().enumerate().for_each(|(i, y)| add(y, i, zero_point));
                }
                Some(zero_points) => to.iter_mut().enumerate().for_each(|(i, y)| {
                    add(y, i, of_row.times(i32::from(zero_points[i]) + chunk.offset));
                }),
            }
        }
    }
}

impl Sum {
    /// What a zero point adds to the sums of products.
    #[inline(always)]
    pub(super) fn times(self, zero_point: i32) -> Self {
        Self { high: self.high.wrapping_mul(zero_point), low: self.low.wrapping_mul(zero_point) }
    }
}

/// Codes of 4 bits in bytes of their own.
struct Widen<'a> {
    halves: &'a [i8],
    to: &'a mut [i8],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let runs = self.to.as_chunks_mut::<{ 2 * HALF_RUN }>().0;
        for (run, halves) in runs.iter_mut().zip(self.halves.as_chunks::<HALF_RUN>().0) {
            let (first, second) = run.split_at_mut(HALF_RUN);
            for ((first, second), &both) in first.iter_mut().zip(second).zip(halves) {
                *first = both & 15;
                *second = (both as u8 >> 4) as i8;
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
impl Wide for super::Dotprod {}
#[cfg(target_arch = "aarch64")]
impl Wide for super::I8mm {}

/// Something that is done with an instruction set's products of 24-bit integers.
pub(crate) trait WithWide {
    /// What it returns.
    type Output;
    /// Does it.
    fn run<P: Wide>(self, p: P) -> Self::Output;
}

/// The instruction set whose products of 24-bit integers are used where `isa` is chosen.
pub(crate) fn wide_isa(isa: Isa) -> Isa {
    match isa {
        Isa::Amx => Isa::Avx512Vnni,
        other => other,
    }
}

/// Does something with the products of [`wide_isa`], or with the portable ones where the CPU does not have it.
pub(crate) fn with_wide<W: WithWide>(isa: Isa, work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::arch::x86_64::{avx2::Avx2, avx512::Avx512};
        if isa >= Isa::Avx512Vnni
            && let Some(p) = super::signed::Signed::new()
        {
            return work.run(p);
        }
        if isa >= Isa::Avx512
            && let Some(p) = Avx512::new()
        {
            return work.run(p);
        }
        if isa >= Isa::Avx2
            && let Some(p) = Avx2::new()
        {
            return work.run(p);
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        use crate::arch::aarch64::neon::Neon;
        if isa == Isa::I8mm
            && let Some(p) = super::I8mm::new()
        {
            return work.run(p);
        }
        if isa >= Isa::Dotprod
            && let Some(p) = super::Dotprod::new()
        {
            return work.run(p);
        }
        if isa >= Isa::Neon
            && let Some(p) = Neon::new()
        {
            return work.run(p);
        }
    }
    let _ = isa;
    work.run(crate::arch::scalar::Scalar)
}
