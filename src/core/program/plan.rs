//! The way of a program for inputs of one kind: what is computed, in which order, and where everything lies.

use std::ops::Range;
use std::sync::Arc;

use super::arena::{Lifetime, place};
use super::check::check;
use super::dims::Known;
use super::fuse::fuse;
use super::op::{Does, Elements, Hint, Need, Planned, Task};
use super::ops::copy_task;
use super::steps::{Failed, Step};
use super::value::{Kind, Value, c_strides, text};
use crate::error::Error;

/// A plan.
pub struct Plan {
    /// All values that were planned.
    pub(super) values: Vec<Option<Value>>,
    pub(super) tasks: Vec<Planed>,
    /// What comes out, as it lies.
    pub(super) outputs: Vec<Value>,
    /// Bytes of memory between the tasks.
    pub(super) arena: usize,
    /// Bytes that are read and written in as much time.
    pub(super) work: usize,
    /// The most that one task reads and writes.
    pub(super) widest: usize,
    /// The most weights that one task reads.
    pub(super) weights: usize,
}

/// A task and where its values lie.
pub(super) struct Planed {
    pub(super) step: usize,
    pub(super) from: Vec<Source>,
    pub(super) to: Target,
    pub(super) kind: Kind,
    /// In the arena; may be empty.
    pub(super) scratch: Range<usize>,
    pub(super) run: Does,
}

/// Where a source lies.
pub(super) enum Source {
    /// From one element on, so many.
    Input(usize, usize, usize),
    /// Bytes.
    Arena(Range<usize>, Kind),
    /// Some of its elements.
    Constant(Arc<dyn Elements>, Range<usize>),
}

/// Where a result goes.
pub(super) enum Target {
    Arena(Range<usize>),
    Output(usize),
}

/// Memory that values lie in.
pub(super) struct Buffer {
    pub(super) home: Home,
    pub(super) bytes: usize,
    first: usize,
    last: usize,
    /// How often tasks read it.
    pub(super) readers: usize,
}

pub(super) enum Home {
    Input(usize),
    Constant(Arc<dyn Elements>),
    Arena,
    Output(usize),
}

/// A value that has a place.
#[derive(Clone)]
pub(super) struct Placed {
    pub(super) value: Value,
    pub(super) buffer: usize,
    /// Its first element.
    pub(super) at: usize,
}

/// A task before its memory has a place.
pub(super) struct Draft {
    step: usize,
    pub(super) from: Vec<Placed>,
    pub(super) to: usize,
    kind: Kind,
    scratch: Option<usize>,
    pub(super) run: Does,
}

struct Planner<'a> {
    steps: &'a [Step],
    buffers: Vec<Buffer>,
    values: Vec<Option<Placed>>,
    drafts: Vec<Draft>,
    /// Values that were laid out in another way: the value, and the copy.
    copies: Vec<(usize, Placed)>,
    work: usize,
    widest: usize,
    weights: usize,
}

/// More cannot be addressed.
const MOST: usize = isize::MAX as usize / 4;

/// Refuses arrays that no memory holds.
fn checked(value: &Value) -> Result<(), Error> {
    let bytes = value.shape.iter().try_fold(value.ty.kind().size(), |n, &axis| n.checked_mul(axis.max(1)));
    match bytes {
        Some(bytes) if bytes < MOST => Ok(()),
        _ => Err(Error::value(
            "the result",
            format!("one of shape {}", text(&value.shape)),
            "small enough for memory",
        )),
    }
}

