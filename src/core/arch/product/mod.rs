//! Sums of products of bytes: the inner loop of every product and convolution.
//!
//! A *tile* is up to `MR` rows of activations times a *panel* of `NR` columns of weights, over the whole depth. The sums
//! are exact modulo 2^32: every kernel gives the same ones.
//!
//! Weights are `i8`, in panels: `depth / KU` groups of `NR` columns of `KU` consecutive steps in depth. Activations lie
//! in rows, in the type that the kernel multiplies fastest, with their depth padded by zeros to a multiple of `KU`.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "kernels of x86-64 alone make codes before sums leave the registers")
)]
mod codes;
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "kernels of x86-64 alone want small pairs")
)]
mod excess;
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "kernels of x86-64 alone make floats before sums leave the registers")
)]
mod floats;
mod halves;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(target_arch = "x86_64")]
mod signed;
mod tiles;
#[cfg(target_arch = "x86_64")]
mod vnni;
mod wide;

use std::mem::MaybeUninit;

use super::channelwise::Channelwise;
use super::isa::{Isa, with_best};
use super::vector::{Byte, Vector};
use super::window::Window;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Narrow;
pub(crate) use codes::{Added, ToBytes};
pub(crate) use excess::{Excess, Quad};
pub(crate) use floats::{DEEPEST, Halves, ToNumbers};
pub(crate) use halves::HALF_RUN;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::{Dotprod, I8mm};
use tiles::*;
pub use wide::wide_isa;
pub(crate) use wide::{CHUNK, Chunk, Digit, Inputs, Room, Sum, UNIT, Wide, WithWide, greatest, with_wide};
#[cfg(target_arch = "x86_64")]
pub(super) use {amx::Amx, avx2::AvxVnni, vnni::Vnni};

/// What an activation is stored as.
pub(crate) trait Stored: Copy + Default + Send + Sync + 'static {
    /// What has to be added to a code of type `C` to get what is stored.
    fn offset<C: Byte>() -> i32;
    /// A code, stored.
    fn of<C: Byte>(code: C) -> Self;
    /// The codes themselves, where they are stored as they are.
    fn as_is<C: Byte>(_codes: &[C]) -> Option<&[Self]> {
        None
    }
}

impl Stored for i16 {
    #[inline(always)]
    fn offset<C: Byte>() -> i32 {
        0
    }
    #[inline(always)]
    fn of<C: Byte>(code: C) -> Self {
        code.widened() as Self
    }
}

macro_rules! stored_bytes {
    ($own:ty, $signed:literal, $offset_of_other:literal) => {
        impl Stored for $own {
            #[inline(always)]
            fn offset<C: Byte>() -> i32 {
                if C::SIGNED == $signed { 0 } else { $offset_of_other }
            }
            #[inline(always)]
            fn of<C: Byte>(code: C) -> Self {
                (code.widened() + Self::offset::<C>()) as Self
            }
            fn as_is<C: Byte>(codes: &[C]) -> Option<&[Self]> {
                if C::SIGNED != $signed {
                    return None;
                }
                // SAFETY: `Byte` is u8 or i8; where the sign is the same, so is the type.
                Some(unsafe { std::slice::from_raw_parts(codes.as_ptr().cast(), codes.len()) })
            }
        }
    };
}
stored_bytes!(u8, false, 128);
stored_bytes!(i8, true, -128);

/// Rows of stored activations.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, A> {
    /// The first one starts here; the last one need not be followed by anything.
    pub(crate) data: &'a [A],
    /// From one row to the next.
    pub(crate) stride: usize,
    /// How many there are; of a line, where there are several.
    pub(crate) count: usize,
    /// Where the first row of each line starts.
    pub(crate) lines: &'a [usize],
    /// Where the runs of steps lie that make a row, from its start: one, or several that are as long as each other.
    pub(crate) runs: &'a [usize],
    /// What of them need not be multiplied.
    pub(crate) zeros: Zeros<'a>,
    /// What is missing of them, for an instruction set that has small pairs multiplied.
    pub(crate) excess: Option<Excess<'a>>,
}

/// Where activations are stored as 0, so that their products may be left out: the padding of an image.
#[derive(Clone, Copy, Default)]
pub(crate) struct Zeros<'a> {
    /// For each line the runs that are not all zeros; empty where all runs count.
    pub(crate) runs: &'a [(usize, usize)],
    /// How many elements at the start of each run of the first row of a line are zeros, and at the end of the last row's.
    pub(crate) sides: (usize, usize),
}

