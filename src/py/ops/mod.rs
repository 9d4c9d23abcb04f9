//! Operators on integers: products of packed and of plain matrices, functions element by element.

mod axes;
mod conv;
mod elementwise;
mod kernels;
mod linear;
mod matrices;
mod product;
mod results;

pub use conv::{
    PackedConv1d, PackedConv2d, PackedConv3d, PackedConvTranspose1d, PackedConvTranspose2d,
    PackedConvTranspose3d,
};
pub use elementwise::{
    add, elu, gelu, hardsigmoid, hardswish, leaky_relu, mul, relu6, sigmoid, silu, sub, tanh,
};
pub use kernels::{explain, peaks};
pub use linear::PackedLinear;
pub use product::{int_mm, matmul, multiplies};
