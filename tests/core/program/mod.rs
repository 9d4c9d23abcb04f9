//! Programs beside plain loops.

use std::mem::MaybeUninit;

use quantray_core::program::Value;

mod chains;
mod places;
mod random;
mod reductions;

/// Where the element at some place, counted in C order, lies.
fn lies(value: &Value, mut place: usize) -> usize {
    let mut found = 0;
    for a in (0..value.shape.len()).rev() {
        found += place % value.shape[a] * value.strides[a];
        place /= value.shape[a];
    }
    found
}

/// Room for results in memory that holds something.
pub(crate) fn slots<T>(memory: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: a program writes elements there, and never leaves any without a value.
    unsafe { &mut *(std::ptr::from_mut(memory) as *mut [MaybeUninit<T>]) }
}
