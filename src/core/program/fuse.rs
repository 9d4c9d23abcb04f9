//! Tasks that make single elements become one with the task that takes these, where no other does: a chain of such, or a
//! product that looks at its rows one by one.

use super::op::Does;
use super::plan::{Buffer, Draft, Home};

/// Puts chains into those that take what they make. Each runs where the last one did: what the others take lives on.
pub(super) fn fuse(drafts: &mut Vec<Draft>, buffers: &mut [Buffer]) {
    // For each buffer the draft that fills it.
    let mut maker = vec![usize::MAX; buffers.len()];
    let mut gone = vec![false; drafts.len()];
    for i in 0..drafts.len() {
        while let Some(k) = next(drafts, buffers, &maker, i) {
            let buffer = drafts[i].from[k].buffer;
            let (before, rest) = drafts.split_at_mut(i);
            let (before, own) = (&mut before[maker[buffer]], &mut rest[0]);
            let Does::Chain(first) = &before.run else { break };
            match &mut own.run {
                Does::Chain(second) => {
                    let replaced: Vec<bool> = own.from.iter().map(|source| source.buffer == buffer).collect();
                    *second = second.after(first, &replaced);
                }
                Does::Floats(taking) => taking.before = Some(first.clone()),
                Does::Run(_) => break,
            }
            own.from.retain(|source| source.buffer != buffer);
            own.from.append(&mut before.from);
            gone[maker[buffer]] = true;
            buffers[buffer].bytes = 0;
        }
        maker[drafts[i].to] = i;
    }
    let mut gone = gone.into_iter();
    drafts.retain(|_| !gone.next().unwrap_or(false));
}

/// A source that a chain makes for this task alone, and can as well make within it.
fn next(drafts: &[Draft], buffers: &[Buffer], maker: &[usize], i: usize) -> Option<usize> {
    let draft = &drafts[i];
    (0..draft.from.len()).find(|&k| {
        let buffer = draft.from[k].buffer;
        let Some(before) = drafts.get(maker[buffer]) else { return false };
        let Does::Chain(first) = &before.run else { return false };
        let own: Vec<usize> = (0..draft.from.len()).filter(|&k| draft.from[k].buffer == buffer).collect();
        let alone = matches!(buffers[buffer].home, Home::Arena)
            && buffers[buffer].readers == own.len()
            && own.iter().all(|&k| draft.from[k].at == 0);
        alone
            && match &draft.run {
                Does::Chain(chain) => own.iter().all(|&k| chain.takes(k)) && chain.fits(first),
                Does::Floats(taking) => {
                    taking.once && taking.before.is_none() && first.makes_floats(draft.from[k].value.len())
                }
                Does::Run(_) => false,
            }
    })
}
