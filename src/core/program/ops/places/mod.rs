//! Elements taken from other places: by lists that shapes decide, or by numbers that are values themselves.

mod band;
mod gather;
mod lists;
mod order;
mod put;
mod scatter;

pub use band::{Band, Diagonal, Ramp};
pub use gather::{GatherNd, Take, TakeAlong};
pub(super) use lists::listed;
pub use lists::{Lists, PadMode, Repeated};
pub use order::{Order, Sorted};
pub use put::Put;
pub use scatter::{Combine, ScatterAlong, ScatterNd};

use super::super::memory::Memory;
use super::super::value::{Type, Value, text};
use crate::error::{Error, Result};

/// Refuses what is no integer.
fn check_numbers(ids: &Value, name: &str) -> Result<()> {
    match ids.ty {
        Type::I64 | Type::I32 => Ok(()),
        other => Err(Error::type_(name, other.name(), "int64 or int32")),
    }
}

/// Numbers of places on an axis of length `n`, counted from its end where negative.
fn place(id: i64, n: usize, at: usize) -> Result<usize> {
    let found = if id < 0 { id.checked_add(n as i64) } else { Some(id) };
    match found.and_then(|id| usize::try_from(id).ok()).filter(|&id| id < n) {
        Some(id) => Ok(id),
        None if n == 0 => {
            Err(Error::index("index", format!("{id} at {at}"), "for an axis that has elements"))
        }
        None => {
            let n = n as i64;
            Err(Error::index("index", format!("{id} at {at}"), format!("from {} to {}", -n, n - 1)))
        }
    }
}

/// One of some integers.
fn number(ids: Memory<'_>, i: usize) -> i64 {
    match ids {
        Memory::I64(ids) => ids[i],
        Memory::I32(ids) => i64::from(ids[i]),
        _ => panic!("integers as planned"),
    }
}

/// Refuses values of another type than the first one.
fn check_same_type(x: &Value, other: &Value, name: &str) -> Result<()> {
    match x.ty == other.ty {
        true => Ok(()),
        false => Err(Error::type_(name, other.ty.name(), format!("of the input's dtype, {}", x.ty.name()))),
    }
}

/// Refuses a shape.
fn wrong_shape(name: &str, value: &Value, valid: impl Into<String>) -> Error {
    Error::value(name, text(&value.shape), valid.into())
}
