//! Channels that lie apart, put side by side: transposes of bytes.
//!
//! Lines of as many bytes as a vector has are zipped, the first half of them with the second half, until the bytes of one
//! element stand beside each other in a lane.

use super::dispatch;
use super::isa::Isa;
use super::vector::{Byte, Kernel, Vector, map};

/// Bytes of a lane.
pub(crate) const LANE: usize = 16;

/// Writes the elements of a line: each with its channels, which lie `stride` apart in `from`.
///
/// # Panics
/// Channels that reach beyond `from`, and a `to` that is not as long as all of them.
pub(crate) fn transpose<C: Byte>(isa: Isa, from: &[C], (channels, stride): (usize, usize), to: &mut [C]) {
    if to.is_empty() {
        return;
    }
    assert!(channels > 0 && to.len().is_multiple_of(channels), "whole elements");
    let length = to.len() / channels;
    assert!((channels - 1) * stride + length <= from.len(), "channels that are there");
    // SAFETY: a `Byte` is u8 or i8, both of which take any bits.
    let (from, to) = unsafe {
        (
            std::slice::from_raw_parts(from.as_ptr().cast::<u8>(), from.len()),
            std::slice::from_raw_parts_mut(to.as_mut_ptr().cast::<u8>(), to.len()),
        )
    };
    dispatch(isa, Transpose { from, channels, stride, length, to });
}

struct Transpose<'a> {
    from: &'a [u8],
    channels: usize,
    stride: usize,
    length: usize,
    to: &'a mut [u8],
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) {
        match self.channels {
            1 => self.to.copy_from_slice(&self.from[..self.length]),
            2..=4 => (0..self.length).step_by(V::GROUP).for_each(|x| self.few(v, x)),
            channels => {
                let span = (SPAN / channels).max(V::GROUP) / V::GROUP * V::GROUP;
                (0..self.length).step_by(span).for_each(|x| self.many(v, x, span));
            }
        }
    }
}

impl Transpose<'_> {
    /// Up to a vector of some lines, from `x` on; what lies behind them may be anything, and so may lines that are not
    /// there.
    #[inline(always)]
    fn lines<V: Vector, const R: usize>(&self, v: V, first: usize, x: usize) -> [V::Q; R] {
        let last = self.channels - 1;
        let at = |c: usize| (first + c).min(last) * self.stride + x;
        if last * self.stride + x + V::GROUP <= self.from.len() {
            return std::array::from_fn(|c| v.load_lanes(&self.from[at(c)..]));
        }
        let n = V::GROUP.min(self.length - x);
        std::array::from_fn(|c| {
            let mut some = [0; MOST];
            some[..n].copy_from_slice(&self.from[at(c)..][..n]);
            v.load_lanes(&some)
        })
    }

    /// Writes lanes for elements that are `step` after each other. What of a lane lies beyond its element belongs to the
    /// next one, which is written later, or to none.
    #[inline(always)]
    fn put_lane<V: Vector, const R: usize, const L: usize>(
        &mut self,
        v: V,
        zipped: [V::Q; R],
        (element, step): (usize, usize),
        first: usize,
    ) {
        let element = element + LANE * L;
        if LANE * L < V::GROUP && element < self.length {
            let lanes = map(zipped, |q| v.lane::<L>(q));
            let (at, step) = (element * self.channels + first, step * self.channels);
            let count = R.min((self.to.len() - at).div_ceil(step));
            let to = &mut self.to[at..];
            if (count - 1) * step + LANE > to.len() {
                return put_some(&lanes[..count], to, step);
            }
            let put = |(j, lane): (usize, &[u8; LANE])| to[j * step..][..LANE].copy_from_slice(lane);
            match count == R {
                true => lanes.iter().enumerate().for_each(put),
                false => lanes.iter().enumerate().take(count).for_each(put),
            }
        }
    }

    /// Writes all lanes.
    #[inline(always)]
    fn put_lanes<V: Vector, const R: usize>(
        &mut self,
        v: V,
        zipped: [V::Q; R],
        at: (usize, usize),
        first: usize,
    ) {
        self.put_lane::<V, R, 0>(v, zipped, at, first);
        self.put_lane::<V, R, 1>(v, zipped, at, first);
        self.put_lane::<V, R, 2>(v, zipped, at, first);
        self.put_lane::<V, R, 3>(v, zipped, at, first);
    }

    /// Up to a vector of elements of 2 to 4 channels.
    #[inline(always)]
    fn few<V: Vector>(&mut self, v: V, x: usize) {
        let channels = self.channels;
        let order = std::array::from_fn(|i| (i / channels * 4 + i % channels).min(LANE - 1) as u8);
        let zipped = map(zip(v, self.lines::<V, 4>(v, 0, x)), |q| v.shuffle(q, order));
        self.put_lanes(v, zipped, (x, 4), 0);
    }

    /// Up to `span` elements of more channels.
    #[inline(always)]
    fn many<V: Vector>(&mut self, v: V, x: usize, span: usize) {
        for first in (0..self.channels).step_by(LANE) {
            // The last ones are whole too: some are written twice.
            let first = first.min(self.channels.saturating_sub(LANE));
            for x in (x..self.length.min(x + span)).step_by(V::GROUP) {
                let zipped = zip(v, self.lines::<V, LANE>(v, first, x));
                self.put_lanes(v, zipped, (x, 1), first);
            }
        }
    }
}

/// Writes lanes, as far as there is room for them.
#[cold]
fn put_some(lanes: &[[u8; LANE]], to: &mut [u8], step: usize) {
    for (j, lane) in lanes.iter().enumerate() {
        let to = &mut to[j * step..];
        let n = LANE.min(to.len());
        to[..n].copy_from_slice(&lane[..n]);
    }
}

/// Bytes that stay in the first cache while channels are added to them.
const SPAN: usize = 24 << 10;

/// Bytes of the longest vector.
const MOST: usize = 64;

/// In each lane the bytes of one element after the other, each with all lines.
#[inline(always)]
fn zip<V: Vector, const R: usize>(v: V, mut lines: [V::Q; R]) -> [V::Q; R] {
    const { assert!(R.is_power_of_two()) };
    for _ in 0..R.ilog2() {
        let mut next = lines;
        for i in 0..R / 2 {
            [next[2 * i], next[2 * i + 1]] = v.zip(lines[i], lines[i + R / 2]);
        }
        lines = next;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_stand_side_by_side_on_every_instruction_set() {
        for channels in [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 40] {
            for length in [1, 3, 15, 16, 17, 31, 33, 63, 64, 65, 130] {
                for stride in [length, length + 7] {
                    let codes: Vec<i8> =
                        (0..(channels - 1) * stride + length).map(|i| (i * 7 % 251) as i8).collect();
                    let want: Vec<i8> =
                        (0..length * channels).map(|i| codes[i % channels * stride + i / channels]).collect();
                    for &isa in Isa::available() {
                        let mut to = vec![0i8; length * channels];
                        transpose(isa, &codes, (channels, stride), &mut to);
                        assert_eq!(to, want, "{}: {channels} x {length}, {stride} apart", isa.name());
                    }
                }
            }
        }
    }
}
