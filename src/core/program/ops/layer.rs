//! Layers with weights, of codes.

use std::sync::Arc;

use super::super::dims::Known;
use super::super::memory::{Memory, Room};
use super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::value::{Grid, Type, Value, text};
use super::dynamic::Dynamic;
use super::grid_of;
use crate::affine::nan_in;
use crate::conv::{Image, PackedConv};
use crate::error::{Error, Result, Stopped};
use crate::gemm::{
    Activations, Addend, Finish, Matrix, PackedWeights, Residual, Results, Space, check_scales, multiply,
};

/// What a layer has beside its weights.
#[derive(Debug, Clone)]
pub struct Layer {
    /// A real number for each output, or none.
    pub bias: Option<Vec<f32>>,
    /// An integer for each output, in steps of a product, or none.
    pub int_bias: Option<Vec<i32>>,
    /// Scales of the weights: one, or one for each channel.
    pub scales: Vec<f32>,
    /// Negative results become 0; with a second source, negative sums.
    pub relu: bool,
    /// What negative results of each output are multiplied by, after a second source is added; or none. Of codes alone, and
    /// not with ReLU.
    pub slopes: Option<Vec<f32>>,
    /// What results stand for; none for floats.
    pub to: Option<Grid>,
}

impl Layer {
    pub(super) fn finish(&self) -> Finish<'_> {
        let (bias, int_bias) = (self.bias.as_deref(), self.int_bias.as_deref());
        Finish { bias, int_bias, relu: self.relu, slopes: self.slopes.as_deref(), residual: None }
    }

    fn ty(&self) -> Type {
        self.to.map_or(Type::F32, Type::Codes)
    }

    /// The task that makes `made`, rows of so many columns, by a function that fills results from codes; a second source
    /// is added to them.
    fn task(
        &self,
        from: &[&Value],
        (made, columns): (Value, usize),
        need: Option<Need>,
        run: impl Fn(Memory<'_>, &Finish<'_>, Results<'_>) -> Result<(), Stopped> + Send + Sync + 'static,
    ) -> Result<Task> {
        let grid = grid_of(from[0])?;
        if let Some(to) = self.to {
            let scales = &self.scales;
            check_scales(grid.step(), (scales.len(), |i| scales[i]), to.step(), self.bias.as_deref())?;
        }
        let own = self.clone();
        let Some(other) = from.get(1) else {
            let run = move |io: Io<'_>| Ok(run(io.from[0], &own.finish(), results(own.to, io.to))?);
            return Ok(Task::new(made, run).needs(vec![need]));
        };
        let codes = match other.ty {
            Type::Codes(grid) => Some(grid),
            Type::F32 => None,
            wrong => return Err(Error::type_("residual", wrong.name(), "float32 or quantized")),
        };
        let fits = other.shape.len() <= made.shape.len()
            && other.shape.iter().rev().zip(made.shape.iter().rev()).all(|(&n, &m)| n == 1 || n == m);
        if !fits {
            let valid = format!("of a shape that broadcasts to {}", text(&made.shape));
            return Err(Error::value("residual", text(&other.shape), valid));
        }
        let needs = vec![need, Need::like(&made)];
        let run = move |io: Io<'_>| {
            let values = match (io.from[1], codes) {
                (Memory::U8(all), Some(grid)) => Addend::U8(all, grid.step(), grid.zero_point),
                (Memory::I8(all), Some(grid)) => Addend::I8(all, grid.step(), grid.zero_point),
                (memory, _) => Addend::Floats(memory.floats()),
            };
            if let (Addend::Floats(all), Some(_)) = (values, own.to)
                && all.iter().any(|x| x.is_nan())
            {
                return Err(nan_in(all).into());
            }
            let residual = Some(Residual::new(values, columns));
            Ok(run(io.from[0], &Finish { residual, ..own.finish() }, results(own.to, io.to))?)
        };
        Ok(Task::new(made, run).needs(needs))
    }
}

