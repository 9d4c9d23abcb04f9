//! The size of the last cache, and from how many bytes on stores go around it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the system does not say.
const DEFAULT: usize = 32 << 20;

/// Bytes of the last level of cache.
///
/// Asked once: on x86-64 glibc answers with `cpuid`, which a virtual machine has to emulate.
pub fn last_level_cache() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            let size = ask().filter(|&n| n > 0).unwrap_or(DEFAULT);
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn ask() -> Option<usize> {
    // SAFETY: sysconf only reads, and takes any number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_LEVEL3_CACHE_SIZE) }).ok()
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn ask() -> Option<usize> {
    None
}

/// Set by tests, to reach the streaming kernels with small arrays.
static STREAM_FROM: AtomicUsize = AtomicUsize::new(0);

/// From how many bytes read and written on a kernel stores around the caches (non-temporal stores).
///
/// Three quarters of the last cache, as in glibc's `memcpy`: beyond it a written line would be read from memory
/// first, and would push out something useful; inside it a non-temporal store costs 2 to 9 times an ordinary one.
#[inline]
pub fn stream_from() -> usize {
    match STREAM_FROM.load(Ordering::Relaxed) {
        0 => last_level_cache() / 4 * 3,
        set => set,
    }
}

/// Another limit for [`stream_from`]; 0 goes back to the rule.
#[doc(hidden)]
pub fn set_stream_from(bytes: usize) {
    STREAM_FROM.store(bytes, Ordering::Relaxed);
}
