//! Rows of quantized tables, dequantized, alone and added up: no other row is touched, and none is written out.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::arch::{self, Isa, Kernel, Vector, copy_to};
use crate::error::Stopped;
use crate::qparams::QParams;
use crate::threads;

/// The codes of a table.
#[derive(Debug, Clone, Copy)]
pub enum Cells<'a> {
    /// Unsigned, of 8 bits.
    U8(&'a [u8]),
    /// Signed, of 8 bits.
    I8(&'a [i8]),
    /// Signed, of 32 bits.
    I32(&'a [i32]),
    /// Of 4 bits, two to a byte, the first in the low bits; rows may begin inside of bytes.
    Fours(&'a [u8]),
    /// Of 2 bits, four to a byte.
    Twos(&'a [u8]),
}

/// A quantized table.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// Its codes, from the first one on.
    pub cells: Cells<'a>,
    /// How many there are in a row.
    pub width: usize,
    /// What they stand for; channels are rows (axis 0) or columns (axis 1).
    pub params: &'a QParams,
}

/// Which rows belong together.
#[derive(Debug, Clone, Copy)]
pub struct Bags<'a> {
    /// The rows, bag after bag.
    pub rows: &'a [i64],
    /// Where each bag begins, and where the last one ends.
    pub starts: &'a [i64],
    /// What each row is multiplied by.
    pub weights: Option<&'a [f32]>,
}

/// What becomes of the rows of a bag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Their sum.
    Sum,
    /// Their sum, divided by their number.
    Mean,
    /// The greatest value of each column.
    Max,
}

/// A row of `out` for each bag: from the first row to the last in float32, zeros where there is none.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree, rows that the table does not have, starts that go back.
pub fn embedding_bag(
    table: &Table<'_>,
    bags: &Bags<'_>,
    mode: Mode,
    out: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    match table.cells {
        Cells::U8(codes) => share(table, bags, mode, codes, out),
        Cells::I8(codes) => share(table, bags, mode, codes, out),
        Cells::I32(codes) => share(table, bags, mode, codes, out),
        Cells::Fours(bytes) => share(table, bags, mode, Packed::<4>(bytes), out),
        Cells::Twos(bytes) => share(table, bags, mode, Packed::<2>(bytes), out),
    }
}

/// Columns whose sums stay in registers while the rows of a bag pass.
const BLOCK: usize = 64;

/// Codes that can be read as steps from a zero point.
trait Codes: Copy + Sync {
    /// `code - zero_point` of one.
    fn step(self, at: usize, zero_point: f64) -> f32;
    /// The same of a whole block.
    fn block(self, at: usize, zero_point: f64, to: &mut [f32; BLOCK]);
}

macro_rules! whole {
    ($code:ty, $float:ty) => {
        impl Codes for &[$code] {
            #[inline(always)]
            fn step(self, at: usize, zero_point: f64) -> f32 {
                // A difference of 8-bit codes is exact in float32 already.
                (self[at] as $float - zero_point as $float) as f32
            }
            #[inline(always)]
            fn block(self, at: usize, zero_point: f64, to: &mut [f32; BLOCK]) {
                let codes: &[$code; BLOCK] = self[at..].first_chunk().expect("a row goes on");
                for i in 0..BLOCK {
                    to[i] = (codes[i] as $float - zero_point as $float) as f32;
                }
            }
        }
    };
}
whole!(u8, f32);
whole!(i8, f32);
whole!(i32, f64);

/// Codes of so many bits.
#[derive(Clone, Copy)]
struct Packed<'a, const BITS: usize>(&'a [u8]);

impl<const BITS: usize> Codes for Packed<'_, BITS> {
    #[inline(always)]
    fn step(self, at: usize, zero_point: f64) -> f32 {
        let per_byte = 8 / BITS;
        let code = self.0[at / per_byte] >> (at % per_byte * BITS) & ((1 << BITS) - 1);
        f32::from(code) - zero_point as f32
    }
    #[inline(always)]
    fn block(self, at: usize, zero_point: f64, to: &mut [f32; BLOCK]) {
        let per_byte = 8 / BITS;
        if !at.is_multiple_of(per_byte) {
            (0..BLOCK).for_each(|i| to[i] = self.step(at + i, zero_point));
            return;
        }
        let bytes = &self.0[at / per_byte..][..BLOCK / per_byte];
        let mut codes = [0u8; BLOCK];
        // Written out, so that the compiler turns it into vectors.
        if BITS == 4 {
            for (codes, &b) in codes.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
                *codes = [b & 15, b >> 4];
            }
        } else {
            for (codes, &b) in codes.as_chunks_mut::<4>().0.iter_mut().zip(bytes) {
                *codes = [b & 3, b >> 2 & 3, b >> 4 & 3, b >> 6];
            }
        }
        for i in 0..BLOCK {
            to[i] = f32::from(codes[i]) - zero_point as f32;
        }
    }
}

