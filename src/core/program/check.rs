//! What every plan must be. Where a program is compiled for tests, each plan is looked at.

use std::ops::Range;

use super::plan::{Plan, Source, Target};
use super::value::Value;

/// No task writes what it reads, and what it reads is what one task wrote, whole and untouched since.
pub(super) fn check(plan: &Plan) {
    let apart = |a: &Range<usize>, b: &Range<usize>| {
        a.is_empty() || b.is_empty() || a.end <= b.start || b.end <= a.start
    };
    let written = |t: usize| match &plan.tasks[t].to {
        Target::Arena(range) => range.clone(),
        Target::Output(_) => 0..0,
    };
    let mut given = vec![0; plan.outputs.len()];
    for (t, task) in plan.tasks.iter().enumerate() {
        assert!(apart(&written(t), &task.scratch), "memory for the meantime is no one else's");
        assert!(written(t).end.max(task.scratch.end) <= plan.arena, "within the memory");
        if let Target::Output(o) = task.to {
            given[o] += 1;
        }
        for source in &task.from {
            let Source::Arena(range, _) = source else { continue };
            assert!(apart(range, &written(t)) && apart(range, &task.scratch), "no source is written");
            let last =
                (0..t).rev().find(|&w| !apart(range, &written(w)) || !apart(range, &plan.tasks[w].scratch));
            let last = last.expect("what is read was written");
            let own = written(last);
            assert!(own.start <= range.start && range.end <= own.end, "as a whole, by one task");
            assert!(apart(range, &plan.tasks[last].scratch));
        }
    }
    assert!(given.iter().all(|&n| n == 1) || plan.outputs.iter().any(Value::is_empty), "each output once");
    let all: usize = (0..plan.tasks.len())
        .map(|t| written(t).len().next_multiple_of(64) + plan.tasks[t].scratch.len().next_multiple_of(64))
        .sum();
    assert!(plan.arena <= all, "no more memory than all values take");
}
