//! Images of another size: the elements nearest to positions, or means of neighbours weighted by distance.
//!
//! Axis by axis; where a position lies is worked out in float32, as torch and onnxruntime do.

use std::mem::MaybeUninit;

use super::super::super::dims::{Dim, Known};
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Value, text};
use super::super::places::listed;
use super::super::{axis_in, check_floats};
use super::sample::keys;
use super::wide;
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::{Error, Result, Stopped};
use crate::memory::collected;
use crate::threads;

/// A new length.
#[derive(Debug, Clone)]
pub enum Target {
    /// Itself.
    Length(Dim),
    /// By the old one.
    Factor(f64),
}

/// Where an element of the result lies on the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordinates {
    /// As torch has it: by the inverse of the factor, from the middle of an element, none before the first one.
    Torch,
    /// The same, from the beginning of an element.
    TorchStart,
    /// The same, from the middle, counted from the beginning.
    TorchMiddle,
    /// `(i + 0.5) / scale - 0.5`
    HalfPixel,
    /// The same; 0 where there is one element.
    PytorchHalfPixel,
    /// First and last elements stay where they are.
    AlignCorners,
    /// `i / scale`
    Asymmetric,
    /// `(i + 0.5) / scale`
    TfHalfPixelForNn,
}

impl Coordinates {
    /// The new length of an axis: torch's factors are of float64; files have float32, and the product is rounded to that.
    fn grown(self, n: usize, factor: f64) -> i64 {
        match self {
            Self::Torch | Self::TorchStart | Self::TorchMiddle => (n as f64 * factor).floor() as i64,
            _ => (n as f32 * factor as f32).floor() as i64,
        }
    }

    /// Those with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "torch" => Self::Torch,
            "torch_start" => Self::TorchStart,
            "torch_middle" => Self::TorchMiddle,
            "half_pixel" => Self::HalfPixel,
            "pytorch_half_pixel" => Self::PytorchHalfPixel,
            "align_corners" => Self::AlignCorners,
            "asymmetric" => Self::Asymmetric,
            "tf_half_pixel_for_nn" => Self::TfHalfPixelForNn,
            _ => return None,
        })
    }

    /// The place of element `i` of `m` on an axis of length `n`.
    fn at(self, i: usize, n: usize, m: usize, factor: Option<f64>) -> f32 {
        let x = i as f32;
        let step = factor.map_or_else(|| n as f32 / m as f32, |factor| (1.0 / factor) as f32);
        let scale = factor.map_or_else(|| m as f32 / n as f32, |factor| factor as f32);
        match self {
            Self::Torch => ((x + 0.5) * step - 0.5).max(0.0),
            Self::TorchStart => x * step,
            Self::TorchMiddle => (x + 0.5) * step,
            Self::HalfPixel => (x + 0.5) / scale - 0.5,
            Self::PytorchHalfPixel if m == 1 => 0.0,
            Self::PytorchHalfPixel => (x + 0.5) / scale - 0.5,
            Self::AlignCorners => x * ((n - 1) as f32 / m.saturating_sub(1).max(1) as f32),
            Self::Asymmetric => x / scale,
            Self::TfHalfPixelForNn => (x + 0.5) / scale,
        }
    }
}

/// Which element is nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as ONNX names them")]
pub enum Rounding {
    Floor,
    Ceil,
    PreferFloor,
    PreferCeil,
}

impl Rounding {
    /// The one with ONNX's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            "round_prefer_floor" => Self::PreferFloor,
            "round_prefer_ceil" => Self::PreferCeil,
            _ => return None,
        })
    }

    fn of(self, x: f32) -> f32 {
        match self {
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::PreferFloor => (x - 0.5).ceil(),
            Self::PreferCeil => (x + 0.5).floor(),
        }
    }
}

/// What an element of the result is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// The nearest element.
    Nearest(Rounding),
    /// Two neighbours.
    Linear,
    /// Four, by a cubic with this parameter; whether those beyond the ends count nothing, and not as the ends.
    Cubic(f32, bool),
}

/// Images of another size along some axes.
#[derive(Debug, Clone)]
pub struct Resize {
    /// The axes, and their new lengths: one, or for the nearest element several.
    pub axes: Vec<(isize, Target)>,
    /// Where elements lie.
    pub coordinates: Coordinates,
    /// What they are made of.
    pub sampling: Sampling,
    /// Whether what they are made of widens where an axis becomes shorter.
    pub antialias: bool,
}

impl Resize {
    /// The axis, its new length, and the factor where there is one.
    fn target(&self, k: usize, x: &Value, known: &Known<'_>) -> Result<(usize, usize, Option<f64>)> {
        let (axis, target) = &self.axes[k];
        let a = axis_in(*axis, x.shape.len())?;
        let n = x.shape[a];
        let (length, factor) = match target {
            Target::Length(dim) => (dim.of(known)?, None),
            Target::Factor(factor) => (self.coordinates.grown(n, *factor), Some(*factor)),
        };
        match usize::try_from(length).ok().filter(|&m| m < 1 << 40) {
            Some(m) if n > 0 || m == 0 => Ok((a, m, factor)),
            Some(_) => Err(Error::value(
                "input",
                text(&x.shape),
                format!("with elements along axis {a}, which grows"),
            )),
            None => Err(Error::value("size", length, "at least 0 along each axis")),
        }
    }
}

