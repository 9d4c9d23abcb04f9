//! Functions of one number, for whole arrays.

use super::math::{self, Map};
use super::rows::{self, Part};
use super::{Cells, Place, for_each_piece};
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::threads;

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// x times the standard normal distribution's function of x.
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    /// x / (1 + exp(-x))
    Silu,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// tanh(x)
    Tanh,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Gelu, Self::GeluTanh, Self::Silu, Self::Sigmoid, Self::Tanh];
}

/// The function of each float, within 4e-7 of the true value or, where that is more, 4e-7 times it.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn apply(function: Function, place: Place<'_>) -> Result<(), Stopped> {
    // As long as so many bytes take to be moved.
    let (bytes, step) = (16 * place.len(), threads::CHUNK_BYTES / 16);
    let isa = Isa::current();
    for_each_piece!(place, step, bytes, |_, cells| match function {
        Function::Gelu => arch::dispatch(isa, Apply(cells, math::Gelu)),
        Function::GeluTanh => arch::dispatch(isa, Apply(cells, math::GeluTanh)),
        Function::Silu => arch::dispatch(isa, Apply(cells, math::Silu)),
        Function::Sigmoid => arch::dispatch(isa, Apply(cells, math::Sigmoid)),
        Function::Tanh => arch::dispatch(isa, Apply(cells, math::Tanh)),
    })
}

/// The function of each float, over the floats, on this thread.
pub(crate) fn apply_here(function: Function, x: &mut [f32]) {
    let isa = Isa::current();
    match function {
        Function::Gelu => arch::dispatch(isa, Apply(x, math::Gelu)),
        Function::GeluTanh => arch::dispatch(isa, Apply(x, math::GeluTanh)),
        Function::Silu => arch::dispatch(isa, Apply(x, math::Silu)),
        Function::Sigmoid => arch::dispatch(isa, Apply(x, math::Sigmoid)),
        Function::Tanh => arch::dispatch(isa, Apply(x, math::Tanh)),
    }
}

/// One piece, and the function.
struct Apply<C, M>(C, M);

impl<C: Cells, M: Map> Kernel for Apply<C, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) {
        rows::groups(v, self.0.input().len(), &mut self);
    }
}

impl<V: Vector, C: Cells, M: Map> Part<V> for Apply<C, M> {
    type Output = ();

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) {
        let y = M::exactly(v, rows::load(v, self.0.input(), at, len));
        rows::store(v, y, self.0.output(), at, len);
    }
}
