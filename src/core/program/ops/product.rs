//! Products of matrices that are both computed.

use super::super::dims::Known;
use super::super::memory::Memory;
use super::super::op::{Hint, Io, Op, Planned, Task, Trouble};
use super::super::value::{Grid, Type, Value, broadcast, text};
use super::affine::quantize;
use super::grid_of;
use crate::arch::{Isa, slots};
use crate::error::{Error, Result};
use crate::gemm::{Activations, Codes, Finish, Matrix, PackedWeights, Results, WeightParams, multiply};

/// The product of matrices of codes; leading axes are broadcast.
#[derive(Debug)]
pub struct Matmul(pub Option<Grid>);

/// Matrices of an operand: where each starts, and how it lies.
pub(super) struct Matrices {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) strides: (usize, usize),
    /// From one matrix to the next along each leading axis.
    pub(super) leading: Vec<usize>,
}

/// How two operands meet, as NumPy's `matmul` has it.
pub(super) struct Meeting {
    pub(super) batch: Vec<usize>,
    pub(super) left: Matrices,
    pub(super) right: Matrices,
    /// Of the result.
    pub(super) shape: Vec<usize>,
}

impl Meeting {
    pub(super) fn new(a: &Value, b: &Value) -> Result<Self> {
        let wide = |x: &Value, column: bool| match x.shape.len() {
            0 => Err(Error::value("inputs", "a number", "of at least one axis")),
            1 => {
                let (mut shape, mut strides) = (x.shape.clone(), x.strides.clone());
                let at = usize::from(column);
                shape.insert(at, 1);
                strides.insert(at, 1);
                Ok(Value { ty: x.ty, shape, strides })
            }
            _ => Ok(x.clone()),
        };
        let (left, right) = (wide(a, false)?, wide(b, true)?);
        let ([.., m, k], [.., depth, n]) = (&left.shape[..], &right.shape[..]) else {
            return Err(Error::value("inputs", text(&a.shape), "of at least one axis"));
        };
        let wrong = || {
            let valid =
                format!("of shape (..., {k}, N), with leading axes that broadcast with {}", text(&a.shape));
            Error::value("inputs[1]", text(&b.shape), valid)
        };
        if k != depth {
            return Err(wrong());
        }
        let leading = |x: &Value| x.shape.len() - 2;
        let batch =
            broadcast(&left.shape[..leading(&left)], &right.shape[..leading(&right)]).map_err(|_| wrong())?;
        let matrices = |x: &Value| {
            let rank = x.shape.len();
            let whole = [&batch[..], &x.shape[rank - 2..]].concat();
            let spread = x.broadcast_to(&whole);
            let at = batch.len();
            Matrices {
                rows: whole[at],
                columns: whole[at + 1],
                strides: (spread.strides[at], spread.strides[at + 1]),
                leading: spread.strides[..at].to_vec(),
            }
        };
        let mut shape = batch.clone();
        if a.shape.len() > 1 {
            shape.push(*m);
        }
        if b.shape.len() > 1 {
            shape.push(*n);
        }
        let (left, right) = (matrices(&left), matrices(&right));
        Ok(Self { batch, left, right, shape })
    }

    /// Where the operands of a product start.
    pub(super) fn starts(&self, i: usize) -> (usize, usize) {
        let (mut rest, mut starts) = (i, (0, 0));
        for (a, &n) in self.batch.iter().enumerate().rev() {
            let at = rest % n.max(1);
            rest /= n.max(1);
            starts = (starts.0 + at * self.left.leading[a], starts.1 + at * self.right.leading[a]);
        }
        starts
    }
}

/// Of products: each image of the first operand meets its own of the second one, or the same.
pub(super) fn product_images(from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
    let [a, b] = from else { return None };
    let rank = made.shape.len();
    let fits = |x: &Value, images: bool, least: usize| match images {
        true => x.shape.len() == rank && rank >= least,
        false => x.shape.len() < rank || x.shape.first() == Some(&1),
    };
    // Rows of a matrix are images too; columns are not.
    (images[0]
        && fits(a, true, 2)
        && (if images[1] { fits(b, true, 3) } else { fits(b, false, 3) || rank == 2 }))
    .then_some(true)
}

fn matrix<'a>(codes: Codes<'a>, at: usize, of: &Matrices) -> Matrix<'a> {
    let codes = match codes {
        Codes::U8(codes) => Codes::U8(&codes[at.min(codes.len())..]),
        Codes::I8(codes) => Codes::I8(&codes[at.min(codes.len())..]),
    };
    Matrix::new(codes, of.rows, of.columns, of.strides.0, of.strides.1)
}

impl Matmul {
    /// The product of floats.
    fn of_floats(&self, a: &Value, b: &Value) -> Result<Planned> {
        let (meeting, to) = (Meeting::new(a, b)?, self.0);
        let made = Value::new(to.map_or(Type::F32, Type::Codes), meeting.shape.clone());
        let (n, depth) = (made.len(), meeting.left.columns);
        let fill = super::float::matmul(meeting);
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let Io { from, to: room, scratch } = io;
            let Some(grid) = to else { return Ok(fill(from, room.floats())?) };
            let sums = bytemuck::cast_slice_mut::<u8, f32>(scratch);
            fill(from, slots(sums))?;
            Ok(quantize(sums, grid, room)?)
        };
        let scratch = if to.is_some() { 4 * n } else { 0 };
        Ok(Task::new(made, run).scratch(scratch).work(n.saturating_mul(depth) / 4 + 8 * n).into())
    }
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (a, b) = (from[0], from[1]);
        if (a.ty, b.ty) == (Type::F32, Type::F32) {
            return self.of_floats(a, b);
        }
        let ((x_scale, x_zero), (w_scale, w_zero)) = (grid_of(a)?.params(), grid_of(b)?.params());
        let meeting = Meeting::new(a, b)?;
        let to = self.0;
        let made = Value::new(to.map_or(Type::F32, Type::Codes), meeting.shape.clone());
        let (rows, columns, depth) = (meeting.left.rows, meeting.right.columns, meeting.left.columns);
        let n = made.len();
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let Io { from, to: room, scratch } = io;
            let fill = |to: &mut [std::mem::MaybeUninit<f32>]| -> Result<(), Trouble> {
                for (i, to) in to.chunks_mut((rows * columns).max(1)).enumerate() {
                    let (left, right) = meeting.starts(i);
                    let weights = matrix(codes(from[1]), right, &meeting.right).transposed();
                    let params = WeightParams { scales: &[w_scale], zero_points: &[w_zero] };
                    let packed = PackedWeights::new(Isa::current(), weights, params)?;
                    let x = Activations {
                        codes: matrix(codes(from[0]), left, &meeting.left).into(),
                        scales: &[x_scale],
                        zero_points: &[x_zero],
                    };
                    let nothing = Finish::default();
                    multiply(&x, &packed, &nothing, Results::Floats(to))?;
                }
                Ok(())
            };
            match to {
                None => fill(room.floats()),
                Some(grid) => {
                    let sums = bytemuck::cast_slice_mut::<u8, f32>(scratch);
                    fill(slots(sums))?;
                    Ok(quantize(sums, grid, room)?)
                }
            }
        };
        let scratch = if to.is_some() { 4 * n } else { 0 };
        Ok(Task::new(made, run).scratch(scratch).work(n.saturating_mul(depth) / 16 + 8 * n).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        product_images(from, made, images)
    }
}

fn codes(memory: Memory<'_>) -> Codes<'_> {
    memory.codes()
}
