//! Products of float matrices, with what comes after them in their finish.
//!
//! Weights are laid out once ([`PackedFloats`]); rows are read where they lie, so that convolutions are products too
//! ([`crate::float::conv`]). The sum of each result is added up in the order of the depth, by fused multiply-add where
//! the instruction set has it: it does not depend on rows, threads or blocks, but it is another one on a CPU without.

mod matmul;
mod multiply;
mod packed;

pub use matmul::{Factor, Products, products};
pub use multiply::{Finish, Matrix, multiply};
pub(crate) use multiply::{PER_BYTE, Part, Room, Rows, multiply_onto, multiply_parts};
pub(crate) use packed::panels;
pub use packed::{PackedFloats, Plain};
