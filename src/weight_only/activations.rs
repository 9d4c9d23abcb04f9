//! Rows of floats as rows of digits.

use super::Layout;
use crate::arch::product::{Digit, Inputs, Sum, UNIT, Wide, greatest};
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
        bits: InputBits,
        layout: &Layout,
    ) -> std::result::Result<Self, Stopped> {
        const { assert!(UNIT.is_multiple_of(P::DEPTH)) };
        let rows = x.len().checked_div(layout.depth).unwrap_or(0);
        let count = A::count(bits.bits());
        let mut digits = vec![A::default(); rows * count * padded(layout.depth)];
        let mut units = vec![0.0; rows * layout.groups()];
        let mut sums = vec![Sum::default(); rows * layout.groups()];
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
        // A group of one row, with zeros after it.
        let (mut room, mut integers) = ([[0f32; UNIT]; 256 / UNIT], [[0i32; UNIT]; 256 / UNIT]);
        for (g, (digits, (units, sums))) in groups.zip(tables).enumerate() {
            let part = layout.part(first + g);
            let room = &mut room[..part.len().div_ceil(UNIT)];
            if let Some(last) = room.last_mut() {
                *last = [0.0; UNIT];
            }
            let integers = &mut integers[..room.len()];
            let rows = x.chunks_exact(layout.depth).zip(digits.chunks_exact_mut(count * padded(part.len())));
            for ((row, digits), (unit, sum)) in rows.zip(units.iter_mut().zip(sums)) {
                room.as_flattened_mut()[..part.len()].copy_from_slice(&row[part.clone()]);
                let inverse;
                (*unit, inverse) = unit_of(room, bits);
                for (to, x) in integers.iter_mut().zip(&*room) {
                    *to = x.map(|x| (x * inverse).round_ties_even() as i32);
                }
                *sum = match bits {
                    InputBits::TwentyFour => Sum {
                        high: total(integers, |x| (x + 128) >> 8),
                        low: total(integers, |x| i32::from(x as i8)),
                    },
                    _ => Sum { high: 0, low: total(integers, |x| x) },
                };
                for (which, digits) in digits.chunks_exact_mut(padded(part.len())).enumerate() {
                    A::write(integers, which, count, digits.as_chunks_mut().0);
                }
            }
        }
    }
}

/// The sum of a function of them.
#[inline(always)]
fn total(integers: &[[i32; UNIT]], f: impl Fn(i32) -> i32) -> i32 {
    let mut sums = [0; UNIT];
    for of in integers {
        sums.iter_mut().zip(of).for_each(|(sum, &x)| *sum += f(x));
    }
    sums.into_iter().sum()
}

/// Where a float's exponent starts.
const MANTISSA: u32 = 23;
const INFINITY: u32 = f32::INFINITY.to_bits();

/// The unit of these, and its inverse; NaN and 0 where one of them is not finite.
#[inline(always)]
fn unit_of(x: &[[f32; UNIT]], bits: InputBits) -> (f32, f32) {
    // Without their signs, floats are ordered as their bits are.
    let mut largest = [0; UNIT];
    for of in x {
        largest.iter_mut().zip(of).for_each(|(a, x)| *a = (*a).max(x.to_bits() & !(1 << 31)));
    }
    let largest = largest.into_iter().fold(0, u32::max);
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
