//! Products of floats and weights of 4 or 8 bits, in groups along the depth that have a scale and a zero point each:
//! the form in which language models are shipped.
//!
//! `y[n] = sum over groups g of scale[n, g] * sum over k in g of x[k] * (code[n, k] - zero_point[n, g])`.
//!
//! **Arithmetic.** The inputs of a row that belong to one group are written as integers of 24, 16 or 8 bits
//! ([`InputBits`]) in steps of a unit of their own, `x = unit * X`:
//!
//! | bits | `abs(X)` at most | unit | rounds off at most |
//! | --- | --- | --- | --- |
//! | 24 | 8355711 | the smallest power of two (from 2^-126 on) with room for the largest | 2^-23 of the largest |
//! | 16 | 32639 | the same | 2^-15 of the largest |
//! | 8 | 127 | `max(f32(largest / 127), 2^-126)`, and `X = rint(x * f32(1 / unit))`, as everywhere | 2^-8 of the largest, or so |
//!
//! With powers of two an input whose lowest bit is not below the unit is exact. Sums of products of integers are exact. With
//! `X = high * 256 + low` (`low` from -128 on) for 24 bits, and `high = 0` for less, a group adds
//! `(f32(sum(high * (q - z))) * 256 + f32(sum(low * (q - z)))) * unit * scale` to the output, in float32 without fused
//! multiply-add, first group first; the bias comes last. So a group costs three roundings, where a product of floats
//! costs two for each element: with 24 bits the results are as near to the real numbers as those of float32 matrices. Their
//! bits are the same on every instruction set, in every row of a batch, at every number of threads. A row that holds NaN or
//! an infinity becomes NaN.
//!
//! **Many rows.** Where inputs keep 24 bits and there are at least [`floats_from`] rows, the weights are written out as
//! floats, a few at a time, and the product is one of float32 matrices ([`crate::float::product`]), which is faster there on
//! CPUs that do not multiply bytes. It is as exact, but has other last bits than fewer rows have, and than another
//! instruction set.
//!
//! [`quantize()`] makes codes of floats, [`PackedGroups`] lays them out for one instruction set, [`multiply`] is the
//! product, and [`mod@reference`] says the same in a few plain lines.

mod activations;
mod floats;
mod groups;
mod multiply;
mod pack;
mod quantize;
pub mod reference;

pub use crate::arch::product::wide_isa;
pub use activations::InputBits;
pub use groups::{Groups, Layout};
pub use multiply::{Finish, floats_from, multiply};
pub use pack::PackedGroups;
pub use quantize::quantize;
