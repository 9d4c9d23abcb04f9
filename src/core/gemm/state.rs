//! Products of the same weights with a few activations that change again and again, as the state of a recurrent layer
//! does: all memory is there before the first one.

use std::ops::Range;

use super::columns::Columns;
use super::pack::PackedWeights;
use crate::arch::product::{Panels, Product, Rows, Stored};
use crate::arch::{Kernel, Vector};
use crate::error::{Result, Stopped};
use crate::memory::filled;
use crate::observe;
use crate::qparams::{DType, range_to_qparams};

/// Columns of a block of activations: a group of the widest vectors.
pub(crate) const WIDE: usize = 64;

/// Activations, quantized as [`super::dynamic_params`] has it, and the weights that they meet.
pub(crate) struct State<'a, P: Product> {
    p: P,
    weights: &'a PackedWeights,
    /// For each column; padded.
    bias: Vec<f32>,
    count: usize,
    /// From one row to the next.
    stride: usize,
    codes: Vec<u8>,
    /// The same, where the instruction set stores them in another way.
    stored: Vec<P::A>,
    /// The sum of each row as it is stored, where weights have zero points.
    row_sums: Vec<i32>,
    scale: f32,
    zero_point: i32,
}

impl<'a, P: Product> State<'a, P> {
    /// Room for so many rows, as deep as the weights.
    pub(crate) fn new(p: P, weights: &'a PackedWeights, bias: Option<&[f32]>, count: usize) -> Self {
        let mut padded = filled(weights.columns.sums.len(), 0f32);
        if let Some(bias) = bias {
            padded[..bias.len()].copy_from_slice(bias);
        }
        let stride = weights.padded.next_multiple_of(WIDE);
        let codes = filled(count * stride, 0u8);
        let as_is = P::A::as_is(&codes).is_some();
        let stored = filled(if as_is { 0 } else { codes.len() }, P::A::default());
        let row_sums = filled(if weights.columns.zero_points.is_some() { count } else { 0 }, 0);
        Self { p, weights, bias: padded, count, stride, codes, stored, row_sums, scale: 1.0, zero_point: 0 }
    }

    /// The vectors that go with the products.
    pub(crate) fn vector(&self) -> P::V {
        self.p.vector()
    }

    /// Takes new activations: blocks of `WIDE` columns of all rows; zeros behind the last column.
    ///
    /// # Errors
    /// NaN; inside, a range that is not finite.
    pub(crate) fn take(&mut self, x: &[f32]) -> std::result::Result<Result<()>, Stopped> {
        let range = observe::min_max(x)?;
        let (scale, zero_point) = match range_to_qparams(range.min, range.max, DType::QUInt8, false) {
            Ok(params) => params,
            Err(error) => return Ok(Err(error)),
        };
        (self.scale, self.zero_point) = (scale as f32, zero_point);
        self.p.vector().run(Quantize {
            x,
            count: self.count,
            inv: 1.0 / self.scale,
            zero_point: zero_point as i16,
            codes: &mut self.codes,
            stride: self.stride,
        });
        for (to, &code) in self.stored.iter_mut().zip(&self.codes) {
            *to = P::A::of(code);
        }
        let (depth, offset) = (self.weights.depth(), P::A::offset::<u8>());
        for (sum, row) in self.row_sums.iter_mut().zip(self.codes.chunks_exact(self.stride.max(1))) {
            *sum = row[..depth].iter().map(|&code| i32::from(code) + offset).sum();
        }
        Ok(Ok(()))
    }

    /// The floats that some rows (at most `P::MR`) times some columns stand for, plus the bias, in rows of
    /// [`width`](Self::width). The first column starts a panel. `sums` is room for as many numbers.
    pub(crate) fn multiply(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        sums: &mut [i32],
        to: &mut [f32],
    ) {
        let (first, depth) = (columns.start, self.weights.padded);
        let width = Self::width(columns.len());
        let panels = first / P::NR * P::NR * depth..(first / P::NR * P::NR + width) * depth;
        let data = &self.weights.panels.bytes()[panels];
        let activations = P::A::as_is(&self.codes).unwrap_or(&self.stored);
        let activations = Rows::new(activations, self.stride, self.count);
        let panels = Panels { data, depth, count: width / P::NR, are_new: false };
        self.p.block(activations.part(rows.start, rows.len()), panels, sums, width);
        self.p.vector().run(ToFloats {
            columns: &self.weights.columns,
            scale: self.scale,
            zero_point: self.zero_point + P::A::offset::<u8>(),
            row_sums: self.row_sums.get(rows.clone()).unwrap_or_default(),
            bias: &self.bias,
            first,
            width,
            sums: &sums[..rows.len() * width],
            to: &mut to[..rows.len() * width],
        });
    }

    /// How long rows of so many columns are: whole panels.
    pub(crate) fn width(columns: usize) -> usize {
        columns.next_multiple_of(P::NR)
    }
}

/// Blocks of floats to rows of codes.
struct Quantize<'a> {
    x: &'a [f32],
    count: usize,
    inv: f32,
    zero_point: i16,
    codes: &'a mut [u8],
    stride: usize,
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let (inv, zero_point) = (v.splat(self.inv), v.splat16(self.zero_point));
        for (b, block) in self.x.chunks_exact(self.count * WIDE).enumerate() {
            for (r, row) in block.chunks_exact(WIDE).enumerate() {
                let codes = &mut self.codes[r * self.stride + b * WIDE..][..WIDE];
                for at in (0..WIDE).step_by(V::GROUP) {
                    let mut steps = v.load(&row[at..]);
                    for x in &mut steps {
                        *x = v.mul(*x, inv);
                    }
                    v.store_bytes::<u8, _, false>(v.narrow::<u8>(steps, zero_point), &mut codes[at..]);
                }
            }
        }
    }
}

/// Sums to floats, by the formulas of `Corrections` and of the epilogue to floats.
struct ToFloats<'a> {
    columns: &'a Columns,
    scale: f32,
    /// As activations are stored.
    zero_point: i32,
    row_sums: &'a [i32],
    bias: &'a [f32],
    first: usize,
    width: usize,
    sums: &'a [i32],
    to: &'a mut [f32],
}

impl Kernel for ToFloats<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { columns, scale, zero_point, first, width, .. } = self;
        let [scales, bias] = [&columns.scales, self.bias].map(|table| &table[first..][..width]);
        let weights = &columns.sums[first..][..width];
        for (r, (to, sums)) in self.to.chunks_exact_mut(width).zip(self.sums.chunks_exact(width)).enumerate()
        {
            let row_sum = self.row_sums.get(r).copied().unwrap_or_default();
            let zero_points = columns.zero_points.as_ref().map(|all| &all[first..][..width]);
            for i in 0..width {
                let sum = sums[i].wrapping_sub(zero_point.wrapping_mul(weights[i]));
                let sum = match zero_points {
                    Some(zero_points) => sum.wrapping_sub(row_sum.wrapping_mul(zero_points[i])),
                    None => sum,
                };
                to[i] = sum as f32 * (scale * scales[i]) + bias[i];
            }
        }
    }
}
