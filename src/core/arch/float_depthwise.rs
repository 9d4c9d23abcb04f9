//! Convolutions whose groups have one channel, of floats: channels lie in vectors, and no number is moved.

use std::mem::MaybeUninit;

use super::{Kernel, Then, Vector};

/// One line of an output: all positions along its last axis, with all channels.
pub(crate) struct DepthwiseLine<'a> {
    pub(crate) x: &'a [f32],
    /// Lines of the image that are met: where each starts, and the number of the first element of the kernel's line.
    pub(crate) lines: &'a [(usize, usize)],
    /// Pixels of a line, and from one to the next.
    pub(crate) width: usize,
    pub(crate) pixel: usize,
    pub(crate) channels: usize,
    /// Elements of a kernel's line, and pixels from one to the next.
    pub(crate) kernel: usize,
    pub(crate) dilation: usize,
    /// Pixels from one position to the next.
    pub(crate) stride: usize,
    /// Where the first element meets the line from the first position: so many pixels before it.
    pub(crate) before: isize,
    /// For each element a weight for each channel, padded.
    pub(crate) weights: &'a [f32],
    /// What sums begin with, padded as the weights are.
    pub(crate) begin: &'a [f32],
    /// Added to each result, or none.
    pub(crate) residual: Option<&'a [f32]>,
    /// The least and the greatest result.
    pub(crate) limits: (f32, f32),
    /// What becomes of all results then.
    pub(crate) then: Option<Then<'a>>,
    /// For each position a result for each channel.
    pub(crate) to: &'a mut [MaybeUninit<f32>],
}

impl DepthwiseLine<'_> {
    fn positions(&self) -> usize {
        self.to.len() / self.channels
    }

    /// Where in the line, in pixels, an element of the kernel lies from a position.
    fn meets(&self, position: usize, element: usize) -> isize {
        (position * self.stride + element * self.dilation) as isize - self.before
    }

    /// The elements that meet the line from a position.
    fn inside(&self, position: usize) -> std::ops::Range<usize> {
        let met = |&k: &usize| (0..self.width as isize).contains(&self.meets(position, k));
        let first = (0..self.kernel).find(met).unwrap_or(0);
        let count = (first..self.kernel).take_while(|k| met(k)).count();
        first..first + count
    }

    /// Refuses what lies outside of the memory.
    fn check(&self, lanes: usize) {
        let Self { channels, width, pixel, .. } = *self;
        assert!(channels > 0 && self.to.len().is_multiple_of(channels), "whole positions");
        let padded = self.begin.len();
        assert!(padded >= channels.next_multiple_of(lanes), "padded channels");
        for &(start, first) in self.lines {
            let end = width.checked_sub(1).map_or(0, |n| start + n * pixel + channels);
            assert!(end <= self.x.len(), "lines within the memory");
            assert!((first + self.kernel) * padded <= self.weights.len(), "weights for each element");
        }
        assert!(self.residual.is_none_or(|all| all.len() == self.to.len()), "a number for each result");
    }
}

impl Kernel for DepthwiseLine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) {
        self.check(V::LANES);
        let positions = self.positions();
        let whole = 0..self.kernel;
        // Positions from which all elements meet the line are one run.
        let lo = (0..positions).find(|&p| self.inside(p) == whole).unwrap_or(positions);
        let hi = (lo..positions).take_while(|&p| self.inside(p) == whole).last().map_or(lo, |p| p + 1);
        let mut at = 0;
        while at < positions {
            at += match at >= lo && at < hi {
                true if hi - at >= 8 => wide::<V, 8, 1>(v, &mut self, at, whole.clone()),
                true if hi - at >= 4 => wide::<V, 4, 2>(v, &mut self, at, whole.clone()),
                _ => {
                    let met = self.inside(at);
                    wide::<V, 1, 4>(v, &mut self, at, met)
                }
            };
        }
        if let Some(then) = self.then {
            let to = self.to.as_mut_ptr().cast();
            // SAFETY: all of them were written above.
            then(unsafe { std::slice::from_raw_parts_mut(to, self.to.len()) });
        }
    }
}

/// All channels of so many positions, so many vectors at once; how many positions that are.
#[inline(always)]
fn wide<V: Vector, const P: usize, const C: usize>(
    v: V,
    line: &mut DepthwiseLine<'_>,
    at: usize,
    met: std::ops::Range<usize>,
) -> usize {
    let mut channel = 0;
    while channel + C * V::LANES <= line.channels {
        some::<V, P, C>(v, line, (at, channel), met.clone(), C * V::LANES);
        channel += C * V::LANES;
    }
    while channel < line.channels {
        let n = (line.channels - channel).min(V::LANES);
        some::<V, P, 1>(v, line, (at, channel), met.clone(), n);
        channel += V::LANES;
    }
    P
}

/// `n` channels from one on, of so many positions, which `met` elements of the kernel's lines meet.
#[expect(clippy::needless_range_loop, reason = "each turn is a register")]
#[inline(always)]
fn some<V: Vector, const P: usize, const C: usize>(
    v: V,
    line: &mut DepthwiseLine<'_>,
    (at, channel): (usize, usize),
    met: std::ops::Range<usize>,
    n: usize,
) {
    let lanes = V::LANES;
    let padded = line.begin.len();
    let whole = n == C * lanes;
    let step = line.stride * line.pixel;
    let mut sums = [[v.splat(0.0); C]; P];
    for c in 0..C {
        // SAFETY: there are padded channels, as `check` has seen.
        let begin = unsafe { v.read(line.begin.as_ptr().add(channel + c * lanes)) };
        for sums in &mut sums {
            sums[c] = begin;
        }
    }
    for &(start, first) in line.lines {
        for k in met.clone() {
            let pixel = line.meets(at, k) as usize;
            let from = line.x.as_ptr().wrapping_add(start + pixel * line.pixel + channel);
            let w = line.weights.as_ptr().wrapping_add((first + k) * padded + channel);
            // SAFETY: `met` elements meet the line from all of these positions, and `check` has seen that its pixels lie
            // in the memory with all channels, of which `n` are read; weights are padded.
            unsafe {
                let w: [V::F; C] = std::array::from_fn(|c| v.read(w.add(c * lanes)));
                for p in 0..P {
                    for c in 0..C {
                        let from = from.add(p * step + c * lanes);
                        let x = if whole { v.read(from) } else { v.read_some(from, n) };
                        sums[p][c] = v.fused(x, w[c], sums[p][c]);
                    }
                }
            }
        }
    }
    let (lo, hi) = (v.splat(line.limits.0), v.splat(line.limits.1));
    for p in 0..P {
        let place = (at + p) * line.channels + channel;
        let to = line.to[place..][..n].as_mut_ptr().cast::<f32>();
        for c in 0..C {
            let mut sum = sums[p][c];
            // SAFETY: `n` numbers are there, and room for as many.
            unsafe {
                if let Some(residual) = line.residual {
                    let from = residual[place..][..n].as_ptr().add(c * lanes);
                    sum = v.add(sum, if whole { v.read(from) } else { v.read_some(from, n) });
                }
                // NaN stays: `max` and `min` give it where their second argument is NaN.
                sum = v.min(hi, v.max(lo, sum));
                match whole {
                    true => v.write(sum, to.add(c * lanes)),
                    false => v.write_some(sum, to, n),
                }
            }
        }
    }
}
