//! x86-64.

pub(super) mod avx2;
pub(super) mod avx512;

/// An expression of intrinsics that only touch registers.
macro_rules! registers {
    ($e:expr) => {{
        // SAFETY: these intrinsics demand nothing but their instructions, and `self` exists only where `new` saw
        // the CPU report all of them.
        unsafe { $e }
    }};
}
use registers;
