//! What a step is to a plan, and to a run.

use std::fmt::Debug;
use std::sync::Arc;

use super::chain::{Chain, Tile};
use super::dims::{Dim, Known};
use super::memory::{Memory, Room};
use super::value::{Value, c_strides};
use crate::error::{Error, Result, Stopped};
use crate::gemm::Floats;

/// A step of a program: one value from others.
pub trait Op: Debug + Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// How it makes its value of such ones.
    ///
    /// # Errors
    /// Values that it does not take; the argument is named "input", or by a name of its own.
    fn plan(&self, from: &[&Value], known: &Known<'_>, hint: Hint<'_>) -> Result<Planned>;

    /// With sources of which these hold images, one after the other along their first axis: whether its value does, each
    /// computed from the same image alone. `None` where images meet. At least one of the sources holds images.
    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        let _ = (from, made, images);
        None
    }

    /// Numbers that lengths decide, and that what it makes depends on beside its shape: where they are others for some of
    /// the images than for all, images do not pass by themselves.
    fn counts(&self) -> Vec<&Dim> {
        Vec::new()
    }

    /// Bytes of weights that are read, however few rows there are.
    fn weights(&self) -> usize {
        0
    }
}

/// What a plan knows beside the sources.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hint<'a> {
    /// The shape that the value has where axes without elements have one: what -1 means there.
    pub with_ones: Option<&'a [usize]>,
}

/// How a value comes to be.
pub enum Planned {
    /// It is the memory of the first source, from this element on.
    View(Value, usize),
    /// It is there already.
    Constant(Value, Arc<dyn Elements>),
    /// It is computed.
    Task(Task),
}

/// Something that is computed.
pub struct Task {
    /// What is made, without gaps.
    pub value: Value,
    /// How each source must lie, or none where any way will do.
    pub needs: Vec<Option<Need>>,
    /// Bytes of memory for the meantime.
    pub scratch: usize,
    /// Bytes that are read and written in as much time.
    pub work: usize,
    /// Does it.
    pub run: Does,
}

/// What computes a value.
pub enum Does {
    /// The whole of it at once.
    Run(Box<Run>),
    /// Each element from those at its place: others of the kind before and behind it become one with it.
    Chain(Chain),
    /// From the floats of its one source, a few at a time.
    Floats(Taking),
}

/// Computes a value from floats, that lie in memory or are made where they are wanted.
pub struct Taking {
    /// What makes the floats, of all sources.
    pub(super) before: Option<Chain>,
    /// Whether each of them is asked for but once.
    pub(super) once: bool,
    run: Box<FromFloats>,
}

type FromFloats = dyn Fn(&dyn Floats, Room<'_>, &mut [u8]) -> Result<(), Trouble> + Send + Sync;

impl Taking {
    /// Does it.
    pub(super) fn run(&self, io: Io<'_>) -> Result<(), Trouble> {
        match &self.before {
            Some(chain) => (self.run)(&chain.of(io.from), io.to, io.scratch),
            None => (self.run)(&io.from[0].floats(), io.to, io.scratch),
        }
    }
}

/// How a source must lie: broadcast to this shape, with these strides.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// A shape that the source broadcasts to.
    pub shape: Vec<usize>,
    /// From one element of each axis to the next.
    pub strides: Vec<usize>,
}

impl Need {
    /// As this value lies.
    pub fn like(value: &Value) -> Option<Self> {
        Some(Self { shape: value.shape.clone(), strides: value.strides.clone() })
    }

    /// In C order.
    pub fn contiguous(value: &Value) -> Option<Self> {
        Some(Self { shape: value.shape.clone(), strides: c_strides(&value.shape) })
    }
}

/// Computes a value.
pub type Run = dyn Fn(Io<'_>) -> Result<(), Trouble> + Send + Sync;

impl Task {
    /// One that takes its sources as they lie.
    pub fn new(value: Value, run: impl Fn(Io<'_>) -> Result<(), Trouble> + Send + Sync + 'static) -> Self {
        let work = value.bytes();
        Self { value, needs: Vec::new(), scratch: 0, work, run: Does::Run(Box::new(run)) }
    }

    /// One that makes each element from those at its place in sources that broadcast to the value.
    pub(super) fn each(value: Value, from: &[&Value], tile: Arc<Tile>) -> Self {
        let work = value.bytes();
        let chain = Chain::new(from, &value, tile);
        Self { value, needs: Vec::new(), scratch: 0, work, run: Does::Chain(chain) }
    }

    /// One that takes the floats of its one source, in C order; where it asks for each of them `once`, they may be made
    /// just then.
    pub(super) fn rows(
        value: Value,
        once: bool,
        run: impl Fn(&dyn Floats, Room<'_>, &mut [u8]) -> Result<(), Trouble> + Send + Sync + 'static,
    ) -> Self {
        let work = value.bytes();
        let run = Does::Floats(Taking { before: None, once, run: Box::new(run) });
        Self { value, needs: Vec::new(), scratch: 0, work, run }
    }

    /// With sources that lie so.
    pub fn needs(self, needs: Vec<Option<Need>>) -> Self {
        Self { needs, ..self }
    }

    /// With memory for the meantime.
    pub fn scratch(self, bytes: usize) -> Self {
        Self { scratch: bytes, ..self }
    }

    /// Of so much work.
    pub fn work(self, work: usize) -> Self {
        Self { work, ..self }
    }
}

impl From<Task> for Planned {
    fn from(task: Task) -> Self {
        Self::Task(task)
    }
}

/// What a task meets.
pub struct Io<'a> {
    /// The sources, each from its first element to its last.
    pub from: &'a [Memory<'a>],
    /// Where the value goes.
    pub to: Room<'a>,
    /// Memory for the meantime; what it holds means nothing.
    pub scratch: &'a mut [u8],
}

/// Why a task did not end.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// NaN in the first source, or an interrupt.
    Stopped(Stopped),
    /// Numbers that it does not take.
    Error(Error),
}

impl From<Stopped> for Trouble {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Elements that are part of a program: they live as long as it.
pub trait Elements: Debug + Send + Sync {
    /// All of them.
    fn memory(&self) -> Memory<'_>;
}

/// Elements of the program's own.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in `Kind`")]
pub enum Constant {
    U8(Vec<u8>),
    I8(Vec<i8>),
    F32(Vec<f32>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<u8>),
}

impl Elements for Constant {
    fn memory(&self) -> Memory<'_> {
        match self {
            Self::U8(all) => Memory::U8(all),
            Self::I8(all) => Memory::I8(all),
            Self::F32(all) => Memory::F32(all),
            Self::I32(all) => Memory::I32(all),
            Self::I64(all) => Memory::I64(all),
            Self::Bool(all) => Memory::Bool(all),
        }
    }
}
