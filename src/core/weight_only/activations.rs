//! Rows of floats as rows of digits.

use super::Layout;
use crate::arch::product::{Digit, Inputs, Sum, UNIT, Wide, greatest};
use crate::arch::{Kernel, Vector};
use crate::error::{Error, Result, Stopped};
use crate::memory::filled;
use crate::threads;

/// How many bits inputs keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputBits {
    /// In steps of the largest input of a group, divided by 127.
    Eight,
    /// In steps of a power of two.
    Sixteen,
    /// In steps of a power of two: as exact as float32.
    #[default]
    TwentyFour,
}

impl InputBits {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Eight, Self::Sixteen, Self::TwentyFour];

    /// Checks the number.
    ///
    /// # Errors
    /// There is none of so many.
    pub fn new(bits: isize) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|own| own.bits() as isize == bits);
        found.ok_or_else(|| Error::value("input_bits", bits, "8, 16 or 24"))
    }

    /// The number.
    pub fn bits(self) -> usize {
        match self {
            Self::Eight => 8,
            Self::Sixteen => 16,
            Self::TwentyFour => 24,
        }
    }

    /// The greatest absolute value of an integer.
    fn greatest(self) -> i32 {
        greatest(self.bits() / 8)
    }
}

/// The integers that floats become, group by group: the digits of all rows, then those of the next group.
pub(super) struct Integers<A> {
    rows: usize,
    count: usize,
    group: usize,
    digits: Vec<A>,
    /// For each group the unit of each row.
    units: Vec<f32>,
    /// For each group the sum of each row's integers.
    sums: Vec<Sum>,
}

/// Depths are padded.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(UNIT)
}

impl<A: Digit> Integers<A> {
    /// From `rows` rows, which may share the work with other threads.
    pub(super) fn new<P: Wide<A = A>>(
        p: P,
        x: &[f32],
        rows: usize,
        bits: InputBits,
        layout: &Layout,
    ) -> std::result::Result<Self, Stopped> {
        const { assert!(UNIT.is_multiple_of(P::DEPTH)) };
        let count = A::count(bits.bits());
        let mut digits = filled(rows * count * padded(layout.depth), A::default());
        let mut units = filled(rows * layout.groups(), 0.0);
        let mut sums = filled(rows * layout.groups(), Sum::default());
        let bytes = x.len() * (4 + count * size_of::<A>());
        // Groups of one item of work.
        let many = (threads::CHUNK_BYTES * layout.groups()).checked_div(bytes).unwrap_or(0).max(1);
        let room = digits.chunks_mut((rows * count * layout.group * many).max(1));
        let tables = units.chunks_mut((rows * many).max(1)).zip(sums.chunks_mut((rows * many).max(1)));
        threads::for_each(bytes, room.zip(tables).enumerate(), |(i, (digits, (units, sums)))| {
            p.vector().run(Split { x, bits, layout, rows, count, first: i * many, digits, units, sums });
            true
        })?;
        Ok(Self { rows, count, group: layout.group, digits, units, sums })
    }

    /// All of them.
    pub(super) fn all(&self) -> Inputs<'_, A> {
        Inputs {
            digits: &self.digits,
            units: &self.units,
            sums: &self.sums,
            count: self.count,
            rows: self.rows,
            group: self.group,
            first_row: 0,
            first_group: 0,
        }
    }
}

/// Splits some groups of all rows, from the group `first` on.
struct Split<'a, A> {
    x: &'a [f32],
    bits: InputBits,
    layout: &'a Layout,
    rows: usize,
    /// Digits of an integer.
    count: usize,
    first: usize,
    digits: &'a mut [A],
    units: &'a mut [f32],
    sums: &'a mut [Sum],
}

impl<A: Digit> Kernel for Split<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { x, bits, layout, rows, count, first, digits, units, sums } = self;
        let groups = digits.chunks_mut(rows * count * layout.group);
        let tables = units.chunks_exact_mut(rows).zip(sums.chunks_exact_mut(rows));
        let mut integers = [0; 256];
        for (g, (digits, (units, sums))) in groups.zip(tables).enumerate() {
            let part = layout.part(first + g);
            let integers = &mut integers[..part.len()];
            let rows = x.chunks_exact(layout.depth).zip(digits.chunks_exact_mut(count * padded(part.len())));
            for ((row, digits), (unit, sum)) in rows.zip(units.iter_mut().zip(sums)) {
                let x = &row[part.clone()];
                let inverse;
                (*unit, inverse) = unit_of(x, bits);
                match unit.is_nan() {
                    true => integers.fill(0),
                    false => integers.iter_mut().zip(x).for_each(|(to, x)| *to = rounded(x * inverse)),
                }
                *sum = match bits {
                    InputBits::TwentyFour => Sum {
                        high: integers.iter().map(|x| (x + 128) >> 8).sum(),
                        low: integers.iter().map(|&x| i32::from(x as i8)).sum(),
                    },
                    _ => Sum { high: 0, low: integers.iter().sum() },
                };
                for (which, digits) in digits.chunks_exact_mut(padded(part.len())).enumerate() {
                    A::write(integers, which, count, digits);
                }
            }
        }
    }
}

/// The nearest integer, halves to even, of less than 2^23 on either side of 0: a cast takes one float at a time.
#[inline(always)]
fn rounded(x: f32) -> i32 {
    const UNITS: f32 = (1 << MANTISSA) as f32;
    let sign = x.to_bits() as i32 >> 31;
    let size = ((x.abs() + UNITS).to_bits() - UNITS.to_bits()) as i32;
    (size ^ sign) - sign
}

/// Where a float's exponent starts.
const MANTISSA: u32 = 23;
const INFINITY: u32 = f32::INFINITY.to_bits();

/// The unit of these, and its inverse; NaN and 0 where one of them is not finite.
#[inline(always)]
fn unit_of(x: &[f32], bits: InputBits) -> (f32, f32) {
    // Without their signs, floats are ordered as their bits are.
    let largest = x.iter().fold(0, |a, x| a.max(x.to_bits() & !(1 << 31)));
    if largest >= INFINITY {
        return (f32::NAN, 0.0);
    }
    let (largest, exponent) = (f32::from_bits(largest), largest >> MANTISSA);
    let greatest = bits.greatest() as f32;
    if bits == InputBits::Eight {
        let unit = (largest / greatest).max(f32::MIN_POSITIVE);
        return (unit, 1.0 / unit);
    }
    // The largest one is from 2^14 or 2^22 on, to twice as many, units of this exponent.
    let exponent = exponent.saturating_sub(bits.bits() as u32 - 2).max(1);
    let of =
        |exponent: u32| (f32::from_bits(exponent << MANTISSA), f32::from_bits((254 - exponent) << MANTISSA));
    let (unit, inverse) = of(exponent);
    match (largest * inverse).round_ties_even() > greatest {
        true => of(exponent + 1),
        false => (unit, inverse),
    }
}
