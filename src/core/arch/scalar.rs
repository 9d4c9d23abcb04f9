//! No instruction set in particular: arrays of four, which compilers turn into whatever the architecture promises.

use super::vector::{Byte, Kernel, Slot, Vector, copy_to};

/// Every CPU has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar;

const LANES: usize = 4;

/// A value for each lane. Written out: loops over arrays are unrolled again in every kernel, which takes longer to compile
/// than all else here.
#[inline(always)]
fn each<T>(f: impl Fn(usize) -> T) -> [T; LANES] {
    [f(0), f(1), f(2), f(3)]
}

#[inline(always)]
fn map(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    each(|i| f(a[i], b[i]))
}

/// a * b + c, rounded once, without an instruction for it: the sum of the exact product is rounded to odd in float64, which
/// leaves what rounding to float32 asks for (Boldo and Melquiond 2008, Emulation of FMA and correctly rounded sums).
#[inline(always)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // What the sum is short of (Knuth's two-sum); NaN where the sum is not finite.
    let of_c = sum - product;
    let error = (product - (sum - of_c)) + (c - of_c);
    let bits = sum.to_bits();
    // The neighbour towards the exact sum, where that lies between two floats and this one is even.
    let towards = if (error > 0.0) == (sum > 0.0) { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let is_between = error.abs() > 0.0 && bits & 1 == 0;
    f64::from_bits(if is_between { towards } else { bits }) as f32
}

impl Vector for Scalar {
    const LANES: usize = LANES;
    const REGISTERS: usize = 16;
    const STREAMS: bool = false;
    type F = [f32; LANES];
    type Z = [i16; 4 * LANES];
    type B = [u8; 4 * LANES];
    type Q = [u8; 16];
    type M = [bool; LANES];
    type I = [i32; LANES];

    /// A function of its own, as it is for other instruction sets: called from many places it is compiled once.
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    unsafe fn read(self, from: *const f32) -> Self::F {
        // SAFETY: the caller has four floats there; no alignment is asked for beyond theirs.
        unsafe { from.cast::<[f32; LANES]>().read() }
    }
    #[inline(always)]
    unsafe fn write(self, value: Self::F, to: *mut f32) {
        // SAFETY: the caller has room for four floats there.
        unsafe { to.cast::<[f32; LANES]>().write(value) }
    }
    #[inline(always)]
    fn fused(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // Without such an instruction a function would be called for each.
        each(|i| a[i] * b[i] + c[i])
    }
    /// A function of its own, as `narrow` is.
    #[inline(never)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each(|i| mul_add(a[i], b[i], c[i]))
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> [Self::F; 4] {
        let from = &from[..Self::GROUP];
        each(|j| each(|i| from[j * LANES + i]))
    }
    #[inline(always)]
    fn store<S: Slot<Item = f32>, const STREAM: bool>(self, value: [Self::F; 4], to: &mut [S]) {
        for (to, &value) in to[..Self::GROUP].iter_mut().zip(value.as_flattened()) {
            *to = S::of(value);
        }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        each(|i| a[i].round_ties_even())
    }
    #[inline(always)]
    fn exponent(self, a: Self::F) -> Self::F {
        each(|i| f32::from_bits(a[i].to_bits() << 23))
    }

    #[inline(always)]
    fn upper(self, a: Self::F, n: usize) -> Self::F {
        each(|i| a[(i + n) % LANES])
    }
    #[inline(always)]
    fn lowest(self, a: Self::F) -> f32 {
        a[0]
    }

