//! Elements put at numbered places among others.

use std::ops::{Add, Mul};

use super::super::super::dims::Known;
use super::super::super::memory::{Memory, Room};
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task, Trouble};
use super::super::super::value::{Kind, Value};
use super::super::axis_in;
use super::gather::start;
use super::{check_numbers, check_same_type, number, place, wrong_shape};
use crate::error::{Error, Result};

/// What an element and a new one become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as ONNX names them")]
pub enum Combine {
    /// The new one: of several the last one.
    None,
    Add,
    Mul,
    Max,
    Min,
}

impl Combine {
    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "add" => Self::Add,
            "mul" => Self::Mul,
            "max" => Self::Max,
            "min" => Self::Min,
            _ => return None,
        })
    }

    fn check(self, x: &Value) -> Result<()> {
        match (self, x.ty.kind()) {
            (Self::None, _) => Ok(()),
            (_, Kind::Bool) => {
                Err(Error::type_("input", x.ty.name(), "of numbers, to be added up or compared"))
            }
            _ => Ok(()),
        }
    }
}

/// Numbers that can be combined.
trait Number: Copy {
    fn combine(self, of: Combine, new: Self) -> Self;
}

/// Of integers never.
fn is_nan<T: PartialOrd>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

macro_rules! numbers {
    ($($t:ty: $add:ident, $mul:ident;)*) => {$(
        impl Number for $t {
            fn combine(self, of: Combine, new: Self) -> Self {
                match of {
                    Combine::None => new,
                    Combine::Add => self.$add(new),
                    Combine::Mul => self.$mul(new),
                    Combine::Max => if self > new || is_nan(self) { self } else { new },
                    Combine::Min => if self < new || is_nan(self) { self } else { new },
                }
            }
        }
    )*};
}
numbers! {
    f32: add, mul;
    i64: wrapping_add, wrapping_mul;
    i32: wrapping_add, wrapping_mul;
    u8: wrapping_add, wrapping_mul;
    i8: wrapping_add, wrapping_mul;
}

/// Calls a function with the elements, the new ones, and where they go.
macro_rules! with_three {
    ($from:expr, $to:expr, |$x:ident, $new:ident, $y:ident| $body:expr) => {
        match ($from[0], $from[2], $to) {
            (Memory::U8($x), Memory::U8($new), Room::U8($y)) => $body,
            (Memory::Bool($x), Memory::Bool($new), Room::Bool($y)) => $body,
            (Memory::I8($x), Memory::I8($new), Room::I8($y)) => $body,
            (Memory::F32($x), Memory::F32($new), Room::F32($y)) => $body,
            (Memory::I32($x), Memory::I32($new), Room::I32($y)) => $body,
            (Memory::I64($x), Memory::I64($new), Room::I64($y)) => $body,
            _ => panic!("elements as planned"),
        }
    };
}

/// The first source, with parts of the third one at tuples of numbers along the last axis of the second one.
#[derive(Debug)]
pub struct ScatterNd(pub Combine);

impl Op for ScatterNd {
    fn name(&self) -> &'static str {
        "scatter_nd"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, ids, new) = (from[0], from[1], from[2]);
        check_numbers(ids, "index")?;
        check_same_type(x, new, "updates")?;
        self.0.check(x)?;
        let depth = ids.shape.last().copied().unwrap_or(usize::MAX);
        if depth > x.shape.len() {
            let valid = format!("of shape (..., numbers for at most {} axes)", x.shape.len());
            return Err(wrong_shape("index", ids, valid));
        }
        let leading = &ids.shape[..ids.shape.len() - 1];
        let wanted = [leading, &x.shape[depth..]].concat();
        if new.shape != wanted {
            let valid = format!("of shape {}", super::super::super::value::text(&wanted));
            return Err(wrong_shape("updates", new, valid));
        }
        let (lengths, inner) = (x.shape[..depth].to_vec(), x.shape[depth..].iter().product::<usize>());
        let tuples: usize = leading.iter().product();
        let made = Value::new(x.ty, x.shape.clone());
        let needs = vec![Need::contiguous(x), Need::contiguous(ids), Need::contiguous(new)];
        let (of, work) = (self.0, 3 * made.bytes());
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            with_three!(io.from, io.to, |x, new, to| {
                let to = to.write_copy_of_slice(x);
                for t in 0..tuples {
                    let at = start(io.from[1], t, &lengths)? * inner;
                    put(of, &mut to[at..at + inner], &new[t * inner..][..inner]);
                }
            });
            Ok(())
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }
}

fn put<T: Number>(of: Combine, to: &mut [T], new: &[T]) {
    for (to, &new) in to.iter_mut().zip(new) {
        *to = to.combine(of, new);
    }
}

/// The first source, with each element of the third one put, along an axis, where the second one says.
#[derive(Debug)]
pub struct ScatterAlong(pub isize, pub Combine);

impl Op for ScatterAlong {
    fn name(&self) -> &'static str {
        "scatter_along_axis"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, ids, new) = (from[0], from[1], from[2]);
        check_numbers(ids, "index")?;
        check_same_type(x, new, "updates")?;
        self.1.check(x)?;
        let rank = x.shape.len();
        let axis = axis_in(self.0, rank)?;
        let fits = ids.shape.len() == rank && (0..rank).all(|a| a == axis || ids.shape[a] <= x.shape[a]);
        if !fits {
            let valid = format!("of {rank} axes, none but axis {axis} longer than the input's");
            return Err(wrong_shape("index", ids, valid));
        }
        let spread = new.shape.len() <= rank
            && new.shape.iter().rev().zip(ids.shape.iter().rev()).all(|(&n, &m)| n == m || n == 1);
        if !spread {
            return Err(wrong_shape("updates", new, "of a shape that broadcasts to the index's"));
        }
        let made = Value::new(x.ty, x.shape.clone());
        let (strides, lengths, n) = (made.strides.clone(), ids.shape.clone(), x.shape[axis]);
        let like_ids = Value::new(new.ty, ids.shape.clone());
        let needs = vec![Need::contiguous(x), Need::contiguous(ids), Need::like(&like_ids)];
        let (of, work) = (self.1, 3 * made.bytes());
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            with_three!(io.from, io.to, |x, new, to| {
                let to = to.write_copy_of_slice(x);
                for (i, new) in new.iter().enumerate() {
                    let (mut rest, mut at) = (i, 0);
                    for a in (0..lengths.len()).rev() {
                        at += if a == axis { 0 } else { rest % lengths[a] * strides[a] };
                        rest /= lengths[a];
                    }
                    at += place(number(io.from[1], i), n, i)? * strides[axis];
                    put(of, &mut to[at..=at], std::slice::from_ref(new));
                }
            });
            Ok(())
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }
}