impl Plan {
    /// The plan for such inputs. `ones` holds the shapes of all values for inputs whose empty axes have one element.
    pub(super) fn new(
        steps: &[Step],
        inputs: &[Value],
        origins: &[Vec<usize>],
        outputs: &[usize],
        ones: Option<&[Option<Vec<usize>>]>,
    ) -> Result<Self, Failed> {
        let count = inputs.len() + steps.len();
        let mut live = vec![false; count];
        outputs.iter().for_each(|&v| live[v] = true);
        for step in steps.iter().rev().filter(|step| step.made < count) {
            if live[step.made] {
                step.from.iter().for_each(|&v| live[v] = true);
            }
        }
        let mut planner = Planner {
            steps,
            buffers: Vec::new(),
            values: vec![None; count],
            drafts: Vec::new(),
            copies: Vec::new(),
            work: 0,
            widest: 1,
            weights: 0,
        };
        let mut shapes: Vec<Option<Vec<usize>>> = vec![None; count];
        for (i, value) in inputs.iter().enumerate() {
            let buffer = planner.buffer(Home::Input(i), value.bytes());
            planner.values[i] = Some(Placed { value: value.clone(), buffer, at: 0 });
            shapes[i] = Some(value.shape.clone());
        }
        for (i, step) in steps.iter().enumerate() {
            let failed = |error| Failed::at(i, error);
            let from: Vec<Placed> = step.from.iter().filter_map(|&v| planner.values[v].clone()).collect();
            let sources: Vec<&Value> = from.iter().map(|placed| &placed.value).collect();
            let known = Known { inputs: origins, values: &shapes };
            let hint = Hint { with_ones: ones.and_then(|ones| ones[step.made].as_deref()) };
            let planned = step.op.plan(&sources, &known, hint).map_err(failed)?;
            let placed = match planned {
                Planned::View(value, at) => {
                    checked(&value).map_err(failed)?;
                    Placed { value, buffer: from[0].buffer, at: from[0].at + at }
                }
                Planned::Constant(value, constant) => {
                    let buffer = planner.buffer(Home::Constant(constant), value.bytes());
                    Placed { value, buffer, at: 0 }
                }
                Planned::Task(task) => {
                    checked(&task.value).map_err(failed)?;
                    planner.weights = planner.weights.max(step.op.weights());
                    planner.task(i, from, task, live[step.made])
                }
            };
            shapes[step.made] = Some(placed.value.shape.clone());
            planner.values[step.made] = Some(placed);
        }
        let plan = planner.finish(outputs);
        if cfg!(debug_assertions) {
            check(&plan);
        }
        Ok(plan)
    }

    /// The shapes of all values.
    pub(super) fn shapes(&self) -> Vec<Option<Vec<usize>>> {
        self.values.iter().map(|value| value.as_ref().map(|value| value.shape.clone())).collect()
    }
}

