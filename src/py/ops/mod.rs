//! Operators on integers: products of packed and of plain matrices.

mod linear;
mod matrices;
mod product;

pub use linear::PackedLinear;
pub use product::{int_mm, matmul, multiplies};