    #[inline(always)]
    fn none(self) -> Self::M {
        [false; LANES]
    }
    #[inline(always)]
    fn unordered(self, a: Self::F, b: Self::F) -> Self::M {
        each(|i| a[i].is_nan() | b[i].is_nan())
    }
    #[inline(always)]
    fn or(self, a: Self::M, b: Self::M) -> Self::M {
        each(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn any(self, m: Self::M) -> bool {
        m[0] | m[1] | m[2] | m[3]
    }
    #[inline(always)]
    fn less(self, a: Self::F, b: Self::F) -> Self::M {
        each(|i| a[i] < b[i])
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F {
        each(|i| if m[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn within(self, a: Self::F, lo: Self::F, hi: Self::F) -> Self::M {
        each(|i| (lo[i] <= a[i]) & (a[i] <= hi[i]))
    }
    #[inline(always)]
    fn store_bools<S: Slot<Item = bool>>(self, m: [Self::M; 4], to: &mut [S]) {
        for (to, &m) in to[..Self::GROUP].iter_mut().zip(m.as_flattened()) {
            *to = S::of(m);
        }
    }

    #[inline(always)]
    fn splat32(self, value: i32) -> Self::I {
        [value; LANES]
    }
    #[inline(always)]
    fn load32(self, from: &[i32]) -> [Self::I; 4] {
        let from = &from[..Self::GROUP];
        each(|j| each(|i| from[j * LANES + i]))
    }
    #[inline(always)]
    fn store32<S: Slot<Item = i32>>(self, value: [Self::I; 4], to: &mut [S]) {
        copy_to(value.as_flattened(), &mut to[..Self::GROUP]);
    }
    #[inline(always)]
    fn add32(self, a: Self::I, b: Self::I) -> Self::I {
        each(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn sub32(self, a: Self::I, b: Self::I) -> Self::I {
        each(|i| a[i].wrapping_sub(b[i]))
    }
    #[inline(always)]
    fn mul32(self, a: Self::I, b: Self::I) -> Self::I {
        each(|i| a[i].wrapping_mul(b[i]))
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        each(|i| a[i] as f32)
    }

    #[inline(always)]
    fn splat16(self, value: i16) -> Self::Z {
        [value; 4 * LANES]
    }
    #[inline(always)]
    fn load16(self, from: &[i16]) -> Self::Z {
        std::array::from_fn(|i| from[..Self::GROUP][i])
    }
    /// A function of its own: without vectors for it, it is long, and stands in every kernel that makes codes.
    #[inline(never)]
    fn narrow<C: Byte>(self, a: [Self::F; 4], z: Self::Z) -> Self::B {
        // `as` saturates, and gives 0 for NaN.
        std::array::from_fn(|i| {
            let steps = a.as_flattened()[i].round_ties_even() as i32;
            C::saturated(steps.saturating_add(i32::from(z[i]))).widened() as u8
        })
    }
    #[inline(always)]
    fn widen<C: Byte>(self, from: &[C]) -> [Self::F; 4] {
        let from = &from[..Self::GROUP];
        each(|j| each(|i| from[j * LANES + i].widened() as f32))
    }
    #[inline(always)]
    fn widen_flipped(self, from: &[u8], flip: u8) -> [Self::F; 4] {
        let from = &from[..Self::GROUP];
        each(|j| each(|i| f32::from(from[j * LANES + i] ^ flip)))
    }
    #[inline(always)]
    fn flip(self, bytes: Self::B, flip: u8) -> Self::B {
        super::vector::map(bytes, |byte| byte ^ flip)
    }
    #[inline(always)]
    fn store_bytes<C: Byte, S: Slot<Item = C>, const STREAM: bool>(self, value: Self::B, to: &mut [S]) {
        for (to, value) in to[..Self::GROUP].iter_mut().zip(value) {
            let code = if C::SIGNED { i32::from(value as i8) } else { i32::from(value) };
            *to = S::of(C::saturated(code));
        }
    }

    #[inline(always)]
    fn load_lanes(self, from: &[u8]) -> [u8; 16] {
        *from.first_chunk().expect("a group")
    }
    #[inline(always)]
    fn zip(self, a: [u8; 16], b: [u8; 16]) -> [[u8; 16]; 2] {
        [0, 8].map(|from| std::array::from_fn(|i| if i % 2 == 0 { a[from + i / 2] } else { b[from + i / 2] }))
    }
    #[inline(always)]
    fn shuffle(self, a: [u8; 16], places: [u8; 16]) -> [u8; 16] {
        places.map(|place| a[usize::from(place) % 16])
    }
    #[inline(always)]
    fn lane<const L: usize>(self, a: [u8; 16]) -> [u8; 16] {
        a
    }

    #[inline(always)]
    fn fence(self) {}
}

#[cfg(test)]
mod tests {
    use super::mul_add;

    /// Against the standard library's, which is exact: numbers whose sums are near to ties, far from each other, small and
    /// not finite.
    #[test]
    fn products_and_sums_are_rounded_once() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        let special =
            [0.0, -0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE, 1e-45];
        for i in 0..300_000 {
            let mut three = [f32::from_bits(next()), f32::from_bits(next()), f32::from_bits(next())];
            match i % 4 {
                // The sum is as large as the product, or half a unit of its last place.
                0 => three[2] = three[0] * three[1] * [1.0, -1.0, 2f32.powi(-24), -2f32.powi(-24)][i / 4 % 4],
                1 => three = three.map(|x| f32::from_bits(x.to_bits() & 0x807f_f000 | 0x3f80_0000)),
                2 => three[i / 4 % 3] = special[i / 12 % special.len()],
                _ => {}
            }
            let [a, b, c] = three;
            let (got, want) = (mul_add(a, b, c), a.mul_add(b, c));
            assert!(
                got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
                "{a:e} {b:e} {c:e}: {got:e}, {want:e}"
            );
        }
    }
}
