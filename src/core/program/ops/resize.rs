//! Images of another size.

use super::super::dims::{Dim, Known};
use super::super::op::{Hint, Io, Op, Planned, Task};
use super::super::value::{Type, Value, text};
use super::grid_of;
use super::layer::Images;
use crate::error::{Error, Result};
use crate::ops::resize::{Places, resize};

/// The new lengths, for each spatial axis.
#[derive(Debug, Clone)]
pub enum Size {
    /// Themselves.
    Lengths(Vec<Dim>),
    /// By the old ones.
    Factors(Vec<f64>),
}

/// Which elements of the image a result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The one at or before a position.
    Nearest,
    /// The nearest one.
    NearestExact,
    /// The neighbours, weighted by distance; whether the first and the last elements stay where they are.
    Linear(bool),
}

/// Images of another size.
#[derive(Debug)]
pub struct Interpolate {
    /// Which size.
    pub size: Size,
    /// How.
    pub mode: Mode,
}

impl Interpolate {
    /// Where the elements of a result lie: float32 arithmetic, as the operator has it.
    fn places(&self, n: usize, target: usize, factor: Option<f64>) -> Places {
        let step = factor.map_or_else(|| n as f32 / target as f32, |factor| (1.0 / factor) as f32);
        let at = |i: usize| -> f32 {
            let i = i as f32;
            match self.mode {
                Mode::Nearest => i * step,
                Mode::NearestExact => (i + 0.5) * step,
                Mode::Linear(true) => i * ((n - 1) as f32 / target.saturating_sub(1).max(1) as f32),
                Mode::Linear(false) => ((i + 0.5) * step - 0.5).max(0.0),
            }
        };
        let low = |i: usize| (at(i) as usize).min(n - 1);
        let part = match self.mode {
            Mode::Linear(_) => (0..target).map(|i| at(i) - low(i) as f32).collect(),
            _ => vec![],
        };
        Places { low: (0..target).map(low).collect(), part }
    }
}

impl Op for Interpolate {
    fn name(&self) -> &'static str {
        "interpolate"
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let grid = grid_of(x)?;
        let given = match &self.size {
            Size::Lengths(all) => all.len(),
            Size::Factors(all) => all.len(),
        };
        let dims = x.shape.len().saturating_sub(2);
        if !(1..=3).contains(&dims) || x.shape[2..].contains(&0) || given != dims {
            let valid = format!("of shape (N, C, {given} lengths that are not 0)");
            return Err(Error::value("input", text(&x.shape), valid));
        }
        let images = Images::new(x, dims)?;
        let lengths = &x.shape[2..];
        let (targets, factors): (Vec<i64>, Vec<Option<f64>>) = match &self.size {
            Size::Lengths(all) => {
                (all.iter().map(|dim| dim.of(known)).collect::<Result<_>>()?, vec![None; dims])
            }
            Size::Factors(all) => (
                lengths.iter().zip(all).map(|(&n, f)| (n as f64 * f) as i64).collect(),
                all.iter().map(|&f| Some(f)).collect(),
            ),
        };
        if let Some(target) = targets.iter().find(|&&n| !(1..1 << 40).contains(&n)) {
            return Err(Error::value("size", target, "at least 1 along each axis"));
        }
        let targets: Vec<usize> = targets.into_iter().map(|n| n as usize).collect();
        let linear = matches!(self.mode, Mode::Linear(_));
        let whole = Places { low: vec![0], part: if linear { vec![0.0] } else { vec![] } };
        let mut places = [whole.clone(), whole.clone(), whole];
        for a in 0..dims {
            places[3 - dims + a] = self.places(lengths[a], targets[a], factors[a]);
        }
        let made = images.made(Type::Codes(grid), images.channels, &targets);
        let (zero_point, work) = (grid.zero_point, made.len().saturating_mul(8));
        let run = move |io: Io<'_>| Ok(resize(&images.of(io.from[0]), &places, zero_point, io.to.codes())?);
        Ok(Task::new(made, run).work(work).into())
    }

    fn images(&self, _: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        Some(true)
    }
}
