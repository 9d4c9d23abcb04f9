//! The tiles of AMX: whether they are there, and how they are configured.

use std::arch::asm;

/// Whether the CPU has the tiles and the products, and the system saves their state.
pub(super) fn exist() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    const OSXSAVE: u32 = 1 << 27;
    const STATE: u64 = 1 << 17 | 1 << 18;
    #[target_feature(enable = "xsave")]
    unsafe fn saved() -> u64 {
        // SAFETY: the caller has seen that the system uses XSAVE.
        unsafe { _xgetbv(0) }
    }
    if __cpuid(0).eax < 7
        || __cpuid(1).ecx & OSXSAVE == 0
        || __cpuid_count(7, 0).edx & (TILE | INT8) != TILE | INT8
    {
        return false;
    }
    // SAFETY: OSXSAVE is set.
    unsafe { saved() & STATE == STATE }
}

/// Asks Linux for the tiles' state. It says no where a thread's signal stack would be too small for it.
#[cfg(target_os = "linux")]
pub(super) fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const TILE_DATA: libc::c_ulong = 18;
    // SAFETY: a system call that reads two numbers.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn permitted() -> bool {
    false
}

/// What `ldtilecfg` reads and `sttilecfg` writes.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) palette: u8,
    pub(super) start_row: u8,
    reserved: [u8; 14],
    pub(super) column_bytes: [u16; 16],
    pub(super) rows: [u8; 16],
}

pub(super) const EMPTY: Layout =
    Layout { palette: 0, start_row: 0, reserved: [0; 14], column_bytes: [0; 16], rows: [0; 16] };

/// The tiles, configured; what was configured before comes back at the end.
pub(super) struct Configuration(Layout);

impl Configuration {
    /// Sums in tiles 0 to 3, two by two where there are more than 16 rows; activations in 4 and 5; weights in 6 and 7.
    pub(super) fn set(count: usize) -> Self {
        let (first, second) = (count.min(16) as u8, count.saturating_sub(16) as u8);
        let second_or_first = if second > 0 { second } else { first };
        let mut new = EMPTY;
        new.palette = 1;
        new.column_bytes[..8].fill(64);
        new.rows[..8].copy_from_slice(&[
            first,
            first,
            second_or_first,
            second_or_first,
            first,
            second_or_first,
            16,
            16,
        ]);
        let mut old = EMPTY;
        // SAFETY: only called where AMX exists and is permitted; both point to 64 bytes.
        unsafe {
            asm!("sttilecfg [{}]", in(reg) &raw mut old, options(nostack, preserves_flags));
            asm!("ldtilecfg [{}]", in(reg) &raw const new, options(nostack, preserves_flags, readonly));
        }
        Self(old)
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        // SAFETY: as in `set`; what `sttilecfg` wrote is valid.
        unsafe {
            if self.0.palette == 0 {
                asm!("tilerelease", options(nostack, nomem, preserves_flags));
            } else {
                asm!("ldtilecfg [{}]", in(reg) &raw const self.0, options(nostack, preserves_flags, readonly));
            }
        }
    }
}
