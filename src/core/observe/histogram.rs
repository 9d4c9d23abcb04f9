//! Counts of values in bins as wide as a power of two.
//!
//! Such bins nest: two neighbours are one bin of twice the width, exactly. So histograms of any parts of some data,
//! each with bins as fine as its own range allows, add up to the histogram of all of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::affine::nan_in;
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::memory::filled;
use crate::threads;

/// Bins of width `2^exponent`, numbered along the line of floats, from number `first` on.
///
/// Number `j` from 0 on holds values from `j * 2^exponent` to below the next bin; number `-1 - j` holds their
/// negatives. A zero of either sign is in number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bins {
    /// The base 2 logarithm of the width, from -149 (every float has a bin) to 127.
    pub exponent: i32,
    /// The number of the first bin.
    pub first: i32,
    /// How many bins.
    pub len: usize,
}

/// Values of one piece of work: many more than there usually are bins to clear and add up for it.
const CHUNK: usize = 512 << 10;
/// Values whose bins are found together, by vector instructions, before they are counted one by one.
const BLOCK: usize = 512;

/// How many values lie in each bin; those outside, infinities among them, are not counted.
///
/// # Errors
/// NaN has no place in a histogram.
pub fn histogram(x: &[f32], bins: Bins) -> Result<Vec<i64>, Stopped> {
    let isa = Isa::current();
    let all = Mutex::new(filled(bins.len, 0));
    let nan = AtomicBool::new(false);
    threads::for_each(size_of_val(x), x.chunks(CHUNK), |x| {
        let (part, found) = arch::dispatch(isa, Count { x, bins });
        let mut all = all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (all, part) in all.iter_mut().zip(part) {
            *all += i64::from(part);
        }
        nan.fetch_or(found, Ordering::Relaxed);
        !found
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(all.into_inner().unwrap_or_else(|p| p.into_inner())) }
}

/// The counts of at most `CHUNK` values, and whether one of them is NaN.
struct Count<'a> {
    x: &'a [f32],
    bins: Bins,
}

impl Kernel for Count<'_> {
    type Output = (Vec<u32>, bool);

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> (Vec<u32>, bool) {
        let Bins { exponent, first, len } = self.bins;
        // In two factors, since 2^149 is no float. Both products are exact, or less than 1.
        let half = exponent / 2;
        let (a, b) = (2f32.powi(-half), 2f32.powi(half - exponent));
        let mut counts = filled(len, 0);
        let mut places = [0; BLOCK];
        let mut nan = false;
        for block in self.x.chunks(BLOCK) {
            for (place, &x) in places.iter_mut().zip(block) {
                nan |= x.is_nan();
                // Adding 0 makes -0 positive; the sign in all bits turns j into -1 - j.
                let side = (x + 0.0).to_bits().cast_signed() >> 31;
                let number = (x.abs() * a * b) as i32 ^ side;
                *place = number.wrapping_sub(first).cast_unsigned();
            }
            for &place in &places[..block.len()] {
                if let Some(count) = counts.get_mut(place as usize) {
                    *count += 1;
                }
            }
        }
        (counts, nan)
    }
}
