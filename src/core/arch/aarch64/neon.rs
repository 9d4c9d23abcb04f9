//! Advanced SIMD: 4 floats, 16 bytes.

use std::arch::aarch64::*;

use crate::arch::vector::{Byte, Kernel, Slot, Vector};

/// Exists only where the CPU has Advanced SIMD.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The only door.
    #[inline]
    pub(crate) fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

/// The kernel, with Advanced SIMD switched on.
///
/// # Safety
/// The CPU has Advanced SIMD.
#[target_feature(enable = "neon")]
unsafe fn run<K: Kernel>(v: Neon, kernel: K) -> K::Output {
    kernel.run(v)
}

/// An expression of intrinsics that only touch registers.
macro_rules! registers {
    ($e:expr) => {{
        // SAFETY: these intrinsics demand nothing but their instructions, and `self` exists only where `new` saw
        // the CPU report all of them.
        unsafe { $e }
    }};
}

/// `STREAM` changes nothing here: `stnp` is a hint that current cores do not follow.
impl Vector for Neon {
    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    type F = float32x4_t;
    type Z = [int16x8_t; 2];
    type B = uint8x16_t;
    type Q = uint8x16_t;
    type M = uint32x4_t;
    type I = int32x4_t;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` exists, so the CPU has Advanced SIMD.
        unsafe { run(self, kernel) }
    }

    #[inline(always)]
    unsafe fn read(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller has 4 floats there.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn write(self, value: float32x4_t, to: *mut f32) {
        // SAFETY: the caller has room for 4 floats there.
        unsafe { vst1q_f32(to, value) }
    }
    #[inline(always)]
    fn fused(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        registers!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        registers!(vdupq_n_f32(value))
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> [float32x4_t; 4] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 16 floats.
        unsafe { std::array::from_fn(|j| vld1q_f32(from.add(4 * j))) }
    }
    #[inline(always)]
    fn store<S: Slot<Item = f32>, const STREAM: bool>(self, value: [float32x4_t; 4], to: &mut [S]) {
        let to = to[..Self::GROUP].as_mut_ptr().cast::<f32>();
        for (j, value) in value.into_iter().enumerate() {
            // SAFETY: the slice holds 16 floats, in slots that take any.
            unsafe { vst1q_f32(to.add(4 * j), value) };
        }
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        registers!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        registers!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        registers!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        registers!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        registers!(vminq_f32(a, b))
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        registers!(vmaxq_f32(a, b))
    }
    #[inline(always)]
    fn round(self, a: float32x4_t) -> float32x4_t {
        registers!(vrndnq_f32(a))
    }
    #[inline(always)]
    fn exponent(self, a: float32x4_t) -> float32x4_t {
        registers!(vreinterpretq_f32_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(a))))
    }

    #[inline(always)]
    fn upper(self, a: float32x4_t, n: usize) -> float32x4_t {
        match n {
            2 => registers!(vextq_f32::<2>(a, a)),
            _ => registers!(vextq_f32::<1>(a, a)),
        }
    }
    #[inline(always)]
    fn lowest(self, a: float32x4_t) -> f32 {
        registers!(vgetq_lane_f32::<0>(a))
    }

    #[inline(always)]
    fn none(self) -> uint32x4_t {
        registers!(vdupq_n_u32(0))
    }
    #[inline(always)]
    fn unordered(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        registers!(vmvnq_u32(vandq_u32(vceqq_f32(a, a), vceqq_f32(b, b))))
    }
    #[inline(always)]
    fn or(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        registers!(vorrq_u32(a, b))
    }
    #[inline(always)]
    fn any(self, m: uint32x4_t) -> bool {
        registers!(vmaxvq_u32(m)) != 0
    }
    #[inline(always)]
    fn less(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        registers!(vcltq_f32(a, b))
    }
    #[inline(always)]
    fn select(self, m: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        registers!(vbslq_f32(m, a, b))
    }
    #[inline(always)]
    fn within(self, a: float32x4_t, lo: float32x4_t, hi: float32x4_t) -> uint32x4_t {
        registers!(vandq_u32(vcleq_f32(lo, a), vcleq_f32(a, hi)))
    }
    #[inline(always)]
    fn store_bools<S: Slot<Item = bool>>(self, m: [uint32x4_t; 4], to: &mut [S]) {
        let bytes = registers!({
            let ab = vcombine_u16(vmovn_u32(m[0]), vmovn_u32(m[1]));
            let cd = vcombine_u16(vmovn_u32(m[2]), vmovn_u32(m[3]));
            vandq_u8(vcombine_u8(vmovn_u16(ab), vmovn_u16(cd)), vdupq_n_u8(1))
        });
        let to = to[..Self::GROUP].as_mut_ptr().cast::<u8>();
        // SAFETY: the slice holds 16 bools; each byte is 0 or 1.
        unsafe { vst1q_u8(to, bytes) };
    }

    #[inline(always)]
    fn splat32(self, value: i32) -> int32x4_t {
        registers!(vdupq_n_s32(value))
    }
    #[inline(always)]
    fn load32(self, from: &[i32]) -> [int32x4_t; 4] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 16 integers.
        unsafe { std::array::from_fn(|j| vld1q_s32(from.add(4 * j))) }
    }
    #[inline(always)]
    fn store32<S: Slot<Item = i32>>(self, value: [int32x4_t; 4], to: &mut [S]) {
        let to = to[..Self::GROUP].as_mut_ptr().cast::<i32>();
        for (j, value) in value.into_iter().enumerate() {
            // SAFETY: the slice holds 16 integers, in slots that take any.
            unsafe { vst1q_s32(to.add(4 * j), value) };
        }
    }
    #[inline(always)]
    fn add32(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        registers!(vaddq_s32(a, b))
    }
    #[inline(always)]
    fn sub32(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        registers!(vsubq_s32(a, b))
    }
    #[inline(always)]
    fn mul32(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        registers!(vmulq_s32(a, b))
    }
    #[inline(always)]
    fn to_float(self, a: int32x4_t) -> float32x4_t {
        registers!(vcvtq_f32_s32(a))
    }

    #[inline(always)]
    fn splat16(self, value: i16) -> [int16x8_t; 2] {
        [registers!(vdupq_n_s16(value)); 2]
    }
    #[inline(always)]
    fn load16(self, from: &[i16]) -> [int16x8_t; 2] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 16 elements.
        unsafe { [vld1q_s16(from), vld1q_s16(from.add(8))] }
    }
    #[inline(always)]
    fn narrow<C: Byte>(self, a: [float32x4_t; 4], z: [int16x8_t; 2]) -> uint8x16_t {
        registers!({
            // Each of these saturates.
            let [a, b, c, d] = a.map(|a| vqmovn_s32(vcvtnq_s32_f32(a)));
            let ab = vqaddq_s16(vcombine_s16(a, b), z[0]);
            let cd = vqaddq_s16(vcombine_s16(c, d), z[1]);
            if C::SIGNED {
                vreinterpretq_u8_s8(vcombine_s8(vqmovn_s16(ab), vqmovn_s16(cd)))
            } else {
                vcombine_u8(vqmovun_s16(ab), vqmovun_s16(cd))
            }
        })
    }
    #[inline(always)]
    fn widen<C: Byte>(self, from: &[C]) -> [float32x4_t; 4] {
        let from = from[..Self::GROUP].as_ptr().cast::<u8>();
        // SAFETY: the slice holds 16 bytes.
        let bytes = unsafe { vld1q_u8(from) };
        registers!(if C::SIGNED {
            let bytes = vreinterpretq_s8_u8(bytes);
            let (ab, cd) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            [vmovl_s16(vget_low_s16(ab)), vmovl_high_s16(ab), vmovl_s16(vget_low_s16(cd)), vmovl_high_s16(cd)]
                .map(|wide| vcvtq_f32_s32(wide))
        } else {
            let (ab, cd) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
            [vmovl_u16(vget_low_u16(ab)), vmovl_high_u16(ab), vmovl_u16(vget_low_u16(cd)), vmovl_high_u16(cd)]
                .map(|wide| vcvtq_f32_u32(wide))
        })
    }
    #[inline(always)]
    fn widen_flipped(self, from: &[u8], flip: u8) -> [float32x4_t; 4] {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 16 bytes.
        let bytes = unsafe { vld1q_u8(from) };
        registers!({
            let bytes = veorq_u8(bytes, vdupq_n_u8(flip));
            let (ab, cd) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
            [vmovl_u16(vget_low_u16(ab)), vmovl_high_u16(ab), vmovl_u16(vget_low_u16(cd)), vmovl_high_u16(cd)]
                .map(|wide| vcvtq_f32_u32(wide))
        })
    }
    #[inline(always)]
    fn flip(self, bytes: uint8x16_t, flip: u8) -> uint8x16_t {
        registers!(veorq_u8(bytes, vdupq_n_u8(flip)))
    }
    #[inline(always)]
    fn store_bytes<C: Byte, S: Slot<Item = C>, const STREAM: bool>(self, value: uint8x16_t, to: &mut [S]) {
        let to = to[..Self::GROUP].as_mut_ptr().cast::<u8>();
        // SAFETY: the slice holds 16 bytes, in slots that take any.
        unsafe { vst1q_u8(to, value) };
    }

    #[inline(always)]
    fn load_lanes(self, from: &[u8]) -> uint8x16_t {
        let from = from[..Self::GROUP].as_ptr();
        // SAFETY: the slice holds 16 bytes.
        unsafe { vld1q_u8(from) }
    }
    #[inline(always)]
    fn zip(self, a: uint8x16_t, b: uint8x16_t) -> [uint8x16_t; 2] {
        registers!([vzip1q_u8(a, b), vzip2q_u8(a, b)])
    }
    #[inline(always)]
    fn shuffle(self, a: uint8x16_t, places: [u8; 16]) -> uint8x16_t {
        // SAFETY: the array holds 16 bytes.
        let places = unsafe { vld1q_u8(places.as_ptr()) };
        registers!(vqtbl1q_u8(a, places))
    }
    #[inline(always)]
    fn lane<const L: usize>(self, a: uint8x16_t) -> [u8; 16] {
        let mut to = [0; 16];
        // SAFETY: the array takes 16 bytes.
        unsafe { vst1q_u8(to.as_mut_ptr(), a) };
        to
    }

    #[inline(always)]
    fn fence(self) {}
}
