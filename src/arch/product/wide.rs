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

/// An instruction set for these products. Slices that are too short panic.
pub(crate) trait Wide: Product<A: Digit> {
    /// What is added to an unsigned code of 8 bits to get what its byte in a panel is read as. To one of 4 bits nothing
    /// is.
    const OFFSET: i32 = -128;

    /// As `block`, with codes of 4 bits in whole runs: `panels.data` is half as long as its codes. `room` takes them.
    #[inline]
    fn block_of_halves(
        self,
        rows: Rows<'_, Self::A>,
        panels: Panels<'_>,
        room: &mut [i8],
        out: &mut [i32],
        stride: usize,
    ) {
        let room = &mut room[..2 * panels.data.len()];
        self.vector().run(Widen { halves: panels.data, to: room });
        self.block(rows, Panels { data: room, ..panels }, out, stride);
    }
}

/// Codes of 4 bits in bytes of their own.
pub(crate) struct Widen<'a> {
    pub(crate) halves: &'a [i8],
    pub(crate) to: &'a mut [i8],
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
