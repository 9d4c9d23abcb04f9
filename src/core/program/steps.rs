//! The steps of a program, its plans, and how a call goes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::groups::Groups;
use super::memory::{Memory, Room};
use super::op::{Op, Trouble};
use super::plan::Plan;
use super::value::Value;
use crate::arch::Lines;
use crate::error::{Error, Result, Stopped};
use crate::threads::{self, Poll};

/// A step and its place.
#[derive(Debug)]
pub struct Step {
    pub(super) op: Box<dyn Op>,
    pub(super) from: Vec<usize>,
    pub(super) made: usize,
    /// What its errors begin with, and reports name it by; may be empty.
    pub(super) name: String,
}

/// Why a call did not end, and in which step.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// The step's number.
    pub step: usize,
    /// Why.
    pub why: Trouble,
}

/// Typed steps over numbered values: inputs come first, each step makes the next one.
pub struct Program {
    inputs: usize,
    steps: Vec<Step>,
    outputs: Vec<usize>,
    /// The last ones that were used, the last one first.
    plans: Mutex<Vec<(Key, Arc<Prepared>)>>,
    /// Memory that calls leave behind for the next ones.
    memory: Mutex<Vec<Lines>>,
}

/// Plans that are kept.
const KEPT: usize = 8;

/// What a plan is made for.
#[derive(Debug, PartialEq)]
struct Key {
    inputs: Vec<Value>,
    origins: Vec<Vec<usize>>,
    threads: usize,
}

/// A program's way for inputs of one kind.
pub struct Prepared {
    pub(super) whole: Plan,
    /// Where images stay apart and do not all pass the steps together.
    pub(super) groups: Option<Groups>,
}

/// A row of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The step's name.
    pub name: String,
    /// What it does.
    pub op: &'static str,
    /// What it makes.
    pub value: Value,
}

