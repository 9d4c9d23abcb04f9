//! Rows of quantized tables, dequantized, alone and added up: no other row is touched, and none is written out.

use std::borrow::Cow;
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

/// Numbers of rows, counted from the first one; where `from_end`, -1 was the last one.
///
/// # Errors
/// The place of the first one that the table does not have, and what is valid.
pub fn counted_rows(
    ids: &[i64],
    rows: usize,
    from_end: bool,
) -> std::result::Result<Cow<'_, [i64]>, (usize, String)> {
    let (least, count) = (if from_end { -(rows as i64) } else { 0 }, rows as i64);
    if let Some(at) = ids.iter().position(|id| !(least..count).contains(id)) {
        let valid = match rows {
            0 => "empty: the table has no rows".into(),
            n => format!("from {least} to {}", n - 1),
        };
        return Err((at, valid));
    }
    match ids.iter().any(|&id| id < 0) {
        true => Ok(Cow::Owned(ids.iter().map(|&id| if id < 0 { id + count } else { id }).collect())),
        false => Ok(Cow::Borrowed(ids)),
    }
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

/// As many columns as any instruction set has in a group.
const BLOCK: usize = 64;

/// Codes that can be read as steps from a zero point.
trait Codes: Copy + Sync {
    /// How many there are.
    fn count(self) -> usize;
    /// `code - zero_point` of one.
    fn step(self, at: usize, zero_point: f64) -> f32;
    /// The same of a group of them, from `at` on.
    fn group<V: Vector>(self, v: V, at: usize, zero_point: f64) -> [V::F; 4];
    /// Asks for the memory of so many, from `at` on.
    fn ask_for(self, at: usize, count: usize);
}

/// What stands for 0, taken from codes that are exact as floats.
#[inline(always)]
fn less<V: Vector>(v: V, codes: [V::F; 4], zero_point: f64) -> [V::F; 4] {
    let [a, b, c, d] = codes;
    let zero = v.splat(zero_point as f32);
    [v.sub(a, zero), v.sub(b, zero), v.sub(c, zero), v.sub(d, zero)]
}

macro_rules! bytes {
    ($code:ty) => {
        impl Codes for &[$code] {
            #[inline(always)]
            fn count(self) -> usize {
                self.len()
            }
            #[inline(always)]
            fn step(self, at: usize, zero_point: f64) -> f32 {
                f32::from(self[at]) - zero_point as f32
            }
            #[inline(always)]
            fn group<V: Vector>(self, v: V, at: usize, zero_point: f64) -> [V::F; 4] {
                less(v, v.widen::<$code>(&self[at..]), zero_point)
            }
            #[inline(always)]
            fn ask_for(self, at: usize, count: usize) {
                arch::ask_for(&self[at..][..count]);
            }
        }
    };
}
bytes!(u8);
bytes!(i8);

impl Codes for &[i32] {
    #[inline(always)]
    fn count(self) -> usize {
        self.len()
    }
    #[inline(always)]
    fn step(self, at: usize, zero_point: f64) -> f32 {
        (f64::from(self[at]) - zero_point) as f32
    }
    #[inline(always)]
    fn group<V: Vector>(self, v: V, at: usize, zero_point: f64) -> [V::F; 4] {
        let mut steps = [0.0; BLOCK];
        let codes = &self[at..][..V::GROUP];
        for i in 0..V::GROUP {
            steps[i] = (f64::from(codes[i]) - zero_point) as f32;
        }
        v.load(&steps)
    }
    #[inline(always)]
    fn ask_for(self, at: usize, count: usize) {
        arch::ask_for(&self[at..][..count]);
    }
}

/// Codes of so many bits.
#[derive(Clone, Copy)]
struct Packed<'a, const BITS: usize>(&'a [u8]);

impl<const BITS: usize> Packed<'_, BITS> {
    const PER_BYTE: usize = 8 / BITS;

    #[inline(always)]
    fn code(self, at: usize) -> u8 {
        self.0[at / Self::PER_BYTE] >> (at % Self::PER_BYTE * BITS) & ((1 << BITS) - 1)
    }
}

