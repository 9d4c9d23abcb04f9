//! Weights of a convolution, laid out once.

use std::borrow::Cow;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::thread::LocalKey;

use super::depthwise::{self, Depthwise};
use super::geometry::{Geometry, Piece};
use super::image::{Image, Layout, laid_out};
use super::reference::weight_at;
use crate::arch::{Byte, Isa};
use crate::error::{Error, Result, Stopped};
use crate::gemm::{
    Activations, Codes, Finish, Matrix, PackedWeights, Patches, Place, Results, Source, Space, WeightParams,
    multiply_into, run, with_epilogue,
};
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

    /// The convolution of images with this scale and zero point; results are `images x lengths x outputs`.
    ///
    /// # Errors
    /// Only an interrupt.
    ///
    /// # Panics
    /// Images that do not fit, and results with too little room.
    pub fn run(
        &self,
        image: &Image<'_>,
        (scale, zero_point): (f32, i32),
        finish: &Finish<'_>,
        results: Results<'_>,
    ) -> Result<(), Stopped> {
        match image.codes {
            Codes::U8(codes) => self.with_codes(codes, image, (scale, zero_point), finish, results),
            Codes::I8(codes) => self.with_codes(codes, image, (scale, zero_point), finish, results),
        }
    }

    fn with_codes<C: Byte + InCodes>(
        &self,
        codes: &[C],
        image: &Image<'_>,
        params: (f32, i32),
        finish: &Finish<'_>,
        results: Results<'_>,
    ) -> Result<(), Stopped> {
        assert_eq!(image.channels, self.inputs, "as many channels as the weights");
        let output = self.geometry.output(image.space).expect("images that the kernel fits in");
        let (before, after) = Geometry::frame(&self.pieces, image.space, output);
        let layout = match self.is_depthwise() {
            // It pads by itself.
            true => Layout {
                before: [0; 3],
                padded: image.space,
                channels: self.outputs,
                repeated: self.outputs / self.inputs,
                room: 0,
            },
            false => {
                let padded = [0, 1, 2].map(|a| before[a] + image.space[a] + after[a]);
                Layout { before, padded, channels: self.inputs, repeated: 1, room: ROOM }
            }
        };
        let laid = laid_out(self.isa, codes, image, layout, C::saturated(params.1), || {
            C::kept().try_with(Cell::take).unwrap_or_default()
        })?;
        let (images, space) = (image.images, image.space);
        let all = Laid { conv: self, codes: &laid, images, space, before, layout, output, params, finish };
        let done = match (&self.pieces[..], &self.weights[..]) {
            ([piece], [weights]) => all.piece(piece, weights, results),
            _ => match results {
                Results::Sums(to) => all.scatter(to, |to| Results::Sums(to)),
                Results::Floats(to) => all.scatter(to, |to| Results::Floats(to)),
                Results::U8(to, scale, zero) => all.scatter(to, |to| Results::U8(to, scale, zero)),
                Results::I8(to, scale, zero) => all.scatter(to, |to| Results::I8(to, scale, zero)),
            },
        };
        if let Cow::Owned(memory) = laid
            && memory.capacity() <= KEPT
        {
            // A thread that ends keeps nothing.
            let _ = C::kept().try_with(|kept| kept.set(memory));
        }
        done
    }
}

/// Sums of so few products leave tiles of 64 steps mostly empty, and their patches would have to be put together for them.
const SHALLOW: usize = 32;

/// What pads a run of a patch is read with it: at most so much.
const ROOM: usize = 64;

/// Sums of so many products of codes stay within 32 bits, that of the zero points included.
const MOST_TAPS: usize = i32::MAX as usize / (2 * 255 * 255);

/// A table's values for some outputs, where it has one for each.
fn part<'a, T>(table: &'a [T], outputs: &std::ops::Range<usize>) -> &'a [T] {
    if table.len() == 1 { table } else { &table[outputs.clone()] }
}

/// Bytes that a thread keeps for its next images: where each call asks for memory and gives it back, the system may take
/// it away and hand it out page by page again, which costs as much as a convolution.
const KEPT: usize = 1 << 20;

/// Codes as an operand of products.
trait InCodes: Sized + 'static {
    fn codes(of: &[Self]) -> Codes<'_>;
    /// What the thread has kept.
    fn kept() -> &'static LocalKey<Cell<Vec<Self>>>;
}