impl Zeros<'_> {
    /// The runs of a line that are not all zeros, of so many.
    #[inline]
    fn rest(&self, line: usize, runs: usize) -> (usize, usize) {
        match self.runs.get(line) {
            None => (0, runs),
            // One at least, which adds nothing.
            Some(&(start, end)) if start == end => (0, 1),
            Some(&some) => some,
        }
    }
}

impl<'a, A> Rows<'a, A> {
    /// Rows that lie in one piece each.
    pub(crate) fn new(data: &'a [A], stride: usize, count: usize) -> Self {
        Self { data, stride, count, lines: &[0], runs: &[0], zeros: Zeros::default(), excess: None }
    }

    /// `count` rows from the row `first` on.
    pub(crate) fn part(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.count);
        let from = (first * self.stride).min(self.data.len());
        let (start, end) = self.zeros.sides;
        let sides = (if first == 0 { start } else { 0 }, if first + count == self.count { end } else { 0 });
        let excess = self.excess.map(|excess| excess.behind(from));
        Self { data: &self.data[from..], count, zeros: Zeros { sides, ..self.zeros }, excess, ..self }
    }
}

/// An instruction set for products, as a value that exists only where the CPU has it.
pub(crate) trait Product: Copy + Send + Sync + 'static {
    /// What activations are stored as.
    type A: Stored;
    /// The vectors that go with it.
    type V: Vector;
    /// What makes sums channel by channel on the same CPU.
    type Channelwise: Channelwise;
    /// What multiplies the same panels faster where pairs of activations are small, if anything does.
    type Bounded: Product<V = Self::V>;
    /// Rows of a tile.
    const MR: usize;
    /// Rows that take as long as fewer of them do.
    const ROWS: usize = 1;
    /// Products in as much time as a thread reads and writes a byte of memory.
    const PER_BYTE: usize = 3;
    /// Columns of a panel.
    const NR: usize;
    /// Steps in depth that lie side by side.
    const KU: usize;
    /// What the depth is padded to a multiple of.
    const DEPTH: usize = Self::KU;
    /// Whether there may be several lines of rows, and rows of several runs, each a multiple of `KU`.
    const RUNS: bool = true;
    /// Whether a panel's sums are written row after row, so that rows may follow each other closer than `NR`: what
    /// lies beyond their columns is written over by the next one.
    const IN_ORDER: bool = true;
    /// Whether it has `codes` and `floats`.
    const IN_REGISTERS: bool = false;
    /// Rows of a block from which on these are faster than sums that pass through memory.
    const HIGH: usize = 5;

    /// The vectors that go with it.
    fn vector(self) -> Self::V;

    /// What makes sums channel by channel on the same CPU.
    fn channelwise(self) -> Self::Channelwise;

    /// What multiplies the same panels faster where pairs of activations are small.
    fn bounded(self) -> Option<Self::Bounded> {
        None
    }

    /// Stores codes, some of whose bits are turned first, less as much as stands at their place, such that their pairs are
    /// small, and adds what is missing of them to `quads`, of which the first is counted as so much. There are as many of all
    /// three, a multiple of four. Only where this is something's `bounded`.
    fn bound(
        self,
        _codes: &[u8],
        _flip: u8,
        _shifts: &[u8],
        _first: usize,
        _to: &mut [Self::A],
        _quads: &mut Vec<Quad>,
    ) {
        unreachable!("only what multiplies small pairs has them made")
    }

    /// Writes the sums of `rows` (1 to `MR` of them in each line) times some panels, side by side:
    /// `out[row * stride + column]`. A stride of less than the panels wants one panel, and `IN_ORDER` if it is less than
    /// that. Slices that are too short panic.
    fn block(self, rows: Rows<'_, Self::A>, panels: Panels<'_>, out: &mut [i32], stride: usize);

    /// The codes that such sums become, without their way through memory, of any number of rows in each line: as many
    /// rows and columns as the room has, which ends in the last panel. Slices that are too short panic.
    fn codes(
        self,
        _rows: Rows<'_, Self::A>,
        _panels: Panels<'_>,
        _finish: &ToBytes<'_>,
        _to: Window<'_, MaybeUninit<u8>>,
    ) {
        unreachable!("only where `IN_REGISTERS` says so")
    }

    /// The floats that such sums become, likewise.
    fn floats(
        self,
        _rows: Rows<'_, Self::A>,
        _panels: Panels<'_>,
        _finish: &ToNumbers<'_>,
        _to: Window<'_, MaybeUninit<f32>>,
    ) {
        unreachable!("only where `IN_REGISTERS` says so")
    }
}

