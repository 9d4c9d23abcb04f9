//! From real numbers to codes, and back.

use super::super::dims::Known;
use super::super::memory::{Memory, Room};
use super::super::op::{Hint, Need, Op, Planned, Task};
use super::super::value::{Grid, Type, Value};
use super::elementwise::table_task;
use super::{check_floats, each_element, grid_of};
use crate::affine::{self, Affine, Pages};
use crate::error::{Result, Stopped};
use crate::qparams::{dequantize_one, quantize_one};

/// The parameters of a grid, as kernels take them.
pub(super) fn affine_of(grid: Grid) -> Affine<'static> {
    Affine::PerTensor { scale: grid.step(), zero_point: grid.zero_point }
}

/// Floats to codes.
pub(super) fn quantize(x: &[f32], grid: Grid, to: Room<'_>) -> Result<(), Stopped> {
    match to {
        Room::U8(to) => affine::quantize(x, to, &affine_of(grid)),
        Room::I8(to) => affine::quantize(x, to, &affine_of(grid)),
        _ => panic!("codes as planned"),
    }
}

/// Codes to floats.
pub(super) fn dequantize(x: Memory<'_>, grid: Grid, to: Room<'_>) -> Result<(), Stopped> {
    match x {
        Memory::U8(x) => affine::dequantize(x, to.floats(), &affine_of(grid), Pages::There),
        Memory::I8(x) => affine::dequantize(x, to.floats(), &affine_of(grid), Pages::There),
        _ => panic!("codes as planned"),
    }
}

/// The same by division.
fn divide(x: &[f32], grid: Grid, to: Room<'_>) -> Result<(), Stopped> {
    match to {
        Room::U8(to) => affine::quantize_by_division(x, to, grid.step(), grid.zero_point as u8),
        Room::I8(to) => affine::quantize_by_division(x, to, grid.step(), grid.zero_point as i8),
        _ => panic!("codes as planned"),
    }
}

/// Real numbers as codes; codes stay as they are.
#[derive(Debug)]
pub struct Quantize {
    /// What they become codes of.
    pub grid: Grid,
    /// Whether the scale divides them, as ONNX has it: else its inverse multiplies them.
    pub divides: bool,
}

impl Op for Quantize {
    fn name(&self) -> &'static str {
        "quantize"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        if matches!(x.ty, Type::Codes(_)) {
            return Ok(Planned::View(x.clone(), 0));
        }
        check_floats(x)?;
        let (grid, made) = (self.grid, x.dense(Type::Codes(self.grid)));
        let needs = vec![Need::like(&made)];
        let work = 5 * made.len() / 4;
        let by = if self.divides { divide } else { quantize };
        Ok(Task::new(made, move |io| Ok(by(io.from[0].floats(), grid, io.to)?))
            .needs(needs)
            .work(work)
            .into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

/// Codes as real numbers; these stay as they are.
#[derive(Debug)]
pub struct Dequantize;

impl Op for Dequantize {
    fn name(&self) -> &'static str {
        "dequantize"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let Type::Codes(grid) = x.ty else { return Ok(Planned::View(x.clone(), 0)) };
        let made = x.dense(Type::F32);
        let needs = vec![Need::like(&made)];
        let work = 5 * made.len() / 4;
        Ok(Task::new(made, move |io| Ok(dequantize(io.from[0], grid, io.to)?)).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

/// Codes as integers, which stand for nothing but themselves.
#[derive(Debug)]
pub struct IntRepr;

impl Op for IntRepr {
    fn name(&self) -> &'static str {
        "int_repr"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let ty = if grid_of(from[0])?.signed { Type::I8 } else { Type::U8 };
        Ok(Planned::View(Value { ty, ..from[0].clone() }, 0))
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

/// Codes on another grid.
#[derive(Debug)]
pub struct Requantize(pub Grid);

impl Op for Requantize {
    fn name(&self) -> &'static str {
        "requantize"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (own, to) = (grid_of(from[0])?, self.0);
        if own == to {
            return Ok(Planned::View(from[0].clone(), 0));
        }
        let (inv, (least, greatest)) = (1.0 / to.step(), to.range());
        let table = std::array::from_fn(|byte| {
            let code = if own.signed { i32::from(byte as u8 as i8) } else { byte as i32 };
            // What leaves float32 is its end, since infinity times 0 is no number.
            let x = dequantize_one(code, own.step(), own.zero_point).clamp(f32::MIN, f32::MAX);
            quantize_one(x, inv, to.zero_point, least, greatest) as u8
        });
        Ok(table_task(from[0], table, to).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}
