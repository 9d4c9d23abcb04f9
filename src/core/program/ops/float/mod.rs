//! Real numbers, integers and truth values: what models do between products of codes.

mod attention;
mod cast;
mod choose;
mod conv;
mod division;
mod embedding;
mod group_norm;
mod layer;
mod layer_norm;
mod product;
mod recurrent;
mod softmax;
mod unary;
mod weight_only;
mod zip;

pub use attention::Attention;
pub use cast::{Cast, Test};
pub use choose::Where;
pub use conv::FloatConv;
pub(super) use conv::channels_last;
pub use embedding::{Embedding, Rows};
pub use group_norm::GroupNorm;
pub use layer::FloatLayer;
pub use layer_norm::LayerNorm;
pub use product::FloatLinear;
pub(super) use product::matmul;
pub use recurrent::{Direction, Recurrent};
pub use softmax::{LogSoftmax, Softmax};
pub use unary::{Function, Unary};
pub use weight_only::WeightOnlyLinear;
pub use zip::{Arithmetic, Compare, Logic, Zip};

use super::super::op::Need;
use super::super::value::{Type, Value, text};
use crate::error::{Error, Result};

/// A value that is added to rows of another one, of a shape that broadcasts to it: how its rows must lie, and from one of
/// them to the next along each axis but the last one.
fn mask_rows(mask: &Value, shape: &[usize], axis: usize) -> Result<(Option<Need>, Vec<usize>)> {
    if mask.ty != Type::F32 {
        let valid = "of float32, which is added: 0 where the input counts, -inf where it does not";
        return Err(Error::type_("mask", mask.ty.name(), valid));
    }
    let fits = mask.shape.len() <= shape.len()
        && mask.shape.iter().rev().zip(shape.iter().rev()).all(|(&n, &m)| n == 1 || n == m);
    if !fits {
        let valid = format!("of a shape that broadcasts to the input's, {}", text(shape));
        return Err(Error::value("mask", text(&mask.shape), valid));
    }
    let spread = mask.broadcast_to(shape);
    let steps = |all: &[usize]| (0..shape.len()).filter(|&a| a != axis).map(|a| all[a]).collect();
    if shape[axis] == 1 || spread.strides[axis] == 1 {
        return Ok((None, steps(&spread.strides)));
    }
    // A row must lie in one piece: all of them are laid out.
    let mut order: Vec<usize> = (0..shape.len()).filter(|&a| a != axis).collect();
    order.push(axis);
    let strides = strides_in(shape, &order);
    Ok((Some(Need { shape: shape.to_vec(), strides: strides.clone() }), steps(&strides)))
}

/// Strides without gaps where the axes have this order in memory, the last one the fastest.
pub(super) fn strides_in(shape: &[usize], order: &[usize]) -> Vec<usize> {
    let (mut strides, mut step) = (vec![1; shape.len()], 1);
    for &a in order.iter().rev() {
        strides[a] = step;
        step *= shape[a].max(1);
    }
    strides
}
