//! What an instruction set has to offer: the trait that algorithms are written over.
//!
//! A *group* is four vectors of floats, which make one vector of bytes.

use std::mem::MaybeUninit;

/// A computation that runs on any instruction set. `run` must be `#[inline(always)]`, as must be all it calls, so
/// that it is compiled inside a function that has the instructions switched on.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;
    /// Runs it.
    fn run<V: Vector>(self, v: V) -> Self::Output;
}

/// An 8-bit code.
pub(crate) trait Byte:
    Slot<Item = Self> + Copy + Default + PartialOrd + Send + Sync + 'static
{
    /// Whether it is i8, not u8.
    const SIGNED: bool;
    /// The nearest code.
    fn saturated(value: i32) -> Self;
    /// Its value.
    fn widened(self) -> i32;
}

impl Byte for u8 {
    const SIGNED: bool = false;
    #[inline(always)]
    fn saturated(value: i32) -> Self {
        value.clamp(0, 255) as u8
    }
    #[inline(always)]
    fn widened(self) -> i32 {
        i32::from(self)
    }
}

impl Byte for i8 {
    const SIGNED: bool = true;
    #[inline(always)]
    fn saturated(value: i32) -> Self {
        value.clamp(-128, 127) as i8
    }
    #[inline(always)]
    fn widened(self) -> i32 {
        i32::from(self)
    }
}

/// Memory that an `Item` may be written to, whether or not it holds one yet.
///
/// # Safety
/// The type has the size and the alignment of `Item`, and any value of `Item` is valid in it.
pub(crate) unsafe trait Slot {
    /// What it holds.
    type Item: Copy;
    /// A place that holds `value`.
    fn of(value: Self::Item) -> Self;
}

// SAFETY: `MaybeUninit<T>` has the layout of `T` (its documentation), and takes any bytes.
unsafe impl<T: Copy> Slot for MaybeUninit<T> {
    type Item = T;
    #[inline(always)]
    fn of(value: T) -> Self {
        Self::new(value)
    }
}

macro_rules! slot {
    ($($item:ty),*) => {$(
        // SAFETY: they are the same type.
        unsafe impl Slot for $item {
            type Item = $item;
            #[inline(always)]
            fn of(value: $item) -> Self {
                value
            }
        }
    )*};
}
slot!(u8, i8, i16, i32, i64, f32, bool);

/// How many floats ahead of use to ask for memory.
#[cfg(target_arch = "x86_64")]
pub(super) const AHEAD: usize = 768;

/// An array with each element mapped, inlined whatever it is made of: `[T; N]::map` is several functions that know
/// nothing of the instruction set of their caller, and take ten times as many lines to compile.
#[inline(always)]
pub(crate) fn map<T: Copy, U, const N: usize>(array: [T; N], mut f: impl FnMut(T) -> U) -> [U; N] {
    std::array::from_fn(|i| f(array[i]))
}

/// Writes a copy of `from` to the start of `to`.
#[inline(always)]
pub(crate) fn copy_to<S: Slot>(from: &[S::Item], to: &mut [S]) {
    let to = &mut to[..from.len()];
    // SAFETY: both slices hold as many elements; a slot takes any; `&mut` keeps them apart.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr().cast(), from.len()) };
}

