//! Operators on integers: products of packed and of plain matrices, functions element by element.

mod elementwise;
mod linear;
mod matrices;
mod product;

pub use elementwise::{
    add, elu, gelu, hardsigmoid, hardswish, leaky_relu, mul, relu6, sigmoid, silu, sub, tanh,
};
pub use linear::PackedLinear;
pub use product::{int_mm, matmul, multiplies};
