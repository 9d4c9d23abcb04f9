//! Windows of images.

use super::super::dims::Known;
use super::super::op::{Hint, Io, Op, Planned, Task};
use super::super::value::{Grid, Type, Value, text};
use super::float::channels_last;
use super::grid_of;
use super::layer::Images;
use crate::error::{Error, Result};
use crate::float::conv::FloatImage;
use crate::float::{self, pool::FloatPool};
use crate::ops::pool::{self, Moves, Window, adaptive_windows};

/// Which windows are pooled.
#[derive(Debug, Clone)]
pub enum Windows {
    /// Of one size, for each spatial axis.
    Moving(Vec<Moves>),
    /// So many that cover each axis evenly; none for as many as there are elements.
    Adaptive(Vec<Option<usize>>),
}

/// Pooling.
#[derive(Debug)]
pub struct Pool {
    /// The greatest code of a window, or, with a divisor or without, its average.
    pub average: Option<Option<i64>>,
    /// The grid that averages of codes are put on, where it is not that of the codes; of their type.
    pub to: Option<Grid>,
    /// Which windows.
    pub windows: Windows,
}

impl Op for Pool {
    fn name(&self) -> &'static str {
        match (&self.windows, self.average) {
            (Windows::Moving(_), None) => "max_pool",
            (Windows::Moving(_), Some(_)) => "avg_pool",
            (Windows::Adaptive(_), None) => "adaptive_max_pool",
            (Windows::Adaptive(_), Some(_)) => "adaptive_avg_pool",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let grid = if x.ty == Type::F32 { None } else { Some(grid_of(x)?) };
        let dims = self.dims();
        let images = Images::new(x, dims)?;
        let lengths = &images.space[3 - dims..];
        if lengths.contains(&0) {
            let valid = format!("at least 1 long along its last {dims} axes");
            return Err(Error::value("input", text(&x.shape), valid));
        }
        let own: Vec<Vec<Window>> = match &self.windows {
            Windows::Moving(moves) => {
                moves.iter().zip(lengths).map(|(moves, &n)| moves.windows(n)).collect::<Result<_>>()?
            }
            Windows::Adaptive(counts) => {
                let of = |(count, &n): (&Option<usize>, &usize)| adaptive_windows(n, count.unwrap_or(n));
                counts.iter().zip(lengths).map(of).collect()
            }
        };
        let counts: Vec<usize> = own.iter().map(Vec::len).collect();
        let to = match (grid, self.to) {
            (Some(own), Some(to)) if own != to => Some(to),
            _ => None,
        };
        if let (Some(own), Some(to)) = (grid, to)
            && own.signed != to.signed
        {
            let valid = format!("{}, as the input is", x.ty.name());
            return Err(Error::value("grid", Type::Codes(to).name(), valid));
        }
        let made = images.made(to.map_or(x.ty, Type::Codes), images.channels, &counts);
        let whole = || vec![Window::ONLY];
        let mut own = own.into_iter();
        let windows: [Vec<Window>; 3] = std::array::from_fn(|a| match a < 3 - dims {
            true => whole(),
            false => own.next().unwrap_or_else(whole),
        });
        let Some(grid) = grid else { return Ok(self.of_floats(x, dims, made, windows)?.into()) };
        let kind = match (self.average, to) {
            (None, _) => pool::Pool::Max,
            (Some(by), None) => pool::Pool::Average(grid.zero_point, by),
            (Some(by), Some(to)) => {
                let ratio = f64::from(grid.step()) / f64::from(to.step());
                pool::Pool::AverageOn(grid.zero_point, by, (ratio, to.zero_point))
            }
        };
        let taps: usize = windows.iter().map(|w| w.iter().map(|w| w.count).max().unwrap_or(0)).product();
        let work = made.len().saturating_mul(taps) / 16 + made.len();
        let run = move |io: Io<'_>| Ok(pool::pool(kind, &images.of(io.from[0]), &windows, io.to.codes())?);
        Ok(Task::new(made, run).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (from[0].shape.len() == self.dims() + 2).then_some(true)
    }
}

impl Pool {
    /// The task for floats.
    fn of_floats(&self, x: &Value, dims: usize, made: Value, windows: [Vec<Window>; 3]) -> Result<Task> {
        let (need, lies) = channels_last(x, dims);
        let Images { images, channels, space, strides, .. } = Images::new(&lies, dims)?;
        let strides = [strides[0], strides[2], strides[3], strides[4]];
        let kind = self.average.map_or(FloatPool::Max, FloatPool::Average);
        let taps: usize = windows.iter().map(|w| w.iter().map(|w| w.count).max().unwrap_or(0)).product();
        let work = 4 * made.len().saturating_mul(taps + 1);
        let run = move |io: Io<'_>| {
            let image = FloatImage { x: io.from[0].floats(), images, channels, space, strides };
            Ok(float::pool::pool(kind, &image, &windows, io.to.floats())?)
        };
        Ok(Task::new(made, run).needs(vec![need]).work(work))
    }

    fn dims(&self) -> usize {
        match &self.windows {
            Windows::Moving(moves) => moves.len(),
            Windows::Adaptive(counts) => counts.len(),
        }
    }
}