/// An instruction set, as a value that exists only where the CPU has it. Slices that are too short panic.
pub(crate) trait Vector: Copy + Send + Sync + 'static {
    /// Floats in a vector, at most 16.
    const LANES: usize;
    /// Floats in a group, which is bytes in a vector of bytes.
    const GROUP: usize = 4 * Self::LANES;

    /// Registers for vectors.
    const REGISTERS: usize;

    /// Whether it stores around the caches where it is asked to: nothing is compiled for that elsewhere.
    const STREAMS: bool = true;

    /// A vector of floats.
    type F: Copy;
    /// 16-bit zero points for a group, in whatever order `narrow` meets them.
    type Z: Copy;
    /// A vector of bytes.
    type B: Copy;
    /// The same bytes in the order of memory, in lanes of 16.
    type Q: Copy;
    /// A vector of as many 32-bit integers as floats. They wrap around.
    type I: Copy;
    /// One truth value for each float.
    type M: Copy;

    /// Runs a kernel with the instructions switched on.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    /// Reads a vector of floats.
    ///
    /// # Safety
    /// They are there.
    unsafe fn read(self, from: *const f32) -> Self::F;
    /// Writes a vector of floats.
    ///
    /// # Safety
    /// There is room for them.
    unsafe fn write(self, value: Self::F, to: *mut f32);
    /// Reads the first floats of a vector, less than all; the others are 0.
    ///
    /// # Safety
    /// So many are there.
    #[inline(always)]
    unsafe fn read_some(self, from: *const f32, n: usize) -> Self::F {
        let mut all = [0.0; 16];
        // SAFETY: the caller has so many, and a vector has at most 16.
        unsafe {
            std::ptr::copy_nonoverlapping(from, all.as_mut_ptr(), n.min(16));
            self.read(all.as_ptr())
        }
    }
    /// Writes the first floats of a vector, less than all.
    ///
    /// # Safety
    /// There is room for so many.
    #[inline(always)]
    unsafe fn write_some(self, value: Self::F, to: *mut f32, n: usize) {
        let mut all = [0.0; 16];
        // SAFETY: a vector has at most 16 floats, and the caller has room for so many.
        unsafe {
            self.write(value, all.as_mut_ptr());
            std::ptr::copy_nonoverlapping(all.as_ptr(), to, n.min(16));
        }
    }
    /// a * b + c, rounded once where the CPU can: only for products of matrices, whose last bits are not promised.
    fn fused(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;

    /// The same float everywhere.
    fn splat(self, value: f32) -> Self::F;
    /// Reads a group of floats.
    fn load(self, from: &[f32]) -> [Self::F; 4];
    /// Reads up to a group of floats; the others are 0.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> [Self::F; 4] {
        let mut group = [self.splat(0.0); 4];
        for (j, to) in group.iter_mut().enumerate() {
            let at = j * Self::LANES;
            if at >= from.len() {
                break;
            }
            let n = from.len() - at;
            // SAFETY: from there on the slice holds `n` floats.
            *to = unsafe {
                let from = from.as_ptr().add(at);
                if n < Self::LANES { self.read_some(from, n) } else { self.read(from) }
            };
        }
        group
    }
    /// Asks for the group that lies `AHEAD` after the start of `from`, which need not exist: for reading from memory,
    /// where it took a fifth of the time away beside streaming stores (Zen 3).
    fn prefetch(self, _from: &[f32]) {}
    /// Writes a group of floats; around the caches if `STREAM` and `to` is aligned to a vector.
    fn store<S: Slot<Item = f32>, const STREAM: bool>(self, value: [Self::F; 4], to: &mut [S]);
    /// Writes up to a group of floats: as many as there is room for.
    #[inline(always)]
    fn store_part<S: Slot<Item = f32>>(self, values: [Self::F; 4], to: &mut [S]) {
        for (j, value) in values.into_iter().enumerate() {
            let at = j * Self::LANES;
            if at >= to.len() {
                break;
            }
            let n = to.len() - at;
            // SAFETY: from there on the slice holds `n` slots, which take any float.
            unsafe {
                let to = to.as_mut_ptr().cast::<f32>().add(at);
                if n < Self::LANES { self.write_some(value, to, n) } else { self.write(value, to) }
            }
        }
    }
    /// Writes less than a group of floats; around the caches if `STREAM`, so that a line whose other end is written by
    /// `store` leaves as one.
    fn store_some<S: Slot<Item = f32>, const STREAM: bool>(self, values: &[f32], to: &mut [S]) {
        copy_to(values, to);
    }
    /// The group as it is, all of it at this point: the compiler moves no operation on one vector past it. It would order
    /// four chains of operations one after the other, since that takes few registers; but some sixty operations are all
    /// that a processor sees waiting, so it works on several chains at once only where they lie side by side.
    #[inline(always)]
    fn in_step(self, group: [Self::F; 4]) -> [Self::F; 4] {
        group
    }
    /// a * b + c, rounded once, which [`Vector::fused`] does not promise.
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.fused(a, b, c)
    }
    /// a * b
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a + b
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// a - b
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// a / b
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller one; if `a` is NaN, either `b` or NaN; if `b` is, NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger one; if `a` is NaN, either `b` or NaN; if `b` is, NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// To the nearest integer, halves to even.
    fn round(self, a: Self::F) -> Self::F;
    /// The float whose exponent is in the low bits of `a`: its bits, shifted left by the 23 of a mantissa.
    fn exponent(self, a: Self::F) -> Self::F;

    /// The lanes from `n` on as the first `n`, a power of two below their number; what follows is anything.
    fn upper(self, a: Self::F, n: usize) -> Self::F;
    /// The first lane.
    fn lowest(self, a: Self::F) -> f32;

    /// No truth anywhere.
    fn none(self) -> Self::M;
    /// Where either is NaN.
    fn unordered(self, a: Self::F, b: Self::F) -> Self::M;
    /// Where either holds.
    fn or(self, a: Self::M, b: Self::M) -> Self::M;
    /// Whether it holds anywhere.
    fn any(self, m: Self::M) -> bool;
    /// Where `a < b`.
    fn less(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a` where it holds, else `b`.
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// Where `lo <= a <= hi`.
    fn within(self, a: Self::F, lo: Self::F, hi: Self::F) -> Self::M;
    /// Writes a group of truth values as bytes.
    fn store_bools<S: Slot<Item = bool>>(self, m: [Self::M; 4], to: &mut [S]);

    /// The same integer everywhere.
    fn splat32(self, value: i32) -> Self::I;
    /// Reads a group of integers.
    fn load32(self, from: &[i32]) -> [Self::I; 4];
    /// Writes a group of integers.
    fn store32<S: Slot<Item = i32>>(self, value: [Self::I; 4], to: &mut [S]);
    /// a + b
    fn add32(self, a: Self::I, b: Self::I) -> Self::I;
    /// a - b
    fn sub32(self, a: Self::I, b: Self::I) -> Self::I;
    /// a * b
    fn mul32(self, a: Self::I, b: Self::I) -> Self::I;
    /// The nearest floats.
    fn to_float(self, a: Self::I) -> Self::F;

    /// The same zero point everywhere.
    fn splat16(self, value: i16) -> Self::Z;
    /// Reads zero points for a group.
    fn load16(self, from: &[i16]) -> Self::Z;
    /// `saturate(round(a) + z)`, exactly: through 16 bits, which saturate too, so that no float is too large. Halves to
    /// even; NaN gives anything.
    fn narrow<C: Byte>(self, a: [Self::F; 4], z: Self::Z) -> Self::B;
    /// Reads a group of bytes as floats.
    fn widen<C: Byte>(self, from: &[C]) -> [Self::F; 4];
    /// The same of bytes some of whose bits are turned first.
    fn widen_flipped(self, from: &[u8], flip: u8) -> [Self::F; 4];
    /// Bytes with some of their bits turned.
    fn flip(self, bytes: Self::B, flip: u8) -> Self::B;
    /// Writes a group of bytes; around the caches if `STREAM` and `to` is aligned to a vector.
    fn store_bytes<C: Byte, S: Slot<Item = C>, const STREAM: bool>(self, value: Self::B, to: &mut [S]);

    /// Reads a group of bytes.
    fn load_lanes(self, from: &[u8]) -> Self::Q;
    /// In each lane `a[0], b[0], a[1], b[1], ...`: those of the first halves, and those of the second ones.
    fn zip(self, a: Self::Q, b: Self::Q) -> [Self::Q; 2];
    /// In each lane the bytes at these places.
    fn shuffle(self, a: Self::Q, places: [u8; 16]) -> Self::Q;
    /// A lane, or the first one where there are less.
    fn lane<const L: usize>(self, a: Self::Q) -> [u8; 16];

    /// Orders streaming stores before all that follows. Once after the last one.
    fn fence(self);
}
