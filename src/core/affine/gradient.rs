//! The gradients of fake quantization: what quantization aware training follows back.
//!
//! The rounding counts as the identity (the straight-through estimator of Bengio et al., arXiv:1308.3432, with
//! torch's clipped form); scale and zero point learn as in LSQ+ (Bhalgat et al., arXiv:2004.09576).

use std::mem::MaybeUninit;

use super::Channels;
use crate::memory::filled;
use crate::qparams::{fake_quantize_one, passes_gradient};

/// Where fake quantization maps to: the scales and zero points of each channel, and the range of codes.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    /// The size of one step, for each channel.
    pub scales: &'a [f32],
    /// The code that stands for 0, for each channel.
    pub zero_points: &'a [i32],
    /// Where the channels lie; one of them for a whole tensor.
    pub layout: Channels,
    /// The smallest code.
    pub quant_min: i32,
    /// The largest code.
    pub quant_max: i32,
}

/// The gradient of the loss with respect to each channel's scale and zero point.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learned {
    /// For each channel.
    pub scales: Vec<f64>,
    /// For each channel.
    pub zero_points: Vec<f64>,
}

impl Grid<'_> {
    /// Calls `f` with each channel's number and the span of each of its runs.
    fn spans(&self, mut f: impl FnMut(usize, std::ops::Range<usize>)) {
        let Channels { outer, channels, inner } = self.layout;
        for o in 0..outer {
            for c in 0..channels {
                let start = (o * channels + c) * inner;
                f(c, start..start + inner);
            }
        }
    }

    /// The gradient with respect to the input: `grad` where the code lies inside the range, 0 elsewhere (and at NaN).
    pub fn backward(&self, grad: &[f32], x: &[f32], dx: &mut [MaybeUninit<f32>]) {
        self.spans(|c, span| {
            let (inv, zero_point) = (1.0 / self.scales[c], self.zero_points[c]);
            let (grad, x, dx) = (&grad[span.clone()], &x[span.clone()], &mut dx[span]);
            for ((&g, &x), dx) in grad.iter().zip(x).zip(dx) {
                let passes = passes_gradient(x, inv, zero_point, self.quant_min, self.quant_max);
                dx.write(if passes { g } else { 0.0 });
            }
        });
    }

    /// The same, with the gradients of scales and zero points: inside of the range `ds = (y - x) / s`, `dz = 0`;
    /// outside `ds = quant_min - z` or `quant_max - z`, `dz = -s`; each times `grad`, added up over the channel.
    pub fn learnable_backward(&self, grad: &[f32], x: &[f32], dx: &mut [MaybeUninit<f32>]) -> Learned {
        let n = self.layout.channels;
        let mut learned = Learned { scales: filled(n, 0.0), zero_points: filled(n, 0.0) };
        let (lo, hi) = (self.quant_min, self.quant_max);
        self.spans(|c, span| {
            let (scale, zero_point) = (self.scales[c], self.zero_points[c]);
            let inv = 1.0 / scale;
            let (mut ds, mut dz) = (0.0, 0.0);
            for i in span {
                let (g, x) = (grad[i], x[i]);
                if passes_gradient(x, inv, zero_point, lo, hi) {
                    dx[i].write(g);
                    ds += f64::from(g * ((fake_quantize_one(x, scale, inv, zero_point, lo, hi) - x) * inv));
                } else {
                    dx[i].write(0.0);
                    let below =
                        f64::from((x * inv).round_ties_even()) + f64::from(zero_point) < f64::from(lo);
                    let bound = if below { lo } else { hi };
                    ds += f64::from(g) * (f64::from(bound) - f64::from(zero_point));
                    dz -= f64::from(g * scale);
                }
            }
            learned.scales[c] += ds;
            learned.zero_points[c] += dz;
        });
        learned
    }
}
