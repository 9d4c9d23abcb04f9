//! Exact sums of values and of their squares.
//!
//! Floats of one exponent are integers times a power of two: their sums, kept apart, are exact, and so do not depend
//! on the order (after Shewchuk's and Neal's exact accumulators, arXiv:1505.05571).

use std::sync::Mutex;

use crate::affine::nan_in;
use crate::error::Stopped;
use crate::threads;

/// Exponents of a float32, as its bits have them.
pub const EXPONENTS: usize = 256;

/// For each exponent `e`, of the finite floats `m * 2^(max(e, 1) - 150)`: how many, and the sums of `m` and `m * m`.
///
/// A commutative monoid under addition. No sum overflows before 2^39 values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerSums {
    /// How many.
    pub counts: [i64; EXPONENTS],
    /// The sum of `m`, whose sign is the float's.
    pub sums: [i64; EXPONENTS],
    /// The sum of the low 24 bits of `m * m`.
    pub squares_low: [i64; EXPONENTS],
    /// The sum of the bits above them.
    pub squares_high: [i64; EXPONENTS],
}

impl PowerSums {
    /// Of nothing.
    pub const EMPTY: Self = Self {
        counts: [0; EXPONENTS],
        sums: [0; EXPONENTS],
        squares_low: [0; EXPONENTS],
        squares_high: [0; EXPONENTS],
    };

    /// Adds another's sums.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.counts, &other.counts),
            (&mut self.sums, &other.sums),
            (&mut self.squares_low, &other.squares_low),
            (&mut self.squares_high, &other.squares_high),
        ];
        for (mine, theirs) in pairs {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
    }
}

/// Values of one piece of work.
const CHUNK: usize = 64 << 10;

/// Of all finite values.
///
/// # Errors
/// NaN has no place in a sum.
pub fn power_sums(x: &[f32]) -> Result<PowerSums, Stopped> {
    let all = Mutex::new((PowerSums::EMPTY, false));
    threads::for_each(size_of_val(x), x.chunks(CHUNK), |x| {
        let (part, nan) = chunk(x);
        let mut all = all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.0.add(&part);
        all.1 |= nan;
        !nan
    })?;
    let (all, nan) = all.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    if nan { Err(nan_in(x)) } else { Ok(all) }
}

/// Of at most `CHUNK` values, and whether one of them is NaN.
fn chunk(x: &[f32]) -> (PowerSums, bool) {
    let mut found = PowerSums::EMPTY;
    let mut nan = false;
    for &x in x {
        let bits = x.to_bits();
        let exponent = (bits >> 23) as u8;
        let hidden = if exponent == 0 { 0 } else { 1 << 23 };
        let m = i64::from(bits & 0x7f_ffff | hidden);
        nan |= x.is_nan();
        let e = usize::from(exponent);
        found.counts[e] += 1;
        found.sums[e] += if x.is_sign_negative() { -m } else { m };
        // Apart for each value: a carry from one to the other would depend on the order.
        found.squares_low[e] += (m * m) & 0xff_ffff;
        found.squares_high[e] += (m * m) >> 24;
    }
    // Infinities.
    let infinite = EXPONENTS - 1;
    found.counts[infinite] = 0;
    found.sums[infinite] = 0;
    found.squares_low[infinite] = 0;
    found.squares_high[infinite] = 0;
    (found, nan)
}
