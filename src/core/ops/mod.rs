//! Operators on 8-bit codes: dequantize in float32, the float operation, quantize.
//!
//! A function of one input is a table of 256 codes. Sums, differences and products run over the vector trait of
//! [`crate::arch`]. Plain functions say what each must give: [`Function::of`], [`Binary::of`].

mod binary;
mod boxes;
mod clamp;
pub mod embedding;
pub mod pool;
pub mod resize;
mod sort;
mod sum;
mod table;
pub mod trees;

pub use binary::{Binary, Repeat, binary, binary_repeated};
pub use boxes::{Counts, Suppression, non_max_suppression};
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

/// Where codes are unsigned anyway: what turns the highest bit of those that are not, and the zero point then.
fn unsigned(is_signed: bool, zero_point: i32) -> (u8, i32) {
    if is_signed { (0x80, zero_point + 128) } else { (0, zero_point) }
}

impl Operand<'_> {
    fn unsigned(&self) -> (u8, i32) {
        unsigned(matches!(self.codes, crate::gemm::Codes::I8(_)), self.zero_point)
    }
}

impl Target<'_> {
    fn unsigned(&self) -> (u8, i32) {
        unsigned(matches!(self.codes, TargetCodes::I8(_)), self.zero_point)
    }
}

impl<'a> TargetCodes<'a> {
    /// The same room for bytes.
    fn bytes(self) -> &'a mut [MaybeUninit<u8>] {
        match self {
            Self::U8(to) => to,
            Self::I8(to) => crate::arch::slots_of(to),
        }
    }
}
