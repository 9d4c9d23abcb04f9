//! Images through packed weights.

use std::borrow::Cow;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::thread::LocalKey;

use super::super::depthwise;
use super::super::geometry::{Geometry, Piece};
use super::super::image::{Image, Layout, laid_out};
use super::{PackedConv, Weights};
use crate::arch::Byte;
use crate::error::Stopped;
use crate::gemm::{
    Activations, Codes, Finish, Patches, Place, Results, Source, Space, multiply_into, with_epilogue,
};
use crate::memory::filled;

impl PackedConv {
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

/// What pads a run of a patch is read with it: at most so much.
const ROOM: usize = 64;

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
                slopes: finish.slopes.map(|s| &s[own.clone()]),
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
