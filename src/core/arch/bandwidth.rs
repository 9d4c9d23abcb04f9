//! How fast one core reads memory that it has read before, to measure kernels against that do little else.

use std::time::Instant;

use super::dispatch;
use super::isa::Isa;
use super::memory::Lines;
use super::vector::{Kernel, Vector};

/// Floats that are read from one place before another one's turn.
const PIECE: usize = 512;
/// What is read is a multiple of so many floats: four places, each in pieces.
const UNIT: usize = 4 * PIECE;

/// Bytes a second at which this thread reads some `bytes` again and again: from the nearest cache that holds them. The
/// best of several ways and of many times each, so that nothing that reads as many is faster. Takes some milliseconds.
///
/// # Panics
/// Where there is no room for so many bytes.
pub fn read_bandwidth(bytes: usize) -> f64 {
    let floats = bytes.div_ceil(4).next_multiple_of(UNIT);
    let mut memory = Lines::zeros(4 * floats);
    // Written, since all pages of fresh memory may be one that holds zeros.
    memory.bytes_mut().fill(1);
    let floats = memory.floats();
    let isa = Isa::available().last().copied().unwrap_or(Isa::Scalar);
    let often = ((4 << 20) / bytes.max(1)).clamp(1, 1000);
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        for (places, ahead) in [(1, false), (1, true), (2, false), (4, false)] {
            let start = Instant::now();
            for _ in 0..often {
                std::hint::black_box(dispatch(isa, Read { floats, places, ahead }));
            }
            best = best.min(start.elapsed().as_secs_f64() / often as f64);
        }
    }
    (4 * floats.len()) as f64 / best
}

/// Reads all of it, at some places in turn.
struct Read<'a> {
    floats: &'a [f32],
    places: usize,
    /// Whether to ask for memory before its turn.
    ahead: bool,
}

impl Kernel for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> f32 {
        let mut seen = [[v.splat(0.0); 4]; 2];
        let part = self.floats.len() / self.places;
        for at in (0..part).step_by(PIECE) {
            for place in 0..self.places {
                let piece = &self.floats[place * part + at..][..PIECE];
                for two in piece.chunks_exact(2 * V::GROUP) {
                    for (seen, group) in seen.iter_mut().zip(two.chunks_exact(V::GROUP)) {
                        if self.ahead {
                            v.prefetch(group);
                        }
                        let group = v.load(group);
                        for j in 0..4 {
                            seen[j] = v.max(seen[j], group[j]);
                        }
                    }
                }
            }
        }
        let mut all = [0.0; 64];
        let [a, b] = seen;
        v.store::<_, false>(
            [v.max(a[0], b[0]), v.max(a[1], b[1]), v.max(a[2], b[2]), v.max(a[3], b[3])],
            &mut all,
        );
        all.into_iter().fold(0.0, f32::max)
    }
}
