//! Pooling: the greatest or the average code of each window of an image.
//!
//! Images lie channels last, so that a vector holds channels side by side; planes of single channels are images of one
//! channel. A window is the product of three ranges, one for each axis; ordinary, dilated and adaptive pooling differ in
//! nothing but those.

mod apart;
mod average;
mod axis;
mod wide;
mod windows;

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

pub use wide::pool_wide;
pub use windows::{Moves, Window, adaptive_windows};

use super::TargetCodes;
use crate::arch::{Byte, Isa, Kernel, Scalar, Slot, Vector, dispatch};
use crate::conv::{Image, channels_last};
use crate::error::Stopped;
use crate::gemm::{Codes, Space};
use crate::threads;
use apart::{apart, are_apart};
use average::Average;
use axis::{NARROW, Sum, Total, along, each};

/// What becomes of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pool {
    /// Its greatest code; the least that there is where it meets nothing.
    Max,
    /// The code nearest to the average, halves to even. The zero point counts as 0, and where a divisor is given, it
    /// is used for the size of every window.
    Average(i32, Option<i64>),
    /// The same on a grid of its own: the input's scale by that of the results, and their zero point.
    AverageOn(i32, Option<i64>, (f64, i32)),
}

/// Pools images into as many results as there are windows, `images x windows x channels`.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree; results of another type than the codes.
pub fn pool(
    kind: Pool,
    image: &Image<'_>,
    windows: &[Vec<Window>; 3],
    to: TargetCodes<'_>,
) -> Result<(), Stopped> {
    match (image.codes, to) {
        (Codes::U8(codes), TargetCodes::U8(to)) => pool_codes(kind, codes, image, windows, to),
        (Codes::I8(codes), TargetCodes::I8(to)) => pool_codes(kind, codes, image, windows, to),
        _ => panic!("results of the codes' type"),
    }
}

fn pool_codes<C: Byte + Total>(
    kind: Pool,
    codes: &[C],
    image: &Image<'_>,
    windows: &[Vec<Window>; 3],
    to: &mut [MaybeUninit<C>],
) -> Result<(), Stopped>
where
    i16: From<C>,
    i32: From<C>,
    i64: From<C>,
{
    let Image { images, space, channels, .. } = *image;
    let codes = &channels_last(Isa::current(), codes, image)?[..];
    if to.is_empty() {
        return Ok(());
    }
    let [depth, height, width] = space;
    let [planes, lines, along] = windows.each_ref().map(Vec::len);
    let (plane, line) = (height * width * channels, along * channels);
    assert_eq!(to.len(), images * planes * lines * line, "as many results as windows");
    let taps: usize = windows.iter().map(|w| w.iter().map(|w| w.count).max().unwrap_or(0)).product();
    let isa = Isa::current();
    let run = |image: usize, z: usize, lines: Range<usize>, to: &mut [MaybeUninit<C>]| {
        let codes = &codes[image * depth * plane..][..to.len() / (lines.len() * line) * depth * plane];
        let piece = Piece { codes, space, channels, windows, z, lines, to };
        let average = match kind {
            Pool::Max => {
                dispatch(isa, Greatest(piece));
                return true;
            }
            Pool::Average(zero_point, divisor) => Average { zero_point, divisor, to: None },
            Pool::AverageOn(zero_point, divisor, to) => Average { zero_point, divisor, to: Some(to) },
        };
        match taps {
            0..=IN_16_BITS => dispatch(isa, Averages::<_, i16>(piece, average, PhantomData)),
            _ if taps <= IN_32_BITS => dispatch(isa, Averages::<_, i32>(piece, average, PhantomData)),
            // So rare that it is not compiled for more than one instruction set.
            _ => Averages::<_, i64>(piece, average, PhantomData).run(Scalar),
        }
        true
    };
    let work = codes.len() + to.len();
    // A window that lies beside the one plane meets nothing of it: images are joined one by one then.
    let flat = depth == 1 && planes == 1 && windows[0][0].count == 1;
    // Many small images are a piece, and so are some lines of a large one.
    let per_image = (work / images).max(1);
    let group = if flat { (PIECE / per_image).clamp(1, images) } else { 1 };
    let step = if flat { (PIECE * lines / per_image).clamp(1, lines) } else { lines };
    if group > 1 {
        let pieces = to.chunks_mut(group * lines * line).enumerate();
        return threads::for_each(work, pieces, |(i, to)| run(i * group, 0, 0..lines, to));
    }
    let pieces: Vec<_> = to
        .chunks_mut(lines * line)
        .enumerate()
        .flat_map(|(i, to)| to.chunks_mut(step * line).enumerate().map(move |(j, to)| (i, j * step, to)))
        .collect();
    threads::for_each(work, pieces.into_iter(), |(i, y, to)| {
        run(i / planes, i % planes, y..y + to.len() / line, to)
    })
}

