//! float32 to float32: what models do between products of integers, each in one pass over memory.
//!
//! Written once over the vector trait of [`crate::arch`], and sums always run in 64 lanes that are added up in one order: so
//! the bits are the same on every instruction set, at every position and number of threads. Where products and sums are
//! rounded at once, all do so, but for products of matrices. NaN is always the same one.

mod attention;
pub mod conv;
mod functions;
mod layer_norm;
mod log_softmax;
pub(crate) mod math;
pub(crate) mod plain;
pub mod pool;
pub mod product;
pub(crate) mod rows;
mod softmax;

use std::mem::MaybeUninit;

use crate::arch::Slot;

pub use attention::{Attention, self_attention};
pub(crate) use functions::apply_here;
pub use functions::{Function, apply};
pub use layer_norm::{LayerNorm, layer_norm, rms_norm};
pub use log_softmax::log_softmax;
pub use softmax::{Mask, Softmax, softmax};

/// Floats, and where the results go.
#[derive(Debug)]
pub enum Place<'a> {
    /// Into other memory, as long.
    Apart(&'a [f32], &'a mut [MaybeUninit<f32>]),
    /// Over the floats.
    Over(&'a mut [f32]),
}

impl Place<'_> {
    /// How many floats there are.
    fn len(&self) -> usize {
        match self {
            Self::Apart(x, out) => {
                assert_eq!(x.len(), out.len(), "as many results as floats");
                x.len()
            }
            Self::Over(x) => x.len(),
        }
    }
}

/// One piece of a [`Place`]. A result is written only where the floats before its end have been read for the last time.
trait Cells: Send {
    type Slot: Slot<Item = f32>;
    fn input(&self) -> &[f32];
    fn output(&mut self) -> &mut [Self::Slot];
}

impl<'a> Cells for (&'a [f32], &'a mut [MaybeUninit<f32>]) {
    type Slot = MaybeUninit<f32>;
    #[inline(always)]
    fn input(&self) -> &[f32] {
        self.0
    }
    #[inline(always)]
    fn output(&mut self) -> &mut [MaybeUninit<f32>] {
        self.1
    }
}

impl Cells for &mut [f32] {
    type Slot = f32;
    #[inline(always)]
    fn input(&self) -> &[f32] {
        self
    }
    #[inline(always)]
    fn output(&mut self) -> &mut [f32] {
        self
    }
}

/// Calls a function for each piece of so many floats, with its number, on as many threads as there are.
macro_rules! for_each_piece {
    ($place:expr, $step:expr, $bytes:expr, $f:expr) => {
        match $place {
            Place::Apart(x, out) => {
                let pieces = x.chunks($step).zip(out.chunks_mut($step)).enumerate();
                threads::for_each($bytes, pieces, |(i, piece)| {
                    $f(i, piece);
                    true
                })
            }
            Place::Over(x) => threads::for_each($bytes, x.chunks_mut($step).enumerate(), |(i, piece)| {
                $f(i, piece);
                true
            }),
        }
    };
}
use for_each_piece;
