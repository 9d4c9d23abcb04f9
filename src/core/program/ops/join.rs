//! Arrays one after the other.

use std::mem::MaybeUninit;

use super::super::dims::Known;
use super::super::memory::{Memory, Room};
use super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::value::{Value, text};
use super::axis_in;
use crate::arch::copy_to;
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// Arrays one after the other along an axis.
#[derive(Debug)]
pub struct Cat(pub isize);

impl Op for Cat {
    fn name(&self) -> &'static str {
        "cat"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let Some(first) = from.first() else {
            return Err(Error::value("inputs", "none", "at least one"));
        };
        let axis = axis_in(self.0, first.shape.len())?;
        let mut shape = first.shape.clone();
        shape[axis] = 0;
        for (i, x) in from.iter().enumerate() {
            if x.ty != first.ty {
                let valid = format!("of the first one's type and grid, {:?}", first.ty);
                return Err(Error::type_(format!("inputs[{i}]"), format!("{:?}", x.ty), valid));
            }
            let same =
                x.shape.len() == shape.len() && (0..shape.len()).all(|a| a == axis || x.shape[a] == shape[a]);
            if !same {
                let valid = format!("as the first one but for axis {axis}, {}", text(&first.shape));
                return Err(Error::value(format!("inputs[{i}]"), text(&x.shape), valid));
            }
            shape[axis] = shape[axis].saturating_add(x.shape[axis]);
        }
        // The order of the largest one: fewest elements are turned round.
        let order = from.iter().max_by_key(|x| x.bytes()).unwrap_or(first);
        let made = order.ordered(shape);
        let needs: Vec<_> = from
            .iter()
            .map(|x| {
                let own = made.ordered(x.shape.clone());
                Need::like(&own)
            })
            .collect();
        // Elements of a source, and of the result, for each step of what is slower than the axis in memory.
        let inner = made.strides[axis].max(1);
        let runs: Vec<usize> = from.iter().map(|x| x.shape[axis] * inner).collect();
        let work = 2 * made.bytes();
        Ok(Task::new(made, move |io: Io<'_>| Ok(join(&runs, work, io)?)).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        let axis = axis_in(self.0, made.shape.len()).ok()?;
        (axis > 0 && images.iter().all(|&images| images) && !from.is_empty()).then_some(true)
    }
}

fn join(runs: &[usize], work: usize, io: Io<'_>) -> Result<(), Stopped> {
    fn all<T: Copy + Send + Sync>(
        runs: &[usize],
        work: usize,
        from: Vec<&[T]>,
        to: &mut [MaybeUninit<T>],
    ) -> Result<(), Stopped> {
        let line: usize = runs.iter().sum();
        let lines = (threads::CHUNK_BYTES / (2 * line.max(1) * size_of::<T>())).max(1);
        threads::for_each(work, to.chunks_mut((lines * line).max(1)).enumerate(), |(i, to)| {
            for (k, to) in to.chunks_mut(line).enumerate() {
                let mut rest = to;
                for (&run, from) in runs.iter().zip(&from) {
                    let (own, more) = rest.split_at_mut(run);
                    copy_to(&from[(i * lines + k) * run..][..run], own);
                    rest = more;
                }
            }
            true
        })
    }
    macro_rules! kinds {
        ($($kind:ident),*) => {
            match io.to.bits() {
                $(Room::$kind(to) => {
                    let from = io.from.iter().map(|memory| match memory.bits() {
                        Memory::$kind(x) => x,
                        _ => panic!("elements of the planned kind"),
                    });
                    all(runs, work, from.collect(), to)
                })*
                _ => panic!("bits"),
            }
        };
    }
    kinds!(U8, I32, I64)
}
