//! AVX-512 F, BW and VL: 16 floats, 64 bytes.

use std::arch::asm;
use std::arch::x86_64::*;

use super::avx2::Avx2;
use super::{align_frame, registers};
use crate::arch::vector::{AHEAD, Byte, Kernel, Slot, Vector, copy_to, map};

/// Exists only where the CPU has AVX-512 F, BW and VL, and what AVX2 stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    /// The only door. Detection includes what the operating system saves of the registers.
    #[inline]
    pub(crate) fn new() -> Option<Self> {
        let all = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl");
        Avx2::new().filter(|_| all).map(Self)
    }

    /// Half as wide vectors of the same CPU.
    #[inline]
    pub(crate) fn narrower(self) -> Avx2 {
        self.0
    }
}

/// The kernel, with AVX-512 switched on.
///
/// # Safety
/// The CPU has AVX-512 F, BW and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn run<K: Kernel>(v: Avx512, kernel: K) -> K::Output {
    align_frame!();
    kernel.run(v)
}

/// See [`Vector::in_step`].
///
/// # Safety
/// The CPU has AVX-512 F, BW and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
unsafe fn in_step([mut a, mut b, mut c, mut d]: [__m512; 4]) -> [__m512; 4] {
    // SAFETY: no instruction at all; the compiler has to have all four in registers, and knows them no better after.
    unsafe {
        asm!("/* {0} {1} {2} {3} */", inout(zmm_reg) a, inout(zmm_reg) b, inout(zmm_reg) c, inout(zmm_reg) d,
            options(pure, nomem, nostack, preserves_flags));
    }
    [a, b, c, d]
}

/// No step of an 8-bit code is as large; 2^16 still fits `cvtps`, which turns what is too large into INT_MIN.
const LARGE: f32 = 65536.0;

