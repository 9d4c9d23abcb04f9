//! Convolutions whose groups have one channel and one output.

use std::mem::MaybeUninit;

use super::FloatImage;
use crate::arch::{self, DepthwiseLine, Isa, Then};
use crate::conv::Piece;
use crate::error::Stopped;
use crate::float::apply_here;
use crate::float::product::{Finish, PER_BYTE};
use crate::gemm::Space;
use crate::memory::filled;
use crate::threads;

/// Weights for each element of the kernel, of all channels, padded for every instruction set.
#[derive(Debug, Clone)]
pub(super) struct Channelwise {
    pub(super) channels: usize,
    pub(super) padded: usize,
    pub(super) weights: Vec<f32>,
}

/// Channels are padded to a multiple of this.
const LANES: usize = 16;

impl Channelwise {
    /// From a weight's place by channel and element.
    pub(super) fn new(channels: usize, taps: usize, weight: impl Fn(usize, usize) -> f32) -> Self {
        let padded = channels.next_multiple_of(LANES);
        let mut weights = filled(taps * padded, 0.0);
        for (tap, to) in weights.chunks_exact_mut(padded.max(1)).enumerate() {
            to[..channels].iter_mut().enumerate().for_each(|(c, to)| *to = weight(c, tap));
        }
        Self { channels, padded, weights }
    }

    /// The results of one piece, in positions one after the other.
    pub(super) fn run(
        &self,
        image: &FloatImage<'_>,
        piece: &Piece,
        positions: Space,
        finish: &Finish<'_>,
        to: &mut [MaybeUninit<f32>],
    ) -> Result<(), Stopped> {
        let [depth, height, width] = positions;
        let line = width * self.channels;
        if to.is_empty() {
            return Ok(());
        }
        let mut begin = filled(self.padded, 0.0);
        if let Some(bias) = finish.bias {
            begin[..self.channels].copy_from_slice(bias);
        }
        let (kernel, stride, dilation, first) =
            (piece.kernel(), piece.stride(), piece.dilation(), piece.first());
        let taps: usize = kernel.iter().product();
        // Each number that is read is used once for each element: as slow as twice as many products.
        let work = 2 * to.len() * taps.max(1) / PER_BYTE;
        let lines = to.len() / line;
        let at_once = match threads::sharing(work) {
            1 => (threads::CHUNK_BYTES / (4 * line)).max(1),
            n => lines.div_ceil(4 * n),
        };
        let isa = Isa::current();
        let then = finish.then.map(|function| move |x: &mut [f32]| apply_here(function, x));
        let inside = |axis: usize, position: usize, element: usize| {
            let at = (position * stride[axis] + element * dilation[axis]) as isize + first[axis];
            usize::try_from(at)
                .ok()
                .filter(|&at| at < image.space[axis])
                .map(|at| at * image.strides[axis + 1])
        };
        threads::for_each(work, to.chunks_mut(at_once * line).enumerate(), |(i, to)| {
            let mut met = Vec::new();
            for (k, to) in to.chunks_mut(line).enumerate() {
                let row = i * at_once + k;
                let (y, z, n) = (row % height, row / height % depth, row / height / depth);
                met.clear();
                for tz in 0..kernel[0] {
                    let Some(z) = inside(0, z, tz) else { continue };
                    for ty in 0..kernel[1] {
                        if let Some(y) = inside(1, y, ty) {
                            met.push((n * image.strides[0] + z + y, (tz * kernel[1] + ty) * kernel[2]));
                        }
                    }
                }
                let work = DepthwiseLine {
                    x: image.x,
                    lines: &met,
                    width: image.space[2],
                    pixel: image.strides[3],
                    channels: self.channels,
                    kernel: kernel[2],
                    dilation: dilation[2],
                    stride: stride[2],
                    before: -first[2],
                    weights: &self.weights,
                    begin: &begin,
                    residual: finish.residual.map(|all| &all[row * line..][..line]),
                    limits: finish.limits,
                    then: then.as_ref().map(|then| then as Then<'_>),
                    to,
                };
                arch::dispatch(isa, work);
            }
            true
        })
    }
}
