//! Without intrinsics: 16-bit numbers one by one, which compilers turn into what the architecture promises.

use super::{CHANNELS, Channelwise, Line, Positions, check_lines, check_positions};
use crate::arch::product::Stored;
use crate::arch::vector::Byte;

/// Sums that are made at once.
const LANES: usize = 16;

macro_rules! plain {
    ($name:ty) => {
        impl Channelwise for $name {
            type A = i16;
            type W = i16;
            type V = Self;
            const KU: usize = 1;

            fn vector(self) -> Self {
                self
            }

            fn interleave<C: Byte>(
                self,
                lines: &[Line<'_, C>],
                channels: usize,
                count: usize,
                to: &mut [i16],
            ) {
                check_lines::<Self, C>(lines, channels, count, to);
                let (line, next) = lines[0];
                for (x, to) in to.chunks_exact_mut(CHANNELS).take(count).enumerate() {
                    for (to, &code) in to.iter_mut().zip(&line[x * next..][..channels]) {
                        *to = i16::of(code);
                    }
                }
            }

            fn sums(self, positions: &Positions<'_, i16, i16>, out: &mut [i32]) {
                check_positions::<Self>(positions, out);
                let Positions { cells, count, step, taps, weights, channels, .. } = *positions;
                for (at, out) in out.chunks_exact_mut(CHANNELS).take(count).enumerate() {
                    for channel in (0..channels).step_by(LANES) {
                        let mut sums = [0i32; LANES];
                        for (tap, weights) in taps.iter().zip(weights.chunks_exact(CHANNELS)) {
                            let cell = &cells[(tap + at * step) * CHANNELS + channel..][..LANES];
                            let weights = &weights[channel..][..LANES];
                            for i in 0..LANES {
                                sums[i] = sums[i].wrapping_add(i32::from(cell[i]) * i32::from(weights[i]));
                            }
                        }
                        out[channel..][..LANES].copy_from_slice(&sums);
                    }
                }
            }
        }
    };
}
plain!(crate::arch::scalar::Scalar);
#[cfg(target_arch = "aarch64")]
plain!(crate::arch::aarch64::neon::Neon);
