//! AVX2: 8 floats, 32 bytes.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{align_frame, registers};
use crate::arch::vector::{AHEAD, Byte, Kernel, Slot, Vector, copy_to, map};

/// All bits of the first `n` lanes.
#[inline(always)]
fn first(n: usize) -> __m256i {
    const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let lanes = &LANES[8 - n.min(8)..][..8];
    // SAFETY: the slice holds 8 integers; no alignment is asked for, and only `Avx2` calls this.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}

/// Writes the first floats of a vector, less than 8. Not by one store with a mask, for which Zen takes forty steps.
///
/// # Safety
/// The CPU has AVX2, and there is room for so many.
#[inline(always)]
pub(in crate::arch) unsafe fn write_some(value: __m256, mut to: *mut f32, n: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rest = _mm256_castps256_ps128(value);
        if n & 4 != 0 {
            _mm_storeu_ps(to, rest);
            (rest, to) = (_mm256_extractf128_ps::<1>(value), to.add(4));
        }
        if n & 2 != 0 {
            _mm_storel_epi64(to.cast(), _mm_castps_si128(rest));
            (rest, to) = (_mm_movehl_ps(rest, rest), to.add(2));
        }
        if n & 1 != 0 {
            _mm_store_ss(to, rest);
        }
    }
}

/// Exists only where the CPU has AVX2 and FMA, which came with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The only door.
    #[inline]
    pub(crate) fn new() -> Option<Self> {
        let all = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
        all.then_some(Self(()))
    }
}

/// The kernel, with AVX2 switched on.
///
/// # Safety
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn run<K: Kernel>(v: Avx2, kernel: K) -> K::Output {
    align_frame!();
    kernel.run(v)
}

/// See [`Vector::in_step`].
///
/// # Safety
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn in_step([mut a, mut b, mut c, mut d]: [__m256; 4]) -> [__m256; 4] {
    // SAFETY: no instruction at all; the compiler has to have all four in registers, and knows them no better after.
    unsafe {
        asm!("/* {0} {1} {2} {3} */", inout(ymm_reg) a, inout(ymm_reg) b, inout(ymm_reg) c, inout(ymm_reg) d,
            options(pure, nomem, nostack, preserves_flags));
    }
    [a, b, c, d]
}

/// No step of an 8-bit code is as large; 2^16 still fits `cvtps`, which turns what is too large into INT_MIN.
const LARGE: f32 = 65536.0;

