//! The same elements, counted along other axes.

use super::super::dims::{Dim, Known};
use super::super::op::{Hint, Io, Op, Planned, Task};
use super::super::value::{Value, c_strides, text};
use super::axis_in;
use super::copy::Copy;
use crate::error::{Error, Result};

/// Another shape; one of its lengths may be -1: what is left.
#[derive(Debug)]
pub struct Reshape(pub Vec<Dim>);

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, hint: Hint<'_>) -> Result<Planned> {
        let lengths: Vec<i64> = self.0.iter().map(|dim| dim.of(known)).collect::<Result<_>>()?;
        let shape = resolved(from[0], &lengths, hint)?;
        Ok(reshaped(from[0], shape))
    }

    fn images(&self, from: &[&Value], made: &Value, _: &[bool]) -> Option<bool> {
        (made.shape.first() == from[0].shape.first()).then_some(true)
    }
}

/// The lengths, with -1 as a number.
fn resolved(x: &Value, lengths: &[i64], hint: Hint<'_>) -> Result<Vec<usize>> {
    let n = x.len();
    let given = || lengths.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let wrong = || {
        let valid = format!("of {n} elements, as shape {} has", text(&x.shape));
        Error::value("shape", format!("({})", given()), valid)
    };
    let open: Vec<usize> = (0..lengths.len()).filter(|&a| lengths[a] == -1).collect();
    if open.len() > 1 || lengths.iter().any(|&n| n < -1) {
        let valid = "lengths from 0 on, of which one may be -1";
        return Err(Error::value("shape", format!("({})", given()), valid));
    }
    let known = lengths.iter().filter(|&&n| n != -1).try_fold(1usize, |all, &n| all.checked_mul(n as usize));
    let known = known.ok_or_else(wrong)?;
    let mut shape: Vec<usize> = lengths.iter().map(|&n| n.max(0) as usize).collect();
    if let &[axis] = &open[..] {
        shape[axis] = match (n, known) {
            // Any length would do: the one that it has beside axes with elements.
            (0, 0) => *hint.with_ones.and_then(|shape| shape.get(axis)).ok_or_else(wrong)?,
            (_, 0) => return Err(wrong()),
            _ if n.is_multiple_of(known) => n / known,
            _ => return Err(wrong()),
        };
    } else if known != n {
        return Err(wrong());
    }
    Ok(shape)
}

/// A view where strides can say it, else a copy in C order.
pub(super) fn reshaped(x: &Value, shape: Vec<usize>) -> Planned {
    if let Some(strides) = view(x, &shape) {
        return Planned::View(Value { ty: x.ty, shape, strides }, 0);
    }
    let strides: Vec<isize> = x.strides.iter().map(|&s| s as isize).collect();
    let copy = Copy::new(&x.shape, 0, &strides, &c_strides(&x.shape));
    Task::new(Value::new(x.ty, shape), move |io: Io<'_>| Ok(copy.fill(io.from[0], io.to)?)).into()
}

/// The strides of the same elements in another shape.
fn view(x: &Value, shape: &[usize]) -> Option<Vec<usize>> {
    if x.is_contiguous() || x.is_empty() {
        return Some(c_strides(shape));
    }
    let old: Vec<(usize, usize)> =
        x.shape.iter().copied().zip(x.strides.iter().copied()).filter(|&(n, _)| n != 1).collect();
    let mut strides = vec![1; shape.len()];
    let (mut o, mut a) = (0, 0);
    while o < old.len() {
        while a < shape.len() && shape[a] == 1 {
            a += 1;
        }
        // Runs of axes on both sides that count as many elements.
        let (mut last_o, mut last_a) = (o + 1, a + 1);
        let (mut left, mut right) = (old[o].0, *shape.get(a)?);
        while left != right {
            if left < right {
                left *= old.get(last_o)?.0;
                last_o += 1;
            } else {
                right *= shape.get(last_a)?;
                last_a += 1;
            }
        }
        if (o..last_o - 1).any(|k| old[k].1 != old[k + 1].0 * old[k + 1].1) {
            return None;
        }
        let mut step = old[last_o - 1].1;
        for k in (a..last_a).rev() {
            strides[k] = step;
            step *= shape[k];
        }
        (o, a) = (last_o, last_a);
    }
    Some(strides)
}

/// Some axes as one.
#[derive(Debug)]
pub struct Flatten(pub isize, pub isize);

impl Op for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let rank = x.shape.len();
        if rank == 0 {
            return Ok(reshaped(x, vec![1]));
        }
        let (start, end) = (axis_in(self.0, rank)?, axis_in(self.1, rank)?);
        if end < start {
            return Err(Error::value("end_dim", self.1, format!("not before start_dim, {}", self.0)));
        }
        let one: usize = x.shape[start..=end].iter().product();
        let shape = [&x.shape[..start], &[one], &x.shape[end + 1..]].concat();
        Ok(reshaped(x, shape))
    }

    fn images(&self, from: &[&Value], made: &Value, _: &[bool]) -> Option<bool> {
        (made.shape.first() == from[0].shape.first() && from[0].shape.len() > 1).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::value::Type;
    use super::*;

    #[test]
    fn views_are_those_of_numpy() {
        let x = Value { ty: Type::F32, shape: vec![2, 3, 4], strides: vec![24, 8, 2] };
        assert_eq!(view(&x, &[6, 4]), Some(vec![8, 2]));
        assert_eq!(view(&x, &[2, 1, 12]), Some(vec![24, 1, 2]));
        let last = Value::channels_last(Type::F32, vec![2, 3, 4]);
        assert_eq!(view(&last, &[2, 12]), None);
        assert_eq!(view(&Value::channels_last(Type::F32, vec![2, 3, 1]), &[2, 3]), Some(vec![3, 1]));
        assert_eq!(
            view(&Value { ty: Type::F32, shape: vec![4], strides: vec![0] }, &[2, 2]),
            Some(vec![0, 0])
        );
    }
}
