//! Layers with weights, of floats that are quantized as they come.

use std::sync::Arc;

use super::super::memory::{Memory, Room};
use super::super::op::{Io, Need, Planned, Task, Trouble};
use super::super::value::{Type, Value};
use super::layer::{Conv, Images, Linear};
use crate::arch::slots;
use crate::error::Result;
use crate::gemm::{Activations, CACHED, Codes, Floats, Formula, Matrix, Results, dynamic_codes, multiply};

/// How a layer quantizes floats.
#[derive(Debug, Clone, Copy)]
pub struct Dynamic {
    /// Whether each row, or image, has a scale and a zero point of its own.
    pub apart: bool,
    /// How ranges become grids.
    pub formula: Formula,
}

impl Linear {
    /// The product of rows of floats.
    pub(super) fn of_floats(&self, x: &Value) -> Result<Planned> {
        let made = Value::new(Type::F32, Linear::shape(&self.weights, x)?);
        let (depth, columns) = (self.weights.depth(), self.weights.columns());
        let rows: usize = x.shape[..x.shape.len() - 1].iter().product();
        let (weights, layer) = (Arc::clone(&self.weights), self.layer.clone());
        let Dynamic { apart, formula } = self.dynamic;
        let run = move |values: &dyn Floats, to: Room<'_>, scratch: &mut [u8]| -> Result<(), Trouble> {
            let codes = &mut scratch[..rows * depth];
            let (scales, zero_points) = dynamic_codes(values, rows, apart, formula, slots(codes))??;
            let codes = Matrix::dense(Codes::U8(codes), rows, depth).into();
            let x = Activations { codes, scales: &scales, zero_points: &zero_points };
            Ok(multiply(&x, &weights, &layer.finish(), Results::Floats(to.floats()))?)
        };
        // Where all is looked at before the first code is made, what comes before would be made twice.
        let few = depth <= CACHED && (apart || rows * depth <= CACHED);
        let work = rows.saturating_mul(depth).saturating_mul(columns) / 16 + 10 * rows * depth;
        let task = Task::rows(made, few, run).needs(vec![Need::contiguous(x)]);
        Ok(task.scratch((rows * depth).max(1)).work(work).into())
    }
}

impl Conv {
    /// The convolution of images of floats.
    pub(super) fn of_floats(&self, x: &Value) -> Result<Planned> {
        let dense = x.dense(Type::F32);
        let (images, made, work) = Conv::shapes(&self.conv, self.dims, &dense, Type::F32)?;
        // Images one by one need to lie one after the other.
        let apart = self.dynamic.apart && images.batch && images.images > 1;
        let dense = match apart && dense.strides[0] != dense.len() / images.images {
            true => Value::new(Type::F32, x.shape.clone()),
            false => dense,
        };
        let mut images = Images::new(&dense, self.dims)?;
        let groups = if apart { images.images } else { 1 };
        images.images /= groups;
        let (conv, layer, n) = (Arc::clone(&self.conv), self.layer.clone(), dense.len());
        let formula = self.dynamic.formula;
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let (codes, each) = (&mut io.scratch[..n], n / groups);
            let to = io.to.floats();
            let room = to.len() / groups;
            let all = io.from[0].floats().chunks_exact(each).zip(codes.chunks_exact_mut(each));
            for ((values, codes), to) in all.zip(to.chunks_exact_mut(room)) {
                let (scales, zero_points) = dynamic_codes(&values, 1, false, formula, slots(codes))??;
                let (scale, zero_point) = (scales[0], zero_points[0]);
                let image = images.of(Memory::U8(codes));
                conv.run(&image, (scale, zero_point), &layer.finish(), Results::Floats(to))?;
            }
            Ok(())
        };
        let task = Task::new(made, run).needs(vec![Need::like(&dense)]);
        Ok(task.scratch(n.max(1)).work(work + 10 * n).into())
    }
}