impl Vector for Avx2 {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    type F = __m256;
    type Z = [__m256i; 2];
    type B = __m256i;
    type Q = __m256i;
    type M = __m256;
    type I = __m256i;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` exists, so the CPU has both.
        unsafe { run(self, kernel) }
    }

    #[inline(always)]
    unsafe fn read(self, from: *const f32) -> __m256 {
        // SAFETY: the caller has 8 floats there; no alignment is asked for.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn write(self, value: __m256, to: *mut f32) {
        // SAFETY: the caller has room for 8 floats there; no alignment is asked for.
        unsafe { _mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn read_some(self, from: *const f32, n: usize) -> __m256 {
        // SAFETY: the caller has so many floats there; what the mask leaves out is not touched.
        unsafe { _mm256_maskload_ps(from, first(n)) }
    }
    #[inline(always)]
    unsafe fn write_some(self, value: __m256, to: *mut f32, n: usize) {
        // SAFETY: the caller has room for so many floats there, and `self` exists.
        unsafe { write_some(value, to, n) }
    }
    #[inline(always)]
    fn fused(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        registers!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        registers!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> [__m256; 4] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 32 floats; no alignment is asked for.
        unsafe { std::array::from_fn(|j| _mm256_loadu_ps(from.add(8 * j))) }
    }
    #[inline(always)]
    fn prefetch(self, from: &[f32]) {
        for line in 0..2 {
            let line = from.as_ptr().wrapping_add(AHEAD + 16 * line);
            // SAFETY: a hint, which no address makes wrong.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        }
    }
    #[inline(always)]
    fn store<S: Slot<Item = f32>, const STREAM: bool>(self, value: [__m256; 4], to: &mut [S]) {
        let to = to[..Self::GROUP].as_mut_ptr().cast::<f32>();
        if STREAM && to.addr().is_multiple_of(32) {
            for (j, value) in value.into_iter().enumerate() {
                // SAFETY: the slice holds 32 floats, in slots that take any; it is aligned, and 8 floats keep it so.
                unsafe { _mm256_stream_ps(to.add(8 * j), value) };
            }
        } else {
            for (j, value) in value.into_iter().enumerate() {
                // SAFETY: the slice holds 32 floats, in slots that take any; no alignment is asked for.
                unsafe { _mm256_storeu_ps(to.add(8 * j), value) };
            }
        }
    }
    #[inline(always)]
    fn store_some<S: Slot<Item = f32>, const STREAM: bool>(self, values: &[f32], to: &mut [S]) {
        if !STREAM {
            return copy_to(values, to);
        }
        let to = to[..values.len()].as_mut_ptr().cast::<i32>();
        for (i, value) in values.iter().enumerate() {
            // SAFETY: the slice holds as many floats, in slots that take any; an i32 has their size and alignment.
            unsafe { _mm_stream_si32(to.add(i), value.to_bits() as i32) };
        }
    }
    #[inline(always)]
    fn in_step(self, group: [__m256; 4]) -> [__m256; 4] {
        // SAFETY: `self` is the proof that the CPU has the registers.
        unsafe { in_step(group) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        registers!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn exponent(self, a: __m256) -> __m256 {
        registers!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(a))))
    }

    #[inline(always)]
    fn upper(self, a: __m256, n: usize) -> __m256 {
        match n {
            4 => registers!(_mm256_permute2f128_ps::<1>(a, a)),
            2 => registers!(_mm256_permute_ps::<0b1110>(a)),
            _ => registers!(_mm256_permute_ps::<0b01>(a)),
        }
    }
    #[inline(always)]
    fn lowest(self, a: __m256) -> f32 {
        registers!(_mm256_cvtss_f32(a))
    }

    #[inline(always)]
    fn none(self) -> __m256 {
        registers!(_mm256_setzero_ps())
    }
    #[inline(always)]
    fn unordered(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, b))
    }
    #[inline(always)]
    fn or(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_or_ps(a, b))
    }
    #[inline(always)]
    fn any(self, m: __m256) -> bool {
        registers!(_mm256_movemask_ps(m)) != 0
    }
    #[inline(always)]
    fn less(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn select(self, m: __m256, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_blendv_ps(b, a, m))
    }
    #[inline(always)]
    fn within(self, a: __m256, lo: __m256, hi: __m256) -> __m256 {
        registers!(_mm256_and_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(lo, a), _mm256_cmp_ps::<_CMP_LE_OQ>(a, hi)))
    }
    #[inline(always)]
    fn store_bools<S: Slot<Item = bool>>(self, m: [__m256; 4], to: &mut [S]) {
        let bytes = registers!({
            let [a, b, c, d] = map(m, |m| _mm256_castps_si256(m));
            let packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
            _mm256_and_si256(in_order(packed), _mm256_set1_epi8(1))
        });
        let to = to[..Self::GROUP].as_mut_ptr().cast();
        // SAFETY: the slice holds 32 bools; each byte is 0 or 1; no alignment is asked for.
        unsafe { _mm256_storeu_si256(to, bytes) };
    }

    #[inline(always)]
    fn splat32(self, value: i32) -> __m256i {
        registers!(_mm256_set1_epi32(value))
    }
    #[inline(always)]
    fn load32(self, from: &[i32]) -> [__m256i; 4] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 32 integers; no alignment is asked for.
        unsafe { std::array::from_fn(|j| _mm256_loadu_si256(from.add(8 * j).cast())) }
    }
    #[inline(always)]
    fn store32<S: Slot<Item = i32>>(self, value: [__m256i; 4], to: &mut [S]) {
        let to = to[..Self::GROUP].as_mut_ptr().cast::<__m256i>();
        for (j, value) in value.into_iter().enumerate() {
            // SAFETY: the slice holds 32 integers, in slots that take any; no alignment is asked for.
            unsafe { _mm256_storeu_si256(to.add(j), value) };
        }
    }
    #[inline(always)]
    fn add32(self, a: __m256i, b: __m256i) -> __m256i {
        registers!(_mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub32(self, a: __m256i, b: __m256i) -> __m256i {
        registers!(_mm256_sub_epi32(a, b))
    }
    #[inline(always)]
    fn mul32(self, a: __m256i, b: __m256i) -> __m256i {
        registers!(_mm256_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn to_float(self, a: __m256i) -> __m256 {
        registers!(_mm256_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn splat16(self, value: i16) -> [__m256i; 2] {
        [registers!(_mm256_set1_epi16(value)); 2]
    }
    #[inline(always)]
    fn load16(self, from: &[i16]) -> [__m256i; 2] {
        let from = from[..Self::GROUP].as_ptr();
        // `packs` takes 4 elements from each of its operands in turn: so do these.
        // SAFETY: the slice holds 32 elements; no alignment is asked for.
        unsafe {
            std::array::from_fn(|j| {
                _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_loadu_si256(from.add(16 * j).cast()))
            })
        }
    }
    #[inline(always)]
    fn narrow<C: Byte>(self, a: [__m256; 4], z: [__m256i; 2]) -> __m256i {
        registers!({
            let large = _mm256_set1_ps(LARGE);
            // What is too small becomes INT_MIN, as it should.
            let [a, b, c, d] = map(a, |a| _mm256_cvtps_epi32(_mm256_min_ps(a, large)));
            let ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), z[0]);
            let cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), z[1]);
            in_order(if C::SIGNED { _mm256_packs_epi16(ab, cd) } else { _mm256_packus_epi16(ab, cd) })
        })
    }
    #[inline(always)]
    fn widen<C: Byte>(self, from: &[C]) -> [__m256; 4] {
        let from = from[..Self::GROUP].as_ptr().cast::<u8>();
        // SAFETY: the slice holds 32 bytes; no alignment is asked for.
        unsafe {
            std::array::from_fn(|j| {
                let bytes = _mm_loadl_epi64(from.add(8 * j).cast());
                let wide = if C::SIGNED { _mm256_cvtepi8_epi32(bytes) } else { _mm256_cvtepu8_epi32(bytes) };
                _mm256_cvtepi32_ps(wide)
            })
        }
    }
    #[inline(always)]
    fn widen_flipped(self, from: &[u8], flip: u8) -> [__m256; 4] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 32 bytes; no alignment is asked for.
        unsafe {
            let flip = _mm_set1_epi8(flip as i8);
            let part = |j: usize| {
                let bytes = _mm_xor_si128(_mm_loadl_epi64(from.add(8 * j).cast()), flip);
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
            };
            [part(0), part(1), part(2), part(3)]
        }
    }
    #[inline(always)]
    fn flip(self, bytes: __m256i, flip: u8) -> __m256i {
        registers!(_mm256_xor_si256(bytes, _mm256_set1_epi8(flip as i8)))
    }
    #[inline(always)]
    fn store_bytes<C: Byte, S: Slot<Item = C>, const STREAM: bool>(self, value: __m256i, to: &mut [S]) {
        let to = to[..Self::GROUP].as_mut_ptr().cast::<__m256i>();
        if STREAM && to.is_aligned() {
            // SAFETY: the slice holds 32 bytes, in slots that take any, and is aligned.
            unsafe { _mm256_stream_si256(to, value) };
        } else {
            // SAFETY: the slice holds 32 bytes, in slots that take any; no alignment is asked for.
            unsafe { _mm256_storeu_si256(to, value) };
        }
    }

    #[inline(always)]
    fn load_lanes(self, from: &[u8]) -> __m256i {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 32 bytes; no alignment is asked for.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    fn zip(self, a: __m256i, b: __m256i) -> [__m256i; 2] {
        registers!([_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)])
    }
    #[inline(always)]
    fn shuffle(self, a: __m256i, places: [u8; 16]) -> __m256i {
        // SAFETY: any bits are valid in both types, which are as large.
        let places = unsafe { std::mem::transmute::<[u8; 16], __m128i>(places) };
        registers!(_mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(places)))
    }
    #[inline(always)]
    fn lane<const L: usize>(self, a: __m256i) -> [u8; 16] {
        let lane = registers!(match L {
            1 => _mm256_extracti128_si256::<1>(a),
            _ => _mm256_castsi256_si128(a),
        });
        // SAFETY: any bits are valid in both types, which are as large.
        unsafe { std::mem::transmute::<__m128i, [u8; 16]>(lane) }
    }

    #[inline(always)]
    fn fence(self) {
        registers!(_mm_sfence());
    }
}

/// Undoes the order that packing twice leaves, four bytes from each vector in turn.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn in_order(packed: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)) }
}
