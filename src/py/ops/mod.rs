//! Operators on integers: products of packed and of plain matrices, functions element by element.

mod axes;
mod conv;
mod elementwise;
mod images;
mod kernels;
mod linear;
mod matrices;
mod pool;
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
pub use pool::{
    adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, adaptive_max_pool1d, adaptive_max_pool2d,
    adaptive_max_pool3d, avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d,
};
pub use product::{int_mm, matmul, multiplies};
