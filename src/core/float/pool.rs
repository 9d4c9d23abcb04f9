//! Pooling of floats: the greatest or the average number of each window of an image whose channels lie last.

use std::mem::MaybeUninit;

use super::conv::FloatImage;
use super::rows::{self, Part};
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::Stopped;
use crate::ops::pool::Window;
use crate::threads;

/// What becomes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatPool {
    /// Its greatest number, -inf where it meets nothing; NaN where there is one.
    Max,
    /// Its sum by its size, or by a divisor.
    Average(Option<i64>),
}

/// Pools images into as many results as there are windows, `images x windows x channels`.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree; windows beyond the image, or the image beyond its memory.
pub fn pool(
    kind: FloatPool,
    image: &FloatImage<'_>,
    windows: &[Vec<Window>; 3],
    to: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    let [planes, lines, along] = windows.each_ref().map(Vec::len);
    let line = along * image.channels;
    assert_eq!(to.len(), image.images * planes * lines * line, "as many results as windows");
    if to.is_empty() {
        return Ok(());
    }
    let taps: usize = windows.iter().map(|w| w.iter().map(|w| w.count).max().unwrap_or(0)).product();
    let work = 4 * to.len().saturating_mul(taps + 1);
    let isa = Isa::current();
    // Lines that together read as much as a piece of work does.
    let at_once = (threads::CHUNK_BYTES / (4 * line * (taps + 1))).max(1);
    threads::for_each(work, to.chunks_mut(at_once * line).enumerate(), |(i, to)| {
        for (k, to) in to.chunks_mut(line).enumerate() {
            let row = i * at_once + k;
            let (y, z, n) = (row % lines, row / lines % planes, row / lines / planes);
            let window = [windows[0][z], windows[1][y]];
            dispatch(isa, Line { kind, image, n, window, along: &windows[2], to });
        }
        true
    })
}

/// How many windows, from the first one on, move by one pixel each and are alike.
fn alike(windows: &[Window]) -> usize {
    let next = |w: &[Window]| Window { first: w[0].first + 1, ..w[0] } == w[1];
    1 + windows.windows(2).take_while(|w| next(w)).count()
}

/// The windows of a line.
struct Line<'a> {
    kind: FloatPool,
    image: &'a FloatImage<'a>,
    n: usize,
    window: [Window; 2],
    along: &'a [Window],
    to: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Self { kind, image, n, window: [z, y], mut along, mut to } = self;
        let dense = image.strides[3] == image.channels;
        while let Some(&x) = along.first() {
            // Where pixels follow each other, so do what neighbouring windows read: they are one row of channels.
            let count = if dense { alike(along) } else { 1 };
            let (own, rest) = to.split_at_mut(count * image.channels);
            rows::groups(v, own.len(), &mut Pooled { kind, image, n, window: [z, y, x], to: own });
            (along, to) = (&along[count..], rest);
        }
    }
}

/// One window, or some that are one pixel apart.
struct Pooled<'a> {
    kind: FloatPool,
    image: &'a FloatImage<'a>,
    n: usize,
    window: [Window; 3],
    to: &'a mut [MaybeUninit<f32>],
}

impl<V: Vector> Part<V> for Pooled<'_> {
    type Output = ();

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) {
        let [z, y, x] = self.window;
        let [image, plane, line, pixel] = self.image.strides;
        let max = self.kind == FloatPool::Max;
        let mut all = [v.splat(if max { f32::NEG_INFINITY } else { 0.0 }); 4];
        for z in 0..z.count {
            let from = self.n * image + (self.window[0].first + z * self.window[0].step) * plane;
            for y in 0..y.count {
                let from = from + (self.window[1].first + y * self.window[1].step) * line;
                for i in 0..x.count {
                    let from = from + (x.first + i * x.step) * pixel;
                    let some = rows::load(v, self.image.x, from + at, len);
                    for (all, some) in all.iter_mut().zip(some) {
                        *all = match max {
                            true => {
                                let greater = v.or(v.less(*all, some), v.unordered(some, some));
                                v.select(greater, some, *all)
                            }
                            false => v.add(*all, some),
                        };
                    }
                }
            }
        }
        if let FloatPool::Average(divisor) = self.kind {
            let size = divisor.unwrap_or((z.size * y.size * x.size).max(1) as i64);
            let size = v.splat(size as f32);
            for all in &mut all {
                *all = v.div(*all, size);
            }
        }
        rows::store(v, all, self.to, at, len);
    }
}
