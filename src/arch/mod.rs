//! The instruction sets: what this CPU has, which one is used, and one vector type for each.
//!
//! After memchr: an algorithm is written once, over the small trait in `vector`, and each instruction set is one
//! file with one type. That type's `new() -> Option<Self>` is the only door, so a value of it proves that the CPU has
//! the instructions, and every method on it is safe. All `unsafe` of the kernels lives in this folder.

mod isa;
mod memory;
mod scalar;
mod vector;

pub use isa::{Isa, from_env};
#[doc(hidden)]
pub use memory::set_stream_from;
pub use memory::{last_level_cache, stream_from};
pub(crate) use vector::{Byte, Kernel, Slot, Vector};

/// Whether this CPU has it.
fn exists(isa: Isa) -> bool {
    isa == Isa::Scalar
}

/// Runs a kernel on an instruction set. The choice is one comparison; the kernel is compiled once for each.
#[inline]
pub(crate) fn dispatch<K: Kernel>(_isa: Isa, kernel: K) -> K::Output {
    scalar::Scalar.run(kernel)
}