impl Op for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        if let Sampling::Nearest(rounding) = self.sampling {
            let mut places = vec![None; x.shape.len()];
            for k in 0..self.axes.len() {
                let (a, m, factor) = self.target(k, x, known)?;
                let n = x.shape[a];
                let place = |i| rounding.of(self.coordinates.at(i, n, m, factor)).max(0.0) as usize;
                places[a] = Some(collected(m, (0..m).map(|i| place(i).min(n - 1))));
            }
            return Ok(listed(x, places).into());
        }
        check_floats(x)?;
        let (a, m, factor) = self.target(0, x, known)?;
        let n = x.shape[a];
        if self.antialias {
            let grown = factor.unwrap_or(m as f64 / n as f64);
            let places = (0..m).map(|i| self.coordinates.at(i, n, m, factor));
            return Ok(wide::task(n, layout(x, a, m), wide::taps(places, n, grown, self.sampling)).into());
        }
        let weighted: Vec<Taps> = match self.sampling {
            Sampling::Cubic(of, exclude) => {
                collected(m, (0..m).map(|i| cubic(self.coordinates.at(i, n, m, factor), n, of, exclude)))
            }
            _ => collected(m, (0..m).map(|i| linear(self.coordinates.at(i, n, m, factor), n))),
        };
        let (need, made, inner) = layout(x, a, m);
        let work = 8 * made.bytes();
        let run = move |io: Io<'_>| Ok(mean(io.from[0].floats(), (n, inner), &weighted, io.to.floats())?);
        Ok(Task::new(made, run).needs(vec![need]).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        let first = |&(axis, _): &(isize, Target)| axis_in(axis, from[0].shape.len()).is_ok_and(|a| a == 0);
        (!self.axes.iter().any(first)).then_some(true)
    }
}

/// How the source must lie, what is made, and how many elements are faster than the axis `a`, which gets `m` elements.
fn layout(x: &Value, a: usize, m: usize) -> (Option<Need>, Value, usize) {
    let own = Value { strides: x.dense_strides(), ..x.clone() };
    let mut shape = x.shape.clone();
    shape[a] = m;
    let made = own.ordered(shape);
    // In memory: what is slower than the axis, the axis, and what is faster.
    let inner: usize = (0..x.shape.len())
        .filter(|&k| k != a && x.shape[k] != 1 && own.strides[k] < own.strides[a].max(1))
        .map(|k| x.shape[k])
        .product();
    let inner = if x.shape[a] == 1 { made_inner(&made, a) } else { inner };
    (Need::like(&own), made, inner)
}

/// Elements that are faster than an axis of the result.
fn made_inner(made: &Value, a: usize) -> usize {
    (0..made.shape.len())
        .filter(|&k| k != a && made.shape[k] != 1 && made.strides[k] < made.strides[a])
        .map(|k| made.shape[k])
        .product()
}

/// Places and their weights.
type Taps = [(usize, f32); 4];

/// Both neighbours by their own distance, beyond the ends too: rounded as the formula is, so that integers that are made
/// of the mean are those of the formula.
fn linear(at: f32, n: usize) -> Taps {
    let low = f64::from(at.floor());
    let tap = |k: f64| {
        let distance = (k - f64::from(at)).abs() as f32;
        (k.clamp(0.0, (n - 1) as f64) as usize, (1.0 - distance).max(0.0))
    };
    [tap(low), tap(low + 1.0), (0, 0.0), (0, 0.0)]
}

/// Keys' kernel; at -0.75 torch's, at -0.5 the one that is exact for squares.
fn cubic(at: f32, n: usize, a: f32, exclude: bool) -> Taps {
    let low = at.floor();
    let part = at - low;
    let mut weights = keys(part, a);
    let first = low as i64 - 1;
    if exclude {
        for (k, weight) in weights.iter_mut().enumerate() {
            if !(0..n as i64).contains(&(first + k as i64)) {
                *weight = 0.0;
            }
        }
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
    }
    std::array::from_fn(|k| ((first + k as i64).clamp(0, n as i64 - 1) as usize, weights[k]))
}

/// `outer x n x inner` to `outer x places x inner`.
fn mean(
    x: &[f32],
    (n, inner): (usize, usize),
    taps: &[Taps],
    to: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    let row = taps.len() * inner;
    let lines = (threads::CHUNK_BYTES / (8 * row)).max(1);
    let count = if taps.iter().all(|taps| taps[2].1 == 0.0 && taps[3].1 == 0.0) { 2 } else { 4 };
    let isa = Isa::current();
    threads::for_each(8 * size_of_val(to), to.chunks_mut(lines * row).enumerate(), |(i, to)| {
        let x = &x[i * lines * n * inner..];
        dispatch(isa, Rows { x, n, inner, taps, count, to });
        true
    })
}

struct Rows<'a> {
    x: &'a [f32],
    n: usize,
    inner: usize,
    taps: &'a [Taps],
    count: usize,
    to: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { x, n, inner, taps, count, to } = self;
        for (to, x) in to.chunks_exact_mut(taps.len() * inner).zip(x.chunks_exact(n * inner)) {
            if inner == 1 {
                for (to, taps) in to.iter_mut().zip(taps) {
                    let two = x[taps[0].0] * taps[0].1 + x[taps[1].0] * taps[1].1;
                    let more =
                        if count == 4 { x[taps[2].0] * taps[2].1 + x[taps[3].0] * taps[3].1 } else { 0.0 };
                    to.write(if count == 4 { two + more } else { two });
                }
                continue;
            }
            for (to, taps) in to.chunks_exact_mut(inner).zip(taps) {
                let [a, b, c, d] = taps.map(|(at, weight)| (&x[at * inner..][..inner], weight));
                if count == 2 {
                    for ((to, &x), &y) in to.iter_mut().zip(a.0).zip(b.0) {
                        to.write(x * a.1 + y * b.1);
                    }
                } else {
                    for (i, to) in to.iter_mut().enumerate() {
                        let two = a.0[i] * a.1 + b.0[i] * b.1;
                        to.write(two + (c.0[i] * c.1 + d.0[i] * d.1));
                    }
                }
            }
        }
    }
}
