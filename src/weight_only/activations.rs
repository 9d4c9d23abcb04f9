//! Rows of floats as rows of digits.

use super::Layout;
use crate::arch::product::{Digit, Inputs, Sum, Wide, greatest};
use crate::arch::{Kernel, Vector};
use crate::error::{Error, Result, Stopped};
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
    depth: usize,
    group: usize,
    digits: Vec<A>,
    /// For each group the unit of each row.
    units: Vec<f32>,
    /// For each group the sum of each row's integers.
    sums: Vec<Sum>,
}

/// Depths are padded to a multiple of what any instruction set's products take.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
}

impl<A: Digit> Integers<A> {
    /// From `rows` rows, which may share the work with other threads.
    pub(super) fn new<P: Wide<A = A>>(
        p: P,
        x: &[f32],
        bits: InputBits,
        layout: &Layout,
    ) -> std::result::Result<Self, Stopped> {
        const { assert!(8usize.is_multiple_of(P::DEPTH)) };
        let rows = x.len().checked_div(layout.depth).unwrap_or(0);
        let (count, depth) = (A::count(bits.bits()), padded(layout.depth));
        let per_group = rows * count * layout.group;
        let mut digits = vec![A::default(); rows * count * depth];
        let mut units = vec![0.0; rows * layout.groups()];
        let mut sums = vec![Sum::default(); rows * layout.groups()];
        let room = digits.chunks_mut(per_group.max(1));
        let tables = units.chunks_mut(rows.max(1)).zip(sums.chunks_mut(rows.max(1)));
        let bytes = x.len() * (4 + count * size_of::<A>());
        threads::for_each(bytes, room.zip(tables).enumerate(), |(g, (digits, (units, sums)))| {
            let part = layout.part(g);
            p.vector().run(Split { x, bits, count, part, depth: layout.depth, digits, units, sums });
            true
        })?;
        Ok(Self { rows, count, depth, group: layout.group, digits, units, sums })
    }

    /// All of them.
    pub(super) fn all(&self) -> Inputs<'_, A> {
        Inputs {
            digits: &self.digits,
            units: &self.units,
            sums: &self.sums,
            count: self.count,
            rows: self.rows,
            depth: self.depth,
            group: self.group,
            first_row: 0,
            first_group: 0,
        }
    }
}

/// Splits one group of all rows.
struct Split<'a, A> {
    x: &'a [f32],
    bits: InputBits,
    /// Digits of an integer.
    count: usize,
    part: std::ops::Range<usize>,
    /// Of a row.
    depth: usize,
    digits: &'a mut [A],
    units: &'a mut [f32],
    sums: &'a mut [Sum],
}

impl<A: Digit> Kernel for Split<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let (len, count) = (self.part.len(), self.count);
        let places = self.units.iter_mut().zip(self.sums);
        let mut integers = [0i32; 256];
        let integers = &mut integers[..len];
        for ((row, digits), (unit, sum)) in
            self.x.chunks_exact(self.depth).zip(self.digits.chunks_exact_mut(count * padded(len))).zip(places)
        {
            let x = &row[self.part.clone()];
            let inverse;
            (*unit, inverse) = unit_of(x, self.bits);
            for (to, &x) in integers.iter_mut().zip(x) {
                *to = (x * inverse).round_ties_even() as i32;
            }
            *sum = match self.bits {
                InputBits::TwentyFour => Sum {
                    high: integers.iter().map(|x| (x + 128) >> 8).sum(),
                    low: integers.iter().map(|&x| i32::from(x as i8)).sum(),
                },
                _ => Sum { high: 0, low: integers.iter().sum() },
            };
            for (which, digits) in digits.chunks_exact_mut(padded(len)).enumerate() {
                A::write(integers, which, count, digits);
            }
        }
    }
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