/// So many codes add up to no more than an i16 and an i32 hold.
const IN_16_BITS: usize = 1 << 7;
const IN_32_BITS: usize = 1 << 23;

/// Bytes read and written by one piece of work. What is kept between the axes fits the first caches.
const PIECE: usize = 24 << 10;

/// The windows of some lines of one plane of windows; for flat images, of several of them.
struct Piece<'a, C> {
    /// The images that they lie in.
    codes: &'a [C],
    space: Space,
    channels: usize,
    windows: &'a [Vec<Window>; 3],
    /// Of the first axis.
    z: usize,
    /// Of the second one.
    lines: Range<usize>,
    to: &'a mut [MaybeUninit<C>],
}

impl<C: Byte> Piece<'_, C> {
    /// What each of the windows comes to.
    fn join<V: Vector, T: Total + From<C>, S: Slot<Item = T>>(&self, v: V, to: &mut [S]) {
        let [depth, height, width] = self.space;
        let plane = height * width * self.channels;
        let window = self.windows[0][self.z];
        if depth == 1 && window.count == 1 {
            self.join_lines(v, self.codes, to);
        } else if window.count == 1 {
            self.join_lines(v, &self.codes[window.first * plane..][..plane], to);
        } else {
            let mut joined = vec![T::NONE; plane];
            along(v, &[window], self.codes, (depth, plane), &mut joined, &mut vec![]);
            self.join_lines(v, &joined, to);
        }
    }

    fn join_lines<V: Vector, F: Copy, T: Total + From<F>, S: Slot<Item = T>>(
        &self,
        v: V,
        from: &[F],
        to: &mut [S],
    ) {
        let [_, height, width] = self.space;
        let (lines, windows) = (&self.windows[1][self.lines.clone()], &self.windows[2]);
        let inner = width * self.channels;
        let mut spare = vec![];
        if height == 1 && lines.len() == 1 && lines[0].count == 1 {
            return along(v, windows, from, (width, self.channels), to, &mut spare);
        }
        if self.channels >= NARROW {
            if are_apart([lines, windows], width) {
                return apart(v, [lines, windows], from, (height, width, self.channels), to);
            }
            // One line after the other, which stays in the first cache.
            let mut joined = vec![T::NONE; inner];
            let line = windows.len() * self.channels;
            let images = from.chunks_exact(height * inner).zip(to.chunks_exact_mut(lines.len() * line));
            for (from, to) in images {
                for (&window, to) in lines.iter().zip(to.chunks_exact_mut(line)) {
                    each(v, &[window], from, inner, &mut joined);
                    each(v, windows, &joined, self.channels, to);
                }
            }
            return;
        }
        let mut joined = vec![T::NONE; from.len() / height * lines.len()];
        along(v, lines, from, (height, inner), &mut joined, &mut spare);
        along(v, windows, &joined, (width, self.channels), to, &mut spare);
    }
}

/// Maxima.
struct Greatest<'a, C>(Piece<'a, C>);

impl<C: Byte + Total> Kernel for Greatest<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let mut piece = self.0;
        let to = std::mem::take(&mut piece.to);
        piece.join::<V, C, _>(v, to);
    }
}

/// Averages from sums in a type that holds them.
struct Averages<'a, C, T>(Piece<'a, C>, Average, PhantomData<T>);

impl<C: Byte, T: Sum + From<C>> Kernel for Averages<'_, C, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Self(mut piece, average, _) = self;
        let to = std::mem::take(&mut piece.to);
        let mut sums = vec![T::NONE; to.len()];
        piece.join::<V, T, _>(v, &mut sums);
        let [planes, lines, windows] = piece.windows;
        let (plane, lines) = (planes[piece.z], &lines[piece.lines.clone()]);
        let same = |all: &[Window]| all.iter().all(|w| w.count == all[0].count && w.size == all[0].size);
        if same(lines) && same(windows) {
            return average.write(v, [plane, lines[0], windows[0]], &sums, to);
        }
        let mut at = 0;
        for &line in lines.iter().cycle() {
            // Neighbours that are as large.
            for run in windows.chunk_by(|a, b| a.count == b.count && a.size == b.size) {
                let n = run.len() * piece.channels;
                average.write(v, [plane, line, run[0]], &sums[at..at + n], &mut to[at..at + n]);
                at += n;
            }
            if at == to.len() {
                break;
            }
        }
    }
}