/// Scales and zero points.
enum Params<'a> {
    /// Of a row, by its number.
    Rows(&'a QParams),
    /// Of each column.
    Columns(Vec<(f32, f64)>),
}

/// The scale and the zero point of a channel.
#[inline(always)]
fn channel(params: &QParams, i: usize) -> (f32, f64) {
    match params {
        QParams::PerTensor { scale, zero_point } => (*scale as f32, f64::from(*zero_point)),
        QParams::PerChannel { scales, zero_points, .. } => (scales[i] as f32, f64::from(zero_points[i])),
        QParams::PerChannelFloat { scales, zero_points, .. } => (scales[i], f64::from(zero_points[i])),
    }
}

fn share<C: Codes>(
    table: &Table<'_>,
    bags: &Bags<'_>,
    mode: Mode,
    codes: C,
    out: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    let width = table.width;
    let count = bags.starts.len().saturating_sub(1);
    assert_eq!(out.len(), count * width, "a row for each bag");
    assert!(bags.weights.is_none_or(|weights| weights.len() == bags.rows.len()), "a weight for each row");
    if out.is_empty() {
        return Ok(());
    }
    let params = match table.params.axis() {
        Some(1) => Params::Columns((0..width).map(|i| channel(table.params, i)).collect()),
        _ => Params::Rows(table.params),
    };
    let isa = Isa::current();
    let moved = bags.rows.len() * width + 4 * out.len();
    // Pieces of about as much work as there is in a chunk of memory.
    let step = (threads::CHUNK_BYTES * count / moved.max(1)).clamp(1, count);
    threads::for_each(moved, out.chunks_mut(step * width).enumerate(), |(i, out)| {
        let own = i * step..i * step + out.len() / width;
        arch::dispatch(isa, Run { table, bags, mode, codes, params: &params, own, out });
        true
    })
}

/// Some of the bags.
struct Run<'a, C> {
    table: &'a Table<'a>,
    bags: &'a Bags<'a>,
    mode: Mode,
    codes: C,
    params: &'a Params<'a>,
    own: Range<usize>,
    out: &'a mut [MaybeUninit<f32>],
}

impl<C: Codes> Run<'_, C> {
    /// The values of `n` columns of a row.
    #[inline(always)]
    fn values(&self, row: usize, first: usize, n: usize, to: &mut [f32; BLOCK]) {
        let at = row * self.table.width + first;
        match self.params {
            Params::Rows(params) => {
                let (scale, zero_point) = channel(params, row);
                match n {
                    BLOCK => self.codes.block(at, zero_point, to),
                    _ => (0..n).for_each(|i| to[i] = self.codes.step(at + i, zero_point)),
                }
                for value in to {
                    *value *= scale;
                }
            }
            Params::Columns(params) => {
                for (i, &(scale, zero_point)) in params[first..][..n].iter().enumerate() {
                    to[i] = self.codes.step(at + i, zero_point) * scale;
                }
            }
        }
    }

    /// `n` columns of a bag.
    #[inline(always)]
    fn reduce(&self, rows: Range<usize>, first: usize, n: usize) -> [f32; BLOCK] {
        let count = rows.len();
        if count == 0 {
            return [0.0; BLOCK];
        }
        let mut all = [if self.mode == Mode::Max { f32::NEG_INFINITY } else { 0.0 }; BLOCK];
        for i in rows {
            let mut values = [0.0; BLOCK];
            self.values(self.bags.rows[i] as usize, first, n, &mut values);
            if let Some(weights) = self.bags.weights {
                values.iter_mut().for_each(|value| *value *= weights[i]);
            }
            for (all, value) in all.iter_mut().zip(values) {
                *all = match self.mode {
                    Mode::Max => {
                        if value > *all {
                            value
                        } else {
                            *all
                        }
                    }
                    _ => *all + value,
                };
            }
        }
        if self.mode == Mode::Mean {
            all.iter_mut().for_each(|all| *all /= count as f32);
        }
        all
    }
}

impl<C: Codes> Kernel for Run<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, _: V) {
        let width = self.table.width;
        let out = std::mem::take(&mut self.out);
        for (bag, out) in self.own.clone().zip(out.chunks_exact_mut(width)) {
            let rows = self.bags.starts[bag] as usize..self.bags.starts[bag + 1] as usize;
            for (b, out) in out.chunks_mut(BLOCK).enumerate() {
                // A constant for the compiler, which then keeps the sums in registers.
                let all = match out.len() {
                    BLOCK => self.reduce(rows.clone(), b * BLOCK, BLOCK),
                    n => self.reduce(rows.clone(), b * BLOCK, n),
                };
                copy_to(&all[..out.len()], out);
            }
        }
    }
}
