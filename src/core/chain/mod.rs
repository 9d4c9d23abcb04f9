//! Layers one after the other as one: a few images at a time pass all of them, so that what lies between two layers
//! stays in the caches, and threads share images.
//!
//! Each layer computes what its operator in [`crate::gemm`], [`crate::conv`] or [`crate::ops`] does; only order and
//! memory differ. A chain that a shape does not fit has no [`Plan`]: the layers themselves then say why.

mod plan;
mod run;

pub use plan::{Plan, Shape};
pub use run::{Input, Out, run};

use crate::conv::PackedConv;
use crate::gemm::{Finish, PackedWeights, Space};
use crate::ops::pool::Moves;

/// What codes stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Whether codes are signed.
    pub signed: bool,
    /// The size of a step.
    pub scale: f32,
    /// The code that stands for 0.
    pub zero_point: i32,
}

/// What a layer's sums become.
#[derive(Debug, Clone, Copy)]
pub enum To {
    /// Real numbers: of the last layer.
    Floats,
    /// Codes.
    Codes(Grid),
}

/// Which windows are pooled.
#[derive(Debug, Clone, Copy)]
pub enum Windows {
    /// Of one size.
    Moving([Moves; 3]),
    /// So many that cover each axis evenly; 0 for as many as there are elements.
    Adaptive(Space),
}

/// What becomes of a window.
#[derive(Debug, Clone, Copy)]
pub enum Reduce {
    /// Its greatest code.
    Max,
    /// Its average, with a divisor of the caller's.
    Average(Option<i64>),
}

/// A layer.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A product; each image is a row.
    Linear {
        /// What it is multiplied with.
        weights: &'a PackedWeights,
        /// What is added.
        finish: Finish<'a>,
        /// What comes out.
        to: To,
    },
    /// A convolution.
    Conv {
        /// Its weights.
        conv: &'a PackedConv,
        /// What is added.
        finish: Finish<'a>,
        /// What comes out.
        to: To,
    },
    /// Pooling.
    Pool(Reduce, Windows),
    /// A function of each code.
    Table(&'a [u8; 256], Grid),
    /// Codes below the first number become that, those above the second become that.
    Clamp(i32, i32),
    /// Each image becomes a row, its channels one after the other.
    Flatten,
}
