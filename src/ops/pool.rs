//! Pooling: the greatest or the average code of each window of an image.
//!
//! Images lie channels last, so that a vector holds channels side by side. A window is the product of three ranges, one
//! for each axis; ordinary, dilated and adaptive pooling differ in nothing but those.

use std::mem::MaybeUninit;

use super::TargetCodes;
use crate::arch::{Byte, Isa, Kernel, Vector, copy_to, dispatch};
use crate::conv::{Image, Layout, laid_out};
use crate::error::{Error, Result, Stopped};
use crate::gemm::{Codes, Space};
use crate::threads;

/// The elements of one axis that a window meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first one, how many there are, and how far apart.
    pub first: usize,
    /// How many there are.
    pub count: usize,
    /// How far apart.
    pub step: usize,
    /// How many an average divides by: padding may count.
    pub size: usize,
}

/// How windows move along one axis.
#[derive(Debug, Clone, Copy)]
pub struct Moves {
    /// Elements of a window.
    pub kernel: usize,
    /// From one window to the next.
    pub stride: usize,
    /// Elements before and after the axis.
    pub padding: usize,
    /// From one element of a window to the next.
    pub dilation: usize,
    /// Whether a last window may reach over the end.
    pub ceil: bool,
    /// Whether padding counts.
    pub count_padding: bool,
}

impl Moves {
    /// The windows on an axis of this length.
    ///
    /// # Errors
    /// An axis that the window does not fit in.
    pub fn windows(&self, length: usize) -> Result<Vec<Window>> {
        let Self { kernel, stride, padding, dilation, .. } = *self;
        let reach = dilation * (kernel - 1) + 1;
        let padded = length + 2 * padding;
        let Some(room) = padded.checked_sub(reach).filter(|_| length > 0) else {
            let got = format!("{length} long along an axis, with padding {padded}");
            return Err(Error::value("input", got, format!("as long as the window reaches there: {reach}")));
        };
        let mut n = if self.ceil { room.div_ceil(stride) } else { room / stride } + 1;
        // The last window starts inside the image or the padding before it.
        if self.ceil && (n - 1) * stride >= length + padding {
            n -= 1;
        }
        let window = |i: usize| {
            let start = i * stride;
            // In elements of the window: those that lie before the image.
            let before = padding.saturating_sub(start).div_ceil(dilation).min(kernel);
            let first = (start + before * dilation).saturating_sub(padding);
            let count = length.saturating_sub(first).div_ceil(dilation).min(kernel - before);
            let end = (start + kernel).min(length + 2 * padding);
            let size = if self.count_padding { end - start } else { count };
            Window { first, count, step: dilation, size }
        };
        Ok((0..n).map(window).collect())
    }
}

/// `n` windows that share an axis of this length as evenly as whole elements allow.
pub fn adaptive_windows(length: usize, n: usize) -> Vec<Window> {
    let window = |i: usize| {
        let (first, end) = (i * length / n, ((i + 1) * length).div_ceil(n));
        Window { first, count: end - first, step: 1, size: end - first }
    };
    (0..n).map(window).collect()
}

/// What becomes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Its greatest code; the least that there is where it meets nothing.
    Max,
    /// The code nearest to the average, halves to even. The zero point counts as 0, and where a divisor is given, it
    /// is used for the size of every window.
    Average(i32, Option<i64>),
}

impl Pool {
    /// The code that an average of codes less their zero point becomes, from their sum.
    fn average<C: Byte>(sum: i64, divisor: i64, zero_point: i32) -> C {
        let steps = (sum as f32 / divisor as f32).round_ties_even();
        C::saturated((steps + zero_point as f32) as i32)
    }
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

fn pool_codes<C: Byte>(
    kind: Pool,
    codes: &[C],
    image: &Image<'_>,
    windows: &[Vec<Window>; 3],
    to: &mut [MaybeUninit<C>],
) -> Result<(), Stopped> {
    let Image { space, channels, .. } = *image;
    let layout = Layout { before: [0; 3], padded: space, channels, repeated: 1, room: 0 };
    let codes = &laid_out(Isa::current(), codes, image, layout, C::default(), Vec::new)?[..];
    let line = windows[2].len() * channels;
    if to.is_empty() {
        return Ok(());
    }
    let image = space.iter().product::<usize>() * channels;
    let lines = windows[0].len() * windows[1].len();
    assert_eq!(to.len() / (line * lines) * image, codes.len(), "as many results as images");
    let per_result: usize = windows.iter().map(|w| w.iter().map(|w| w.count).max().unwrap_or(0)).product();
    let isa = Isa::current();
    threads::for_each(to.len() * per_result, to.chunks_exact_mut(line).enumerate(), |(i, to)| {
        let codes = &codes[i / lines * image..][..image];
        let at = [windows[0][i % lines / windows[1].len()], windows[1][i % windows[1].len()]];
        dispatch(isa, Line { kind, codes, space, channels, at, along: &windows[2], to });
        true
    })
}

/// A line of windows.
struct Line<'a, C> {
    kind: Pool,
    /// Of one image.
    codes: &'a [C],
    space: Space,
    channels: usize,
    /// What all of them meet of the first two axes.
    at: [Window; 2],
    along: &'a [Window],
    to: &'a mut [MaybeUninit<C>],
}

impl<C: Byte> Line<'_, C> {
    /// Calls `f` with the channels of each element of a window.
    #[inline(always)]
    fn each(&self, window: Window, mut f: impl FnMut(&[C])) {
        let [_, height, width] = self.space;
        let [plane, row] = self.at;
        for z in 0..plane.count {
            for y in 0..row.count {
                let (z, y) = (plane.first + z * plane.step, row.first + y * row.step);
                for x in 0..window.count {
                    let x = window.first + x * window.step;
                    f(&self.codes[((z * height + y) * width + x) * self.channels..][..self.channels]);
                }
            }
        }
    }
}

/// So many codes are added up in 32 bits.
const IN_32_BITS: usize = 1 << 22;

impl<C: Byte> Kernel for Line<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, _: V) {
        let channels = self.channels;
        let to = std::mem::take(&mut self.to);
        let mut best = vec![C::default(); channels];
        let (mut sums, mut totals) = (vec![0i32; channels], vec![0i64; channels]);
        for (&window, to) in self.along.iter().zip(to.chunks_exact_mut(channels)) {
            match self.kind {
                Pool::Max => {
                    best.fill(C::saturated(i32::MIN));
                    self.each(window, |codes| {
                        for (best, &code) in best.iter_mut().zip(codes) {
                            *best = if code > *best { code } else { *best };
                        }
                    });
                    copy_to(&best, to);
                }
                Pool::Average(zero_point, divisor) => {
                    totals.fill(0);
                    sums.fill(0);
                    let mut n = 0;
                    self.each(window, |codes| {
                        n += 1;
                        for (sum, code) in sums.iter_mut().zip(codes) {
                            *sum += code.widened();
                        }
                        if n % IN_32_BITS == 0 {
                            totals
                                .iter_mut()
                                .zip(&mut sums)
                                .for_each(|(t, s)| *t += i64::from(std::mem::take(s)));
                        }
                    });
                    let size = window.size * self.at[0].size * self.at[1].size;
                    let divisor = divisor.unwrap_or(size as i64);
                    let zeros = n as i64 * i64::from(zero_point);
                    for ((to, &total), &sum) in to.iter_mut().zip(&totals).zip(&sums) {
                        to.write(Pool::average(total + i64::from(sum) - zeros, divisor, zero_point));
                    }
                }
            }
        }
    }
}
