//! Memory that starts with a line of the caches; the size of the last cache, and from how many bytes on stores go
//! around it.

use crate::memory::filled;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Byte, Slot};

/// A line of the caches.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line(#[allow(dead_code, reason = "read as bytes")] [i8; 64]);

/// Bytes that start where a line of the caches does.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    len: usize,
}

impl Lines {
    /// So many zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        Self { lines: filled(len.div_ceil(64), Line([0; 64])), len }
    }

    /// So many zeros, if there is memory for them.
    pub(crate) fn try_zeros(len: usize) -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(64)).ok()?;
        lines.resize(len.div_ceil(64), Line([0; 64]));
        Some(Self { lines, len })
    }

    /// All of them.
    pub(crate) fn bytes(&self) -> &[i8] {
        // SAFETY: a line is 64 bytes without padding, and there are enough of them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// All of them, four to a float.
    pub(crate) fn floats(&self) -> &[f32] {
        // SAFETY: as above; lines are aligned for floats, and any four bytes are one.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len / 4) }
    }

    /// All of them, four to a float.
    pub(crate) fn floats_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len / 4) }
    }

    /// All of them, four to an integer.
    pub(crate) fn ints_mut(&mut self) -> &mut [i32] {
        // SAFETY: as above, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len / 4) }
    }

    /// All of them, as unsigned bytes.
    pub(crate) fn unsigned_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }

    /// All of them.
    pub(crate) fn bytes_mut(&mut self) -> &mut [i8] {
        // SAFETY: as above, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// Numbers as slots, for a kernel that writes over them.
pub(crate) fn slots<T: Copy>(x: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: the layout is the same, and kernels write nothing but numbers to slots.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) }
}

/// What slots hold.
///
/// # Safety
/// All of them have been written to.
#[inline(always)]
pub(crate) unsafe fn written<S: Slot>(slots: &[S]) -> &[S::Item] {
    // SAFETY: a slot has the layout of what it holds, and the caller's promise is that it holds something.
    unsafe { std::slice::from_raw_parts(slots.as_ptr().cast(), slots.len()) }
}

/// Codes as bytes.
pub(crate) fn bytes<C: Byte>(codes: &[C]) -> &[u8] {
    // SAFETY: a `Byte` is 8 bits, any of which are a byte.
    unsafe { std::slice::from_raw_parts(codes.as_ptr().cast(), codes.len()) }
}

/// Slots of elements as those of others of the same size, any bits of which are one.
pub(crate) fn slots_of<T: bytemuck::Pod, U: bytemuck::Pod>(
    x: &mut [MaybeUninit<T>],
) -> &mut [MaybeUninit<U>] {
    const { assert!(size_of::<T>() == size_of::<U>() && align_of::<T>() == align_of::<U>()) };
    // SAFETY: size and alignment are the same, and any bits are a `T` and a `U`.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) }
}

/// Asks for the lines of the caches that these elements lie in, of which the first few tell the CPU of the others.
#[inline(always)]
pub(crate) fn ask_for<T>(from: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..size_of_val(from).div_ceil(64).min(8) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 CPU has SSE; a hint, which no address makes wrong.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast::<i8>().wrapping_add(64 * line)) };
    }
    let _ = from;
}

/// Where the system does not say.
const DEFAULT: usize = 32 << 20;

/// Bytes of the last level of cache, as one core sees it.
///
/// Asked once. Linux's own account comes first: glibc's `sysconf` answers with `cpuid`, whose answer on a virtual
/// machine may be the cache of a whole processor of many such parts (256 MiB where a core reaches 32).
pub fn last_level_cache() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            let size = ask_linux().or_else(ask_libc).filter(|&n| n > 0).unwrap_or(DEFAULT);
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// What Linux says of the greatest level of the first CPU.
fn ask_linux() -> Option<usize> {
    (0..8)
        .filter_map(|i| {
            let read = |what| {
                std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{i}/{what}")).ok()
            };
            let level: u32 = read("level")?.trim().parse().ok()?;
            Some((level, kibibytes(read("size")?.trim())?))
        })
        .max()
        .map(|(_, size)| size)
}

/// "32768K", as Linux writes it.
fn kibibytes(text: &str) -> Option<usize> {
    text.strip_suffix('K')?.parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn ask_libc() -> Option<usize> {
    // SAFETY: sysconf only reads, and takes any number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_LEVEL3_CACHE_SIZE) }).ok()
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn ask_libc() -> Option<usize> {
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

/// What results are written to, as the caches see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Memory that may have been written before.
    There,
    /// Memory that was just asked for: where that is much, the system gives it out page by page as it is touched, and
    /// zeros each through the caches, where plain stores find it.
    Fresh,
}

/// From here on the C library asks the system for each piece of memory, and keeps none (glibc's greatest
/// `M_MMAP_THRESHOLD`).
const NEVER_KEPT: usize = 32 << 20;

impl Pages {
    /// Whether a kernel that moves so many bytes, and writes so many of them, stores around the caches.
    pub(crate) fn streamed(self, moved: usize, written: usize) -> bool {
        moved >= stream_from() && (self == Self::There || written < NEVER_KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_linux_writes_them() {
        assert_eq!(kibibytes("32768K"), Some(32 << 20));
        assert_eq!(kibibytes("32M"), None);
        assert!(last_level_cache() > 0);
    }

    #[test]
    fn pages_that_are_zeroed_at_the_first_touch_are_in_the_caches() {
        let all = stream_from().max(NEVER_KEPT);
        assert!(Pages::There.streamed(all, all));
        assert!(!Pages::Fresh.streamed(all, all));
        assert!(Pages::Fresh.streamed(all, NEVER_KEPT - 1));
        assert!(!Pages::There.streamed(stream_from() - 1, 1));
    }
}
