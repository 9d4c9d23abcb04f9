//! Memory whose neighbours may not be touched.

use std::ffi::c_void;

/// Pages between two that may not be read or written: a step outside ends the test.
pub struct Guarded {
    map: *mut c_void,
    page: usize,
    len: usize,
}

impl Guarded {
    /// At least `bytes` bytes, of zeros.
    pub fn new(bytes: usize) -> Self {
        // SAFETY: sysconf takes any number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let len = bytes.div_ceil(page).max(1) * page;
        // SAFETY: a fresh mapping, wherever the system likes.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len + 2 * page,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(map, libc::MAP_FAILED);
        // SAFETY: all but the first and the last page of that mapping.
        let opened = unsafe { libc::mprotect(map.byte_add(page), len, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(opened, 0);
        Self { map, page, len }
    }

    /// `n` elements that end where the memory ends, or start where it starts.
    pub fn slice<T: Copy>(&mut self, n: usize, at_end: bool) -> &mut [T] {
        let skip = if at_end { self.len - n * size_of::<T>() } else { 0 };
        // SAFETY: that many bytes lie between the guards, initialized by the system or by an earlier use; only types
        // for which any bytes are valid (integers, floats, and MaybeUninit) are asked for here.
        unsafe { std::slice::from_raw_parts_mut(self.map.byte_add(self.page + skip).cast(), n) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, which nobody borrows any more.
        unsafe { libc::munmap(self.map, self.len + 2 * self.page) };
    }
}
