//! Products of floats and weights of 4 or 8 bits, in groups along the depth that have a scale and a zero point each:
//! the form in which language models are shipped.
//!
//! `y[n] = sum over groups g of scale[n, g] * sum over k in g of x[k] * (code[n, k] - zero_point[n, g])`.
//!
//! **Arithmetic.** The inputs of a row that belong to one group are written as integers of 24 bits, in steps of the
//! smallest power of two (from 2^-126 on) that has room for the largest of them: `x = unit * X`, with `|X| <= 8355711`.
//! What that rounds off is at most 2^-23 of the largest one; an input whose lowest bit is not below the unit is exact.
//! Sums of products of integers are exact. With `X = high * 256 + low` (`low` from -128 on) a group adds
//! `(f32(sum(high * (q - z))) * 256 + f32(sum(low * (q - z)))) * unit * scale` to the output, in float32 without fused
//! multiply-add, first group first; the bias comes last. So a group costs three roundings, where a product of floats
//! costs two for each element: the results are as near to the real numbers as those of float32 matrices, and their bits
//! are the same on every instruction set, in every row of a batch of any size, at every number of threads. A row that
//! holds NaN or an infinity becomes NaN.
//!
//! [`quantize()`] makes codes of floats, [`PackedGroups`] lays them out for one instruction set, [`multiply`] is the
//! product, and [`mod@reference`] says the same in a few plain lines.

mod activations;
mod groups;
mod multiply;
mod pack;
mod quantize;
pub mod reference;

pub use groups::{Groups, Layout};
pub use multiply::{Finish, multiply};
pub use pack::PackedGroups;
pub use quantize::quantize;
