//! Weights, laid out once for one instruction set's products.

use super::columns::Columns;
use super::{Codes, Matrix};
use crate::arch::product::{Product, WithProduct, with_product};
use crate::arch::{Byte, Isa, Lines};
use crate::error::{Error, Result};
use crate::memory::{collected, filled};
use crate::threads::Poll;

/// What the integers of weights stand for: one value for all columns, or one for each.
#[derive(Debug, Clone, Copy)]
pub struct WeightParams<'a> {
    /// The size of a step.
    pub scales: &'a [f32],
    /// The codes that stand for 0.
    pub zero_points: &'a [i32],
}

/// Weights of `columns` outputs and `depth` inputs.
#[derive(Debug, Clone)]
pub struct PackedWeights {
    isa: Isa,
    depth: usize,
    /// Steps of a run. Each is padded as the instruction set wants it.
    pub(super) run: usize,
    /// All runs, with what they are padded by.
    pub(super) padded: usize,
    /// Weights as i8: unsigned ones less 128.
    pub(super) panels: Lines,
    pub(super) columns: Columns,
}

impl PackedWeights {
    /// Packs a matrix with one row for each output, as linear layers hold them.
    ///
    /// # Errors
    /// A depth at which a sum could leave 32 bits, whatever the activations.
    ///
    /// # Panics
    /// Numbers of scales and zero points that are neither 1 nor the number of outputs.
    pub fn new(isa: Isa, weights: Matrix<'_>, params: WeightParams<'_>) -> Result<Self> {
        Self::in_runs(isa, weights, params, weights.columns)
    }

    /// As [`new`](Self::new), for activations that lie in runs of so many steps, where that is worth its padding.
    pub(crate) fn in_runs(
        isa: Isa,
        weights: Matrix<'_>,
        params: WeightParams<'_>,
        run: usize,
    ) -> Result<Self> {
        for n in [params.scales.len(), params.zero_points.len()] {
            assert!(n == 1 || n == weights.rows, "one for all outputs, or one for each");
        }
        let isa = if Isa::available().contains(&isa) { isa } else { Isa::Scalar };
        let packed = with_product(isa, Pack { isa, weights, params, run });
        let bound = match weights.codes {
            Codes::U8(codes) => bound(codes, &weights, params.zero_points),
            Codes::I8(codes) => bound(codes, &weights, params.zero_points),
        };
        if bound > i64::from(i32::MAX) / 255 {
            return Err(Error::value(
                "weight",
                format!("{} deep, with an output whose absolute weights sum up to {bound}", weights.columns),
                format!(
                    "such that no sum of products leaves 32 bits: absolute weights may sum up to {}; split the depth, \
                     and add the results",
                    i32::MAX / 255
                ),
            ));
        }
        Ok(packed)
    }

    /// The instruction set that they are packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Where a step lies in the padded depth.
    fn place(&self, k: usize) -> usize {
        let run = self.run.max(1);
        k / run * self.padded_run() + k % run
    }

    /// Steps of a run, with what it is padded by.
    pub(super) fn padded_run(&self) -> usize {
        self.padded / (self.depth / self.run.max(1)).max(1)
    }

    /// Number of outputs.
    pub fn columns(&self) -> usize {
        self.columns.count
    }

    /// Number of inputs.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The weights as they were, a row for each output, from what is stored: signed codes as they are, unsigned ones
    /// less 128.
    pub fn unpack<T>(&self, of: impl Fn(i8) -> T) -> Vec<T> {
        let codes = with_product(self.isa, Unpack(self));
        collected(codes.len(), codes.into_iter().map(of))
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.panels.bytes().len() + self.columns.bytes()
    }
}

/// The greatest sum of absolute weights, less their zero point, of any output.
fn bound<C: Byte>(codes: &[C], weights: &Matrix<'_>, zero_points: &[i32]) -> i64 {
    let (mut greatest, mut poll) = (0, Poll::new());
    for n in 0..weights.rows {
        poll.end_if_interrupted();
        let zero_point = zero_points[n % zero_points.len()];
        let row = (0..weights.columns).map(|k| codes[n * weights.row_stride + k * weights.column_stride]);
        greatest = greatest.max(row.map(|w| i64::from((w.widened() - zero_point).abs())).sum());
    }
    greatest
}

struct Unpack<'a>(&'a PackedWeights);

impl WithProduct for Unpack<'_> {
    type Output = Vec<i8>;

    fn run<P: Product>(self, _: P) -> Vec<i8> {
        let packed = self.0;
        let panels = packed.panels.bytes();
        let at = |n: usize, k: usize| {
            let (panel, k) = (n / P::NR * P::NR * packed.padded, packed.place(k));
            panels[panel + k / P::KU * P::NR * P::KU + n % P::NR * P::KU + k % P::KU]
        };
        let count = packed.columns.count;
        collected(count * packed.depth, (0..count).flat_map(|n| (0..packed.depth).map(move |k| at(n, k))))
    }
}

struct Pack<'a> {
    isa: Isa,
    weights: Matrix<'a>,
    params: WeightParams<'a>,
    run: usize,
}

/// Products in the time that it takes to copy a run of activations.
const PER_RUN: usize = 256;

impl WithProduct for Pack<'_> {
    type Output = PackedWeights;

    fn run<P: Product>(self, _: P) -> PackedWeights {
        match self.weights.codes {
            Codes::U8(codes) => self.pack::<P, u8>(codes),
            Codes::I8(codes) => self.pack::<P, i8>(codes),
        }
    }
}

impl Pack<'_> {
    fn pack<P: Product, C: Byte>(&self, codes: &[C]) -> PackedWeights {
        let Matrix { rows: columns, columns: depth, row_stride, column_stride, .. } = self.weights;
        let offset = <i8 as crate::arch::product::Stored>::offset::<C>();
        let dense = depth.next_multiple_of(P::DEPTH);
        let (runs, padded_run) = (depth / self.run.max(1), self.run.next_multiple_of(P::KU));
        let padding = (runs * padded_run).saturating_sub(dense);
        let (run, padded) = match P::RUNS && padding * columns <= runs * PER_RUN {
            true if runs > 1 => (self.run, runs * padded_run),
            _ => (depth, dense),
        };
        let mut packed = PackedWeights {
            isa: self.isa,
            depth,
            run,
            padded,
            panels: Lines::zeros(columns.next_multiple_of(P::NR) * padded),
            columns: Columns::new(0, Vec::new(), self.params, 0, 0),
        };
        let places: Vec<usize> = (0..depth).map(|k| packed.place(k)).collect();
        let mut sums = filled(columns, 0i32);
        // The source is read along whichever of its axes is dense.
        let group = P::NR * P::KU;
        let panels = packed.panels.bytes_mut().chunks_exact_mut((P::NR * padded).max(1));
        let mut poll = Poll::new();
        for (p, panel) in panels.enumerate() {
            poll.end_if_interrupted();
            let first = p * P::NR;
            let mut put = |c: usize, k: usize| {
                let w = codes[(first + c) * row_stride + k * column_stride].widened() + offset;
                let k = places[k];
                panel[k / P::KU * group + c * P::KU + k % P::KU] = w as i8;
                sums[first + c] += w;
            };
            let width = P::NR.min(columns - first);
            if column_stride == 1 {
                (0..width).for_each(|c| (0..depth).for_each(|k| put(c, k)));
            } else {
                (0..depth).for_each(|k| (0..width).for_each(|c| put(c, k)));
            }
        }
        packed.columns = Columns::new(columns, sums, self.params, offset, depth);
        packed
    }
}
