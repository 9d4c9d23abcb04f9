//! Functions of codes, element by element.

use super::super::dims::Known;
use super::super::memory::{Memory, Room};
use super::super::op::{Hint, Io, Need, Op, Planned, Task, Trouble};
use super::super::value::{Grid, Type, Value, broadcast};
use super::affine::{dequantize, quantize};
use super::{each_element, grid_of};
use crate::error::{Error, Result};
use crate::ops::{self, Operand, Target};

/// A task that looks codes up.
pub(super) fn table_task(from: &Value, table: [u8; 256], to: Grid) -> Task {
    let made = from.dense(Type::Codes(to));
    let needs = vec![Need::like(&made)];
    Task::new(made, move |io| Ok(ops::look_up(&table, io.from[0].codes(), io.to.codes())?)).needs(needs)
}

/// A function of each code, by its byte.
#[derive(Debug)]
pub struct Table {
    /// What each byte becomes.
    pub table: Box<[u8; 256]>,
    /// What that stands for; none where it stands for what the input's codes do.
    pub to: Option<Grid>,
}

impl Op for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let own = grid_of(from[0])?;
        Ok(table_task(from[0], *self.table, self.to.unwrap_or(own)).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

/// Codes below the first number become that, those above the second become that.
#[derive(Debug)]
pub struct Clamp(pub i32, pub i32);

impl Op for Clamp {
    fn name(&self) -> &'static str {
        "clamp"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let grid = grid_of(from[0])?;
        let (lo, hi) = (self.0, self.1);
        let (least, greatest) = grid.range();
        if lo <= least && hi >= greatest {
            return Ok(Planned::View(from[0].clone(), 0));
        }
        let made = from[0].dense(Type::Codes(grid));
        let needs = vec![Need::like(&made)];
        let run = move |io: Io<'_>| Ok(ops::clamp(io.from[0].codes(), (lo, hi), io.to.codes())?);
        Ok(Task::new(made, run).needs(needs).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

/// A sum, a difference or a product, of codes or of floats, as codes.
#[derive(Debug)]
pub struct Binary {
    /// Which.
    pub op: ops::Binary,
    /// What the result stands for.
    pub to: Grid,
    /// Whether negative results become 0.
    pub relu: bool,
}

/// How two operands lie, broadcast, and what has their shape.
pub(super) fn both(a: &Value, b: &Value, ty: Type) -> Result<(Value, Vec<Option<Need>>)> {
    let shape = broadcast(&a.shape, &b.shape)?;
    let like = [a, b].into_iter().find(|x| x.shape == shape);
    let made = like.map_or_else(|| Value::new(ty, shape.clone()), |like| like.dense(ty));
    let needs = vec![Need::like(&made); 2];
    Ok((made, needs))
}

/// Infinities of either sign have no sum: a tensor's values must be finite.
fn check_finite(grid: Grid) -> Result<()> {
    match (255.0 * grid.step()).is_finite() {
        true => Ok(()),
        false => {
            let valid =
                format!("with a scale of at most {:e}, so that its values are finite", f32::MAX / 255.0);
            Err(Error::value("input", format!("one with {:e}", grid.step()), valid))
        }
    }
}

impl Op for Binary {
    fn name(&self) -> &'static str {
        match self.op {
            ops::Binary::Add => "add",
            ops::Binary::Sub => "sub",
            ops::Binary::Mul => "mul",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (a, b) = (from[0], from[1]);
        if let Some(task) = self.repeated(a, b)? {
            return Ok(task.into());
        }
        let (made, needs) = both(a, b, Type::Codes(self.to))?;
        let (op, to, relu, n) = (self.op, self.to, self.relu, made.len());
        let task = match (a.ty, b.ty) {
            (Type::Codes(x), Type::Codes(y)) => {
                check_finite(x)?;
                check_finite(y)?;
                Task::new(made, move |io| {
                    let [a, b] = [(0, x), (1, y)].map(|(i, grid)| operand(io.from[i], grid));
                    Ok(ops::binary(op, a, b, relu, target(io.to, to))?)
                })
                .work(3 * n)
            }
            (Type::F32, Type::Codes(grid)) | (Type::Codes(grid), Type::F32) if op == ops::Binary::Add => {
                let floats = usize::from(b.ty == Type::F32);
                Task::new(made, move |io| {
                    let (x, codes) = (io.from[floats].floats(), operand(io.from[1 - floats], grid));
                    Ok(ops::add_floats(x, codes, relu, target(io.to, to))?)
                })
                .work(6 * n)
            }
            (Type::F32 | Type::Codes(_), Type::F32 | Type::Codes(_)) => {
                let grids = [a.ty, b.ty].map(|ty| if let Type::Codes(grid) = ty { Some(grid) } else { None });
                Task::new(made, move |io| in_floats(op, grids, relu, to, io)).scratch(8 * n).work(16 * n)
            }
            (Type::F32 | Type::Codes(_), other) | (other, _) => {
                return Err(Error::type_("input", other.name(), "float32 or quantized"));
            }
        };
        Ok(task.needs(needs).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

impl Binary {
    /// Of codes and codes that are broadcast to them: these are repeated as they are read. None where they lie in another
    /// way.
    fn repeated(&self, a: &Value, b: &Value) -> Result<Option<Task>> {
        let (Type::Codes(x), Type::Codes(y)) = (a.ty, b.ty) else { return Ok(None) };
        let shape = broadcast(&a.shape, &b.shape)?;
        let is_first = a.shape == shape;
        // A difference has an order.
        if is_first == (b.shape == shape) || shape.contains(&0) || (!is_first && self.op == ops::Binary::Sub)
        {
            return Ok(None);
        }
        let (whole, other) = if is_first { (a, b) } else { (b, a) };
        let made = whole.dense(Type::Codes(self.to));
        let mut padded = vec![1; shape.len() - other.shape.len()];
        padded.extend(&other.shape);
        let own = made.ordered(padded);
        let Some(repeat) = repeat_of(&made, &own.shape) else { return Ok(None) };
        check_finite(x)?;
        check_finite(y)?;
        let mut needs = vec![Need::like(&made), Need::like(&own)];
        let (mut order, mut grids) = ((0, 1), (x, y));
        if !is_first {
            needs.swap(0, 1);
            (order, grids) = ((1, 0), (y, x));
        }
        let (op, to, relu, n) = (self.op, self.to, self.relu, made.len());
        let task = Task::new(made, move |io: Io<'_>| {
            let a = operand(io.from[order.0], grids.0);
            let b = operand(io.from[order.1], grids.1);
            Ok(ops::binary_repeated(op, a, b, repeat, relu, target(io.to, to))?)
        });
        Ok(Some(task.needs(needs).work(3 * n)))
    }
}

/// How a value of this shape, in the order of another's memory, is repeated in it; none where it is not in one piece.
fn repeat_of(whole: &Value, shape: &[usize]) -> Option<ops::Repeat> {
    let mut axes: Vec<usize> = (0..shape.len()).filter(|&a| whole.shape[a] > 1).collect();
    axes.sort_by_key(|&a| std::cmp::Reverse(whole.strides[a]));
    // From the fastest axis on: those of a block, those along which it is repeated, and those of other blocks.
    let (mut block, mut times, mut is_repeated, mut is_done) = (1, 1, false, false);
    for &a in axes.iter().rev() {
        let same = shape[a] == whole.shape[a];
        match (same, is_repeated, is_done) {
            (true, false, _) => block *= whole.shape[a],
            (false, _, false) => (times, is_repeated) = (times * whole.shape[a], true),
            (true, true, _) => is_done = true,
            (false, _, true) => return None,
        }
    }
    Some(ops::Repeat { block, times })
}

pub(super) fn operand(codes: Memory<'_>, grid: Grid) -> Operand<'_> {
    let (scale, zero_point) = grid.params();
    Operand { codes: codes.codes(), scale, zero_point }
}

pub(super) fn target(to: Room<'_>, grid: Grid) -> Target<'_> {
    let (scale, zero_point) = grid.params();
    Target { codes: to.codes(), scale, zero_point }
}

/// The operation of floats, then quantized.
fn in_floats(
    op: ops::Binary,
    grids: [Option<Grid>; 2],
    relu: bool,
    to: Grid,
    io: Io<'_>,
) -> Result<(), Trouble> {
    let (one, other) = bytemuck::cast_slice_mut::<u8, f32>(io.scratch).split_at_mut(io.from[0].len());
    for ((own, grid), room) in io.from.iter().zip(grids).zip([&mut *one, other]) {
        match grid {
            Some(grid) => dequantize(*own, grid, Room::F32(crate::arch::slots(room)))?,
            None => room.copy_from_slice(own.floats()),
        }
    }
    for (a, &b) in one.iter_mut().zip(&*other) {
        let value = op.of(*a, b);
        *a = if relu && value <= 0.0 { 0.0 } else { value };
    }
    Ok(quantize(one, to, io.to)?)
}
