//! The instruction sets: what this CPU has, which one is used, and one vector type for each.
//!
//! After memchr: an algorithm is written once, over the small trait in `vector`, and each instruction set is one
//! file with one type. That type's `new() -> Option<Self>` is the only door, so a value of it proves that the CPU has
//! the instructions, and every method on it is safe. All `unsafe` of the kernels lives in this folder.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod bandwidth;
pub(crate) mod channelwise;
mod float_depthwise;
mod float_tile;
mod isa;
mod memory;
mod peak;
pub(crate) mod product;
mod scalar;
mod table;
mod transpose;
mod vector;
mod window;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use bandwidth::read_bandwidth;
pub(crate) use float_depthwise::DepthwiseLine;
pub(crate) use float_tile::{
    Chunk, Ending, FloatBlock, FloatRows, OUTSIDE, Panel, TILES, Then, float_panels,
};
use isa::with_best;
pub use isa::{Isa, from_env};
#[doc(hidden)]
pub use memory::set_stream_from;
pub(crate) use memory::{Lines, ask_for, bytes, slots, slots_of, written};
pub use memory::{Pages, last_level_cache, stream_from};
pub use peak::peaks;
pub(crate) use scalar::Scalar;
pub(crate) use table::look_up;
pub(crate) use transpose::transpose;
pub(crate) use vector::{Byte, Kernel, Slot, Vector, copy_to, map};
pub(crate) use window::Window;

/// Whether this CPU has it.
fn exists(isa: Isa) -> bool {
    match isa {
        Isa::Scalar => true,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => x86_64::avx2::Avx2::new().is_some(),
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => product::AvxVnni::new().is_some(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => x86_64::avx512::Avx512::new().is_some(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => product::Vnni::new().is_some(),
        #[cfg(target_arch = "x86_64")]
        Isa::Amx => product::Amx::new().is_some(),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => aarch64::neon::Neon::new().is_some(),
        #[cfg(target_arch = "aarch64")]
        Isa::Dotprod => product::Dotprod::new().is_some(),
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm => product::I8mm::new().is_some(),
        // Another architecture's.
        _ => false,
    }
}

/// Runs a kernel on an instruction set, or on `Scalar` where the CPU does not have it. The choice is a few
/// comparisons; the kernel is compiled once for each.
#[inline]
pub(crate) fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    with_best!(
        isa, |v| v.run(kernel),
        x86_64: [Avx512: x86_64::avx512::Avx512, Avx2: x86_64::avx2::Avx2],
        aarch64: [Neon: aarch64::neon::Neon],
    )
}

/// As [`dispatch`], but not for the widest vectors, which help little where loops wait for memory: one kernel less to be
/// compiled.
#[inline]
pub(crate) fn dispatch_narrow<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    with_best!(
        isa, |v| v.run(kernel),
        x86_64: [Avx2: x86_64::avx2::Avx2],
        aarch64: [Neon: aarch64::neon::Neon],
    )
}
