//! Images that stay apart pass all steps a few at a time: what lies between two steps stays in the caches, and threads
//! share images.

use std::sync::{Mutex, PoisonError};

use super::dims::{Dim, Known};
use super::memory::{Memory, Room};
use super::plan::Plan;
use super::steps::{Failed, Program};
use super::value::Value;
use crate::error::Stopped;
use crate::threads::{self, Poll};

/// What a step reads and writes stays in the second cache.
const CACHED: usize = 96 << 10;
/// Weights up to here are worth as many images as take as much memory, since each group reads them again.
const WEIGHTS: usize = 2 << 20;

/// How images pass.
pub(super) struct Groups {
    images: usize,
    at_once: usize,
    /// For as many images.
    group: Plan,
    /// For those that are left.
    last: Option<Plan>,
    /// From one image of each input to the next, in elements; 0 where it has none.
    steps: Vec<usize>,
    /// Elements of an image of each output.
    each: Vec<usize>,
    work: usize,
    /// Whether threads share images, and not the steps their work.
    shared: bool,
}

impl Groups {
    /// Where images stay apart, and where that is worth it.
    pub(super) fn new(
        program: &Program,
        inputs: &[Value],
        origins: &[Vec<usize>],
        whole: &Plan,
        threads: usize,
    ) -> Option<Self> {
        let images = *inputs.iter().find_map(|value| value.shape.first())?;
        if images < threads.max(2) {
            return None;
        }
        let bytes = CACHED.max(whole.weights.min(WEIGHTS));
        let at_once = (bytes / (whole.widest / images).max(1)).min(images.div_ceil(threads)).max(1);
        if at_once == images {
            return None;
        }
        let apart = apart(program, inputs, whole, images)?;
        let holds = |v: usize| apart[v];
        if !program.outputs().iter().all(|&v| holds(v)) {
            return None;
        }
        let full = origins.to_vec();
        let of = |n: usize| -> Option<Plan> {
            let some = |shape: &[usize]| match shape {
                [first, rest @ ..] if *first == images => [&[n], rest].concat(),
                _ => shape.to_vec(),
            };
            let inputs: Vec<Value> =
                inputs.iter().map(|value| Value { shape: some(&value.shape), ..value.clone() }).collect();
            let origins: Vec<Vec<usize>> = origins.iter().map(|shape| some(shape)).collect();
            let plan = program.plan(&inputs, &origins, None).ok()?;
            let same = whole.values.iter().zip(&plan.values).zip(&apart).all(|((all, some), &apart)| {
                let (Some(all), Some(some)) = (all, some) else { return true };
                match apart {
                    true => some.shape.first() == Some(&n) && some.shape[1..] == all.shape[1..],
                    false => some.shape == all.shape,
                }
            });
            // Numbers that were worked out from lengths are the same, too.
            let (all, some) = (whole.shapes(), plan.shapes());
            let all = Known { inputs: &full, values: &all };
            let some = Known { inputs: &origins, values: &some };
            let number = |dim: &&Dim| dim.of(&all).ok() == dim.of(&some).ok();
            let same = same && program.steps().iter().all(|step| step.op.counts().iter().all(number));
            let outputs = whole.outputs.iter().zip(&plan.outputs);
            // Images of a result follow each other, and each lies as in the whole.
            let alike = |(all, some): (&Value, &Value)| {
                some.ty == all.ty && all.strides[0] == all.len() / images && some.lies(&all.strides)
            };
            (same && outputs.into_iter().all(alike)).then_some(plan)
        };
        let group = of(at_once)?;
        let last = match images % at_once {
            0 => None,
            n => Some(of(n)?),
        };
        let steps = inputs.iter().enumerate().map(|(v, value)| if holds(v) { value.strides[0] } else { 0 });
        Some(Self {
            images,
            at_once,
            group,
            last,
            steps: steps.collect(),
            each: whole.outputs.iter().map(|value| value.len() / images).collect(),
            work: whole.work,
            shared: threads > 1,
        })
    }

    /// Bytes of memory between the steps, for each thread.
    pub(super) fn memory(&self) -> usize {
        self.group.arena.max(self.last.as_ref().map_or(0, |plan| plan.arena))
    }

    pub(super) fn run(
        &self,
        program: &Program,
        inputs: &[Memory<'_>],
        outputs: Vec<Room<'_>>,
    ) -> Result<(), Failed> {
        let mut rest = outputs;
        let mut groups = Vec::with_capacity(self.images.div_ceil(self.at_once));
        for first in (0..self.images).step_by(self.at_once) {
            let n = self.at_once.min(self.images - first);
            let (mut own, mut more) = (Vec::with_capacity(rest.len()), Vec::with_capacity(rest.len()));
            for (room, each) in rest.into_iter().zip(&self.each) {
                let (some, others) = room.split(n * each);
                own.push(Some(some));
                more.push(others);
            }
            rest = more;
            groups.push((first, n, own));
        }
        let failed = Mutex::new(None);
        let caller = std::thread::current().id();
        let bytes = if self.shared { self.work } else { 0 };
        threads::for_each(bytes, groups.into_iter(), |(first, n, mut outputs)| {
            let inputs: Vec<Memory<'_>> = inputs
                .iter()
                .zip(&self.steps)
                .map(|(memory, &step)| if step == 0 { *memory } else { memory.from(first * step) })
                .collect();
            let plan =
                if n == self.at_once { &self.group } else { self.last.as_ref().unwrap_or(&self.group) };
            // Only the caller may ask Python.
            let poll = (std::thread::current().id() == caller).then(Poll::new);
            let done =
                program.with_memory(plan.arena, |memory| plan.run(&inputs, &mut outputs, memory, poll));
            let went = done.is_ok();
            if let Err(reason) = done {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
            }
            went
        })
        .map_err(|stopped: Stopped| Failed { step: 0, why: stopped.into() })?;
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// Which values hold images that stay apart; none where images meet.
fn apart(program: &Program, inputs: &[Value], whole: &Plan, images: usize) -> Option<Vec<bool>> {
    let mut apart: Vec<bool> = inputs.iter().map(|value| value.shape.first() == Some(&images)).collect();
    for step in program.steps() {
        let value = |v: &usize| whole.values[*v].as_ref();
        let from: Vec<&Value> = step.from.iter().filter_map(value).collect();
        let own: Vec<bool> = step.from.iter().map(|&v| apart[v]).collect();
        let made = whole.values[step.made].as_ref()?;
        apart.push(match own.contains(&true) {
            true => step.op.images(&from, made, &own)?,
            false => false,
        });
    }
    Some(apart)
}
