//! The tasks of a plan, one after the other.

use super::arena::{Rest, split};
use super::memory::{Memory, Room};
use super::op::{Does, Io, Trouble};
use super::plan::{Plan, Source, Target};
use super::steps::Failed;
use crate::error::Stopped;
use crate::threads::Poll;

/// Sources of a task that need no memory of their own.
const FEW: usize = 4;

impl Plan {
    /// Runs it. `poll` looks for an interrupt between tasks.
    ///
    /// # Panics
    /// Inputs, outputs or memory that it was not made for.
    pub(super) fn run(
        &self,
        inputs: &[Memory<'_>],
        outputs: &mut [Option<Room<'_>>],
        arena: &mut [u8],
        mut poll: Option<Poll>,
    ) -> Result<(), Failed> {
        for task in &self.tasks {
            if poll.as_mut().is_some_and(Poll::interrupted) {
                return Err(Failed { step: task.step, why: Stopped::Interrupted.into() });
            }
            let written = match &task.to {
                Target::Arena(range) => range.clone(),
                Target::Output(_) => 0..0,
            };
            let (to, scratch, rest) = split(arena, written, task.scratch.clone());
            let to = match &task.to {
                Target::Arena(_) => Room::of(task.kind, to),
                Target::Output(o) => outputs[*o].take().expect("an output that is made once"),
            };
            let (mut few, many);
            let from = match task.from.len() {
                n if n <= FEW => {
                    few = [Memory::EMPTY; FEW];
                    few.iter_mut().zip(&task.from).for_each(|(to, from)| *to = source(from, inputs, rest));
                    &few[..n]
                }
                _ => {
                    many = task.from.iter().map(|from| source(from, inputs, rest)).collect::<Vec<_>>();
                    &many[..]
                }
            };
            let done = match &task.run {
                Does::Run(run) => run(Io { from, to, scratch }),
                Does::Chain(chain) => chain.run(from, to).map_err(Trouble::from),
                Does::Floats(taking) => taking.run(Io { from, to, scratch }),
            };
            done.map_err(|why| Failed { step: task.step, why })?;
        }
        Ok(())
    }
}

/// The elements of a source.
fn source<'a>(source: &'a Source, inputs: &[Memory<'a>], rest: Rest<'a>) -> Memory<'a> {
    match source {
        Source::Input(i, at, n) => inputs[*i].from(*at).first(*n),
        Source::Arena(range, kind) => Memory::of(*kind, rest.get(range.clone())),
        Source::Constant(constant, range) => constant.memory().from(range.start).first(range.len()),
    }
}

impl Failed {
    /// What a plan refuses.
    pub(super) fn at(step: usize, error: crate::error::Error) -> Self {
        Self { step, why: Trouble::Error(error) }
    }
}
