//! Rows of floats as rows of digits.

use super::Layout;
use crate::arch::product::{Digit, GREATEST, Inputs, Rows, Sum, Wide};
use crate::arch::{Kernel, Vector};
use crate::error::Stopped;
use crate::threads;

/// The integers that floats become, group by group: the digits of all rows, then those of the next group.
pub(super) struct Integers<A> {
    rows: usize,
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
    pub(super) fn new<P: Wide<A = A>>(p: P, x: &[f32], layout: &Layout) -> Result<Self, Stopped> {
        const { assert!(8usize.is_multiple_of(P::DEPTH)) };
        let rows = x.len().checked_div(layout.depth).unwrap_or(0);
        let per_group = rows * A::COUNT * layout.group;
        let mut digits = vec![A::default(); rows * A::COUNT * padded(layout.depth)];
        let mut units = vec![0.0; rows * layout.groups()];
        let mut sums = vec![Sum::default(); rows * layout.groups()];
        let room = digits.chunks_mut(per_group.max(1));
        let tables = units.chunks_mut(rows.max(1)).zip(sums.chunks_mut(rows.max(1)));
        let bytes = x.len() * (4 + A::COUNT * size_of::<A>());
        threads::for_each(bytes, room.zip(tables).enumerate(), |(g, (digits, (units, sums)))| {
            p.vector().run(Split { x, part: layout.part(g), depth: layout.depth, digits, units, sums });
            true
        })?;
        Ok(Self { rows, group: layout.group, digits, units, sums })
    }

    /// A group of some rows.
    pub(super) fn part(&self, group: usize, first: usize, count: usize) -> Inputs<'_, A> {
        let per_group = self.rows * A::COUNT * self.group;
        let digits = &self.digits[group * per_group..];
        let digits = &digits[..per_group.min(digits.len())];
        let stride = digits.len() / (self.rows * A::COUNT);
        let of = Rows::new(digits, stride, self.rows * A::COUNT);
        let at = group * self.rows + first;
        Inputs {
            digits: of.part(first * A::COUNT, count * A::COUNT),
            units: &self.units[at..][..count],
            sums: &self.sums[at..][..count],
        }
    }
}

/// Splits one group of all rows.
struct Split<'a, A> {
    x: &'a [f32],
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
        let len = self.part.len();
        let places = self.units.iter_mut().zip(self.sums);
        let mut integers = [0i32; 256];
        let integers = &mut integers[..len];
        for ((row, digits), (unit, sum)) in self
            .x
            .chunks_exact(self.depth)
            .zip(self.digits.chunks_exact_mut(A::COUNT * padded(len)))
            .zip(places)
        {
            let x = &row[self.part.clone()];
            let inverse;
            (*unit, inverse) = unit_of(x);
            let (mut high, mut low) = (0, 0);
            for (to, &x) in integers.iter_mut().zip(x) {
                let integer = (x * inverse).round_ties_even() as i32;
                high += (integer + 128) >> 8;
                low += integer - ((integer + 128) >> 8 << 8);
                *to = integer;
            }
            *sum = Sum { high, low };
            for (which, digits) in digits.chunks_exact_mut(padded(len)).enumerate() {
                for (to, &integer) in digits.iter_mut().zip(&*integers) {
                    let high = (integer + 128) >> 8;
                    *to = A::of_parts(high, integer - (high << 8), which);
                }
            }
        }
    }
}

/// Where a float's exponent starts.
const MANTISSA: u32 = 23;
const INFINITY: u32 = f32::INFINITY.to_bits();

/// The unit of these, and its inverse; NaN and 0 where one of them is not finite.
#[inline(always)]
fn unit_of(x: &[f32]) -> (f32, f32) {
    // Without their signs, floats are ordered as their bits are.
    let largest = x.iter().fold(0, |a, x| a.max(x.to_bits() & !(1 << 31)));
    if largest >= INFINITY {
        return (f32::NAN, 0.0);
    }
    // The largest one is from 2^22 to 2^23 units of this exponent.
    let exponent = (largest >> MANTISSA).saturating_sub(22).max(1);
    let of =
        |exponent: u32| (f32::from_bits(exponent << MANTISSA), f32::from_bits((254 - exponent) << MANTISSA));
    let (unit, inverse) = of(exponent);
    match (f32::from_bits(largest) * inverse).round_ties_even() > GREATEST as f32 {
        true => of(exponent + 1),
        false => (unit, inverse),
    }
}
