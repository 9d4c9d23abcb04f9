//! Cells of an image: the lines that a line of the output meets, side by side for each channel.

use super::depthwise::{Lines, Run};
use crate::arch::channelwise::{CHANNELS, Channelwise, Line, cell};
use crate::arch::{Byte, map};
use crate::gemm::Space;

/// What makes cells of an image, whatever its codes are.
pub(super) trait ToCells<P: Channelwise>: Sync {
    /// Makes the cells that positions from `position` on meet, of some channels.
    fn interleave(&self, image: usize, position: Space, first: usize, channels: usize, cells: &mut [P::A]);
}

/// Codes of one type.
pub(super) struct Interleave<'a, 'b, P, C> {
    p: P,
    run: &'a Run<'b>,
    codes: &'b [C],
    /// As `Lines` has them.
    pairs: bool,
    of_kind: usize,
    /// What padding holds.
    fill: [C; CHANNELS],
}

impl<'a, 'b, P: Channelwise, C: Byte> Interleave<'a, 'b, P, C> {
    /// Codes of an image, for what makes its lines.
    pub(super) fn new(p: P, run: &'a Run<'b>, codes: &'b [C], lines: &Lines<'_, P>) -> Self {
        let fill = [C::saturated(run.x_zero[0]); CHANNELS];
        Self { p, run, codes, pairs: lines.pairs, of_kind: lines.of_kind, fill }
    }
}

impl<P: Channelwise, C: Byte> ToCells<P> for Interleave<'_, '_, P, C> {
    fn interleave(&self, image: usize, position: Space, first: usize, channels: usize, cells: &mut [P::A]) {
        let (Run { depthwise, piece, space, before, .. }, codes) = (self.run, self.codes);
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
