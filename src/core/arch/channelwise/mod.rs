//! Sums of products for each channel by itself: the inner loops of depthwise convolutions.
//!
//! Channels lie side by side, up to [`CHANNELS`] of them in a *cell*, which for each channel holds `KU` elements of an image
//! one after the other, so that one instruction multiplies and adds them: two 16-bit numbers, or four bytes. Cells are
//! made once for a line of the output ([`Channelwise::interleave`]), and met by all positions whose kernels reach them
//! ([`Channelwise::sums`]). The sums are exact modulo 2^32: every instruction set gives the same ones.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod plain;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::mem::MaybeUninit;

use super::isa::Isa;
use super::product::{Product, Stored, ToBytes, WithProduct, with_product};
use super::vector::{Byte, Vector};
use super::window::Window;

/// Channels of a cell, at most: a group of every instruction set's vectors divides it.
pub(crate) const CHANNELS: usize = 64;

/// Weights of the kind that an instruction set multiplies.
#[derive(Debug, Clone)]
pub(crate) enum Weights {
    /// Bytes.
    I8(Vec<i8>),
    /// 16-bit numbers.
    I16(Vec<i16>),
}

/// What a weight is stored as.
pub(crate) trait Weight: Copy + Default + Send + Sync + 'static {
    /// The nearest one.
    fn saturated(w: i32) -> Self;
    /// Its value.
    fn value(self) -> i32;
    /// Weights of this kind.
    fn wrap(weights: Vec<Self>) -> Weights;
    /// Those that are of this kind: all or none.
    fn of(weights: &Weights) -> &[Self];
}

macro_rules! weight {
    ($t:ty, $kind:ident) => {
        impl Weight for $t {
            fn saturated(w: i32) -> Self {
                w.clamp(Self::MIN.into(), Self::MAX.into()) as Self
            }
            fn value(self) -> i32 {
                self.into()
            }
            fn wrap(weights: Vec<Self>) -> Weights {
                Weights::$kind(weights)
            }
            fn of(weights: &Weights) -> &[Self] {
                if let Weights::$kind(weights) = weights { weights } else { &[] }
            }
        }
    };
}
weight!(i8, I8);
weight!(i16, I16);

/// Neighbours in a line of an image: the first one's channels start here, and the next one's so much later. A distance
/// of 0 repeats the first.
pub(crate) type Line<'a, C> = (&'a [C], usize);

/// Positions of a line of the output, and the cells that they meet.
pub(crate) struct Positions<'a, A, W> {
    pub(crate) cells: &'a [A],
    /// How many positions, and cells from one to the next.
    pub(crate) count: usize,
    pub(crate) step: usize,
    /// The cells that the first position meets.
    pub(crate) taps: &'a [usize],
    /// The weights of a cell of `CHANNELS` for each.
    pub(crate) weights: &'a [W],
    /// Lines of the output, 1 or where an instruction set has `codes` 2: how many elements further the second one meets
    /// the cells (what leaves them is 0), and how many rows of the room further its positions lie.
    pub(crate) second: Option<(usize, usize)>,
    /// How many channels are wanted.
    pub(crate) channels: usize,
}

/// An instruction set for sums channel by channel, as a value that exists only where the CPU has it.
pub(crate) trait Channelwise: Copy + Send + Sync + 'static {
    /// What elements are stored as.
    type A: Stored;
    /// What weights are stored as.
    type W: Weight;
    /// The vectors that go with it.
    type V: Vector;
    /// Elements that lie side by side.
    const KU: usize;
    /// Cells have a multiple of so many channels.
    const UNIT: usize = CHANNELS;
    /// Whether it has `codes`.
    const IN_REGISTERS: bool = false;

    /// The vectors that go with it.
    fn vector(self) -> Self::V;

    /// Where an element of a channel lies in a cell, which is whole if it has `CHANNELS`, and its weight.
    fn place(channel: usize, element: usize, _is_whole: bool) -> usize {
        channel * Self::KU + element
    }

    /// Makes `count` cells of the neighbours in `KU` lines, of `channels` channels, at most `CHANNELS`. Slices that are
    /// too short panic.
    fn interleave<C: Byte>(self, lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [Self::A]);

    /// Writes the sums of each position, `CHANNELS` apart: at least as many as are wanted. Slices that are too short
    /// panic.
    fn sums(self, positions: &Positions<'_, Self::A, Self::W>, out: &mut [i32]);

    /// The codes that such sums become, without their way through memory: a row of the room for each position, up to the
    /// last one's. Slices that are too short panic.
    fn codes(
        self,
        _positions: &Positions<'_, Self::A, Self::W>,
        _finish: &ToBytes<'_>,
        _to: Window<'_, MaybeUninit<u8>>,
    ) {
        unreachable!("only where `IN_REGISTERS` says so")
    }
}

/// Elements of a cell of so many channels.
pub(crate) const fn cell<P: Channelwise>(channels: usize) -> usize {
    channels.next_multiple_of(P::UNIT) * P::KU
}

/// The checks that make the reads and writes of `interleave` safe.
#[inline]
fn check_lines<P: Channelwise, C>(lines: &[Line<'_, C>], channels: usize, count: usize, to: &[P::A]) {
    assert!(lines.len() == P::KU && channels <= CHANNELS && count > 0);
    assert!(lines.iter().all(|(line, next)| line.len() >= (count - 1) * next + channels));
    assert!(to.len() >= count * cell::<P>(channels));
}

/// The checks that make the reads and writes of `sums` safe.
#[inline]
fn check_positions<P: Channelwise>(positions: &Positions<'_, P::A, P::W>, out: &[i32]) {
    check_cells::<P>(positions);
    assert!(positions.second.is_none() && out.len() >= positions.count * CHANNELS);
}

/// The checks that make the reads of cells and weights safe.
#[inline]
fn check_cells<P: Channelwise>(positions: &Positions<'_, P::A, P::W>) {
    let Positions { cells, count, step, taps, weights, channels, .. } = *positions;
    let last = taps.iter().max().map_or(0, |tap| tap + count.saturating_sub(1) * step + 1);
    assert!(channels <= CHANNELS && cells.len() >= last * cell::<P>(channels));
    assert!(weights.len() >= taps.len() * CHANNELS * P::KU);
}

/// The checks that make the reads and writes of `codes` safe.
#[cfg(target_arch = "x86_64")] // Nobody else makes codes in registers.
#[inline]
fn check_codes<P: Channelwise>(
    positions: &Positions<'_, P::A, P::W>,
    finish: &ToBytes<'_>,
    to: &Window<'_, MaybeUninit<u8>>,
) {
    check_cells::<P>(positions);
    let Positions { count, channels, second, .. } = *positions;
    let below = second.map_or(0, |(_, below)| below);
    assert!(second.is_none_or(|(later, _)| later < P::KU));
    assert!(count > 0 && to.rows() == below + count && to.columns() == channels);
    assert!(finish.columns() >= channels.next_multiple_of(P::UNIT));
}

/// Something that is done with an instruction set's sums channel by channel.
pub(crate) trait WithChannelwise {
    /// What it returns.
    type Output;
    /// Does it.
    fn run<P: Channelwise>(self, p: P) -> Self::Output;
}

/// Does something with an instruction set's sums channel by channel.
pub(crate) fn with_channelwise<W: WithChannelwise>(isa: Isa, work: W) -> W::Output {
    struct Through<W>(W);
    impl<W: WithChannelwise> WithProduct for Through<W> {
        type Output = W::Output;
        fn run<P: Product>(self, p: P) -> W::Output {
            self.0.run(p.channelwise())
        }
    }
    with_product(isa, Through(work))
}
