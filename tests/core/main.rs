//! The core's tests, a module for each area, in one program that is linked once. `threads` is a program of its own: what
//! interrupts it would interrupt the others.

mod common;
#[path = "common/convolutions.rs"]
mod convolutions;
#[path = "common/guard.rs"]
mod guard;

mod boxes;
mod broadcast;
mod conv;
mod display;
mod dynamic;
mod fingerprint;
mod float_layers;
mod floats;
mod gemm;
mod kernels;
mod program;
mod properties;
mod recurrent;
mod residual;
mod rounded;
mod safetensors;
mod trees;
mod weight_only;