pub(super) fn results<'a>(grid: Option<Grid>, to: Room<'a>) -> Results<'a> {
    match (grid, to) {
        (None, Room::F32(to)) => Results::Floats(to),
        (Some(grid), Room::U8(to)) => Results::U8(to, grid.step(), grid.zero_point),
        (Some(grid), Room::I8(to)) => Results::I8(to, grid.step(), grid.zero_point),
        _ => panic!("results as planned"),
    }
}

/// Images stay apart where all sources have them.
pub(super) fn by_image(from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
    let rank = made.shape.len();
    (images[0]
        && super::each_element(&from[1..], made, &images[1..]).is_some()
        && from[0].shape.len() == rank)
        .then_some(true)
}

/// Sums and slopes are part of layers of codes alone.
fn no_more(layer: &Layer, from: &[&Value]) -> Result<()> {
    match (from.len(), &layer.slopes) {
        (1, None) => Ok(()),
        (1, Some(_)) => Err(Error::type_("input", "float32 with slopes", "quantized with them, or without")),
        _ => Err(Error::type_("input", "float32 with a residual", "quantized with one, or without")),
    }
}

/// A product of rows with a packed weight.
#[derive(Debug)]
pub struct Linear {
    /// The weight.
    pub weights: Arc<PackedWeights>,
    /// What else there is.
    pub layer: Layer,
    /// How floats are quantized first: they give floats.
    pub dynamic: Dynamic,
}

/// Where rows lie that all axes but the last one count: how far apart, if that is one step.
pub(super) fn row_step(value: &Value) -> Option<usize> {
    let rank = value.shape.len();
    let mut step: Option<(usize, usize)> = None;
    for a in (0..rank - 1).rev().filter(|&a| value.shape[a] != 1) {
        let next = value.strides[a];
        step = match step {
            None => Some((next, next * value.shape[a])),
            Some((first, expected)) if next == expected => Some((first, expected * value.shape[a])),
            Some(_) => return None,
        };
    }
    Some(step.map_or(0, |(first, _)| first))
}

impl Linear {
    /// The shape of the product with such rows.
    pub(super) fn shape(weights: &PackedWeights, from: &Value) -> Result<Vec<usize>> {
        match from.shape.split_last() {
            Some((&last, rows)) if last == weights.depth() => Ok([rows, &[weights.columns()]].concat()),
            _ => {
                let valid = format!("of shape (..., {}), as deep as the weight", weights.depth());
                Err(Error::value("input", text(&from.shape), valid))
            }
        }
    }
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        if x.ty == Type::F32 {
            no_more(&self.layer, from)?;
            return self.of_floats(x);
        }
        let (scale, zero_point) = grid_of(x)?.params();
        let made = Value::new(self.layer.ty(), Self::shape(&self.weights, x)?);
        let (depth, columns) = (self.weights.depth(), self.weights.columns());
        let rows: usize = x.shape[..x.shape.len() - 1].iter().product();
        // Steps that do not go on, or that lie far apart, are slower than a copy.
        let last = *x.strides.last().expect("checked by the shape");
        let (need, down, right) = match row_step(x) {
            Some(down) if depth == 1 || last == 1 => (None, down, 1),
            _ => (Need::contiguous(x), depth, 1),
        };
        let weights = Arc::clone(&self.weights);
        let task = self.layer.task(from, (made, columns), need, move |x, finish, results| {
            let rows = Matrix::new(x.codes(), rows, depth, down, right);
            let (scales, zero_points) = ([scale], [zero_point]);
            let x = Activations { codes: rows.into(), scales: &scales, zero_points: &zero_points };
            multiply(&x, &weights, finish, results)
        })?;
        Ok(task.work(rows.saturating_mul(depth).saturating_mul(columns) / 16).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        let apart = self.dynamic.apart || from[0].ty != Type::F32;
        (from[0].shape.len() > 1 && apart).then(|| by_image(from, made, images)).flatten()
    }

    fn weights(&self) -> usize {
        self.weights.bytes()
    }
}

