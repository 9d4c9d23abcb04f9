//! Self-attention, in 8-bit integers inside.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::float::{self, Attention, Mask};

use super::rows::mask_rows;
use crate::array::{Output, as_float32, elements, elements_mut, len, overlap, tuple_text};
use crate::error::Error;
use crate::run::kernel;

/// Self-attention of projected rows by several heads, with scores and means in 8-bit integers inside.
///
/// The queries of a head, its keys, and each column of its values are quantized symmetrically to 8 bits, and the weights
/// of a query to 255 steps of the greatest one. No array of scores is made.
///
/// Parameters
/// ----------
/// qkv : array_like of real numbers
///     Shape (N, L, 3 * E): the queries, keys and values of each row side by side, as one linear layer gives them.
///     Finite.
/// num_heads : int
///     How many heads share E.
/// mask : array_like of real numbers, optional
///     Of a shape that broadcasts to (N, num_heads, L, L): added to scores over the square root of a head's width.
///     -inf leaves a key out; a query that may look at nothing gives zeros.
/// out : ndarray, optional
///     Shape (N, L, E), float32: where the result goes.
///
/// Returns
/// -------
/// ndarray of float32
///     Shape (N, L, E).
///
/// Raises
/// ------
/// ValueError
///     For shapes that do not fit, and for NaN or an infinity in `qkv`.
///
/// >>> import numpy as np, quantray as qt
/// >>> qkv = np.float32([[[0, 0, 0, 0, 1, 4], [0, 0, 0, 0, 3, 8]]])
/// >>> qt.ops.self_attention(qkv, 1).round(1)
/// array([[[2., 6.],
///         [2., 6.]]], dtype=float32)
///
/// Source: `torch.nn.functional.scaled_dot_product_attention`, with the products of `torch.ops.quantized`.
#[pyfunction]
#[pyo3(signature = (qkv, num_heads, mask=None, *, out=None))]
pub fn self_attention<'py>(
    qkv: &Bound<'py, PyAny>,
    num_heads: usize,
    mask: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = qkv.py();
    let x = as_float32(qkv, "qkv")?;
    let &[sequences, length, wide] = x.shape() else {
        return Err(Error::value("qkv", tuple_text(x.shape()), "of shape (N, L, 3 * E)").into());
    };
    if num_heads == 0 || wide == 0 || !wide.is_multiple_of(3 * num_heads) {
        let valid = format!("at least 1, and divide a third of the rows of qkv, which are {wide} long");
        return Err(Error::value("num_heads", num_heads, valid).into());
    }
    let width = wide / 3 / num_heads;
    let scores = [sequences, num_heads, length, length];
    let output = Output::new::<f32>(py, out, &[sequences, length, wide / 3], &x)?;
    let mask = match mask.map(|mask| mask_rows(mask, &scores, 3)).transpose()? {
        Some((own, steps)) if overlap(&own, &output.array) => {
            Some((own.call_method1("copy", ("C",))?.cast_into()?, steps))
        }
        other => other,
    };
    let mask = mask.as_ref().map(|(own, steps)| Mask::new(elements(own), &scores[..3], steps));
    let factor = 1.0 / (width as f32).sqrt();
    let of = Attention { sequences, length, heads: num_heads, width, factor, mask };
    let (values, to) = (elements::<f32>(&x), elements_mut(&output.array));
    let work = len(&x) + sequences * num_heads * length * length;
    let finite = kernel(py, work, "qkv", x.shape(), || float::self_attention(&of, values, to))?;
    if !finite {
        let at = values.iter().position(|x| !x.is_finite()).unwrap_or(0);
        let row = at / wide;
        let place = tuple_text(&[row / length, row % length, at % wide]);
        return Err(Error::value(format!("qkv[{}]", &place[1..place.len() - 1]), values[at], "finite").into());
    }
    Ok(output.finish()?.into_any())
}
