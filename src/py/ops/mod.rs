//! Operators on integers: products of packed and of plain matrices, functions element by element; on floats, what
//! models do between them.

mod activations;
mod attention;
mod axes;
mod conv;
mod elementwise;
mod images;
mod interpolate;
mod kernels;
mod linear;
mod matrices;
mod order;
mod pool;
mod product;
mod program;
mod recurrent;
mod recurrent_float;
mod results;
mod sequences;
mod sum;
mod tables;
mod trees;
mod weight_only;
mod wide;

pub use conv::{
    PackedConv1d, PackedConv2d, PackedConv3d, PackedConvTranspose1d, PackedConvTranspose2d,
    PackedConvTranspose3d,
};
pub use interpolate::resize;
pub use kernels::{explain, peaks, read_bandwidth};
mod rows;

pub use activations::{gelu, sigmoid, silu, tanh};
pub use attention::self_attention;
pub(crate) use elementwise::clamped;
pub use elementwise::{elu, hardsigmoid, hardswish, leaky_relu, mul, relu6, sub};
pub use linear::PackedLinear;
pub use pool::{
    adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, adaptive_max_pool1d, adaptive_max_pool2d,
    adaptive_max_pool3d, avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d,
};
pub use product::{int_mm, matmul, multiplies};
pub use program::Program;
pub use recurrent::{PackedGRU, PackedGRUCell, PackedLSTM, PackedLSTMCell, PackedRNNCell};
pub use recurrent_float::{gru, lstm, rnn};
pub use rows::{layer_norm, softmax};
pub use sum::add;
pub use tables::{embedding, embedding_bag};
pub use trees::tree_scores;
pub use weight_only::PackedWeightOnlyLinear;
