//! Rows of a table.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::super::super::dims::Known;
use super::super::super::memory::Memory;
use super::super::super::op::{Elements, Hint, Io, Need, Op, Planned, Task, Trouble};
use super::super::super::value::{Type, Value};
use crate::arch::copy_to;
use crate::error::{Error, Result};
use crate::ops::embedding::{Bags, Cells, Mode, Table, counted_rows, embedding_bag};
use crate::qparams::{DType, QParams};
use crate::threads;

/// What a table's elements stand for.
#[derive(Debug)]
pub enum Rows {
    /// Themselves.
    Floats,
    /// Numbers, by codes.
    Codes(DType, QParams),
}

/// Rows of a table, by their numbers.
#[derive(Debug)]
pub struct Embedding {
    /// The table, `rows x width`, in C order.
    pub table: Arc<dyn Elements>,
    /// How many rows there are.
    pub rows: usize,
    /// How long one is.
    pub width: usize,
    /// What its elements stand for.
    pub of: Arc<Rows>,
    /// Whether rows may be counted from the end: -1 is the last one.
    pub from_end: bool,
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let ids = from[0];
        if !matches!(ids.ty, Type::I32 | Type::I64) {
            return Err(Error::type_("input", ids.ty.name(), "int64 or int32"));
        }
        let made = Value::new(Type::F32, [&ids.shape[..], &[self.width]].concat());
        let (table, of, rows, width) = (Arc::clone(&self.table), Arc::clone(&self.of), self.rows, self.width);
        let (needs, work) = (vec![Need::contiguous(ids)], 2 * made.bytes());
        let from_end = self.from_end;
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let wide: Vec<i64>;
            let ids = match io.from[0] {
                Memory::I64(ids) => ids,
                Memory::I32(ids) => {
                    wide = ids.iter().map(|&id| i64::from(id)).collect();
                    &wide[..]
                }
                _ => panic!("integers as planned"),
            };
            let ids = &*counted_rows(ids, rows, from_end)
                .map_err(|(at, valid)| Error::index("input", format!("{} at {at}", ids[at]), valid))?;
            let to = io.to.floats();
            match (&*of, table.memory()) {
                (Rows::Floats, memory) => Ok(take(memory.floats(), width, ids, to)?),
                (Rows::Codes(dtype, params), memory) => {
                    let cells = match (dtype, memory) {
                        (DType::QUInt4x2, Memory::U8(codes)) => Cells::Fours(codes),
                        (DType::QUInt2x4, Memory::U8(codes)) => Cells::Twos(codes),
                        (_, Memory::U8(codes)) => Cells::U8(codes),
                        (_, Memory::I8(codes)) => Cells::I8(codes),
                        (_, Memory::I32(codes)) => Cells::I32(codes),
                        _ => panic!("codes as planned"),
                    };
                    let starts: Vec<i64> = (0..=ids.len() as i64).collect();
                    let bags = Bags { rows: ids, starts: &starts, weights: None };
                    Ok(embedding_bag(&Table { cells, width, params }, &bags, Mode::Sum, to)?)
                }
            }
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (!from[0].shape.is_empty()).then_some(true)
    }
}

fn take(
    table: &[f32],
    width: usize,
    ids: &[i64],
    to: &mut [MaybeUninit<f32>],
) -> Result<(), crate::error::Stopped> {
    let rows = (threads::CHUNK_BYTES / (8 * width)).max(1);
    let pieces = ids.chunks(rows).zip(to.chunks_mut(rows * width));
    threads::for_each(8 * width * ids.len(), pieces, |(ids, to)| {
        for (&id, to) in ids.iter().zip(to.chunks_exact_mut(width)) {
            copy_to(&table[id as usize * width..][..width], to);
        }
        true
    })
}
