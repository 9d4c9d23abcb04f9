//! Quantized arrays: 8-bit (and 32-, 4- and 2-bit) integers that stand for floats by a scale and a zero point.
//!
//! The core knows nothing of Python; the binding is a crate of its own, beside this one.
//! Read [`qparams`] first: it holds the rounding contract that every kernel obeys.

pub mod affine;
pub mod arch;
pub mod conv;
pub mod display;
pub mod error;
pub mod fingerprint;
pub mod float;
pub mod gemm;
pub mod memory;
pub mod observe;
pub mod onnx;
pub mod ops;
pub mod program;
pub mod qparams;
pub mod recurrent;
pub mod safetensors;
pub mod threads;
pub mod weight_only;
