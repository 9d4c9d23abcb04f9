//! How a kernel moves over an image.
//!
//! A convolution is one *piece*. A transposed one is a piece for each remainder of the output's positions by the
//! stride: such positions meet the same elements of the kernel, so that each piece is an ordinary convolution by those
//! elements, and no zeros are put between the input's elements.

use crate::error::{Error, Result};
use crate::gemm::Space;

/// The parameters of a convolution. Axes that images lack have kernels, strides and dilations of 1, and no padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    /// Lengths of the kernel.
    pub kernel: Space,
    /// From one position to the next.
    pub stride: Space,
    /// From one element of the kernel to the next.
    pub dilation: Space,
    /// Elements before and after each axis.
    pub padding: [(usize, usize); 3],
    /// Groups of channels that do not meet.
    pub groups: usize,
    /// For a transposed convolution: what is added to the end of each axis of the output.
    pub transposed: Option<Space>,
}

/// The positions of one axis that meet the same elements of the kernel.
#[derive(Debug, Clone, Default)]
struct Run {
    /// The elements, in the order of the input's.
    taps: Vec<usize>,
    stride: usize,
    dilation: usize,
    /// Where in the input the first position meets the first element.
    first: isize,
    /// The first position in the output, and from one to the next.
    to: (usize, usize),
}

/// An ordinary convolution whose results are some of the output.
#[derive(Debug, Clone)]
pub(crate) struct Piece([Run; 3]);

fn each<T>(f: impl FnMut(usize) -> T) -> [T; 3] {
    [0, 1, 2].map(f)
}

impl Piece {
    pub(crate) fn taps(&self, axis: usize) -> &[usize] {
        &self.0[axis].taps
    }

    pub(crate) fn kernel(&self) -> Space {
        each(|a| self.0[a].taps.len())
    }

    pub(crate) fn stride(&self) -> Space {
        each(|a| self.0[a].stride)
    }

    pub(crate) fn dilation(&self) -> Space {
        each(|a| self.0[a].dilation)
    }

    /// How many positions there are along each axis of an output of these lengths.
    pub(crate) fn positions(&self, output: Space) -> Space {
        each(|a| output[a].saturating_sub(self.0[a].to.0).div_ceil(self.0[a].to.1))
    }

    /// Where a position lies in the output.
    pub(crate) fn place(&self, position: Space) -> Space {
        each(|a| self.0[a].to.0 + position[a] * self.0[a].to.1)
    }

    /// Where in the image the first position meets the first element, along each axis.
    pub(crate) fn first(&self) -> [isize; 3] {
        each(|a| self.0[a].first)
    }

    /// Where the first position starts in an image with `before` elements before each axis.
    pub(super) fn origin(&self, before: Space) -> Space {
        each(|a| before[a].saturating_add_signed(self.0[a].first))
    }
}

impl Geometry {
    /// The lengths of the output.
    ///
    /// # Errors
    /// An input that the kernel does not fit in.
    pub fn output(&self, input: Space) -> Result<Space> {
        let mut output = [0; 3];
        for a in 0..3 {
            let (before, after) = self.padding[a];
            let reach = self.dilation[a] * (self.kernel[a] - 1) + 1;
            output[a] = match self.transposed {
                None => (input[a] + before + after)
                    .checked_sub(reach)
                    .map(|n| n / self.stride[a] + 1)
                    .ok_or_else(|| {
                        let got = format!(
                            "{} long along an axis, with padding {}",
                            input[a],
                            input[a] + before + after
                        );
                        Error::value("input", got, format!("as long as the kernel reaches there: {reach}"))
                    })?,
                Some(extra) => match input[a] {
                    0 => return Err(Error::value("input", "an axis of length 0", "at least 1 long")),
                    n => ((n - 1) * self.stride[a] + reach + extra[a])
                        .checked_sub(before + after)
                        .ok_or_else(|| {
                            let got = format!("{} and {}", before, after);
                            Error::value("padding", got, "less than the output is long without it")
                        })?,
                },
            };
        }
        Ok(output)
    }

    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let [z, y, x] = each(|a| self.runs(a));
        let mut pieces = Vec::new();
        for z in &z {
            for y in &y {
                pieces.extend(x.iter().map(|x| Piece([z.clone(), y.clone(), x.clone()])));
            }
        }
        pieces
    }

    fn runs(&self, a: usize) -> Vec<Run> {
        let (kernel, stride, dilation, before) =
            (self.kernel[a], self.stride[a], self.dilation[a], self.padding[a].0);
        if self.transposed.is_none() {
            let first = -(before as isize);
            return vec![Run { taps: (0..kernel).collect(), stride, dilation, first, to: (0, 1) }];
        }
        // The output at `o` meets the input at `i` through the element `k` where o + before = i * stride + k * dilation.
        let run = |o: usize| {
            let meets = |k: &usize| (o + before) % stride == k * dilation % stride;
            let taps: Vec<usize> = (0..kernel).rev().filter(meets).collect();
            let at = |k: usize| ((o + before) as isize - (k * dilation) as isize) / stride as isize;
            let first = taps.first().map_or(0, |&k| at(k));
            let dilation = taps.get(1).map_or(1, |&k| (at(k) - first) as usize);
            Run { taps, stride: 1, dilation, first, to: (o, stride) }
        };
        (0..stride).map(run).collect()
    }

    /// The padding that all pieces find what they meet in, before and after each axis.
    pub(super) fn frame(pieces: &[Piece], input: Space, output: Space) -> (Space, Space) {
        let (mut before, mut after) = ([0; 3], [0; 3]);
        for piece in pieces {
            let positions = piece.positions(output);
            if positions.contains(&0) || piece.kernel().contains(&0) {
                continue;
            }
            for a in 0..3 {
                let Run { taps, stride, dilation, first, .. } = &piece.0[a];
                let last = first + ((positions[a] - 1) * stride + (taps.len() - 1) * dilation) as isize;
                before[a] = before[a].max((-first).max(0) as usize);
                after[a] = after[a].max((last + 1 - input[a] as isize).max(0) as usize);
            }
        }
        (before, after)
    }
}
