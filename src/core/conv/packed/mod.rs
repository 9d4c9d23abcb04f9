//! Weights of a convolution, laid out once.

mod run;

use super::depthwise::Depthwise;
use super::geometry::{Geometry, Piece};
use super::reference::weight_at;
use crate::arch::Isa;
use crate::error::{Error, Result};
use crate::gemm::{Codes, Matrix, PackedWeights, Space, WeightParams, run};
use crate::memory::{collected, filled};
use crate::threads::Poll;

/// A convolution's weights for one instruction set.
#[derive(Debug, Clone)]
pub struct PackedConv {
    geometry: Geometry,
    inputs: usize,
    outputs: usize,
    isa: Isa,
    pieces: Vec<Piece>,
    /// For each piece.
    weights: Vec<Weights>,
}

#[derive(Debug, Clone)]
enum Weights {
    /// For each group.
    Products(Vec<PackedWeights>),
    Depthwise(Depthwise),
}

/// The elements of a piece's kernel, in the order of its patches.
pub(crate) fn taps(piece: &Piece) -> impl Iterator<Item = [usize; 3]> {
    piece.taps(0).iter().flat_map(move |&z| {
        piece.taps(1).iter().flat_map(move |&y| piece.taps(2).iter().map(move |&x| [z, y, x]))
    })
}

