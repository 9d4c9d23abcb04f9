//! The greatest elements of windows, and where they are.

use std::mem::MaybeUninit;

use super::super::dims::Known;
use super::super::memory::{Memory, Room};
use super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::value::{Type, Value, text};
use super::places::Sorted;
use super::sliding::{Along, Sliding};
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// The greatest element of each window of images, `N x C x lengths`, or its place in the whole array; of equal ones the
/// first, and NaN before all. A window that meets nothing but padding has the least number that there is, at -1.
///
/// Source: the ONNX operator MaxPool.
#[derive(Debug)]
pub struct PoolPlaces {
    /// One for each axis of an image, of which there are up to three.
    pub axes: Vec<Sliding>,
    /// Whether windows that end beyond the image, but begin in it or before it, count.
    pub ceil: bool,
    /// Whether places are counted with the first axis of an image as the fastest one.
    pub first_is_fastest: bool,
    /// What comes out.
    pub what: Sorted,
}

/// Numbers of which one may be greater than another.
trait Ordered: Copy + Send + Sync {
    const LEAST: Self;
    fn beats(self, other: Self) -> bool;
}

impl Ordered for f32 {
    const LEAST: Self = f32::NEG_INFINITY;

    #[inline]
    fn beats(self, other: Self) -> bool {
        self > other || (self.is_nan() && !other.is_nan())
    }
}

macro_rules! ordered {
    ($($t:ty),*) => {$(
        impl Ordered for $t {
            const LEAST: Self = <$t>::MIN;

            #[inline]
            fn beats(self, other: Self) -> bool {
                self > other
            }
        }
    )*};
}
ordered!(i64, i32, u8, i8);

impl Op for PoolPlaces {
    fn name(&self) -> &'static str {
        "max_pool_places"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        if matches!(x.ty, Type::Codes(_) | Type::Bool) {
            return Err(Error::type_("input", x.ty.name(), "of numbers"));
        }
        let dims = self.axes.len();
        if x.shape.len() != dims + 2 || x.shape[2..].contains(&0) {
            let valid = format!("of shape (N, C, {dims} lengths), none of them 0");
            return Err(Error::value("input", text(&x.shape), valid));
        }
        let mut axes = [Along::NONE; 3];
        for (a, (axis, &n)) in self.axes.iter().zip(&x.shape[2..]).enumerate() {
            let valid = "as long as a window reaches, with padding";
            axes[3 - dims + a] = axis
                .along(n, self.ceil)
                .ok_or_else(|| Error::value("input", format!("{n} long along axis {}", a + 2), valid))?;
        }
        let counts = axes[3 - dims..].iter().map(|axis| axis.windows);
        let shape = x.shape[..2].iter().copied().chain(counts).collect();
        let ty = if self.what == Sorted::Places { Type::I64 } else { x.ty };
        let made = Value::new(ty, shape);
        let taps = axes.iter().fold(1usize, |all, axis| all.saturating_mul(axis.of.kernel.min(axis.length)));
        let work = made.bytes().saturating_mul(taps.saturating_add(1));
        let (first_is_fastest, what) = (self.first_is_fastest, self.what);
        let run = move |io: Io<'_>| {
            macro_rules! pooled {
                ($x:expr, $room:path) => {
                    match (what, io.to) {
                        (Sorted::Places, Room::I64(to)) => {
                            let places = Places { axes: &axes, first_is_fastest };
                            pool($x, &axes, to, |plane, _, found| places.number(plane, found))
                        }
                        (Sorted::Elements, $room(to)) => pool($x, &axes, to, |_, best, _| best),
                        _ => panic!("numbers as planned"),
                    }
                };
            }
            let done: std::result::Result<(), Stopped> = match io.from[0] {
                Memory::F32(x) => pooled!(x, Room::F32),
                Memory::I64(x) => pooled!(x, Room::I64),
                Memory::I32(x) => pooled!(x, Room::I32),
                Memory::U8(x) => pooled!(x, Room::U8),
                Memory::I8(x) => pooled!(x, Room::I8),
                Memory::Bool(_) => panic!("numbers as planned"),
            };
            Ok(done?)
        };
        Ok(Task::new(made, run).needs(vec![Need::contiguous(x)]).work(work).into())
    }
}

/// How places are counted.
struct Places<'a> {
    axes: &'a [Along; 3],
    first_is_fastest: bool,
}

impl Places<'_> {
    /// The number in the whole array of a place in an image.
    fn number(&self, plane: usize, found: Option<usize>) -> i64 {
        let [a, b, c] = self.axes.map(|axis| axis.length);
        let Some(own) = found else { return -1 };
        let (i, j, k) = (own / c / b, own / c % b, own % c);
        let own = if self.first_is_fastest { (k * b + j) * a + i } else { own };
        (plane * a * b * c + own) as i64
    }
}

fn pool<T: Ordered, O: Send>(
    x: &[T],
    axes: &[Along; 3],
    to: &mut [MaybeUninit<O>],
    put: impl Fn(usize, T, Option<usize>) -> O + Sync,
) -> std::result::Result<(), Stopped> {
    let [_, b, c] = axes.map(|axis| axis.windows);
    let [_, rows, columns] = axes.map(|axis| axis.length);
    let [deep, down, across] = axes.map(|axis| axis.of.dilation);
    let met = axes.each_ref().map(Along::met);
    let plane: usize = axes.iter().map(|axis| axis.length).product();
    let bytes = 4 * size_of_val(x) + size_of_val(to);
    let each = axes.iter().map(|axis| axis.windows).product();
    let pieces = x.chunks_exact(plane).zip(to.chunks_exact_mut(each)).enumerate();
    threads::for_each(bytes, pieces, |(number, (x, to))| {
        for (row, to) in to.chunks_exact_mut(c).enumerate() {
            let ((i, depths), (j, heights)) = (met[0][row / b], met[1][row % b]);
            for (to, &(k, widths)) in to.iter_mut().zip(&met[2]) {
                let first = (i * rows + j) * columns + k;
                let mut best = if depths * heights * widths > 0 { x[first] } else { T::LEAST };
                let mut found = first;
                for line in (0..depths * heights)
                    .map(|at| first + ((at / heights) * deep * rows + (at % heights) * down) * columns)
                {
                    for place in (0..widths).map(|at| line + at * across) {
                        if x[place].beats(best) {
                            (best, found) = (x[place], place);
                        }
                    }
                }
                to.write(put(number, best, (depths * heights * widths > 0).then_some(found)));
            }
        }
        true
    })
}
