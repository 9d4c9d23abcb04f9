//! Some images after the others, through all steps.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::{Grid, Plan, Reduce, Shape, Step, To};
use crate::affine::{self, Affine};
use crate::arch::{Byte, Isa, copy_to, slots};
use crate::conv::{Image, channels_last};
use crate::error::Stopped;
use crate::gemm::{Activations, Codes, Matrix, Results, multiply};
use crate::ops::pool::{Pool, pool};
use crate::ops::{TargetCodes, clamp, look_up};
use crate::threads;

/// What goes in.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Real numbers, `images x channels x lengths`, quantized first, to codes from the first number to the second.
    Floats(&'a [f32], Grid, (i32, i32)),
    /// Codes in any order.
    Codes(Image<'a>, Grid),
}

/// Where results go: `images x lengths x channels`.
#[derive(Debug)]
pub enum Out<'a> {
    /// Real numbers.
    Floats(&'a mut [MaybeUninit<f32>]),
    /// Unsigned codes.
    U8(&'a mut [MaybeUninit<u8>]),
    /// Signed codes.
    I8(&'a mut [MaybeUninit<i8>]),
}

/// Runs the chain on images of the plan's shape.
///
/// # Errors
/// NaN in floats, their positions counted within some of the images; an interrupt.
///
/// # Panics
/// Steps that the plan was not made for; lengths that disagree; results of another type than the last step's.
pub fn run(
    steps: &[Step<'_>],
    plan: &Plan,
    images: usize,
    input: Input<'_>,
    out: Out<'_>,
) -> Result<(), Stopped> {
    assert_eq!(plan.windows.len(), steps.len(), "the steps that were planned");
    let all = All { steps, plan, images, input };
    match out {
        Out::Floats(to) => all.shared(to, |to| Out::Floats(to)),
        Out::U8(to) => all.shared(to, |to| Out::U8(to)),
        Out::I8(to) => all.shared(to, |to| Out::I8(to)),
    }
}

struct All<'a> {
    steps: &'a [Step<'a>],
    plan: &'a Plan,
    images: usize,
    input: Input<'a>,
}

impl All<'_> {
    fn shared<T: Send>(
        &self,
        to: &mut [MaybeUninit<T>],
        out: impl for<'r> Fn(&'r mut [MaybeUninit<T>]) -> Out<'r> + Sync,
    ) -> Result<(), Stopped> {
        let each = self.plan.output().len().expect("checked by the plan");
        assert_eq!(to.len(), each * self.images, "room for the results");
        if to.is_empty() {
            return Ok(());
        }
        let threads = threads::num_threads();
        let at_once = self.plan.at_once.min(self.images.div_ceil(threads)).max(1);
        // With fewer images than threads each step is shared by itself.
        let bytes = if self.images < threads { 0 } else { self.plan.work(self.images) };
        let stopped = Mutex::new(None);
        threads::for_each(bytes, to.chunks_mut(at_once * each).enumerate(), |(i, to)| {
            let first = i * at_once;
            let images = first..(first + at_once).min(self.images);
            let done = self.some(images, out(to));
            if let Err(reason) = done {
                *stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
            }
            done.is_ok()
        })?;
        stopped.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Some of the images.
    fn some(&self, images: Range<usize>, out: Out<'_>) -> Result<(), Stopped> {
        let shapes = &self.plan.shapes;
        let mut held = Buffer::U8(Vec::new());
        let mut order = Order::ChannelsLast;
        let mut out = Some(out);
        // The caller's codes, until a step has made others of them.
        let (mut given, mut grid) = match self.input {
            Input::Codes(image, grid) => (Some(part(image, images.clone())), grid),
            Input::Floats(values, grid, range) => {
                let n = shapes[0].len().expect("checked by the plan");
                let values = &values[images.start * n..images.end * n];
                let affine = Affine::PerTensor { scale: grid.scale, zero_point: grid.zero_point };
                held = Buffer::new(grid.signed, values.len());
                match &mut held {
                    Buffer::U8(to) => quantize(values, to, &affine, range)?,
                    Buffer::I8(to) => quantize(values, to, &affine, range)?,
                }
                order = Order::ChannelsFirst;
                (None, grid)
            }
        };
        for (i, step) in self.steps.iter().enumerate() {
            let image = given.unwrap_or_else(|| order.image(held.codes(), images.len(), shapes[i]));
            let last = i + 1 == self.steps.len();
            if let (Step::Flatten, false) = (step, last)
                && image.lies(Image::first(image.space, image.channels))
            {
                // The same codes, looked at as rows.
                let Shape { channels, space } = shapes[i + 1];
                let strides = [image.strides[0], 1, 0, 0, 0];
                given = given.map(|image| Image { channels, space, strides, ..image });
                continue;
            }
            let next = match step {
                Step::Linear { to: To::Codes(next), .. } | Step::Conv { to: To::Codes(next), .. } => *next,
                Step::Table(_, next) => *next,
                _ => grid,
            };
            let n = images.len() * shapes[i + 1].len().expect("checked by the plan");
            let mut made = if last { None } else { Some(Buffer::new(next.signed, n)) };
            let to = match &mut made {
                Some(Buffer::U8(to)) => Out::U8(slots(to)),
                Some(Buffer::I8(to)) => Out::I8(slots(to)),
                None => out.take().expect("taken by the last step"),
            };
            self.step(i, &image, grid, to)?;
            grid = next;
            if let Some(made) = made {
                (held, given) = (made, None);
                order = Order::ChannelsLast;
            }
        }
        Ok(())
    }

    fn step(&self, i: usize, image: &Image<'_>, grid: Grid, out: Out<'_>) -> Result<(), Stopped> {
        let isa = Isa::current();
        match &self.steps[i] {
            Step::Linear { weights, finish, to } => {
                let (scales, zero_points) = ([grid.scale], [grid.zero_point]);
                let [down, right, ..] = image.strides;
                let rows = Matrix::new(image.codes, image.images, image.channels, down, right);
                let x = Activations { codes: rows.into(), scales: &scales, zero_points: &zero_points };
                multiply(&x, weights, finish, results(*to, out))
            }
            Step::Conv { conv, finish, to } => {
                conv.run(image, (grid.scale, grid.zero_point), finish, results(*to, out))
            }
            Step::Pool(reduce, _) => {
                let windows = self.plan.windows[i].as_ref().expect("planned");
                let kind = match reduce {
                    Reduce::Max => Pool::Max,
                    Reduce::Average(divisor) => Pool::Average(grid.zero_point, *divisor),
                };
                pool(kind, image, windows, codes(out))
            }
            Step::Flatten => match (image.codes, out) {
                (Codes::U8(from), Out::U8(to)) => flatten(from, image, to),
                (Codes::I8(from), Out::I8(to)) => flatten(from, image, to),
                _ => panic!("results of the codes' type"),
            },
            Step::Clamp(lo, hi) => match (image.codes, out) {
                (Codes::U8(from), Out::U8(to)) => {
                    clamp(Codes::U8(&channels_last(isa, from, image)?), (*lo, *hi), TargetCodes::U8(to))
                }
                (Codes::I8(from), Out::I8(to)) => {
                    clamp(Codes::I8(&channels_last(isa, from, image)?), (*lo, *hi), TargetCodes::I8(to))
                }
                _ => panic!("results of the codes' type"),
            },
            Step::Table(table, _) => match image.codes {
                Codes::U8(from) => look_up(table, Codes::U8(&channels_last(isa, from, image)?), codes(out)),
                Codes::I8(from) => look_up(table, Codes::I8(&channels_last(isa, from, image)?), codes(out)),
            },
        }
    }
}

fn quantize<C: affine::Code + Byte>(
    values: &[f32],
    to: &mut [C],
    affine: &Affine<'_>,
    (lo, hi): (i32, i32),
) -> Result<(), Stopped> {
    affine::quantize(values, slots(to), affine)?;
    if C::saturated(i32::MIN).widened() < lo || C::saturated(i32::MAX).widened() > hi {
        to.iter_mut().for_each(|code| *code = C::saturated(code.widened().clamp(lo, hi)));
    }
    Ok(())
}

/// Codes between two steps.
enum Buffer {
    U8(Vec<u8>),
    I8(Vec<i8>),
}

impl Buffer {
    fn new(signed: bool, n: usize) -> Self {
        if signed { Self::I8(vec![0; n]) } else { Self::U8(vec![0; n]) }
    }

    fn codes(&self) -> Codes<'_> {
        match self {
            Self::U8(codes) => Codes::U8(codes),
            Self::I8(codes) => Codes::I8(codes),
        }
    }
}

