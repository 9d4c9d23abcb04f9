//! From the sums of windows to the codes nearest to their averages.

use std::mem::MaybeUninit;

use super::{Sum, Window};
use crate::arch::{Byte, Kernel, Vector, copy_to};

/// What sums are divided by, and what their codes mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Average {
    pub(super) zero_point: i32,
    /// Where it is not the size of a window.
    pub(super) divisor: Option<i64>,
    /// Of results on a grid of their own: the input's scale by theirs, and their zero point.
    pub(super) to: Option<(f64, i32)>,
}

impl Average {
    /// The codes of windows that meet as much as these do along each axis, halves to even: `f32(sum) / f32(size)`, or
    /// on a grid of their own `f32(sum) * f32(ratio / size)`.
    pub(super) fn write<V: Vector, T: Sum, C: Byte>(
        self,
        v: V,
        window: [Window; 3],
        sums: &[T],
        to: &mut [MaybeUninit<C>],
    ) {
        let size: usize = window.iter().map(|w| w.size).product();
        let count: usize = window.iter().map(|w| w.count).product();
        // The average of nothing is 0.
        let divisor = self.divisor.unwrap_or(size.max(1) as i64);
        let zeros = count as i64 * i64::from(self.zero_point);
        let (exact, divisor) = match (self.to, exact_reciprocal(divisor)) {
            (Some((ratio, _)), _) => (true, (ratio / divisor as f64) as f32),
            (None, Some(inverse)) => (true, inverse),
            (None, None) => (false, divisor as f32),
        };
        let zero_point = self.to.map_or(self.zero_point, |to| to.1) as i16;
        v.run(Quotients { by: By { zeros, divisor }, exact, zero_point, sums, to });
    }
}

/// Sums by a divisor, or times a factor where that is `exact`.
struct Quotients<'a, T, C> {
    by: By,
    exact: bool,
    zero_point: i16,
    sums: &'a [T],
    to: &'a mut [MaybeUninit<C>],
}

impl<T: Sum, C: Byte> Kernel for Quotients<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        match self.exact {
            true => self.groups::<V, true>(v),
            false => self.groups::<V, false>(v),
        }
    }
}

impl<T: Sum, C: Byte> Quotients<'_, T, C> {
    #[inline(always)]
    fn groups<V: Vector, const MULTIPLY: bool>(self, v: V) {
        let Self { by, zero_point, sums, to, .. } = self;
        let whole = sums.len() / V::GROUP * V::GROUP;
        let (head, tail) = to.split_at_mut(whole);
        for (sums, to) in sums.chunks_exact(V::GROUP).zip(head.chunks_exact_mut(V::GROUP)) {
            let codes = by.group::<V, T, C, MULTIPLY>(v, sums, zero_point);
            v.store_bytes::<C, _, false>(codes, to);
        }
        if !tail.is_empty() {
            let (mut some, mut codes) = ([T::NONE; 64], [C::default(); 64]);
            copy_to(&sums[whole..], &mut some);
            let group = by.group::<V, T, C, MULTIPLY>(v, &some[..V::GROUP], zero_point);
            v.store_bytes::<C, C, false>(group, &mut codes);
            copy_to(&codes[..tail.len()], tail);
        }
    }
}

/// What is taken from a sum, and what it is then divided by, or multiplied by.
#[derive(Clone, Copy)]
struct By {
    zeros: i64,
    divisor: f32,
}

impl By {
    #[inline(always)]
    fn group<V: Vector, T: Sum, C: Byte, const MULTIPLY: bool>(
        self,
        v: V,
        sums: &[T],
        zero_point: i16,
    ) -> V::B {
        let mut values = [0f32; 64];
        for (value, &sum) in values[..V::GROUP].iter_mut().zip(sums) {
            *value = sum.less(self.zeros);
        }
        let divisor = v.splat(self.divisor);
        let [a, b, c, d] = v.load(&values[..V::GROUP]);
        let steps = match MULTIPLY {
            true => [v.mul(a, divisor), v.mul(b, divisor), v.mul(c, divisor), v.mul(d, divisor)],
            false => [v.div(a, divisor), v.div(b, divisor), v.div(c, divisor), v.div(d, divisor)],
        };
        v.narrow::<C>(steps, v.splat16(zero_point))
    }
}

/// `1 / divisor`, where a product with it is rounded to the same integer as the quotient, of all that can make a
/// difference to a code.
///
/// A power of two gives the quotient itself. An odd number gives no halves: a quotient below 512 is at least
/// `1 / (2 * divisor)` away from the next one, more than the 2^-14 by which the product and the quotient are off.
fn exact_reciprocal(divisor: i64) -> Option<f32> {
    let size = divisor.unsigned_abs();
    let exact = size < 1 << 12 && (size % 2 == 1 || size.is_power_of_two());
    exact.then(|| 1.0 / divisor as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reciprocals_round_as_quotients_do() {
        let mut tried = 0;
        for divisor in -4096i64..=4096 {
            let Some(inverse) = exact_reciprocal(divisor) else { continue };
            // The sums next to each half between codes, where rounding is decided.
            for code in -257i64..257 {
                for near in -2..=2 {
                    let sum = ((2 * code + 1) * divisor / 2 + near) as f32;
                    let quotient = (sum / divisor as f32).round_ties_even();
                    assert_eq!((sum * inverse).round_ties_even(), quotient, "{sum} / {divisor}");
                }
            }
            tried += 1;
        }
        assert!(tried > 4000);
    }
}
