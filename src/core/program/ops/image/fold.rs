//! Images made of their windows.

use std::mem::MaybeUninit;

use super::super::super::dims::{Dim, Known};
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use super::super::sliding::{Along, Sliding};
use crate::arch::copy_to;
use crate::error::{Error, Result, Stopped};
use crate::memory::filled;
use crate::threads;

/// Windows, `N x (C * elements of a window) x windows`, put where they lie in images, `N x C x lengths`: what overlaps is
/// added, in the order of a window's elements.
///
/// Source: the ONNX operator Col2Im.
#[derive(Debug)]
pub struct Fold {
    /// The lengths of the images.
    pub image: Vec<Dim>,
    /// For each of their axes how windows lie.
    pub axes: Vec<Sliding>,
}

impl Op for Fold {
    fn name(&self) -> &'static str {
        "col2im"
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        check_floats(x)?;
        let along = |(dim, axis): (&Dim, &Sliding)| {
            let length = dim.of(known)?;
            let valid = "at least 0, and with padding as long as a window";
            let length = usize::try_from(length).map_err(|_| Error::value("image", length, valid))?;
            axis.along(length, false).ok_or_else(|| Error::value("image", length, valid))
        };
        let axes: Vec<Along> = self.image.iter().zip(&self.axes).map(along).collect::<Result<_>>()?;
        let kernel = axes.iter().try_fold(1usize, |n, axis| n.checked_mul(axis.of.kernel));
        let windows = axes.iter().try_fold(1usize, |n, axis| n.checked_mul(axis.windows));
        let wrong = || {
            let got = text(&x.shape);
            let valid = "of shape (N, C * elements of a window, windows) for such images and windows";
            Error::value("input", got, valid)
        };
        let &[images, rows, count] = &x.shape[..] else { return Err(wrong()) };
        let kernel = kernel.filter(|&kernel| rows.is_multiple_of(kernel)).ok_or_else(wrong)?;
        if windows != Some(count) {
            return Err(wrong());
        }
        let lengths: Vec<usize> = axes.iter().map(|axis| axis.length).collect();
        let made = Value::new(Type::F32, [&[images, rows / kernel], &lengths[..]].concat());
        let (needs, work) = (vec![Need::contiguous(x)], x.bytes() + made.bytes());
        let run = move |io: Io<'_>| Ok(run(io.from[0].floats(), &axes, kernel, io.to.floats())?);
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, _: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        Some(true)
    }
}

fn run(x: &[f32], axes: &[Along], kernel: usize, to: &mut [MaybeUninit<f32>]) -> Result<(), Stopped> {
    let plane: usize = axes.iter().map(|axis| axis.length).product();
    let windows: usize = axes.iter().map(|axis| axis.windows).product();
    if windows == 0 || kernel == 0 {
        to.fill(MaybeUninit::new(0.0));
        return Ok(());
    }
    let bytes = size_of_val(x) + size_of_val(to);
    let pieces = x.chunks_exact(kernel * windows).zip(to.chunks_exact_mut(plane));
    threads::for_each(bytes, pieces, |(x, to)| {
        let mut sums = filled(plane, 0.0);
        for (element, x) in x.chunks_exact(windows).enumerate() {
            add(x, axes, element, &mut sums);
        }
        copy_to(&sums, to);
        true
    })
}

/// One element of all windows.
fn add(x: &[f32], axes: &[Along], element: usize, to: &mut [f32]) {
    let Some((last, outer)) = axes.split_last() else { return };
    let inner = element % last.of.kernel;
    for (row, x) in x.chunks_exact(last.windows).enumerate() {
        let (mut window, mut rest) = (row, element / last.of.kernel);
        let (mut start, mut step) = (Some(0), last.length);
        for axis in outer.iter().rev() {
            let at = axis.at(rest % axis.of.kernel, window % axis.windows);
            start = start.zip(at).map(|(start, at)| start + at * step);
            (window, rest, step) = (window / axis.windows, rest / axis.of.kernel, step * axis.length);
        }
        let Some(start) = start else { continue };
        let Some(first) = last.first(inner) else { continue };
        let line = &mut to[start..][..last.length];
        let (x, at) = (&x[first..], inner * last.of.dilation + first * last.of.stride - last.of.before);
        if last.of.stride == 1 {
            line[at..].iter_mut().zip(x).for_each(|(to, x)| *to += x);
        } else {
            line[at..].iter_mut().step_by(last.of.stride).zip(x).for_each(|(to, x)| *to += x);
        }
    }
}
