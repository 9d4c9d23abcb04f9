//! Patches of images as rows of a product.

use std::ops::Range;

use super::FloatImage;
use crate::arch::{FloatRows, OUTSIDE};
use crate::conv::Piece;
use crate::float::product::{Room, Rows};
use crate::gemm::Space;

/// The patches of an ordinary convolution, of some channels.
pub(super) struct Patches<'a> {
    pub(super) image: FloatImage<'a>,
    pub(super) piece: &'a Piece,
    /// How many there are along each axis of an image.
    pub(super) positions: Space,
    /// The first channel, and how many.
    pub(super) channel: usize,
    pub(super) channels: usize,
    /// Zeros for runs outside.
    pub(super) zeros: &'a [f32],
    /// Whether runs are put together.
    pub(super) gathered: bool,
}

/// Runs up to here are put together.
pub(super) const SHORT: usize = 12;

impl Patches<'_> {
    /// For some rows: the first number of the image, and where it meets the patch's first element along each axis.
    fn each(&self, rows: Range<usize>, mut f: impl FnMut(usize, usize, [isize; 3])) {
        let [_, height, width] = self.positions;
        let (stride, origin) = (self.piece.stride(), self.piece.first());
        let plane: usize = self.positions.iter().product();
        let (mut image, rest) = (rows.start / plane, rows.start % plane);
        let (mut z, mut y, mut x) = (rest / (height * width), rest / width % height, rest % width);
        for i in 0..rows.len() {
            let at = |a: usize, p: usize| (p * stride[a]) as isize + origin[a];
            f(i, image * self.image.strides[0] + self.channel, [at(0, z), at(1, y), at(2, x)]);
            x += 1;
            if x == width {
                (x, y) = (0, y + 1);
                if y == height {
                    (y, z) = (0, z + 1);
                    if z == self.positions[0] {
                        (z, image) = (0, image + 1);
                    }
                }
            }
        }
    }

    /// Where along an axis an element of the kernel lies in memory, or nothing where it is outside.
    fn along(&self, axis: usize, first: isize, element: usize) -> Option<usize> {
        let at = first + (element * self.piece.dilation()[axis]) as isize;
        usize::try_from(at)
            .ok()
            .filter(|&at| at < self.image.space[axis])
            .map(|at| at * self.image.strides[axis + 1])
    }

    fn runs<'a>(&'a self, rows: Range<usize>, room: &'a mut Room) -> FloatRows<'a> {
        let count = rows.len();
        let [kz, ky, kx] = self.piece.kernel();
        room.starts.clear();
        room.starts.resize(kz * ky * kx * count, OUTSIDE);
        let starts = &mut room.starts;
        self.each(rows, |i, image, [z, y, x]| {
            for tz in 0..kz {
                let Some(z) = self.along(0, z, tz) else { continue };
                for ty in 0..ky {
                    let Some(y) = self.along(1, y, ty) else { continue };
                    for tx in 0..kx {
                        if let Some(x) = self.along(2, x, tx) {
                            starts[((tz * ky + ty) * kx + tx) * count + i] = image + z + y + x;
                        }
                    }
                }
            }
        });
        FloatRows { x: self.image.x, zeros: self.zeros, starts, count }
    }

    fn together<'a>(&'a self, rows: Range<usize>, room: &'a mut Room) -> FloatRows<'a> {
        let (count, run) = (rows.len(), self.channels);
        let [kz, ky, kx] = self.piece.kernel();
        let (line, all) = (kx * run, kz * ky * kx * run);
        room.patches.clear();
        room.patches.resize(count * all, 0.0);
        room.starts.clear();
        room.starts.extend((0..count).map(|i| i * all));
        let dilation = self.piece.dilation()[2];
        // Lines of the kernel that lie as lines of the image do are copied at once.
        let dense = dilation == 1 && self.image.strides[3] == run || kx == 1;
        let patches = &mut room.patches;
        let width = self.image.space[2] as isize;
        self.each(rows, |i, image, [z, y, x]| {
            for tz in 0..kz {
                let Some(z) = self.along(0, z, tz) else { continue };
                for ty in 0..ky {
                    let Some(y) = self.along(1, y, ty) else { continue };
                    let to = &mut patches[i * all + (tz * ky + ty) * line..][..line];
                    if dense && x >= 0 && x + kx as isize <= width {
                        let from = image + z + y + x as usize * self.image.strides[3];
                        copy(to, &self.image.x[from..][..line]);
                        continue;
                    }
                    for (tx, to) in to.chunks_exact_mut(run).enumerate() {
                        if let Some(x) = self.along(2, x, tx) {
                            to.copy_from_slice(&self.image.x[image + z + y + x..][..run]);
                        }
                    }
                }
            }
        });
        FloatRows { x: &room.patches, zeros: &[], starts: &room.starts, count }
    }
}

/// A few numbers, which are not worth a call of `memcpy`.
fn copy(to: &mut [f32], from: &[f32]) {
    let ((to, last), (from, rest)) = (to.as_chunks_mut::<8>(), from.as_chunks::<8>());
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
}

impl Rows for Patches<'_> {
    fn count(&self) -> usize {
        self.image.images * self.positions.iter().product::<usize>()
    }

    fn taps(&self) -> usize {
        if self.gathered { 1 } else { self.piece.kernel().iter().product() }
    }

    fn run(&self) -> usize {
        if self.gathered {
            self.piece.kernel().iter().product::<usize>() * self.channels
        } else {
            self.channels
        }
    }

    fn width(&self) -> usize {
        if self.gathered {
            return self.run();
        }
        // Patches share most of what they hold.
        let apart: usize = self.piece.stride().iter().product();
        self.channels * apart.min(self.taps()).max(1)
    }

    fn block<'a>(&'a self, rows: Range<usize>, room: &'a mut Room) -> FloatRows<'a> {
        if self.gathered { self.together(rows, room) } else { self.runs(rows, room) }
    }
}
