//! Cells of an image: the lines that a line of the output meets, side by side for each channel.

use crate::arch::channelwise::{CHANNELS, Channelwise, cell};
use crate::arch::product::Stored;
use crate::arch::{Byte, map};

/// Elements of a cell, at most.
pub(super) const MOST: usize = 4;

/// Cells of one kind, one after the other.
pub(super) struct Span {
    /// The first one, and how many.
    pub(super) cell: usize,
    pub(super) count: usize,
    /// Where each element of the first one lies; none where it is padding.
    pub(super) starts: [Option<usize>; MOST],
}

/// What makes cells of an image, whatever its codes are.
pub(super) trait Interleave<P: Channelwise>: Sync {
    /// Makes the cells of some channels.
    fn interleave(&self, spans: &[Span], first: usize, channels: usize, cells: &mut [P::A]);
}

/// An image of codes of one type.
pub(super) struct Cut<'a, P, C> {
    p: P,
    codes: &'a [C],
    /// What padding holds: one code, or one for each channel.
    fill: Fill<C>,
    /// Codes of a pixel.
    pixel: usize,
}

impl<'a, P: Channelwise, C: Byte> Cut<'a, P, C> {
    /// For codes whose padding has a zero point's, or, where each channel has one, each its own.
    pub(super) fn new(p: P, codes: &'a [C], zero_point: i32, each: Option<&[i32]>, pixel: usize) -> Self {
        let fill = match each {
            None => Fill::One([C::saturated(zero_point); CHANNELS]),
            Some(all) => Fill::Each(all.iter().map(|&zero| C::saturated(zero)).collect()),
        };
        Self { p, codes, fill, pixel }
    }
}

/// Codes of padding.
enum Fill<C> {
    One([C; CHANNELS]),
    /// For each channel.
    Each(Vec<C>),
}

impl<P: Channelwise, C: Byte> Interleave<P> for Cut<'_, P, C> {
    fn interleave(&self, spans: &[Span], first: usize, channels: usize, cells: &mut [P::A]) {
        let cell = cell::<P>(channels);
        for Span { cell: from, count, starts } in spans {
            let cells = &mut cells[from * cell..][..count * cell];
            let fill = match &self.fill {
                Fill::One(fill) if starts.iter().all(Option::is_none) => {
                    cells.fill(P::A::of(fill[0]));
                    continue;
                }
                Fill::One(fill) => &fill[..],
                Fill::Each(fill) => &fill[first..],
            };
            let own = map(*starts, |start| match start {
                Some(start) => (&self.codes[start + first..], self.pixel),
                None => (fill, 0),
            });
            self.p.interleave(&own[..P::KU], channels, *count, cells);
        }
    }
}
