//! Operators on integers: products of packed and of plain matrices, functions element by element; on floats, what
//! models do between them.

mod activations;
mod elementwise;
mod linear;
mod matrices;
mod product;
mod rows;

pub use activations::{gelu, sigmoid, silu, tanh};
pub use elementwise::{add, elu, hardsigmoid, hardswish, leaky_relu, mul, relu6, sub};
pub use linear::PackedLinear;
pub use product::{int_mm, matmul, multiplies};
pub use rows::{layer_norm, softmax};
