//! Some elements of an array replaced by others.

use super::super::super::dims::Known;
use super::super::super::memory::{Memory, Room};
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Value, text};
use super::super::copy::Copy;
use super::super::slice::{Item, chosen};
use super::check_same_type;
use crate::error::{Error, Result};

/// The first source with the elements of the second one, which broadcasts, where a slice of it is.
#[derive(Debug)]
pub struct Put(pub Vec<Item>);

impl Op for Put {
    fn name(&self) -> &'static str {
        "put"
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, new) = (from[0], from[1]);
        check_same_type(x, new, "value")?;
        let made = Value::new(x.ty, x.shape.clone());
        let part = chosen(&self.0, &made, known)?;
        let fits = new.shape.len() <= part.shape.len()
            && new.shape.iter().rev().zip(part.shape.iter().rev()).all(|(&n, &m)| n == m || n == 1);
        if !fits {
            let valid = format!("of a shape that broadcasts to {}", text(&part.shape));
            return Err(Error::value("value", text(&new.shape), valid));
        }
        // Where the part's strides are negative, its elements are read in the reverse order instead.
        let spread = new.broadcast_to(&part.shape);
        let (mut to, mut from, mut first, mut start) = (vec![], vec![], part.start, 0);
        for a in 0..part.shape.len() {
            let (stride, own, last) =
                (part.strides[a], spread.strides[a] as isize, part.shape[a].saturating_sub(1));
            if stride < 0 {
                first -= last as i64 * stride.abs();
                start += last * spread.strides[a];
            }
            to.push(stride.unsigned_abs() as usize);
            from.push(if stride < 0 { -own } else { own });
        }
        let copy = Copy::new(&part.shape, start, &from, &to);
        let (first, empty) = (first.max(0) as usize, part.shape.contains(&0));
        let (needs, work) = (vec![Need::contiguous(x), None], 3 * made.bytes());
        let run = move |io: Io<'_>| {
            macro_rules! kinds {
                ($($kind:ident),*) => {
                    match (io.from[0].bits(), io.from[1].bits(), io.to.bits()) {
                        $((Memory::$kind(x), Memory::$kind(new), Room::$kind(to)) => {
                            crate::arch::copy_to(x, to);
                            if !empty {
                                copy.scatter(new, &mut to[first..]);
                            }
                        })*
                        _ => panic!("elements as planned"),
                    }
                };
            }
            kinds!(U8, I32, I64);
            Ok(())
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }
}
