//! Patches of images as rows of a product.

use std::ops::Range;

use super::FloatImage;
use crate::arch::{FloatRows, OUTSIDE};
use crate::conv::Piece;
use crate::error::Stopped;
use crate::float::product::{Room, Rows};
use crate::gemm::Space;
use crate::memory::filled;
use crate::threads;

/// How a kernel moves over images.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moves {
    pub(super) kernel: Space,
    pub(super) stride: Space,
    pub(super) dilation: Space,
    /// Where in the image the first position meets the first element, along each axis.
    pub(super) first: [isize; 3],
}

impl Moves {
    pub(super) fn new(piece: &Piece) -> Self {
        Self {
            kernel: piece.kernel(),
            stride: piece.stride(),
            dilation: piece.dilation(),
            first: piece.first(),
        }
    }

    /// Elements of the kernel.
    pub(super) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
}

/// The patches of an ordinary convolution, of some channels.
pub(super) struct Patches<'a> {
    pub(super) image: FloatImage<'a>,
    pub(super) moves: Moves,
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

/// The images with zeros around each line of pixels where a kernel reaches over its ends, so that all that a line of the
/// kernel meets is one run of numbers; and how the kernel moves over them then.
pub(super) struct Framed {
    x: Vec<f32>,
    space: Space,
    strides: [usize; 4],
    moves: Moves,
    run: usize,
}

impl Framed {
    /// For a kernel without dilation along the last axis, which has so many positions there.
    pub(super) fn new(image: &FloatImage<'_>, moves: Moves, positions: usize) -> Result<Self, Stopped> {
        let ([depth, height, width], channels) = (image.space, image.channels);
        let (kernel, first) = (moves.kernel[2], moves.first[2]);
        let before = (-first).max(0) as usize;
        let end = first + ((positions - 1) * moves.stride[2] + kernel) as isize;
        let wide = before + width.max(end.max(0) as usize);
        let line = wide * channels;
        let mut x = filled(image.images * depth * height * line, 0.0f32);
        let bytes = 8 * x.len();
        threads::for_each(bytes, x.chunks_mut(line.max(1)).enumerate(), |(row, to)| {
            let (y, z, n) = (row % height, row / height % depth, row / height / depth);
            let start = n * image.strides[0] + z * image.strides[1] + y * image.strides[2];
            let to = &mut to[before * channels..][..width * channels];
            if image.strides[3] == channels {
                to.copy_from_slice(&image.x[start..][..width * channels]);
            } else {
                for (p, to) in to.chunks_exact_mut(channels).enumerate() {
                    to.copy_from_slice(&image.x[start + p * image.strides[3]..][..channels]);
                }
            }
            true
        })?;
        let first = [moves.first[0], moves.first[1], first + before as isize];
        let moves = Moves { kernel: [moves.kernel[0], moves.kernel[1], 1], first, ..moves };
        let strides = [depth * height * line, height * line, line, channels];
        Ok(Self { x, space: [depth, height, wide], strides, moves, run: kernel * channels })
    }

    /// The patches.
    pub(super) fn patches<'a>(&'a self, images: usize, positions: Space, zeros: &'a [f32]) -> Patches<'a> {
        let Self { ref x, space, strides, moves, run } = *self;
        let image = FloatImage { x, images, channels: run, space, strides };
        Patches { image, moves, positions, channel: 0, channels: run, zeros, gathered: false }
    }
}

/// Rows whose positions follow each other along the last axis.
struct Line {
    /// The first row, of those that are asked for, and how many.
    rows: Range<usize>,
    /// The first number of the image's channels.
    image: usize,
    /// Where the first position meets the patch's first element along each axis.
    at: [isize; 3],
}

