//! Images as convolutions read them: channels last, with their padding around them.

use std::borrow::Cow;

use crate::arch::{Byte, LINE, interleave};
use crate::error::Stopped;
use crate::gemm::{Codes, Space};
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
}

/// The images, laid out: the caller's memory where that is how they lie.
pub(crate) fn laid_out<'a, C: Byte>(
    codes: &'a [C],
    image: &Image<'_>,
    layout: Layout,
    fill: C,
) -> Result<Cow<'a, [C]>, Stopped> {
    let Image { images, channels, space, strides, .. } = *image;
    let Layout { before, padded, channels: wide, repeated } = layout;
    let [_, height, width] = padded;
    let n = images * padded.iter().product::<usize>() * wide;
    let as_is = [padded[0] * height * width * wide, 1, height * width * wide, width * wide, wide];
    let lengths = [images, channels, space[0], space[1], space[2]];
    // An axis of length 1 may have any stride.
    let lies = (0..5).all(|a| lengths[a] <= 1 || strides[a] == as_is[a]);
    if padded == space && wide == channels && repeated == 1 && lies && codes.len() >= n {
        return Ok(Cow::Borrowed(&codes[..n]));
    }
    let mut to = vec![fill; n];
    if n == 0 || channels == 0 || space.contains(&0) {
        return Ok(Cow::Owned(to));
    }
    threads::for_each(2 * n, to.chunks_exact_mut(width * wide).enumerate(), |(line, to)| {
        let (y, rest) = (line % height, line / height);
        let (z, i) = (rest % padded[0], rest / padded[0]);
        let (z, y) = (z.wrapping_sub(before[0]), y.wrapping_sub(before[1]));
        if z < space[0] && y < space[1] {
            let from = &codes[i * strides[0] + z * strides[2] + y * strides[3]..];
            let to = &mut to[before[2] * wide..][..space[2] * wide];
            let from =
                Line { codes: from, channels, length: space[2], channel: strides[1], step: strides[4] };
            match repeated {
                1 => transpose(from, to, wide),
                _ => repeat(from, to, wide, repeated),
            }
        }
        true
    })?;
    Ok(Cow::Owned(to))
}

/// A line of an image: the channels of `length` elements.
#[derive(Clone, Copy)]
struct Line<'a, C> {
    codes: &'a [C],
    channels: usize,
    length: usize,
    /// From one channel, and from one element, to the next.
    channel: usize,
    step: usize,
}

fn repeat<C: Byte>(from: Line<'_, C>, to: &mut [C], wide: usize, repeated: usize) {
    for (x, to) in to.chunks_exact_mut(wide).enumerate() {
        for (c, to) in to.chunks_mut(repeated).take(from.channels).enumerate() {
            to.fill(from.codes[c * from.channel + x * from.step]);
        }
    }
}

fn transpose<C: Byte>(from: Line<'_, C>, to: &mut [C], wide: usize) {
    let Line { codes, channels, length, channel, step } = from;
    if channel == 1 && step == wide && channels == wide {
        to.copy_from_slice(&codes[..length * wide]);
    } else if channel == 1 {
        for (x, to) in to.chunks_exact_mut(wide).enumerate() {
            to[..channels].copy_from_slice(&codes[x * step..][..channels]);
        }
    } else if step == 1 && channels <= 4 {
        (0..length).step_by(LINE).for_each(|x| turn::<C, 4>(from, 0, x, to, wide));
    } else if step == 1 {
        for first in (0..channels).step_by(LINE) {
            (0..length).step_by(LINE).for_each(|x| turn::<C, LINE>(from, first, x, to, wide));
        }
    } else {
        for (x, to) in to.chunks_exact_mut(wide).enumerate() {
            (0..channels).for_each(|c| to[c] = codes[c * channel + x * step]);
        }
    }
}

/// Turns up to `R` channels of up to `LINE` elements, from these on.
#[inline]
fn turn<C: Byte, const R: usize>(from: Line<'_, C>, first: usize, x: usize, to: &mut [C], wide: usize) {
    let (channels, length) = (R.min(from.channels - first), LINE.min(from.length - x));
    let lines: [[C; LINE]; R] = std::array::from_fn(|c| {
        let mut line = [C::default(); LINE];
        if c < channels {
            // What lies behind the line is read with it where there is as much, and left out below.
            let codes = &from.codes[(first + c) * from.channel + x..];
            match codes.first_chunk() {
                Some(whole) => line = *whole,
                None => line[..length].copy_from_slice(&codes[..length]),
            }
        }
        line
    });
    let turned = interleave(lines);
    let elements = turned.as_flattened().as_chunks::<R>().0;
    if first == 0 && R > wide {
        // Elements follow each other, so that the next one is written over what is too much.
        for (i, element) in elements.iter().take(length).enumerate() {
            let to = &mut to[(x + i) * wide..];
            match to.first_chunk_mut() {
                Some(to) => *to = *element,
                None => to[..wide].copy_from_slice(&element[..wide]),
            }
        }
        return;
    }
    let places = to[x * wide..].chunks_exact_mut(wide).take(length);
    if channels == R {
        for (element, to) in elements.iter().zip(places) {
            to[first..first + R].copy_from_slice(element);
        }
    } else {
        for (element, to) in elements.iter().zip(places) {
            to[first..first + channels].iter_mut().zip(element).for_each(|(to, &code)| *to = code);
        }
    }
}
