//! A convolution's weights, laid out once.

use std::mem::MaybeUninit;

use super::FloatImage;
use super::depthwise::Channelwise;
use super::rows::{Framed, Moves, Patches, SHORT};
use crate::arch::Isa;
use crate::conv::{Geometry, Piece, taps, weight_at};
use crate::error::Stopped;
use crate::float::product::{Finish, PackedFloats, Part, Plain, multiply_parts};
use crate::gemm::Space;
use crate::memory::filled;
use crate::threads::{self, Poll};

/// A convolution of floats, of any kind.
#[derive(Debug, Clone)]
pub struct FloatConv {
    geometry: Geometry,
    inputs: usize,
    outputs: usize,
    pieces: Vec<Piece>,
    weights: Vec<Weights>,
}

/// The weights of a piece.
#[derive(Debug, Clone)]
enum Weights {
    /// Of each group.
    Products(Vec<PackedFloats>),
    Channelwise(Channelwise),
    /// Of a transposed convolution whose elements never meet: a column for each element and output, of all pieces.
    Apart(PackedFloats),
}

/// Whether each number of a transposed convolution's input makes a block of the output of its own.
fn is_apart(geometry: &Geometry) -> bool {
    geometry.transposed == Some([0; 3])
        && geometry.groups == 1
        && geometry.kernel == geometry.stride
        && geometry.dilation == [1; 3]
        && geometry.padding == [(0, 0); 3]
}

impl FloatConv {
    /// Weights of `outputs x inputs / groups x kernel`, or for a transposed convolution of
    /// `inputs x outputs / groups x kernel`, in that order.
    ///
    /// # Panics
    /// Numbers of channels that groups do not divide; another number of weights.
    pub fn new(isa: Isa, geometry: Geometry, (inputs, outputs): (usize, usize), weights: &[f32]) -> Self {
        let groups = geometry.groups;
        let divide = inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
        assert!(divide, "groups that divide channels");
        let (of_group, in_group) = (outputs / groups, inputs / groups);
        let taps_of_all: usize = geometry.kernel.iter().product();
        assert_eq!(weights.len(), inputs * of_group * taps_of_all, "a weight for each element");
        if is_apart(&geometry) {
            // From inputs, outputs and elements to inputs, elements and outputs.
            let columns = taps_of_all * outputs;
            let mut turned = filled(weights.len(), 0.0);
            for (to, from) in turned.chunks_mut(columns.max(1)).zip(weights.chunks(columns.max(1))) {
                for (i, to) in to.iter_mut().enumerate() {
                    *to = from[i % outputs * taps_of_all + i / outputs];
                }
            }
            let from = Plain { x: &turned, down: columns, right: 1 };
            let own = Weights::Apart(PackedFloats::new(isa, inputs, columns, from));
            return Self { geometry, inputs, outputs, pieces: Vec::new(), weights: vec![own] };
        }
        let channelwise = in_group == 1 && of_group == 1 && groups > 1;
        let pieces = geometry.pieces();
        // From one output's weights to the next output's, and from one input's.
        let place = |o: usize, i: usize, tap| weight_at(&geometry, (inputs, outputs), o, i, tap);
        let mut packed = Vec::with_capacity(pieces.len());
        let mut poll = Poll::new();
        for piece in &pieces {
            let taps: Vec<[usize; 3]> = taps(piece).collect();
            if channelwise {
                let own = Channelwise::new(outputs, taps.len(), |c, tap| weights[place(c, 0, taps[tap])]);
                packed.push(Weights::Channelwise(own));
                continue;
            }
            let of_groups = (0..groups).map(|group| {
                let first = group * of_group;
                let right = match of_group {
                    0 | 1 => 1,
                    _ => place(first + 1, 0, [0; 3]) - place(first, 0, [0; 3]),
                };
                let from = Plain { x: weights, down: 1, right };
                let at = |k: usize| place(first, k % in_group, taps[k / in_group]);
                let sides = (taps.len() * in_group, of_group);
                PackedFloats::gathered(isa, sides, from, at, || poll.end_if_interrupted())
            });
            packed.push(Weights::Products(of_groups.collect()));
        }
        Self { geometry, inputs, outputs, pieces, weights: packed }
    }

    /// How it moves.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Number of input and of output channels.
    pub fn channels(&self) -> (usize, usize) {
        (self.inputs, self.outputs)
    }

    /// Bytes of weights.
    pub fn bytes(&self) -> usize {
        let of = |weights: &Weights| match weights {
            Weights::Products(groups) => groups.iter().map(PackedFloats::bytes).sum(),
            Weights::Channelwise(own) => 4 * own.weights.len(),
            Weights::Apart(own) => own.bytes(),
        };
        self.weights.iter().map(of).sum()
    }

    /// Products and sums of one image whose output has these lengths.
    pub fn work(&self, output: Space) -> usize {
        let taps: usize = self.geometry.kernel.iter().product();
        let stuffed = self.geometry.transposed.map_or(1, |_| self.geometry.stride.iter().product());
        let depth = self.inputs / self.geometry.groups.max(1) * taps / stuffed;
        output.iter().product::<usize>().saturating_mul(self.outputs).saturating_mul(depth)
    }

