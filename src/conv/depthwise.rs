//! Convolutions whose groups have one input channel: every output is a sum over the elements of its kernel alone.
//!
//! Channels lie side by side, so that a vector holds the sums of as many outputs.

use std::mem::MaybeUninit;

use super::geometry::Piece;
use crate::arch::{Byte, Isa, Kernel, SIDE_BY_SIDE, Vector, dispatch};
use crate::error::Stopped;
use crate::gemm::{
    Columns, Corrections, Epilogue, Finish, FinishBlock, PADDED, Space, WeightParams, WithEpilogue,
};
use crate::threads;

/// Channels are padded to a multiple of it.
pub(super) const LANES: usize = SIDE_BY_SIDE;
/// Sums in as much time as a thread reads and writes a byte.
const PER_BYTE: usize = 2;

/// Weights less their zero points, for each element of the kernel the outputs side by side.
#[derive(Debug, Clone)]
pub(super) struct Depthwise {
    /// Pairs of elements: the first one's weights in the low halves; the last one alone where their number is odd.
    pairs: Vec<[i16; 2]>,
    /// Outputs, padded.
    pub(super) wide: usize,
    pub(super) columns: Columns,
}

impl Depthwise {
    /// From `weight(output, tap)`, less its zero point.
    pub(super) fn new(
        outputs: usize,
        taps: usize,
        scales: &[f32],
        weight: impl Fn(usize, usize) -> i32,
    ) -> Self {
        let wide = outputs.next_multiple_of(LANES);
        let mut pairs = vec![[0i16; 2]; taps.div_ceil(2) * wide];
        let mut sums = vec![0i32; outputs.next_multiple_of(PADDED)];
        for tap in 0..taps {
            for output in 0..outputs {
                let w = weight(output, tap);
                pairs[tap / 2 * wide + output][tap % 2] = w as i16;
                sums[output] += w;
            }
        }
        let params = WeightParams { scales, zero_points: &[0] };
        Self { pairs, wide, columns: Columns::new(outputs, sums, params, 0, 0) }
    }

    /// What `weight` gave.
    pub(super) fn weight(&self, output: usize, tap: usize) -> i32 {
        i32::from(self.pairs[tap / 2 * self.wide + output][tap % 2])
    }

    pub(super) fn bytes(&self) -> usize {
        4 * self.pairs.len() + self.columns.bytes()
    }
}

/// A depthwise convolution of images that are laid out with `depthwise.wide` channels.
pub(super) struct Run<'a, C> {
    pub(super) isa: Isa,
    pub(super) depthwise: &'a Depthwise,
    pub(super) piece: &'a Piece,
    pub(super) codes: &'a [C],
    pub(super) padded: Space,
    pub(super) origin: Space,
    /// Positions along each axis.
    pub(super) output: Space,
    pub(super) x_zero: &'a [i32; 1],
    pub(super) finish: &'a Finish<'a>,
}

impl<C: Byte> WithEpilogue for Run<'_, C> {
    fn run<E: Epilogue>(self, epilogue: &E, to: &mut [MaybeUninit<E::Out>]) -> Result<(), Stopped> {
        let columns = self.depthwise.columns.count;
        if to.is_empty() {
            return Ok(());
        }
        let wide = self.depthwise.wide;
        let [_, height, width] = self.padded;
        let kernel = self.piece.kernel();
        let mut taps = Vec::new();
        for z in 0..kernel[0] {
            for y in 0..kernel[1] {
                for x in 0..kernel[2] {
                    let [dz, dy, dx] = self.piece.dilation();
                    taps.push(((z * dz * height + y * dy) * width + x * dx) * wide);
                }
            }
        }
        let corrections =
            Corrections::new(&self.depthwise.columns, self.x_zero, self.finish.int_bias, 0, &[]);
        let line = self.output[2] * columns;
        let bytes = to.len() * taps.len().max(1) / PER_BYTE;
        threads::for_each(bytes, to.chunks_mut(line).enumerate(), |(line, to)| {
            let kernel =
                OutputLine { run: &self, taps: &taps, corrections: &corrections, epilogue, line, to };
            dispatch(self.isa, kernel);
            true
        })
    }
}

/// One line of the output.
struct OutputLine<'a, C, E: Epilogue> {
    run: &'a Run<'a, C>,
    /// Where the elements of a patch lie from its first one on.
    taps: &'a [usize],
    corrections: &'a Corrections<'a>,
    epilogue: &'a E,
    line: usize,
    to: &'a mut [MaybeUninit<E::Out>],
}

impl<C: Byte, E: Epilogue> Kernel for OutputLine<'_, C, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Run { depthwise, piece, codes, padded, origin, output, .. } = self.run;
        let (columns, wide) = (depthwise.columns.count, depthwise.wide);
        let (y, rest) = (self.line % output[1], self.line / output[1]);
        let (z, i) = (rest % output[0], rest / output[0]);
        let stride = piece.stride();
        let (z, y) = (i * padded[0] + origin[0] + z * stride[0], origin[1] + y * stride[1]);
        let start = ((z * padded[1] + y) * padded[2] + origin[2]) * wide;
        let mut sums = vec![0i32; columns.next_multiple_of(PADDED)];
        for (x, to) in self.to.chunks_exact_mut(columns).enumerate() {
            let corner = start + x * stride[2] * wide;
            for c in (0..wide).step_by(LANES) {
                // Both are empty where no element of the kernel is met.
                let codes = codes.get(corner + c..).unwrap_or_default();
                let pairs = depthwise.pairs.get(c..).unwrap_or_default();
                let sums = &mut sums[c..c + LANES];
                sums.copy_from_slice(&v.sums_of_pairs(codes, self.taps, pairs, wide));
            }
            FinishBlock {
                corrections: self.corrections,
                epilogue: self.epilogue,
                sums: &mut sums,
                stride: 0,
                first_row: 0,
                first_column: 0,
                columns: 0..columns,
                to: &mut [to],
            }
            .run(v);
        }
    }
}