/// A tile function for each number of rows up to six, eight or twelve, which come first: what a tile's registers hold.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! by_rows {
    (6, $rows:expr, $tile:ident $(, $more:expr)*) => {
        match $rows {
            1 => $tile::<1 $(, $more)*>,
            2 => $tile::<2 $(, $more)*>,
            3 => $tile::<3 $(, $more)*>,
            4 => $tile::<4 $(, $more)*>,
            5 => $tile::<5 $(, $more)*>,
            _ => $tile::<6 $(, $more)*>,
        }
    };
    (8, $rows:expr, $tile:ident $(, $more:expr)*) => {
        match $rows {
            7 => $tile::<7 $(, $more)*>,
            8.. => $tile::<8 $(, $more)*>,
            few => by_rows!(6, few, $tile $(, $more)*),
        }
    };
    (12, $rows:expr, $tile:ident $(, $more:expr)*) => {
        match $rows {
            9 => $tile::<9 $(, $more)*>,
            10 => $tile::<10 $(, $more)*>,
            11 => $tile::<11 $(, $more)*>,
            12.. => $tile::<12 $(, $more)*>,
            few => by_rows!(8, few, $tile $(, $more)*),
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use by_rows;

/// Panels of weights, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// `depth * NR` bytes for each.
    pub(crate) data: &'a [i8],
    /// Padded.
    pub(crate) depth: usize,
    /// How many there are.
    pub(crate) count: usize,
    /// Whether no rows have met them yet, so that they may still lie far away.
    pub(crate) are_new: bool,
}

impl Panels<'_> {
    /// How far from a panel lies what the first rows that meet it may ask for ahead: the next one, or nothing.
    fn ahead<P: Product>(&self, panel: usize) -> usize {
        if self.are_new && panel + 1 < self.count { P::NR * self.depth } else { 0 }
    }
}

/// The checks that make the reads and writes of a block safe.
#[inline]
fn check<P: Product>(rows: Rows<'_, P::A>, panels: Panels<'_>, out: &[i32], stride: usize) {
    assert!(rows.count <= P::MR);
    check_rows::<P>(rows, panels);
    let (all, count) = (rows.lines.len() * rows.count, panels.count);
    assert!(stride >= count * P::NR || count == 1 && (P::IN_ORDER || stride >= P::NR));
    assert!(out.len() >= (all - 1) * stride + count * P::NR);
}

/// The checks that make the reads of rows and panels safe.
#[inline]
fn check_rows<P: Product>(rows: Rows<'_, P::A>, panels: Panels<'_>) {
    let Panels { data, depth, count, .. } = panels;
    assert!(rows.count > 0 && count > 0);
    assert_eq!(data.len(), count * P::NR * depth);
    let (run, unit, last) = match rows.runs {
        &[only] => (depth, P::DEPTH, only),
        runs => (depth / runs.len(), P::KU, *runs.iter().max().expect("at least one run")),
    };
    assert!(run.is_multiple_of(unit) && run * rows.runs.len() == depth);
    assert!(P::RUNS || rows.runs == [0] && rows.lines == [0]);
    let zeros = rows.zeros;
    assert!(zeros.runs.iter().all(|&(start, end)| start <= end && end <= rows.runs.len()));
    assert!(zeros.sides.0.max(zeros.sides.1) <= run);
    let lines = rows.lines.iter().max().expect("at least one line");
    assert!(rows.data.len() >= lines + (rows.count - 1) * rows.stride + last + run);
}

/// The checks that make the writes of results safe, and the reads of what is added to them: so many elements, rows so far
/// apart.
#[inline]
fn check_results<P: Product, T>(
    rows: Rows<'_, P::A>,
    panels: Panels<'_>,
    to: &Window<'_, MaybeUninit<T>>,
    added: Option<(usize, usize)>,
) {
    check_rows::<P>(rows, panels);
    assert!(panels.depth > 0);
    assert!(to.rows() == rows.lines.len() * rows.count && to.columns().div_ceil(P::NR) == panels.count);
    if let Some((length, stride)) = added {
        assert!(length >= (to.rows() - 1) * stride + to.columns());
    }
}

/// Something that is done with an instruction set's products.
pub(crate) trait WithProduct {
    /// What it returns.
    type Output;
    /// Does it.
    fn run<P: Product>(self, p: P) -> Self::Output;
}

/// Does something with an instruction set's products, or with the portable ones where the CPU does not have it.
pub(crate) fn with_product<W: WithProduct>(isa: Isa, work: W) -> W::Output {
    with_best!(
        isa, |p| work.run(p),
        x86_64: [
            Amx: Amx,
            Avx512Vnni: Vnni,
            Avx512: super::x86_64::avx512::Avx512,
            AvxVnni: AvxVnni,
            Avx2: super::x86_64::avx2::Avx2,
        ],
        aarch64: [I8mm: I8mm, Dotprod: Dotprod, Neon: super::aarch64::neon::Neon],
    )
}