/// In which order codes of our own lie.
#[derive(Clone, Copy)]
enum Order {
    ChannelsFirst,
    ChannelsLast,
}

impl Order {
    fn image(self, codes: Codes<'_>, images: usize, Shape { channels, space }: Shape) -> Image<'_> {
        let strides = match self {
            Self::ChannelsFirst => Image::first(space, channels),
            Self::ChannelsLast => Image::last(space, channels),
        };
        Image { codes, images, channels, space, strides }
    }
}

/// Some of the images.
fn part(image: Image<'_>, range: Range<usize>) -> Image<'_> {
    let start = range.start * image.strides[0];
    let codes = match image.codes {
        Codes::U8(codes) => Codes::U8(&codes[start..]),
        Codes::I8(codes) => Codes::I8(&codes[start..]),
    };
    Image { codes, images: range.len(), ..image }
}

/// The elements of each image, channels first.
fn flatten<C: Byte>(codes: &[C], image: &Image<'_>, to: &mut [MaybeUninit<C>]) -> Result<(), Stopped> {
    let isa = Isa::current();
    let rows = channels_last(isa, codes, image)?;
    let places: usize = image.space.iter().product();
    // What lies channels last is, with the two exchanged, laid out again.
    let turned = Image {
        codes: image.codes,
        images: image.images,
        channels: places,
        space: [1, 1, image.channels],
        strides: [places * image.channels, image.channels, 0, 0, 1],
    };
    copy_to(&channels_last(isa, &rows, &turned)?, to);
    Ok(())
}

fn results(to: To, out: Out<'_>) -> Results<'_> {
    match (to, out) {
        (To::Floats, Out::Floats(to)) => Results::Floats(to),
        (To::Codes(Grid { signed: false, scale, zero_point }), Out::U8(to)) => {
            Results::U8(to, scale, zero_point)
        }
        (To::Codes(Grid { signed: true, scale, zero_point }), Out::I8(to)) => {
            Results::I8(to, scale, zero_point)
        }
        _ => panic!("results of the step's type"),
    }
}

fn codes(out: Out<'_>) -> TargetCodes<'_> {
    match out {
        Out::U8(to) => TargetCodes::U8(to),
        Out::I8(to) => TargetCodes::I8(to),
        Out::Floats(_) => panic!("results of the step's type"),
    }
}
