//! Without VNNI: pairs of 16-bit numbers of each channel, for as many channels at a time as a vector has lanes.

const KU: usize = 2;
const CELL: usize = super::CHANNELS * KU;

/// The kernel of an instruction set, in a module of its own.
macro_rules! pairs {
    ($module:ident, $isa:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $store:ident, $add:ident,
        $madd:ident) => {
        mod $module {
            use std::arch::x86_64::*;

            use super::super::{
                CHANNELS, Channelwise, Line, Positions, check_lines, check_positions, strips,
            };
            use super::{CELL, KU};
            use crate::arch::product::Stored;
            use crate::arch::vector::Byte;
            use crate::arch::x86_64::$module::$isa;

            impl Channelwise for $isa {
                type A = i16;
                type W = i16;
                type V = Self;
                const KU: usize = KU;

                fn vector(self) -> Self {
                    self
                }

                #[inline]
                fn interleave<C: Byte>(
                    self,
                    lines: &[Line<'_, C>],
                    channels: usize,
                    count: usize,
                    to: &mut [i16],
                ) {
                    check_lines::<Self, C>(lines, channels, count, to);
                    // SAFETY: `self` exists, so the CPU has these instructions.
                    unsafe { interleave(lines, channels, count, to) }
                }

                #[inline]
                fn sums(self, positions: &Positions<'_, i16, i16>, out: &mut [i32]) {
                    check_positions::<Self>(positions, out);
                    // SAFETY: `self` exists, so the CPU has these instructions; positions and room have been checked.
                    unsafe { sums(positions, out) }
                }
            }

            /// Without intrinsics: compilers know how to widen and interleave.
            ///
            /// # Safety
            /// The CPU has these instructions.
            #[target_feature(enable = $features)]
            unsafe fn interleave<C: Byte>(
                lines: &[Line<'_, C>],
                channels: usize,
                count: usize,
                to: &mut [i16],
            ) {
                let [(a, after_a), (b, after_b)] = [lines[0], lines[1]];
                for (x, to) in to.chunks_exact_mut(CELL).take(count).enumerate() {
                    let (a, b) = (&a[x * after_a..][..channels], &b[x * after_b..][..channels]);
                    for ((to, &a), &b) in to.as_chunks_mut::<KU>().0.iter_mut().zip(a).zip(b) {
                        *to = [i16::of(a), i16::of(b)];
                    }
                }
            }

            /// # Safety
            /// The CPU has these instructions, and `check_positions` has seen the arguments.
            #[target_feature(enable = $features)]
            unsafe fn sums(positions: &Positions<'_, i16, i16>, out: &mut [i32]) {
                // SAFETY: the caller's promise.
                unsafe { strips!(strip, positions, out, $lanes) }
            }

            /// # Safety
            /// As for [`sums`]; there are `M` positions from `at` on, and as many channels of a cell as lanes from `channel` on.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn strip<const M: usize>(
                p: &Positions<'_, i16, i16>,
                at: usize,
                channel: usize,
                out: &mut [i32],
            ) {
                let mut sums = [$zero(); M];
                // SAFETY: the caller's promise: that all cells that a position meets are there, and as many weights, and room.
                unsafe {
                    let cells = p.cells.as_ptr().add(at * p.step * CELL + channel * KU);
                    let weights = p.weights.as_ptr().add(channel * KU);
                    for (t, tap) in p.taps.iter().enumerate() {
                        let w = $load(weights.add(t * CELL).cast());
                        let cell = cells.add(tap * CELL);
                        for (m, sum) in sums.iter_mut().enumerate() {
                            let x = $load(cell.add(m * p.step * CELL).cast());
                            *sum = $add(*sum, $madd(x, w));
                        }
                    }
                    let out = out.as_mut_ptr().add(at * CHANNELS + channel);
                    for (m, sum) in sums.into_iter().enumerate() {
                        $store(out.add(m * CHANNELS).cast(), sum);
                    }
                }
            }
        }
    };
}

pairs!(
    avx2,
    Avx2,
    "avx2",
    8,
    _mm256_setzero_si256,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_add_epi32,
    _mm256_madd_epi16
);
pairs!(
    avx512,
    Avx512,
    "avx512f,avx512bw",
    16,
    _mm512_setzero_si512,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_add_epi32,
    _mm512_madd_epi16
);
