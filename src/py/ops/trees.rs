//! Ensembles of decision trees.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::ops::trees::{Aggregate, Forest, NODE, tree_scores as score};

use crate::array::{
    Array, Element, as_float32, contiguous, elements, elements_mut, empty, has_type, tuple_text,
};
use crate::error::Error;
use crate::run::packing;

/// An array of int32 without gaps, of so many axes.
fn whole<'py>(object: &Array<'py>, arg: &str, ndim: usize) -> PyResult<Array<'py>> {
    if !has_type(object, i32::TYPE) || object.ndim() != ndim {
        let got = format!("{} of shape {}", object.dtype(), tuple_text(object.shape()));
        return Err(Error::value(arg, got, format!("int32 of {ndim} axes")).into());
    }
    contiguous(object)
}

/// Scores of rows by decision trees.
///
/// Parameters
/// ----------
/// x : array_like of float32
///     Shape (rows, features).
/// nodes : ndarray of int32
///     Shape (nodes, 5): the bits of a float, a feature, where to go if `x[feature]` is what is asked for, where else,
///     and the question: 0 to 5 for at most, less, at least, greater, equal, not equal, 8 more where NaN is a yes. Of
///     leaves, whose last number is 16, the second is a row of weights.
/// roots : ndarray of int32
///     Shape (trees,): the first node of each.
/// weights : array_like of float32
///     Shape (leaves, targets).
/// base : array_like of float32
///     Shape (targets,), added to what the trees give.
/// aggregate : {"SUM", "AVERAGE", "MIN", "MAX"}
///
/// Returns
/// -------
/// numpy.ndarray
///     Shape (rows, targets), float32.
///
/// Raises
/// ------
/// IndexError, ValueError
///     Nodes lead to none, or in circles; rows have too few features.
///
/// Source: the ONNX operator TreeEnsembleRegressor.
#[pyfunction]
pub fn tree_scores<'py>(
    x: &Bound<'py, PyAny>,
    nodes: &Array<'py>,
    roots: &Array<'py>,
    weights: &Bound<'py, PyAny>,
    base: &Bound<'py, PyAny>,
    aggregate: &str,
) -> PyResult<Array<'py>> {
    let py = x.py();
    let x = contiguous(&as_float32(x, "x")?)?;
    let weights = contiguous(&as_float32(weights, "weights")?)?;
    let base = contiguous(&as_float32(base, "base")?)?;
    let (nodes, roots) = (whole(nodes, "nodes", 2)?, whole(roots, "roots", 1)?);
    let &[rows, features] = x.shape() else {
        return Err(Error::value("x", tuple_text(x.shape()), "of shape (rows, features)").into());
    };
    if nodes.shape()[1] != NODE {
        return Err(Error::value("nodes", tuple_text(nodes.shape()), "of shape (nodes, 5)").into());
    }
    if base.ndim() != 1 || weights.ndim() != 2 || weights.shape()[1] != base.shape()[0] {
        let got = format!("{} and {}", tuple_text(weights.shape()), tuple_text(base.shape()));
        return Err(
            Error::value("weights and base", got, "of shapes (leaves, targets) and (targets,)").into()
        );
    }
    let aggregate = match aggregate {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Mean,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => return Err(Error::value("aggregate", other, "SUM, AVERAGE, MIN or MAX").into()),
    };
    let out = empty(py, f32::TYPE, &[rows, base.shape()[0]])?;
    let forest = Forest {
        nodes: elements(&nodes),
        roots: elements(&roots),
        weights: elements(&weights),
        base: elements(&base),
        aggregate,
    };
    let (values, room) = (elements::<f32>(&x), elements_mut::<f32>(&out));
    packing(py, || score(&forest, values, features, room))?;
    Ok(out)
}
