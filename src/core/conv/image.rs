//! Images as convolutions read them: channels last, with their padding around them.

use std::borrow::Cow;

use crate::arch::{Byte, Isa, transpose};
use crate::error::Stopped;
use crate::gemm::{Codes, Space};
use crate::memory::reserve;
use crate::threads;

/// Images in the caller's memory.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// From the first element on.
    pub codes: Codes<'a>,
    /// Number of images.
    pub images: usize,
    /// Number of channels.
    pub channels: usize,
    /// Lengths.
    pub space: Space,
    /// From one image, channel and element of each axis to the next.
    pub strides: [usize; 5],
}

impl Image<'_> {
    /// The strides of images of these lengths that lie one after the other, channels first.
    pub fn first([depth, height, width]: Space, channels: usize) -> [usize; 5] {
        let plane = depth * height * width;
        [channels * plane, plane, height * width, width, 1]
    }

    /// The same, channels last.
    pub fn last([depth, height, width]: Space, channels: usize) -> [usize; 5] {
        [depth * height * width * channels, 1, height * width * channels, width * channels, channels]
    }

    /// Whether the elements lie as with these strides.
    pub fn lies(&self, strides: [usize; 5]) -> bool {
        let [depth, height, width] = self.space;
        let lengths = [self.images, self.channels, depth, height, width];
        // An axis of length 1 may have any stride.
        (0..5).all(|a| lengths[a] <= 1 || self.strides[a] == strides[a])
    }
}

/// What images are laid out as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Elements before each axis.
    pub(crate) before: Space,
    /// Lengths with the padding.
    pub(crate) padded: Space,
    /// Channels, and how many follow each other with the same content.
    pub(crate) channels: usize,
    pub(crate) repeated: usize,
    /// Elements behind the last image that may be read with it.
    pub(crate) room: usize,
}

/// The images, laid out: the caller's memory where that is how they lie. Where it is not, in `memory`, if that is large
/// enough, with more behind them.
pub(crate) fn laid_out<'a, C: Byte>(
    isa: Isa,
    codes: &'a [C],
    image: &Image<'_>,
    layout: Layout,
    fill: C,
    memory: impl FnOnce() -> Vec<C>,
) -> Result<Cow<'a, [C]>, Stopped> {
    let Image { images, channels, space, strides, .. } = *image;
    let Layout { before, padded, channels: wide, repeated, room } = layout;
    let [_, mut height, mut width] = padded;
    let n = images * padded.iter().product::<usize>() * wide;
    if padded == space
        && wide == channels
        && repeated == 1
        && image.lies(Image::last(padded, wide))
        && codes.len() >= n
    {
        return Ok(Cow::Borrowed(&codes[..n]));
    }
    // All of it is written below: what was there before need not be cleared.
    let mut all = memory();
    all.truncate(n + room);
    let more = n + room - all.len();
    reserve(&mut all, more);
    all.resize(n + room, fill);
    if n == 0 || channels == 0 || space.contains(&0) {
        all.fill(fill);
        return Ok(Cow::Owned(all));
    }
    let mut step = strides[4];
    // Lines that follow each other are one.
    if padded == space && (space[1] == 1 || space[2] == 1 || strides[3] == step * space[2]) {
        step = if space[2] == 1 { strides[3] } else { step };
        (height, width) = (1, height * width);
    }
    let length = if height == 1 && padded == space { width } else { space[2] };
    let line = width * wide;
    let lines = (PIECE / line).max(1);
    let mut pieces = Vec::with_capacity(n / (lines * line) + 1);
    for (i, to) in all[..n].chunks_mut(lines * line).enumerate() {
        // A long line is several pieces; with padding it is one.
        let some = if padded == space && line > PIECE { (PIECE / wide).max(1) * wide } else { to.len() };
        pieces.extend(to.chunks_mut(some).enumerate().map(|(k, to)| (i * lines, k * some / wide, to)));
    }
    threads::for_each(2 * n, pieces.into_iter(), |(first, x, to)| {
        let (mut y, rest) = (first % height, first / height);
        let (mut z, mut i) = (rest % padded[0], rest / padded[0]);
        for to in to.chunks_mut(line) {
            let inside = (z.wrapping_sub(before[0]), y.wrapping_sub(before[1]));
            if inside.0 < space[0] && inside.1 < space[1] {
                let from = i * strides[0] + inside.0 * strides[2] + inside.1 * strides[3] + x * step;
                let length = length.min(to.len() / wide);
                let from = Line { codes: &codes[from..], channels, channel: strides[1], step };
                let (left, own) = to.split_at_mut(before[2] * wide);
                let (own, right) = own.split_at_mut(length * wide);
                from.lay_out(isa, own, (wide, repeated));
                left.fill(fill);
                right.fill(fill);
            } else {
                to.fill(fill);
            }
            y += 1;
            if y == height {
                (y, z) = (0, z + 1);
            }
            if z == padded[0] {
                (z, i) = (0, i + 1);
            }
        }
        true
    })?;
    Ok(Cow::Owned(all))
}

/// Bytes that are written at once.
const PIECE: usize = threads::CHUNK_BYTES / 2;

/// The codes of images, channels last: the caller's memory where that is how they lie.
pub(crate) fn channels_last<'a, C: Byte>(
    isa: Isa,
    codes: &'a [C],
    image: &Image<'_>,
) -> Result<Cow<'a, [C]>, Stopped> {
    let Image { channels, space, .. } = *image;
    let layout = Layout { before: [0; 3], padded: space, channels, repeated: 1, room: 0 };
    laid_out(isa, codes, image, layout, C::default(), Vec::new)
}

/// A line of an image.
#[derive(Clone, Copy)]
struct Line<'a, C> {
    codes: &'a [C],
    channels: usize,
    /// From one channel, and from one element, to the next.
    channel: usize,
    step: usize,
}

impl<C: Byte> Line<'_, C> {
    /// Writes its elements, each so wide, with every channel so many times.
    #[inline]
    fn lay_out(self, isa: Isa, to: &mut [C], (wide, repeated): (usize, usize)) {
        let Self { codes, channels, channel, step } = self;
        if repeated > 1 {
            for (x, to) in to.chunks_exact_mut(wide).enumerate() {
                for (c, to) in to.chunks_mut(repeated).take(channels).enumerate() {
                    to.fill(codes[c * channel + x * step]);
                }
            }
        } else if (channel == 1 || channels == 1) && step == wide {
            to.copy_from_slice(&codes[..to.len()]);
        } else if step == 1 || to.len() == wide {
            transpose(isa, codes, (channels, channel), to);
        } else if channel == 1 {
            for (x, to) in to.chunks_exact_mut(wide).enumerate() {
                to.copy_from_slice(&codes[x * step..][..channels]);
            }
        } else {
            for (x, to) in to.chunks_exact_mut(wide).enumerate() {
                to.iter_mut().enumerate().for_each(|(c, to)| *to = codes[c * channel + x * step]);
            }
        }
    }
}