impl PackedConv {
    /// Packs weights of `outputs x inputs / groups x kernel`, or for a transposed convolution of
    /// `inputs x outputs / groups x kernel`, in that order.
    ///
    /// # Errors
    /// Weights with which a sum could leave 32 bits, whatever the activations.
    ///
    /// # Panics
    /// Numbers of channels that groups do not divide; tables that have neither one value nor one for each output.
    pub fn new(
        isa: Isa,
        geometry: Geometry,
        (inputs, outputs): (usize, usize),
        codes: Codes<'_>,
        params: WeightParams<'_>,
    ) -> Result<Self> {
        let groups = geometry.groups;
        assert!(
            inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups),
            "groups that divide channels"
        );
        let (of_group, in_group) = (outputs / groups, inputs / groups);
        let pieces = geometry.pieces();
        let depthwise = in_group == 1 && groups > 1 && geometry.kernel.iter().product::<usize>() <= MOST_TAPS;
        let deepest = pieces.iter().map(|p| p.kernel().iter().product::<usize>() * in_group).max();
        let products = match isa == Isa::Amx && deepest.is_some_and(|depth| depth <= SHALLOW) {
            true => Isa::Avx512Vnni,
            false => isa,
        };
        let at = |o: usize, i: usize, tap: [usize; 3]| {
            codes.at(weight_at(&geometry, (inputs, outputs), o, i, tap))
        };
        let zero = |o: usize| params.zero_points[if params.zero_points.len() == 1 { 0 } else { o }];
        let mut weights = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            let taps: Vec<_> = taps(piece).collect();
            if depthwise {
                let weight = |o: usize, tap: usize| at(o, 0, taps[tap]) - zero(o);
                let own = Depthwise::new(isa, outputs, piece.kernel(), params.scales, weight);
                weights.push(Weights::Depthwise(own));
                continue;
            }
            let mut of_groups = Vec::with_capacity(groups);
            let mut poll = Poll::new();
            for group in 0..groups {
                let own = group * of_group..(group + 1) * of_group;
                let rows = own.clone().flat_map(|o| {
                    poll.end_if_interrupted();
                    let at = &at;
                    taps.iter().flat_map(move |&tap| (0..in_group).map(move |i| at(o, i, tap)))
                });
                let size = own.len() * taps.len() * in_group;
                let (unsigned, signed): (Vec<u8>, Vec<i8>);
                let rows = match codes {
                    Codes::U8(_) => {
                        unsigned = collected(size, rows.map(|w| w as u8));
                        Codes::U8(&unsigned)
                    }
                    Codes::I8(_) => {
                        signed = collected(size, rows.map(|w| w as i8));
                        Codes::I8(&signed)
                    }
                };
                let matrix = Matrix::dense(rows, of_group, taps.len() * in_group);
                let params = WeightParams {
                    scales: part(params.scales, &own),
                    zero_points: part(params.zero_points, &own),
                };
                let run = run(piece.kernel(), (in_group, inputs), piece.dilation());
                of_groups.push(PackedWeights::in_runs(products, matrix, params, run)?);
            }
            weights.push(Weights::Products(of_groups));
        }
        Ok(Self { geometry, inputs, outputs, isa, pieces, weights })
    }

    /// The same for images whose channels have zero points of their own, with one scale for all.
    ///
    /// # Errors
    /// Where outputs add up several channels; another number of zero points.
    pub fn with_x_zeros(mut self, zeros: &[i32]) -> Result<Self> {
        let (one, repeated) = (self.geometry.transposed.is_none(), self.outputs / self.inputs.max(1));
        let [Weights::Depthwise(own)] = &mut self.weights[..] else {
            return Err(Error::value(
                "input_zero_points",
                "given",
                "left out where groups have several inputs",
            ));
        };
        if !one || zeros.len() != self.inputs {
            let valid = format!("one for each of {} channels", self.inputs);
            return Err(Error::value("input_zero_points", format!("{} of them", zeros.len()), valid));
        }
        own.x_zeros = Some(zeros.iter().flat_map(|&zero| std::iter::repeat_n(zero, repeated)).collect());
        Ok(self)
    }

    /// The zero points of the channels of images, where these have some of their own.
    pub fn x_zeros(&self) -> Option<Vec<i32>> {
        let [Weights::Depthwise(own)] = &self.weights[..] else { return None };
        let all = own.x_zeros.as_ref()?;
        Some(all.iter().step_by(self.outputs / self.inputs.max(1)).copied().collect())
    }

    /// How it moves.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Number of input and of output channels.
    pub fn channels(&self) -> (usize, usize) {
        (self.inputs, self.outputs)
    }

    /// The instruction set that it is packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Whether each output meets one input channel alone, which has kernels of its own.
    pub fn is_depthwise(&self) -> bool {
        self.weights.iter().any(|w| matches!(w, Weights::Depthwise(_)))
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let of = |weights: &Weights| match weights {
            Weights::Products(groups) => groups.iter().map(PackedWeights::bytes).sum(),
            Weights::Depthwise(own) => own.bytes(),
        };
        self.weights.iter().map(of).sum()
    }

    /// Products of one image whose output has these lengths.
    pub fn work(&self, output: Space) -> usize {
        let taps: usize = self.geometry.kernel.iter().product();
        let stuffed: usize = match self.geometry.transposed {
            Some(_) => self.geometry.stride.iter().product(),
            None => 1,
        };
        output.iter().product::<usize>() * self.outputs * (self.inputs / self.geometry.groups) * taps
            / stuffed
    }

    /// The weights as they were, from what is stored: signed codes as they are, unsigned ones less 128. `zero_points`
    /// are the ones that they came with, less 128 where unsigned.
    pub fn unpack(&self, zero_points: &[i32]) -> Vec<i8> {
        let Geometry { groups, kernel, .. } = &self.geometry;
        let (of_group, in_group) = (self.outputs / groups, self.inputs / groups);
        let mut all = filled(self.outputs * in_group * kernel.iter().product::<usize>(), 0i8);
        let mut put = |o: usize, i: usize, tap: [usize; 3], w: i8| {
            all[weight_at(&self.geometry, (self.inputs, self.outputs), o, i, tap)] = w;
        };
        for (piece, weights) in self.pieces.iter().zip(&self.weights) {
            let taps: Vec<_> = taps(piece).collect();
            match weights {
                Weights::Depthwise(own) => {
                    for o in 0..self.outputs {
                        let zero = zero_points[if zero_points.len() == 1 { 0 } else { o }];
                        for (t, &tap) in taps.iter().enumerate() {
                            put(o, 0, tap, (own.weight(o, t) + zero) as i8);
                        }
                    }
                }
                Weights::Products(products) => {
                    for (group, packed) in products.iter().enumerate() {
                        for (at, w) in packed.unpack(|w| w).into_iter().enumerate() {
                            let (rest, i) = (at / in_group, at % in_group);
                            put(group * of_group + rest / taps.len(), i, taps[rest % taps.len()], w);
                        }
                    }
                }
            }
        }
        all
    }
}

/// Sums of so few products leave tiles of 64 steps mostly empty, and their patches would have to be put together for them.
const SHALLOW: usize = 32;

/// Sums of so many products of codes stay within 32 bits, that of the zero points included.
const MOST_TAPS: usize = i32::MAX as usize / (2 * 255 * 255);

/// A table's values for some outputs, where it has one for each.
fn part<'a, T>(table: &'a [T], outputs: &std::ops::Range<usize>) -> &'a [T] {
    if table.len() == 1 { table } else { &table[outputs.clone()] }
}
