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

/// Has the frame of a function start at a line of the caches: there, vectors wait that registers do not hold, and one that
/// lies across two lines takes twice as long. Else frames start at any multiple of 16, as the length of the environment has
/// it: a depthwise convolution takes 288 us in one process and 392 in the next.
macro_rules! align_frame {
    () => {
        let mut line = std::mem::MaybeUninit::<$crate::arch::memory::Line>::uninit();
        #[expect(clippy::pointers_in_nomem_asm_block, reason = "where it is counts, not what it holds")]
        // SAFETY: no instruction at all.
        unsafe {
            std::arch::asm!("/* {0} */", in(reg) line.as_mut_ptr(), options(nomem, nostack, preserves_flags));
        }
    };
}
pub(in crate::arch) use align_frame;
