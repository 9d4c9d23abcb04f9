//! Functions of one number.

use std::mem::MaybeUninit;

use super::super::super::dims::Known;
use super::super::super::memory::{Memory, Room};
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value};
use super::super::{check_floats, each_element};
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::{Error, Result, Stopped};
use crate::float::{self, Place};
use crate::threads;

/// A function of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// One of the float kernels.
    Kernel(float::Function),
    /// The larger one of x and 0.
    Relu,
    /// -x
    Negative,
    /// |x|
    Absolute,
    /// The square root.
    Sqrt,
    /// x times x.
    Square,
}

impl Function {
    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" => Self::Kernel(float::Function::Gelu),
            "gelu_tanh" => Self::Kernel(float::Function::GeluTanh),
            "silu" => Self::Kernel(float::Function::Silu),
            "sigmoid" => Self::Kernel(float::Function::Sigmoid),
            "tanh" => Self::Kernel(float::Function::Tanh),
            "relu" => Self::Relu,
            "negative" => Self::Negative,
            "absolute" => Self::Absolute,
            "sqrt" => Self::Sqrt,
            "square" => Self::Square,
            _ => return None,
        })
    }
}

/// A function of each float.
#[derive(Debug)]
pub struct Unary(pub Function);

impl Op for Unary {
    fn name(&self) -> &'static str {
        match self.0 {
            Function::Kernel(float::Function::Gelu) => "gelu",
            Function::Kernel(float::Function::GeluTanh) => "gelu_tanh",
            Function::Kernel(float::Function::Silu) => "silu",
            Function::Kernel(float::Function::Sigmoid) => "sigmoid",
            Function::Kernel(float::Function::Tanh) => "tanh",
            Function::Relu => "relu",
            Function::Negative => "negative",
            Function::Absolute => "absolute",
            Function::Sqrt => "sqrt",
            Function::Square => "square",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        check_floats(from[0])?;
        let made = from[0].dense(Type::F32);
        let (needs, function, work) = (vec![Need::like(&made)], self.0, 16 * made.len());
        let run = move |io: Io<'_>| {
            let (x, to) = (io.from[0].floats(), io.to.floats());
            match function {
                Function::Kernel(function) => float::apply(function, Place::Apart(x, to))?,
                Function::Relu => map(x, to, |x| if x < 0.0 { 0.0 } else { x })?,
                Function::Negative => map(x, to, |x| -x)?,
                Function::Absolute => map(x, to, f32::abs)?,
                Function::Sqrt => map(x, to, f32::sqrt)?,
                Function::Square => map(x, to, |x| x * x)?,
            }
            Ok(())
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

/// A function of each element, so plain that the compiler uses vectors by itself.
fn map<A: Copy + Sync, B: Send>(
    x: &[A],
    to: &mut [MaybeUninit<B>],
    f: impl Fn(A) -> B + Sync,
) -> Result<(), Stopped> {
    struct Run<'a, A, B, F>(&'a [A], &'a mut [MaybeUninit<B>], F);
    impl<A: Copy, B, F: Fn(A) -> B> Kernel for Run<'_, A, B, F> {
        type Output = ();
        #[inline(always)]
        fn run<V: Vector>(self, _: V) {
            for (to, &x) in self.1.iter_mut().zip(self.0) {
                to.write((self.2)(x));
            }
        }
    }
    let (isa, step) = (Isa::current(), threads::CHUNK_BYTES / 8);
    threads::for_each(8 * x.len(), x.chunks(step).zip(to.chunks_mut(step)), |(x, to)| {
        dispatch(isa, Run(x, to, &f));
        true
    })
}

/// Numbers of another type, as NumPy's `astype` makes them; codes are dequantized first.
#[derive(Debug)]
pub struct Cast(pub Type);

impl Op for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, to) = (from[0], self.0);
        if x.ty == to {
            return Ok(Planned::View(x.clone(), 0));
        }
        if let Type::Codes(_) = x.ty {
            return Err(Error::type_("input", x.ty.name(), "numbers: a dequantize step makes them"));
        }
        let made = x.dense(to);
        let needs = vec![Need::like(&made)];
        Ok(Task::new(made, |io: Io<'_>| Ok(cast(io.from[0], io.to)?)).needs(needs).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

fn cast(from: Memory<'_>, to: Room<'_>) -> Result<(), Stopped> {
    macro_rules! to {
        ($x:ident, $zero:expr) => {
            match to {
                Room::F32(to) => map($x, to, |x| x as f32),
                Room::I32(to) => map($x, to, |x| x as i32),
                Room::I64(to) => map($x, to, |x| x as i64),
                Room::Bool(to) => map($x, to, |x| u8::from(x != $zero)),
                Room::U8(_) | Room::I8(_) => panic!("numbers as planned"),
            }
        };
    }
    match from {
        Memory::F32(x) => to!(x, 0.0),
        Memory::I32(x) => to!(x, 0),
        Memory::I64(x) => to!(x, 0),
        Memory::Bool(x) => to!(x, 0),
        Memory::U8(_) | Memory::I8(_) => panic!("numbers as planned"),
    }
}