macro_rules! in_codes {
    ($code:ty, $kind:ident) => {
        impl InCodes for $code {
            fn codes(of: &[Self]) -> Codes<'_> {
                Codes::$kind(of)
            }

            fn kept() -> &'static LocalKey<Cell<Vec<Self>>> {
                thread_local!(static KEPT: Cell<Vec<$code>> = const { Cell::new(Vec::new()) });
                &KEPT
            }
        }
    };
}
in_codes!(u8, U8);
in_codes!(i8, I8);

/// Images, laid out, and what to do with them.
struct Laid<'a, C> {
    conv: &'a PackedConv,
    codes: &'a [C],
    images: usize,
    /// Lengths of an image, and the padding before each axis.
    space: Space,
    before: Space,
    layout: Layout,
    output: Space,
    params: (f32, i32),
    finish: &'a Finish<'a>,
}

impl<C: Byte + InCodes> Laid<'_, C> {
    /// One piece, its positions side by side.
    fn piece(&self, piece: &Piece, weights: &Weights, results: Results<'_>) -> Result<(), Stopped> {
        let Self { conv, codes, images, space, before, layout, params, finish, .. } = *self;
        let (scales, x_zero) = ([params.0], [params.1]);
        let output = piece.positions(self.output);
        let groups = match weights {
            Weights::Depthwise(own) => {
                let x_zero = &x_zero;
                let run = depthwise::Run {
                    isa: conv.isa,
                    depthwise: own,
                    piece,
                    codes: C::codes(codes),
                    space,
                    before,
                    output,
                    x_zero,
                    finish,
                };
                return with_epilogue(&scales, &own.columns, finish, results, run);
            }
            Weights::Products(groups) => groups,
        };
        let (of_group, in_group) = (conv.outputs / groups.len(), conv.inputs / groups.len());
        let mut results = results;
        for (group, weights) in groups.iter().enumerate() {
            let patches = Patches {
                codes: C::codes(codes),
                images,
                padded: layout.padded,
                inside: [0, 1, 2].map(|a| (before[a], before[a] + space[a])),
                channels: layout.channels,
                group: (group * in_group, in_group),
                kernel: piece.kernel(),
                origin: piece.origin(before),
                stride: piece.stride(),
                dilation: piece.dilation(),
                output,
            };
            let x = Activations { codes: Source::from(patches), scales: &scales, zero_points: &x_zero };
            let own = group * of_group..(group + 1) * of_group;
            let finish = Finish {
                bias: finish.bias.map(|b| &b[own.clone()]),
                int_bias: finish.int_bias.map(|b| &b[own.clone()]),
                relu: finish.relu,
                residual: finish.residual.map(|residual| residual.behind(own.start)),
            };
            let place = Place { first: own.start, of: conv.outputs };
            multiply_into(&x, weights, &finish, results.again(), place)?;
        }
        Ok(())
    }

    /// All pieces, each first by itself and then to where its positions lie.
    fn scatter<T: Copy>(
        &self,
        to: &mut [MaybeUninit<T>],
        results: impl for<'r> Fn(&'r mut [MaybeUninit<T>]) -> Results<'r>,
    ) -> Result<(), Stopped> {
        let (outputs, [_, height, width]) = (self.conv.outputs, self.output);
        let image = self.output.iter().product::<usize>();
        for (piece, weights) in self.conv.pieces.iter().zip(&self.conv.weights) {
            let positions = piece.positions(self.output);
            let rows = self.images * positions.iter().product::<usize>();
            let place = |at: usize| {
                let (x, rest) = (at % positions[2], at / positions[2]);
                let (y, rest) = (rest % positions[1], rest / positions[1]);
                let (z, i) = (rest % positions[0], rest / positions[0]);
                let [z, y, x] = piece.place([z, y, x]);
                (i * image + (z * height + y) * width + x) * outputs
            };
            let mut own = filled(rows * outputs, MaybeUninit::uninit());
            let room = results(&mut own);
            match self.finish.residual {
                None => self.piece(piece, weights, room)?,
                Some(residual) => residual.of_rows((0..rows).map(place), |residual| {
                    let finish = Finish { residual: Some(residual), ..*self.finish };
                    Laid { finish: &finish, ..*self }.piece(piece, weights, room)
                })?,
            }
            for (at, own) in own.chunks_exact(outputs.max(1)).enumerate() {
                to[place(at)..][..outputs].copy_from_slice(own);
            }
        }
        Ok(())
    }
}