impl Planner<'_> {
    fn buffer(&mut self, home: Home, bytes: usize) -> usize {
        self.buffers.push(Buffer { home, bytes, first: 0, last: 0, readers: 0 });
        self.buffers.len() - 1
    }

    /// Adds a task, with copies of sources that lie otherwise than it needs. What is not used, and what is empty, is not
    /// computed.
    fn task(&mut self, step: usize, from: Vec<Placed>, task: Task, live: bool) -> Placed {
        let Task { value, needs, scratch, work, run } = task;
        if !live || value.is_empty() {
            let buffer = self.buffer(Home::Arena, 0);
            return Placed { value, buffer, at: 0 };
        }
        let mut sources = Vec::with_capacity(from.len());
        let mut bytes = value.bytes();
        for (k, placed) in from.into_iter().enumerate() {
            bytes += placed.value.bytes();
            let placed = match needs.get(k) {
                Some(Some(need)) if placed.value.shape != need.shape || !placed.value.lies(&need.strides) => {
                    self.copy(step, self.steps[step].from[k], placed, need)
                }
                _ => placed,
            };
            sources.push(placed);
        }
        self.widest = self.widest.max(bytes);
        self.work = self.work.saturating_add(work);
        let scratch = (scratch > 0).then(|| self.buffer(Home::Arena, scratch));
        let to = self.buffer(Home::Arena, value.bytes());
        self.draft(Draft { step, from: sources, to, kind: value.ty.kind(), scratch, run });
        Placed { value, buffer: to, at: 0 }
    }

    fn draft(&mut self, draft: Draft) {
        for source in &draft.from {
            self.buffers[source.buffer].readers += 1;
        }
        self.drafts.push(draft);
    }

    /// Notes from when to when each buffer is needed.
    fn live(&mut self) {
        for (now, draft) in self.drafts.iter().enumerate() {
            for b in draft.scratch.into_iter().chain([draft.to]) {
                (self.buffers[b].first, self.buffers[b].last) = (now, now);
            }
            for source in &draft.from {
                self.buffers[source.buffer].last = now;
            }
        }
    }

    /// The same elements as they are needed.
    fn copy(&mut self, step: usize, of: usize, placed: Placed, need: &Need) -> Placed {
        let same = |(v, copy): &&(usize, Placed)| {
            *v == of && copy.value.shape == need.shape && copy.value.lies(&need.strides)
        };
        if let Some((_, copy)) = self.copies.iter().find(same) {
            return copy.clone();
        }
        let spread = placed.value.broadcast_to(&need.shape);
        let value = Value { strides: need.strides.clone(), ..spread.clone() };
        let placed = Placed { value: spread, ..placed };
        let to = self.buffer(Home::Arena, value.bytes());
        self.copy_to(step, placed, &value, to);
        let copy = Placed { value, buffer: to, at: 0 };
        self.copies.push((of, copy.clone()));
        copy
    }

    fn copy_to(&mut self, step: usize, placed: Placed, value: &Value, to: usize) {
        let task = copy_task(&placed.value, value.clone());
        self.work = self.work.saturating_add(task.work);
        let kind = value.ty.kind();
        self.draft(Draft { step, from: vec![placed], to, kind, scratch: None, run: task.run });
    }

    /// Gives all memory a place.
    fn finish(mut self, outputs: &[usize]) -> Plan {
        let mut given = vec![0; self.buffers.len()];
        for &v in outputs {
            given[self.placed(v).buffer] += 1;
        }
        let mut made = Vec::with_capacity(outputs.len());
        let made_by = |planner: &Self, v: usize| {
            planner.steps.iter().position(|step| step.made == v).unwrap_or(planner.steps.len())
        };
        for (o, &v) in outputs.iter().enumerate() {
            let placed = self.placed(v);
            let Placed { value, buffer, at } = &placed;
            let own = &self.buffers[*buffer];
            let direct = matches!(own.home, Home::Arena)
                && (own.readers, given[*buffer], *at) == (0, 1, 0)
                && own.bytes == value.bytes()
                && value.is_dense();
            if direct {
                self.buffers[*buffer].home = Home::Output(o);
                made.push(value.clone());
                continue;
            }
            let strides = if value.is_dense() { value.strides.clone() } else { c_strides(&value.shape) };
            let value = Value { strides, ..value.clone() };
            if !value.is_empty() {
                let step = made_by(&self, v);
                let to = self.buffer(Home::Output(o), value.bytes());
                self.copy_to(step, placed, &value, to);
            }
            made.push(value);
        }
        fuse(&mut self.drafts, &mut self.buffers);
        self.live();
        let lifetimes: Vec<Lifetime> = self
            .buffers
            .iter()
            .map(|buffer| Lifetime {
                bytes: if matches!(buffer.home, Home::Arena) { buffer.bytes } else { 0 },
                first: buffer.first,
                last: buffer.last,
            })
            .collect();
        let (starts, arena) = place(&lifetimes);
        let buffers = &self.buffers;
        let range = |b: usize| starts[b]..starts[b] + buffers[b].bytes;
        let source = |placed: Placed| {
            let (at, reach, kind) = (placed.at, placed.value.reach(), placed.value.ty.kind());
            match &buffers[placed.buffer].home {
                Home::Input(i) => Source::Input(*i, at, reach),
                Home::Constant(constant) => Source::Constant(Arc::clone(constant), at..at + reach),
                Home::Arena | Home::Output(_) => {
                    let start = starts[placed.buffer] + at * kind.size();
                    Source::Arena(start..start + reach * kind.size(), kind)
                }
            }
        };
        let tasks = self.drafts.into_iter().map(|draft| Planed {
            step: draft.step,
            from: draft.from.into_iter().map(source).collect(),
            to: match buffers[draft.to].home {
                Home::Output(o) => Target::Output(o),
                _ => Target::Arena(range(draft.to)),
            },
            kind: draft.kind,
            scratch: draft.scratch.map_or(0..0, range),
            run: draft.run,
        });
        let tasks = tasks.collect();
        let values = self.values.into_iter().map(|placed| placed.map(|placed| placed.value)).collect();
        let (work, widest, weights) = (self.work, self.widest, self.weights);
        Plan { values, tasks, outputs: made, arena, work, widest, weights }
    }

    fn placed(&self, v: usize) -> Placed {
        self.values[v].clone().expect("all steps were planned")
    }
}