impl Vector for Avx512 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    type F = __m512;
    type Z = [__m512i; 2];
    type B = __m512i;
    type Q = __m512i;
    type M = __mmask16;
    type I = __m512i;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` exists, so the CPU has all three.
        unsafe { run(self, kernel) }
    }

    #[inline(always)]
    unsafe fn read(self, from: *const f32) -> __m512 {
        // SAFETY: the caller has 16 floats there; no alignment is asked for.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn write(self, value: __m512, to: *mut f32) {
        // SAFETY: the caller has room for 16 floats there; no alignment is asked for.
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn read_some(self, from: *const f32, n: usize) -> __m512 {
        // SAFETY: the caller has so many floats there; what the mask leaves out is not touched.
        unsafe { _mm512_maskz_loadu_ps(((1u32 << n.min(16)) - 1) as u16, from) }
    }
    #[inline(always)]
    unsafe fn write_some(self, value: __m512, to: *mut f32, n: usize) {
        // SAFETY: the caller has room for so many floats there; what the mask leaves out is not touched.
        unsafe { _mm512_mask_storeu_ps(to, ((1u32 << n.min(16)) - 1) as u16, value) }
    }
    #[inline(always)]
    fn fused(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        registers!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        registers!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> [__m512; 4] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 64 floats; no alignment is asked for.
        unsafe { std::array::from_fn(|j| _mm512_loadu_ps(from.add(16 * j))) }
    }
    #[inline(always)]
    fn prefetch(self, from: &[f32]) {
        for line in 0..4 {
            let line = from.as_ptr().wrapping_add(AHEAD + 16 * line);
            // SAFETY: a hint, which no address makes wrong.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        }
    }
    #[inline(always)]
    fn store<S: Slot<Item = f32>, const STREAM: bool>(self, value: [__m512; 4], to: &mut [S]) {
        let to = to[..Self::GROUP].as_mut_ptr().cast::<f32>();
        if STREAM && to.addr().is_multiple_of(64) {
            for (j, value) in value.into_iter().enumerate() {
                // SAFETY: the slice holds 64 floats, in slots that take any; it is aligned, and 16 floats keep it so.
                unsafe { _mm512_stream_ps(to.add(16 * j), value) };
            }
        } else {
            for (j, value) in value.into_iter().enumerate() {
                // SAFETY: the slice holds 64 floats, in slots that take any; no alignment is asked for.
                unsafe { _mm512_storeu_ps(to.add(16 * j), value) };
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
    fn in_step(self, group: [__m512; 4]) -> [__m512; 4] {
        // SAFETY: `self` is the proof that the CPU has the registers.
        unsafe { in_step(group) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        registers!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn exponent(self, a: __m512) -> __m512 {
        registers!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(a))))
    }

    #[inline(always)]
    fn upper(self, a: __m512, n: usize) -> __m512 {
        match n {
            8 => registers!(_mm512_shuffle_f32x4::<0b1110>(a, a)),
            4 => registers!(_mm512_shuffle_f32x4::<0b01>(a, a)),
            2 => registers!(_mm512_permute_ps::<0b1110>(a)),
            _ => registers!(_mm512_permute_ps::<0b01>(a)),
        }
    }
    #[inline(always)]
    fn lowest(self, a: __m512) -> f32 {
        registers!(_mm512_cvtss_f32(a))
    }

    #[inline(always)]
    fn none(self) -> __mmask16 {
        0
    }
    #[inline(always)]
    fn unordered(self, a: __m512, b: __m512) -> __mmask16 {
        registers!(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b))
    }
    #[inline(always)]
    fn or(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }
    #[inline(always)]
    fn any(self, m: __mmask16) -> bool {
        m != 0
    }
    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> __mmask16 {
        registers!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn select(self, m: __mmask16, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_mask_blend_ps(m, b, a))
    }
    #[inline(always)]
    fn within(self, a: __m512, lo: __m512, hi: __m512) -> __mmask16 {
        registers!(_mm512_mask_cmp_ps_mask::<_CMP_LE_OQ>(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(lo, a), a, hi))
    }
    #[inline(always)]
    fn store_bools<S: Slot<Item = bool>>(self, m: [__mmask16; 4], to: &mut [S]) {
        let [a, b, c, d] = map(m, u64::from);
        let bytes = registers!(_mm512_maskz_set1_epi8(a | b << 16 | c << 32 | d << 48, 1));
        let to = to[..Self::GROUP].as_mut_ptr().cast();
        // SAFETY: the slice holds 64 bools; each byte is 0 or 1; no alignment is asked for.
        unsafe { _mm512_storeu_si512(to, bytes) };
    }

    #[inline(always)]
    fn splat32(self, value: i32) -> __m512i {
        registers!(_mm512_set1_epi32(value))
    }
    #[inline(always)]
    fn load32(self, from: &[i32]) -> [__m512i; 4] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 64 integers; no alignment is asked for.
        unsafe { std::array::from_fn(|j| _mm512_loadu_si512(from.add(16 * j).cast())) }
    }
    #[inline(always)]
    fn store32<S: Slot<Item = i32>>(self, value: [__m512i; 4], to: &mut [S]) {
        let to = to[..Self::GROUP].as_mut_ptr().cast::<__m512i>();
        for (j, value) in value.into_iter().enumerate() {
            // SAFETY: the slice holds 64 integers, in slots that take any; no alignment is asked for.
            unsafe { _mm512_storeu_si512(to.add(j), value) };
        }
    }
    #[inline(always)]
    fn add32(self, a: __m512i, b: __m512i) -> __m512i {
        registers!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub32(self, a: __m512i, b: __m512i) -> __m512i {
        registers!(_mm512_sub_epi32(a, b))
    }
    #[inline(always)]
    fn mul32(self, a: __m512i, b: __m512i) -> __m512i {
        registers!(_mm512_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        registers!(_mm512_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn splat16(self, value: i16) -> [__m512i; 2] {
        [registers!(_mm512_set1_epi16(value)); 2]
    }
    #[inline(always)]
    fn load16(self, from: &[i16]) -> [__m512i; 2] {
        let from = from[..Self::GROUP].as_ptr();
        // `packs` takes 4 elements from each of its operands in turn: so do these.
        // SAFETY: the slice holds 64 elements; no alignment is asked for.
        unsafe {
            let order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
            std::array::from_fn(|j| {
                _mm512_permutexvar_epi64(order, _mm512_loadu_si512(from.add(32 * j).cast()))
            })
        }
    }
    #[inline(always)]
    fn narrow<C: Byte>(self, a: [__m512; 4], z: [__m512i; 2]) -> __m512i {
        registers!({
            let large = _mm512_set1_ps(LARGE);
            // What is too small becomes INT_MIN, as it should.
            let [a, b, c, d] = map(a, |a| _mm512_cvtps_epi32(_mm512_min_ps(a, large)));
            let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), z[0]);
            let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), z[1]);
            let packed = if C::SIGNED { _mm512_packs_epi16(ab, cd) } else { _mm512_packus_epi16(ab, cd) };
            // Packing twice leaves four bytes from each vector in turn.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_permutexvar_epi32(order, packed)
        })
    }
    #[inline(always)]
    fn widen<C: Byte>(self, from: &[C]) -> [__m512; 4] {
        let from = from[..Self::GROUP].as_ptr().cast::<u8>();
        // SAFETY: the slice holds 64 bytes; no alignment is asked for.
        unsafe {
            std::array::from_fn(|j| {
                let bytes = _mm_loadu_si128(from.add(16 * j).cast());
                let wide = if C::SIGNED { _mm512_cvtepi8_epi32(bytes) } else { _mm512_cvtepu8_epi32(bytes) };
                _mm512_cvtepi32_ps(wide)
            })
        }
    }
    #[inline(always)]
    fn widen_flipped(self, from: &[u8], flip: u8) -> [__m512; 4] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 64 bytes; no alignment is asked for.
        unsafe {
            let flip = _mm_set1_epi8(flip as i8);
            let part = |j: usize| {
                let bytes = _mm_xor_si128(_mm_loadu_si128(from.add(16 * j).cast()), flip);
                _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))
            };
            [part(0), part(1), part(2), part(3)]
        }
    }
    #[inline(always)]
    fn flip(self, bytes: __m512i, flip: u8) -> __m512i {
        registers!(_mm512_xor_si512(bytes, _mm512_set1_epi8(flip as i8)))
    }
    #[inline(always)]
    fn store_bytes<C: Byte, S: Slot<Item = C>, const STREAM: bool>(self, value: __m512i, to: &mut [S]) {
        let to = to[..Self::GROUP].as_mut_ptr().cast::<__m512i>();
        if STREAM && to.is_aligned() {
            // SAFETY: the slice holds 64 bytes, in slots that take any, and is aligned.
            unsafe { _mm512_stream_si512(to, value) };
        } else {
            // SAFETY: the slice holds 64 bytes, in slots that take any; no alignment is asked for.
            unsafe { _mm512_storeu_si512(to, value) };
        }
    }

    #[inline(always)]
    fn load_lanes(self, from: &[u8]) -> __m512i {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 64 bytes; no alignment is asked for.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    fn zip(self, a: __m512i, b: __m512i) -> [__m512i; 2] {
        registers!([_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)])
    }
    #[inline(always)]
    fn shuffle(self, a: __m512i, places: [u8; 16]) -> __m512i {
        // SAFETY: any bits are valid in both types, which are as large.
        let places = unsafe { std::mem::transmute::<[u8; 16], __m128i>(places) };
        registers!(_mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(places)))
    }
    #[inline(always)]
    fn lane<const L: usize>(self, a: __m512i) -> [u8; 16] {
        let lane = registers!(match L {
            1 => _mm512_extracti32x4_epi32::<1>(a),
            2 => _mm512_extracti32x4_epi32::<2>(a),
            3 => _mm512_extracti32x4_epi32::<3>(a),
            _ => _mm512_castsi512_si128(a),
        });
        // SAFETY: any bits are valid in both types, which are as large.
        unsafe { std::mem::transmute::<__m128i, [u8; 16]>(lane) }
    }

    #[inline(always)]
    fn fence(self) {
        registers!(_mm_sfence());
    }
}
