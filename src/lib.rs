//! Quantized arrays: 8-bit (and 32-, 4- and 2-bit) integers that stand for floats by a scale and a zero point.
//!
//! The core knows nothing of Python; the `python` feature adds the bindings, in `py`.
//! Read [`qparams`] first: it holds the rounding contract that every kernel obeys.

pub mod affine;
pub mod arch;
pub mod chain;
pub mod conv;
pub mod display;
pub mod error;
pub mod float;
pub mod gemm;
pub mod memory;
pub mod observe;
pub mod ops;
pub mod qparams;
pub mod recurrent;
pub mod threads;
pub mod weight_only;

#[cfg(feature = "python")]
mod py;