impl Program {
    /// Without steps yet.
    pub fn new(inputs: usize) -> Self {
        Self {
            inputs,
            steps: Vec::new(),
            outputs: Vec::new(),
            plans: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    /// Adds a step; returns the number of its value.
    ///
    /// # Panics
    /// Sources that there are not.
    pub fn push(&mut self, name: impl Into<String>, op: impl Op + 'static, from: Vec<usize>) -> usize {
        self.push_boxed(name, Box::new(op), from)
    }

    /// The same.
    ///
    /// # Panics
    /// Sources that there are not.
    pub fn push_boxed(&mut self, name: impl Into<String>, op: Box<dyn Op>, from: Vec<usize>) -> usize {
        let made = self.inputs + self.steps.len();
        assert!(from.iter().all(|&v| v < made), "values that there are");
        self.steps.push(Step { op, from, made, name: name.into() });
        made
    }

    /// Adds an output.
    ///
    /// # Panics
    /// A value that there is not.
    pub fn give(&mut self, value: usize) {
        assert!(value < self.inputs + self.steps.len(), "a value that there is");
        self.outputs.push(value);
    }

    /// Its steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The way for such inputs; `origins` are the shapes that lengths ask for. It is kept for the next calls.
    ///
    /// # Errors
    /// What a step does not take.
    pub fn prepare(&self, inputs: Vec<Value>, origins: Vec<Vec<usize>>) -> Result<Arc<Prepared>, Failed> {
        assert_eq!(inputs.len(), self.inputs, "as many inputs as it has");
        let key = Key { inputs, origins, threads: threads::num_threads() };
        if let Some(found) = self.found(&key) {
            return Ok(found);
        }
        let made = Arc::new(self.prepared(&key)?);
        let mut plans = lock(&self.plans);
        plans.truncate(KEPT - 1);
        plans.insert(0, (key, Arc::clone(&made)));
        Ok(made)
    }

    fn found(&self, key: &Key) -> Option<Arc<Prepared>> {
        let mut plans = lock(&self.plans);
        let at = plans.iter().position(|(own, _)| own == key)?;
        plans[..=at].rotate_right(1);
        Some(Arc::clone(&plans[0].1))
    }

    fn prepared(&self, key: &Key) -> Result<Prepared, Failed> {
        let empty = key.inputs.iter().any(Value::is_empty);
        let ones = if empty { self.with_ones(key) } else { None };
        let whole = self.plan(&key.inputs, &key.origins, ones.as_deref())?;
        let groups = Groups::new(self, key.inputs.as_slice(), &key.origins, &whole, key.threads);
        Ok(Prepared { whole, groups })
    }

    /// The shapes of all values where axes without elements have one.
    fn with_ones(&self, key: &Key) -> Option<Vec<Option<Vec<usize>>>> {
        let one = |shape: &Vec<usize>| shape.iter().map(|&n| n.max(1)).collect::<Vec<_>>();
        let inputs: Vec<Value> =
            key.inputs.iter().map(|value| Value::new(value.ty, one(&value.shape))).collect();
        let origins: Vec<Vec<usize>> = key.origins.iter().map(one).collect();
        self.plan(&inputs, &origins, None).ok().map(|plan| plan.shapes())
    }

    pub(super) fn plan(
        &self,
        inputs: &[Value],
        origins: &[Vec<usize>],
        ones: Option<&[Option<Vec<usize>>]>,
    ) -> Result<Plan, Failed> {
        Plan::new(&self.steps, inputs, origins, &self.outputs, ones)
    }

    pub(super) fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    /// Runs it on inputs that `prepared` was made for, into as much room as its outputs take.
    ///
    /// # Errors
    /// What a step meets; an interrupt.
    ///
    /// # Panics
    /// Inputs and room of other kinds or lengths.
    pub fn run(
        &self,
        prepared: &Prepared,
        inputs: &[Memory<'_>],
        outputs: Vec<Room<'_>>,
    ) -> Result<(), Failed> {
        threads::together(prepared.work(), || match &prepared.groups {
            Some(groups) => groups.run(self, inputs, outputs),
            None => {
                let mut outputs: Vec<_> = outputs.into_iter().map(Some).collect();
                self.with_memory(prepared.whole.arena, |memory| {
                    prepared.whole.run(inputs, &mut outputs, memory, Some(Poll::new()))
                })
            }
        })
    }

    /// Does something with so many bytes, which are kept for the next call.
    pub(super) fn with_memory<T>(
        &self,
        bytes: usize,
        f: impl FnOnce(&mut [u8]) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let kept = lock(&self.memory).pop();
        let mut memory = match kept {
            Some(memory) if memory.bytes().len() >= bytes => memory,
            _ => Lines::try_zeros(bytes).ok_or_else(|| {
                let valid = "small enough for the memory that there is";
                Failed {
                    step: 0,
                    why: Error::value("the inputs", format!("{bytes} bytes of values"), valid).into(),
                }
            })?,
        };
        let done = f(&mut memory.unsigned_mut()[..bytes]);
        let mut kept = lock(&self.memory);
        if kept.len() < threads::num_threads() {
            kept.push(memory);
        }
        done
    }

    /// What an error in one of the steps is, with the step's name.
    pub fn error(&self, failed: Failed) -> Error {
        let name = self.steps.get(failed.step).map_or("", |step| &step.name);
        let error = match failed.why {
            Trouble::Error(error) => error,
            Trouble::Stopped(Stopped::Interrupted) => return Error::Interrupted,
            Trouble::Stopped(stopped) => stopped.named("input", &[usize::MAX]),
        };
        if name.is_empty() { error } else { error.within(name) }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("inputs", &self.inputs)
            .field("steps", &self.steps)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// What comes out, as it lies.
    pub fn outputs(&self) -> &[Value] {
        &self.whole.outputs
    }

    /// Bytes that are read and written in as much time.
    pub fn work(&self) -> usize {
        self.whole.work
    }

    /// Bytes of memory between the steps, for each thread.
    pub fn memory(&self) -> usize {
        self.groups.as_ref().map_or(self.whole.arena, Groups::memory)
    }

    /// What each step makes.
    pub fn rows(&self, program: &Program) -> Vec<Row> {
        let row = |step: &Step| {
            let value = self.whole.values[step.made].clone()?;
            Some(Row { name: step.name.clone(), op: step.op.name(), value })
        };
        program.steps.iter().filter_map(row).collect()
    }

    /// The shape of a value.
    pub fn shape(&self, value: usize) -> Option<&[usize]> {
        self.whole.values.get(value)?.as_ref().map(|value| &value.shape[..])
    }
}

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
