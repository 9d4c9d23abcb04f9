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

/// 2^31: the first number that no bin has.
const FAR: f32 = 2_147_483_648.0;

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
        // A place beyond the last bin takes what is not counted.
        let beyond = u32::try_from(len).unwrap_or(u32::MAX);
        let mut counts = filled(len + 1, 0u32);
        // Counts of a byte, so that those of most values stay in the first cache; two for each bin in turn, since a count that
        // was just written is waited for.
        let mut bytes = filled(2 * (len + 1), 0u8);
        let (even, odd) = bytes.split_at_mut(len + 1);
        let mut places = [0; BLOCK];
        let mut nan = false;
        for block in self.x.chunks(BLOCK) {
            for (place, &x) in places.iter_mut().zip(block) {
                nan |= x.is_nan();
                // Adding 0 makes -0 positive; the sign in all bits turns j into -1 - j.
                let side = (x + 0.0).to_bits().cast_signed() >> 31;
                let steps = x.abs() * a * b;
                let is_far = steps >= FAR;
                // SAFETY: a number from 0 to below 2^31. `as` would look at each by itself, with branches.
                let number =
                    unsafe { (if steps < FAR { steps } else { 0.0 }).to_int_unchecked::<i32>() } ^ side;
                let own = number.wrapping_sub(first).cast_unsigned().min(beyond);
                *place = if is_far { beyond } else { own };
            }
            let (pairs, last) = places[..block.len()].as_chunks::<2>();
            for &[one, other] in pairs {
                bump(even, &mut counts, one);
                bump(odd, &mut counts, other);
            }
            for &one in last {
                bump(even, &mut counts, one);
            }
        }
        for ((count, &even), &odd) in counts.iter_mut().zip(&*even).zip(&*odd) {
            *count += u32::from(even) + u32::from(odd);
        }
        counts.truncate(len);
        (counts, nan)
    }
}

/// Counts one more in a byte; when that is full, in a wider number.
#[inline(always)]
fn bump(bytes: &mut [u8], counts: &mut [u32], place: u32) {
    let byte = &mut bytes[place as usize];
    *byte = byte.wrapping_add(1);
    if *byte == 0 {
        counts[place as usize] += 256;
    }
}
