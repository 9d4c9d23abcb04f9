//! What a tensor is made of, and how the methods that end with an underscore change its shape.
//!
//! Those leave the object and change what it looks at (`resize_`, `t_`, `squeeze_`). A reader in another thread, or
//! further up the stack, may hold the codes meanwhile: the old state is therefore kept, for as long as the tensor
//! lives, behind the new one.

use std::sync::{Arc, OnceLock};

use numpy::PyUntypedArray;
use pyo3::prelude::*;
use quantray_core::qparams::Quantizer;

use super::QTensor;
use crate::array::Array;

/// The parts of a tensor, and the state that took its place.
pub(super) struct State {
    /// A view of our own, which no user can reshape. The packed bytes, flat, of a packed dtype.
    pub codes: Py<PyUntypedArray>,
    pub quantizer: Arc<Quantizer>,
    /// The shape of a packed tensor, whose codes are flat bytes.
    pub packed: Option<Box<[usize]>>,
    next: OnceLock<Box<State>>,
}

impl State {
    pub fn new(codes: Array<'_>, quantizer: Arc<Quantizer>, packed: Option<Box<[usize]>>) -> Self {
        Self { codes: codes.unbind(), quantizer, packed, next: OnceLock::new() }
    }

    /// The latest one.
    pub fn last(&self) -> &Self {
        let mut state = self;
        while let Some(next) = state.next.get() {
            state = next;
        }
        state
    }

    /// Puts another one in its place.
    pub fn replace(&self, with: State) {
        let mut new = Box::new(with);
        // Where another thread was faster, its state is the one that is replaced.
        while let Err(back) = self.last().next.set(new) {
            new = back;
        }
    }
}

impl Drop for State {
    /// One after the other: a long chain would not fit the stack.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut state) = next {
            next = state.next.take();
        }
    }
}

impl QTensor {
    /// The tensor itself, with the shape and the memory of another one from now on.
    pub(super) fn become_<'py>(slf: &Bound<'py, Self>, other: QTensor) -> Bound<'py, Self> {
        let py = slf.py();
        let like = other.state.last();
        let copy = State::new(like.codes.bind(py).clone(), Arc::clone(&like.quantizer), like.packed.clone());
        slf.get().state.replace(copy);
        slf.clone()
    }
}
