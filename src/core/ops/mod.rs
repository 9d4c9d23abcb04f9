//! Operators on 8-bit codes: dequantize in float32, the float operation, quantize.
//!
//! A function of one input is a table of 256 codes. Sums, differences and products run over the vector trait of
//! [`crate::arch`]. Plain functions say what each must give: [`Function::of`], [`Binary::of`].

mod binary;
mod clamp;
pub mod embedding;
pub mod pool;
pub mod resize;
mod sort;
mod sum;
mod table;

pub use binary::{Binary, Repeat, binary, binary_repeated};
pub use clamp::clamp;
pub use sort::{argsort, gather};
pub use sum::add_floats;
pub use table::{Function, look_up, table};

use std::mem::MaybeUninit;

/// 8-bit codes, and what they stand for.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    /// The codes.
    pub codes: crate::gemm::Codes<'a>,
    /// The size of a step.
    pub scale: f32,
    /// The code that stands for 0.
    pub zero_point: i32,
}

/// Where codes go, and what they stand for.
#[derive(Debug)]
pub struct Target<'a> {
    /// Memory for them.
    pub codes: TargetCodes<'a>,
    /// The size of a step.
    pub scale: f32,
    /// The code that stands for 0.
    pub zero_point: i32,
}

/// Memory for codes.
#[derive(Debug)]
pub enum TargetCodes<'a> {
    /// Unsigned.
    U8(&'a mut [MaybeUninit<u8>]),
    /// Signed.
    I8(&'a mut [MaybeUninit<i8>]),
}
