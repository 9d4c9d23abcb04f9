//! Work that ends before it is done: memory that is not there, or an interrupt deep inside.
//!
//! What grows with its input is allocated here: where the system has no more, the work ends, and the caller's [`caught`]
//! makes an error of that. (Rust's own vectors end the process.) It travels as an unwinding, from any depth and any
//! thread, so that kernels need not hand it on; nothing that they had begun is kept.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Why work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The system had not so many bytes.
    OutOfMemory(usize),
    /// A signal arrived.
    Interrupted,
}

/// Ends the work that this thread does for a caller of [`caught`].
pub(crate) fn end(why: Ended) -> ! {
    // No hook is called, and so nothing printed: this is no bug.
    resume_unwind(Box::new(why))
}

/// Below, allocations are Rust's own: whoever lacks so little cannot report it either.
const SMALL: usize = 64 << 10;

/// An empty vector with room for `n` elements.
pub fn room<T>(n: usize) -> Vec<T> {
    let mut made = Vec::new();
    reserve(&mut made, n);
    made
}

/// Room for `more` elements behind those of a vector.
pub fn reserve<T>(vector: &mut Vec<T>, more: usize) {
    if vector.try_reserve_exact(more).is_err() {
        end(Ended::OutOfMemory(more.saturating_mul(size_of::<T>())));
    }
}

/// `n` elements of one value.
pub fn filled<T: Clone>(n: usize, value: T) -> Vec<T> {
    if n.saturating_mul(size_of::<T>()) < SMALL {
        return vec![value; n];
    }
    let mut made = room(n);
    made.resize(n, value);
    made
}

/// The elements of an iterator of about `n`.
pub fn collected<T>(n: usize, from: impl Iterator<Item = T>) -> Vec<T> {
    let mut made = room(n);
    made.extend(from);
    made
}

/// What `f` returns, or why it ended before. Other panics go on.
///
/// # Errors
/// [`Ended`].
pub fn caught<T>(f: impl FnOnce() -> T) -> Result<T, Ended> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| match panic.downcast::<Ended>() {
        Ok(why) => *why,
        Err(panic) => resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri itself ends where there is too little memory")]
    fn what_is_not_there_is_an_error() {
        let bytes = 1 << 60;
        assert_eq!(caught(|| filled(bytes, 0u8)).unwrap_err(), Ended::OutOfMemory(bytes));
        assert_eq!(caught(|| collected(3, 0..3)), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn other_panics_go_on() {
        let other = catch_unwind(|| caught(|| resume_unwind(Box::new("bug"))));
        assert_eq!(*other.unwrap_err().downcast::<&str>().unwrap(), "bug");
    }
}