impl Patches<'_> {
    /// Some rows, line by line.
    fn lines(&self, rows: Range<usize>, mut f: impl FnMut(Line)) {
        let [_, height, width] = self.positions;
        let (stride, origin) = (self.moves.stride, self.moves.first);
        let plane: usize = self.positions.iter().product();
        let mut row = rows.start;
        while row < rows.end {
            let (image, place) = (row / plane, row % plane);
            let position = [place / (height * width), place / width % height, place % width];
            let count = (width - position[2]).min(rows.end - row);
            f(Line {
                rows: row - rows.start..row - rows.start + count,
                image: image * self.image.strides[0] + self.channel,
                at: std::array::from_fn(|a| (position[a] * stride[a]) as isize + origin[a]),
            });
            row += count;
        }
    }

    /// For each element of the kernel but along the last axis: its number, and where the line of the image that it meets
    /// starts, or nothing where that is outside.
    fn met(&self, line: &Line, mut f: impl FnMut(usize, Option<usize>)) {
        let ([kz, ky, _], dilation) = (self.moves.kernel, self.moves.dilation);
        let along = |a: usize, element: usize| {
            let at = line.at[a] + (element * dilation[a]) as isize;
            let inside = usize::try_from(at).ok().filter(|&at| at < self.image.space[a]);
            inside.map(|at| at * self.image.strides[a + 1])
        };
        for z in 0..kz {
            for y in 0..ky {
                let start = along(0, z).zip(along(1, y)).map(|(z, y)| line.image + z + y);
                f(z * ky + y, start);
            }
        }
    }

    fn runs<'a>(&'a self, rows: Range<usize>, room: &'a mut Room) -> FloatRows<'a> {
        let (count, kernel) = (rows.len(), self.moves.kernel);
        let (stride, dilation) = (self.moves.stride[2] as isize, self.moves.dilation[2]);
        let (width, pixel) = (self.image.space[2] as isize, self.image.strides[3]);
        room.starts.clear();
        room.starts.resize(self.moves.taps() * count, OUTSIDE);
        let starts = &mut room.starts;
        self.lines(rows, |line| {
            self.met(&line, |element, start| {
                let Some(start) = start else { return };
                for k in 0..kernel[2] {
                    let to = &mut starts[(element * kernel[2] + k) * count..][line.rows.clone()];
                    let mut x = line.at[2] + (k * dilation) as isize;
                    for to in to {
                        if (0..width).contains(&x) {
                            *to = start + x as usize * pixel;
                        }
                        x += stride;
                    }
                }
            });
        });
        FloatRows { x: self.image.x, zeros: self.zeros, starts, count }
    }

    fn together<'a>(&'a self, rows: Range<usize>, room: &'a mut Room) -> FloatRows<'a> {
        let (count, run, kernel) = (rows.len(), self.channels, self.moves.kernel);
        let (piece, all) = (kernel[2] * run, self.moves.taps() * run);
        // What is outside is written as what is inside, so that only new memory is filled.
        room.patches.resize(count * all, 0.0);
        room.starts.clear();
        room.starts.extend((0..count).map(|i| i * all));
        let (stride, dilation) = (self.moves.stride[2] as isize, self.moves.dilation[2]);
        let (width, pixel) = (self.image.space[2] as isize, self.image.strides[3]);
        // Lines of the kernel that lie as lines of the image do are copied at once.
        let dense = dilation == 1 && pixel == run || kernel[2] == 1;
        let patches = &mut room.patches;
        self.lines(rows, |line| {
            self.met(&line, |element, start| {
                let mut x = line.at[2];
                for i in line.rows.clone() {
                    let to = &mut patches[i * all + element * piece..][..piece];
                    match start {
                        None => to.fill(0.0),
                        Some(start) if dense && x >= 0 && x + kernel[2] as isize <= width => {
                            copy(to, &self.image.x[start + x as usize * pixel..][..piece]);
                        }
                        Some(start) => {
                            for (k, to) in to.chunks_exact_mut(run).enumerate() {
                                let x = x + (k * dilation) as isize;
                                match (0..width).contains(&x) {
                                    true => {
                                        to.copy_from_slice(&self.image.x[start + x as usize * pixel..][..run])
                                    }
                                    false => to.fill(0.0),
                                }
                            }
                        }
                    }
                    x += stride;
                }
            });
        });
        FloatRows { x: &room.patches, zeros: &[], starts: &room.starts, count }
    }
}

/// A few numbers, which are not worth a call of `memcpy`.
#[inline]
fn copy(to: &mut [f32], from: &[f32]) {
    let from = &from[..to.len()];
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<8>(), from.last_chunk::<8>()) {
        // The last ones first: what is left are whole chunks, and some of these again.
        *to = *from;
    }
    let ((to, last), (from, rest)) = (to.as_chunks_mut::<8>(), from.as_chunks::<8>());
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    if to.is_empty() {
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    }
}

impl Rows for Patches<'_> {
    fn count(&self) -> usize {
        self.image.images * self.positions.iter().product::<usize>()
    }

    fn taps(&self) -> usize {
        if self.gathered { 1 } else { self.moves.taps() }
    }

    fn run(&self) -> usize {
        if self.gathered { self.moves.taps() * self.channels } else { self.channels }
    }

    fn width(&self) -> usize {
        if self.gathered {
            return self.run();
        }
        // Patches share most of what they hold.
        let apart: usize = self.moves.stride.iter().product();
        self.channels * apart.min(self.taps()).max(1)
    }

    fn block<'a>(&'a self, rows: Range<usize>, room: &'a mut Room) -> FloatRows<'a> {
        if self.gathered { self.together(rows, room) } else { self.runs(rows, room) }
    }
}