    /// Convolves images; results lie channels last.
    ///
    /// # Errors
    /// Only an interrupt.
    ///
    /// # Panics
    /// Lengths that disagree; an input that the kernel does not fit in; an image beyond its memory.
    pub fn run(
        &self,
        image: &FloatImage<'_>,
        finish: &Finish<'_>,
        to: &mut [MaybeUninit<f32>],
    ) -> Result<(), Stopped> {
        let output = self.geometry.output(image.space).expect("an input that the kernel fits in");
        let all: usize = image.images * output.iter().product::<usize>();
        assert_eq!(image.channels, self.inputs, "as many channels as the weights");
        assert_eq!(to.len(), all * self.outputs, "room for the results");
        if to.is_empty() {
            return Ok(());
        }
        if self.geometry.transposed.is_none() {
            return self.piece(0, image, output, finish, to);
        }
        assert!(finish.residual.is_none(), "no residual of a transposed convolution");
        if let [Weights::Apart(weights)] = &self.weights[..] {
            return self.apart(weights, image, finish, to);
        }
        // Each piece fills every so many positions: it is computed by itself, and laid there.
        for (i, piece) in self.pieces.iter().enumerate() {
            let positions = piece.positions(output);
            let n = image.images * positions.iter().product::<usize>();
            let mut made = crate::memory::room(n * self.outputs);
            self.piece(i, image, positions, finish, &mut made.spare_capacity_mut()[..n * self.outputs])?;
            let made: &[MaybeUninit<f32>] = &made.spare_capacity_mut()[..n * self.outputs];
            let line = output[2] * self.outputs;
            let bytes = 8 * made.len();
            threads::for_each(bytes, to.chunks_mut(line.max(1)).enumerate(), |(row, to)| {
                let (y, z, n) = (row % output[1], row / output[1] % output[0], row / output[1] / output[0]);
                let first = piece.place([0; 3]);
                let step: [usize; 3] = std::array::from_fn(|a| piece.place([1; 3])[a] - first[a]);
                let at = |a: usize, p: usize| {
                    p.checked_sub(first[a]).filter(|d| d.is_multiple_of(step[a])).map(|d| d / step[a])
                };
                if let (Some(z), Some(y)) = (at(0, z), at(1, y)) {
                    let row = ((n * positions[0] + z) * positions[1] + y) * positions[2] * self.outputs;
                    for (x, from) in made[row..].chunks_exact(self.outputs).take(positions[2]).enumerate() {
                        to[(first[2] + x * step[2]) * self.outputs..][..self.outputs].copy_from_slice(from);
                    }
                }
                true
            })?;
        }
        Ok(())
    }

    /// Blocks of the output, each of one number of every channel: one product, whose rows are laid line by line.
    fn apart(
        &self,
        weights: &PackedFloats,
        image: &FloatImage<'_>,
        finish: &Finish<'_>,
        to: &mut [MaybeUninit<f32>],
    ) -> Result<(), Stopped> {
        let ([depth, height, width], [kz, ky, kx]) = (image.space, self.geometry.kernel);
        let taps = kz * ky * kx;
        let bias = finish.bias.map(|bias| bias.repeat(taps));
        let finish = Finish { bias: bias.as_deref(), ..*finish };
        let zeros = filled(self.inputs, 0.0);
        let rows = Patches {
            image: *image,
            moves: Moves { kernel: [1; 3], stride: [1; 3], dilation: [1; 3], first: [0; 3] },
            positions: image.space,
            channel: 0,
            channels: self.inputs,
            zeros: &zeros,
            gathered: false,
        };
        let all = taps * self.outputs;
        let n = image.images * depth * height * width * all;
        let mut made = crate::memory::room(n);
        multiply_parts(&[Part { rows, weights }], &finish, &mut made.spare_capacity_mut()[..n])?;
        let made: &[MaybeUninit<f32>] = &made.spare_capacity_mut()[..n];
        let block = kx * self.outputs;
        threads::for_each(8 * n, to.chunks_mut(width * block).enumerate(), |(row, to)| {
            let (y, z, n) =
                (row % (height * ky), row / (height * ky) % (depth * kz), row / (height * ky * depth * kz));
            let first =
                ((n * depth + z / kz) * height + y / ky) * width * all + (z % kz * ky + y % ky) * block;
            for (to, from) in to.chunks_exact_mut(block).zip(made[first..].chunks(all)) {
                to.copy_from_slice(&from[..block]);
            }
            true
        })
    }

    fn piece(
        &self,
        i: usize,
        image: &FloatImage<'_>,
        positions: Space,
        finish: &Finish<'_>,
        to: &mut [MaybeUninit<f32>],
    ) -> Result<(), Stopped> {
        let piece = &self.pieces[i];
        if to.is_empty() {
            return Ok(());
        }
        match &self.weights[i] {
            Weights::Channelwise(own) => own.run(image, piece, positions, finish, to),
            Weights::Apart(_) => unreachable!("all pieces at once"),
            Weights::Products(groups) => {
                let channels = self.inputs / groups.len();
                let moves = Moves::new(piece);
                let short = channels < SHORT && moves.taps() > 1;
                let zeros = filled(channels * moves.kernel[2].max(1), 0.0);
                if let ([weights], true, 1) = (&groups[..], short, moves.dilation[2]) {
                    let framed = Framed::new(image, moves, positions[2])?;
                    let rows = framed.patches(image.images, positions, &zeros);
                    return multiply_parts(&[Part { rows, weights }], finish, to);
                }
                let patches = (0..groups.len()).map(|group| Patches {
                    image: *image,
                    moves,
                    positions,
                    channel: group * channels,
                    channels,
                    zeros: &zeros,
                    gathered: short,
                });
                let parts: Vec<Part<'_, Patches<'_>>> =
                    patches.zip(groups).map(|(rows, weights)| Part { rows, weights }).collect();
                multiply_parts(&parts, finish, to)
            }
        }
    }
}
