//! Which instruction sets there are, which this CPU has, and which one is in use.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, Result};

/// An instruction set that kernels are compiled for. Within an architecture, a greater one is more capable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Isa {
    /// What every CPU of the architecture has, without intrinsics.
    Scalar,
    /// x86-64 with AVX2: 8 floats at a time.
    Avx2,
    /// AVX2 with AVX-VNNI: four products of bytes at a time, half as wide as with AVX-512.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW and VL: 16 floats at a time.
    Avx512,
    /// AVX-512 with VNNI: four products of bytes at a time.
    Avx512Vnni,
    /// AVX-512 with VNNI and AMX: products of tiles of bytes.
    Amx,
    /// aarch64's Advanced SIMD: 4 floats at a time.
    Neon,
    /// Advanced SIMD with dot products of bytes.
    Dotprod,
    /// Advanced SIMD with products of matrices of bytes.
    I8mm,
}

/// The variable that lowers the choice.
const VARIABLE: &str = "QUANTRAY_ISA";

/// Stands for "not chosen yet" in [`CURRENT`].
const UNSET: u8 = u8::MAX;

/// The choice, made at first use.
static CURRENT: AtomicU8 = AtomicU8::new(UNSET);

impl Isa {
    /// All of them, on every architecture.
    pub const ALL: [Self; 9] = [
        Self::Scalar,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Avx512Vnni,
        Self::Amx,
        Self::Neon,
        Self::Dotprod,
        Self::I8mm,
    ];

    /// The name that `QUANTRAY_ISA` knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512vnni",
            Self::Amx => "amx",
            Self::Neon => "neon",
            Self::Dotprod => "dotprod",
            Self::I8mm => "i8mm",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Those that this CPU (and operating system) has, plainest first. Never empty: it starts with `Scalar`.
    pub fn available() -> &'static [Self] {
        static AVAILABLE: OnceLock<Vec<Isa>> = OnceLock::new();
        AVAILABLE.get_or_init(|| Self::ALL.into_iter().filter(|&isa| super::exists(isa)).collect())
    }

    /// The one in use: the best, unless `QUANTRAY_ISA` or [`Isa::set_current`] says otherwise.
    #[inline]
    pub fn current() -> Self {
        match CURRENT.load(Ordering::Relaxed) {
            UNSET => Self::choose(),
            chosen => Self::ALL[usize::from(chosen) % Self::ALL.len()],
        }
    }

    /// Uses this one from now on, in all threads.
    ///
    /// # Errors
    /// The CPU does not have it.
    pub fn set_current(isa: Self) -> Result<()> {
        if !Self::available().contains(&isa) {
            return Err(unavailable("isa", isa.name()));
        }
        CURRENT.store(isa as u8, Ordering::Relaxed);
        Ok(())
    }

    /// The first use: the variable, or the best where it is wrong (which [`from_env`] reports).
    #[cold]
    fn choose() -> Self {
        let best = Self::available().last().copied().unwrap_or(Self::Scalar);
        let chosen = from_env().ok().flatten().unwrap_or(best);
        CURRENT.store(chosen as u8, Ordering::Relaxed);
        chosen
    }
}

/// Does something with the first type whose instruction set is allowed and which the CPU has, of those for its architecture, the
/// most capable one first; with [`Scalar`](super::Scalar) where there is none. It is compiled once for each.
macro_rules! with_best {
    (
        $isa:expr, |$p:ident| $run:expr,
        x86_64: [$($x86:ident: $x86_type:ty),+ $(,)?],
        aarch64: [$($arm:ident: $arm_type:ty),+ $(,)?] $(,)?
    ) => {{
        #[cfg(target_arch = "x86_64")]
        {
            $(if $isa >= $crate::arch::Isa::$x86 && let Some($p) = <$x86_type>::new() {
                return $run;
            })+
        }
        #[cfg(target_arch = "aarch64")]
        {
            $(if $isa >= $crate::arch::Isa::$arm && let Some($p) = <$arm_type>::new() {
                return $run;
            })+
        }
        let _ = $isa;
        let $p = $crate::arch::Scalar;
        $run
    }};
}
pub(super) use with_best;

/// What `QUANTRAY_ISA` asks for, if it is set.
///
/// # Errors
/// It names an instruction set that does not exist, or that this CPU does not have.
pub fn from_env() -> Result<Option<Isa>> {
    let Some(value) = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()) else { return Ok(None) };
    let name = value.to_string_lossy();
    match Isa::from_name(&name) {
        Some(isa) if Isa::available().contains(&isa) => Ok(Some(isa)),
        _ => Err(unavailable(VARIABLE, &name)),
    }
}

fn unavailable(arg: &str, got: &str) -> Error {
    let names: Vec<&str> = Isa::available().iter().map(|isa| isa.name()).collect();
    Error::value(arg, got, format!("one that this CPU has, {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for isa in Isa::ALL {
            assert_eq!(Isa::from_name(isa.name()), Some(isa));
        }
        assert_eq!(Isa::from_name("sse9"), None);
    }

    #[test]
    fn scalar_is_always_there_and_comes_first() {
        assert_eq!(Isa::available()[0], Isa::Scalar);
        assert!(Isa::available().is_sorted());
    }

    #[test]
    fn another_architectures_is_an_error_that_names_what_there_is() {
        let foreign = if cfg!(target_arch = "aarch64") { Isa::Avx2 } else { Isa::Neon };
        let message = Isa::set_current(foreign).unwrap_err().to_string();
        assert!(message.contains(foreign.name()) && message.contains("scalar"), "{message}");
    }
}