impl<const BITS: usize> Codes for Packed<'_, BITS> {
    #[inline(always)]
    fn count(self) -> usize {
        self.0.len() * Self::PER_BYTE
    }
    #[inline(always)]
    fn step(self, at: usize, zero_point: f64) -> f32 {
        f32::from(self.code(at)) - zero_point as f32
    }
    #[inline(always)]
    fn group<V: Vector>(self, v: V, at: usize, zero_point: f64) -> [V::F; 4] {
        let mut codes = [0u8; BLOCK];
        if !at.is_multiple_of(Self::PER_BYTE) {
            for (i, code) in codes[..V::GROUP].iter_mut().enumerate() {
                *code = self.code(at + i);
            }
            return less(v, v.widen::<u8>(&codes), zero_point);
        }
        // Written out, so that the compiler turns it into vectors.
        let bytes = &self.0[at / Self::PER_BYTE..][..V::GROUP / Self::PER_BYTE];
        if BITS == 4 {
            let to = codes.as_chunks_mut::<2>().0;
            for i in 0..V::GROUP / 2 {
                to[i] = [bytes[i] & 15, bytes[i] >> 4];
            }
        } else {
            let to = codes.as_chunks_mut::<4>().0;
            for i in 0..V::GROUP / 4 {
                to[i] = [bytes[i] & 3, bytes[i] >> 2 & 3, bytes[i] >> 4 & 3, bytes[i] >> 6];
            }
        }
        less(v, v.widen::<u8>(&codes), zero_point)
    }
    #[inline(always)]
    fn ask_for(self, at: usize, count: usize) {
        arch::ask_for(&self.0[at / Self::PER_BYTE..][..count / Self::PER_BYTE]);
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

/// How many rows ahead of use to ask for: they may lie anywhere.
const AHEAD: usize = 8;

impl<C: Codes> Run<'_, C> {
    /// The values of a group of columns of a row; of as many as it has, and anything behind.
    #[inline(always)]
    fn values<V: Vector>(&self, v: V, row: usize, first: usize) -> [V::F; 4] {
        let width = self.table.width;
        let at = row * width + first;
        match self.params {
            Params::Rows(params) => {
                let (scale, zero_point) = channel(params, row);
                // A shorter group is read with what lies behind it.
                let [a, b, c, d] = match at + V::GROUP <= self.codes.count() {
                    true => self.codes.group(v, at, zero_point),
                    false => {
                        let mut steps = [0.0; BLOCK];
                        for (i, step) in steps[..V::GROUP.min(width - first)].iter_mut().enumerate() {
                            *step = self.codes.step(at + i, zero_point);
                        }
                        v.load(&steps)
                    }
                };
                let scale = v.splat(scale);
                [v.mul(a, scale), v.mul(b, scale), v.mul(c, scale), v.mul(d, scale)]
            }
            Params::Columns(params) => {
                let mut values = [0.0; BLOCK];
                for i in 0..V::GROUP.min(width - first) {
                    let (scale, zero_point) = params[first + i];
                    values[i] = self.codes.step(at + i, zero_point) * scale;
                }
                v.load(&values)
            }
        }
    }

    /// A group of columns of a bag.
    #[inline(always)]
    fn reduce<V: Vector>(&self, v: V, rows: Range<usize>, first: usize) -> [V::F; 4] {
        let (width, is_max) = (self.table.width, self.mode == Mode::Max);
        let mut all = [v.splat(if is_max { f32::NEG_INFINITY } else { 0.0 }); 4];
        for i in rows {
            if first == 0
                && let Some(&row) = self.bags.rows.get(i + AHEAD)
            {
                self.codes.ask_for(row as usize * width, width);
            }
            let mut values = self.values(v, self.bags.rows[i] as usize, first);
            if let Some(weights) = self.bags.weights {
                let weight = v.splat(weights[i]);
                for value in &mut values {
                    *value = v.mul(*value, weight);
                }
            }
            for j in 0..4 {
                all[j] = if is_max { v.max(values[j], all[j]) } else { v.add(all[j], values[j]) };
            }
        }
        all
    }
}

impl<C: Codes> Kernel for Run<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) {
        let width = self.table.width;
        let out = std::mem::take(&mut self.out);
        for (bag, out) in self.own.clone().zip(out.chunks_exact_mut(width)) {
            let rows = self.bags.starts[bag] as usize..self.bags.starts[bag + 1] as usize;
            let count = rows.len();
            for (b, out) in out.chunks_mut(V::GROUP).enumerate() {
                let mut all = match self.mode {
                    _ if count == 0 => [v.splat(0.0); 4],
                    _ => self.reduce(v, rows.clone(), b * V::GROUP),
                };
                if self.mode == Mode::Mean && count > 0 {
                    let count = v.splat(count as f32);
                    for all in &mut all {
                        *all = v.div(*all, count);
                    }
                }
                if out.len() == V::GROUP {
                    v.store::<_, false>(all, out);
                } else {
                    let mut some = [0f32; BLOCK];
                    v.store::<f32, false>(all, &mut some);
                    copy_to(&some[..out.len()], out);
                }
            }
        }
    }
}