/// A convolution, of any kind.
#[derive(Debug)]
pub struct Conv {
    /// The weights.
    pub conv: Arc<PackedConv>,
    /// Axes of images, of which kernels have three.
    pub dims: usize,
    /// What else there is.
    pub layer: Layer,
    /// How floats are quantized first: they give floats.
    pub dynamic: Dynamic,
}

/// Lengths as kernels have them: the last three axes.
pub(super) fn space(all: &[usize], absent: usize) -> Space {
    let skip = 3 - all.len();
    std::array::from_fn(|a| if a < skip { absent } else { all[a - skip] })
}

/// How images lie: as kernels take them, `images x channels x lengths` or without images.
pub(super) struct Images {
    pub(super) images: usize,
    pub(super) channels: usize,
    pub(super) space: Space,
    pub(super) strides: [usize; 5],
    /// Whether there is an axis of images.
    pub(super) batch: bool,
}

impl Images {
    /// Of so many spatial axes.
    pub(super) fn new(value: &Value, dims: usize) -> Result<Self> {
        let rank = value.shape.len();
        if rank != dims + 1 && rank != dims + 2 {
            let valid = format!("of shape (N, C, and {dims} more), or without N");
            return Err(Error::value("input", text(&value.shape), valid));
        }
        let (batch, channel) = (rank == dims + 2, rank - dims - 1);
        let [z, y, x] = space(&value.strides[channel + 1..], 0);
        Ok(Self {
            images: if batch { value.shape[0] } else { 1 },
            channels: value.shape[channel],
            space: space(&value.shape[channel + 1..], 1),
            strides: [if batch { value.strides[0] } else { 0 }, value.strides[channel], z, y, x],
            batch,
        })
    }

    pub(super) fn of<'a>(&self, codes: Memory<'a>) -> Image<'a> {
        let Self { images, channels, space, strides, .. } = *self;
        Image { codes: codes.codes(), images, channels, space, strides }
    }

    /// Images with other channels and lengths, channels last.
    pub(super) fn made(&self, ty: Type, channels: usize, lengths: &[usize]) -> Value {
        if self.batch {
            return Value::channels_last(ty, [&[self.images, channels], lengths].concat());
        }
        let mut value = Value::channels_last(ty, [&[1, channels], lengths].concat());
        value.shape.remove(0);
        value.strides.remove(0);
        value
    }
}

impl Conv {
    /// The images, and what the convolution makes of them.
    pub(super) fn shapes(
        conv: &PackedConv,
        dims: usize,
        x: &Value,
        ty: Type,
    ) -> Result<(Images, Value, usize)> {
        let images = Images::new(x, dims)?;
        let (inputs, outputs) = conv.channels();
        if images.channels != inputs {
            let valid = format!("with {inputs} channels, as many as the weight's");
            return Err(Error::value("input", text(&x.shape), valid));
        }
        let output = conv.geometry().output(images.space)?;
        let made = images.made(ty, outputs, &output[3 - dims..]);
        let work = images.images.saturating_mul(conv.work(output)) / 16;
        Ok((images, made, work))
    }
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        if from[0].ty == Type::F32 {
            no_more(&self.layer, from)?;
            if self.conv.x_zeros().is_some() {
                let valid = "of codes, whose channels have the zero points that the convolution knows";
                return Err(Error::value("input", "floats", valid));
            }
            return self.of_floats(from[0]);
        }
        let params = grid_of(from[0])?.params();
        let (images, made, work) = Self::shapes(&self.conv, self.dims, from[0], self.layer.ty())?;
        let (conv, columns) = (Arc::clone(&self.conv), self.conv.channels().1);
        let task = self.layer.task(from, (made, columns), None, move |x, finish, results| {
            conv.run(&images.of(x), params, finish, results)
        })?;
        Ok(task.work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        let apart = self.dynamic.apart || from[0].ty != Type::F32;
        (from[0].shape.len() == self.dims + 2 && apart).then(|| by_image(from, made, images)).flatten()
    }

    fn weights(&self) -> usize {
        self.conv.bytes()
    }
}
