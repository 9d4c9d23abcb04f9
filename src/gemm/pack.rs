//! Weights, laid out once for one instruction set's products.

use super::columns::{Columns, PADDED};
use super::{Codes, Matrix};
use crate::arch::product::{Product, WithProduct, with_product};
use crate::arch::{Byte, Isa, Lines};
use crate::error::{Error, Result};

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
    /// `depth`, padded as the instruction set wants it.
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
        for n in [params.scales.len(), params.zero_points.len()] {
            assert!(n == 1 || n == weights.rows, "one for all outputs, or one for each");
        }
        let isa = if Isa::available().contains(&isa) { isa } else { Isa::Scalar };
        let packed = with_product(isa, Pack { isa, weights, params });
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
        with_product(self.isa, Unpack(self)).into_iter().map(of).collect()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.panels.bytes().len() + self.columns.bytes()
    }
}

/// The greatest sum of absolute weights, less their zero point, of any output.
fn bound<C: Byte>(codes: &[C], weights: &Matrix<'_>, zero_points: &[i32]) -> i64 {
    let mut greatest = 0;
    for n in 0..weights.rows {
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
            let panel = n / P::NR * P::NR * packed.padded;
            panels[panel + k / P::KU * P::NR * P::KU + n % P::NR * P::KU + k % P::KU]
        };
        (0..packed.columns.count).flat_map(|n| (0..packed.depth).map(move |k| at(n, k))).collect()
    }
}

struct Pack<'a> {
    isa: Isa,
    weights: Matrix<'a>,
    params: WeightParams<'a>,
}

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
        let padded = depth.next_multiple_of(P::DEPTH);
        let mut panels = Lines::zeros(columns.next_multiple_of(P::NR) * padded);
        let mut sums = vec![0i32; columns.next_multiple_of(PADDED)];
        // The source is read along whichever of its axes is dense.
        let group = P::NR * P::KU;
        for (p, panel) in panels.bytes_mut().chunks_exact_mut((P::NR * padded).max(1)).enumerate() {
            let first = p * P::NR;
            let mut put = |c: usize, k: usize| {
                let w = codes[(first + c) * row_stride + k * column_stride].widened() + offset;
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
        let columns = Columns::new(columns, sums, self.params, offset, depth);
        PackedWeights { isa: self.isa, depth, padded, panels, columns }
    }
}
