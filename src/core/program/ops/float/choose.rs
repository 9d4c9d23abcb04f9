//! Elements of one value or of another one.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::super::super::chain::Tile;
use super::super::super::dims::Known;
use super::super::super::op::{Hint, Op, Planned, Task};
use super::super::super::tile::Element;
use super::super::super::value::{Kind, Type, Value};
use super::super::each_element;
use super::zip::meeting;
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::{Error, Result};

/// The second source where the first one holds, else the third one.
#[derive(Debug)]
pub struct Where;

impl Op for Where {
    fn name(&self) -> &'static str {
        "where"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (condition, a, b) = (from[0], from[1], from[2]);
        if condition.ty != Type::Bool {
            return Err(Error::type_("condition", condition.ty.name(), "bool"));
        }
        if a.ty != b.ty {
            let got = format!("{} and {}", a.ty.name(), b.ty.name());
            return Err(Error::type_("inputs", got, "of one dtype and grid"));
        }
        let tile = match a.ty.kind() {
            Kind::U8 | Kind::Bool => choice::<u8>(),
            Kind::I8 => choice::<i8>(),
            Kind::F32 => choice::<f32>(),
            Kind::I32 => choice::<i32>(),
            Kind::I64 => choice::<i64>(),
        };
        let made = meeting(from, a.ty)?;
        let work = 4 * made.bytes();
        Ok(Task::each(made, from, tile).work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

struct Choice<'a, T> {
    condition: &'a [u8],
    a: &'a [T],
    b: &'a [T],
    to: &'a mut [MaybeUninit<T>],
}

impl<T: Copy> Kernel for Choice<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { condition, a, b, to } = self;
        let n = to.len();
        let to = to.iter_mut().zip(condition);
        match (a.len() == n, b.len() == n) {
            (true, true) => {
                for (((to, &c), &a), &b) in to.zip(a).zip(b) {
                    to.write(if c != 0 { a } else { b });
                }
            }
            (true, false) => {
                let b = b[0];
                for ((to, &c), &a) in to.zip(a) {
                    to.write(if c != 0 { a } else { b });
                }
            }
            (false, true) => {
                let a = a[0];
                for ((to, &c), &b) in to.zip(b) {
                    to.write(if c != 0 { a } else { b });
                }
            }
            _ => {
                let (a, b) = (a[0], b[0]);
                for (to, &c) in to {
                    to.write(if c != 0 { a } else { b });
                }
            }
        }
    }
}

fn choice<T: Element>() -> Arc<Tile> {
    Arc::new(|from, to| {
        let (condition, a, b, to) = (u8::read(from[0]), T::read(from[1]), T::read(from[2]), T::room(to));
        let n = to.len();
        if condition.len() == n {
            return dispatch(Isa::current(), Choice { condition, a, b, to });
        }
        // One condition for all.
        let chosen = if condition[0] != 0 { a } else { b };
        match chosen.len() == n {
            true => crate::arch::copy_to(chosen, to),
            false => to.fill(MaybeUninit::new(chosen[0])),
        }
    })
}
