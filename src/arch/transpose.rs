//! Channels that lie apart, put side by side: transposes of bytes.
//!
//! Lines of as many bytes as a vector has are zipped, the first half of them with the second half, until the bytes of one
//! element stand beside each other in a lane.

use super::dispatch;
use super::isa::Isa;
use super::vector::{Byte, Kernel, Vector};

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
            _ => (0..self.length).step_by(V::GROUP).for_each(|x| self.many(v, x)),
        }
    }
}

impl Transpose<'_> {
    /// Up to a vector of a line, from `x` on; what lies behind it may be anything.
    #[inline(always)]
    fn line<V: Vector>(&self, v: V, channel: usize, x: usize) -> V::Q {
        if channel >= self.channels {
            return v.load_lanes(&[0; MOST]);
        }
        let at = channel * self.stride + x;
        match self.from.get(at..at + V::GROUP) {
            Some(whole) => v.load_lanes(whole),
            None => {
                let mut some = [0; MOST];
                let n = V::GROUP.min(self.length - x);
                some[..n].copy_from_slice(&self.from[at..at + n]);
                v.load_lanes(&some)
            }
        }
    }

    /// Writes a lane. What of it lies beyond its element belongs to the next one, which is written later, or to none.
    #[inline(always)]
    fn put(&mut self, at: usize, lane: &[u8; LANE]) {
        match self.to[at..].first_chunk_mut() {
            Some(to) => *to = *lane,
            None => {
                let to = &mut self.to[at..];
                to.copy_from_slice(&lane[..to.len()]);
            }
        }
    }

    /// Up to a vector of elements of 2 to 4 channels.
    #[inline(always)]
    fn few<V: Vector>(&mut self, v: V, x: usize) {
        let channels = self.channels;
        let order = std::array::from_fn(|i| (i / channels * 4 + i % channels).min(LANE - 1) as u8);
        let mut zipped = [Zipped::default(); 4];
        let lines = zip::<V, 4>(v, std::array::from_fn(|c| self.line(v, c, x)));
        for (to, line) in zipped.iter_mut().zip(lines) {
            v.store_lanes(v.shuffle(line, order), to.0.as_flattened_mut());
        }
        for l in 0..V::GROUP / LANE {
            for (j, lanes) in zipped.iter().enumerate() {
                let element = x + LANE * l + 4 * j;
                if element < self.length {
                    self.put(element * channels, &lanes.0[l]);
                }
            }
        }
    }

    /// Up to a vector of elements of more channels.
    #[inline(always)]
    fn many<V: Vector>(&mut self, v: V, x: usize) {
        let channels = self.channels;
        let mut zipped = [Zipped::default(); LANE];
        for first in (0..channels).step_by(LANE) {
            // The last ones are whole too: some are written twice.
            let first = first.min(channels.saturating_sub(LANE));
            let lines = zip::<V, LANE>(v, std::array::from_fn(|c| self.line(v, first + c, x)));
            for (to, line) in zipped.iter_mut().zip(lines) {
                v.store_lanes(line, to.0.as_flattened_mut());
            }
            for l in 0..V::GROUP / LANE {
                let at = x + LANE * l;
                for (j, lanes) in zipped.iter().enumerate().take(self.length.saturating_sub(at)) {
                    self.put((at + j) * channels + first, &lanes.0[l]);
                }
            }
        }
    }
}

/// Bytes of the longest vector.
const MOST: usize = 64;

/// The lanes of a vector.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Zipped([[u8; LANE]; MOST / LANE]);

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
