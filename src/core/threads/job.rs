//! Pieces of work, numbered, for whoever takes the next number.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::{SPINNING, lock};

/// Who runs a piece.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    Caller,
    Worker,
}

/// What runs a piece, by its number, which says nothing but how many came before it.
pub(super) type Work<'a> = dyn Fn(usize, By) + Sync + 'a;

/// A place where one caller at a time has its work shared. It is never freed, so that a worker may look at it at any
/// time; what the work borrows is met only by who has taken a piece of it, for which the caller waits.
#[derive(Default)]
// What two threads write lies apart from what others do.
#[repr(align(128))]
pub(super) struct Job {
    /// Whether a caller has it.
    held: AtomicBool,
    /// How many workers may take pieces, how many pieces there are, and the next one: one number, so that a piece is
    /// taken of the very work that the other two belong to.
    ticket: AtomicU64,
    /// Pieces that workers have ended.
    done: AtomicUsize,
    /// Written only while no piece of it is taken.
    work: UnsafeCell<Option<&'static Work<'static>>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether the caller has gone to sleep until workers have ended.
    waits: AtomicBool,
    asleep: Mutex<()>,
    ended: Condvar,
}

// SAFETY: all fields but `work` are `Sync` by themselves. `work` is written by the caller that holds the job, after it
// has waited for all pieces of the work before; it is read by who has taken a piece, which the caller then waits for.
// The write happens before the read by the ticket: it is stored with release, and taken from with acquire.
unsafe impl Sync for Job {}

/// Bits of a number of pieces in a ticket.
const BITS: u32 = 24;
/// More pieces at once than a ticket counts are several that follow each other.
pub(super) const MOST_PIECES: usize = (1 << BITS) - 1;

fn ticket(helpers: usize, count: usize) -> u64 {
    (helpers.min(usize::from(u16::MAX)) as u64) << (2 * BITS) | (count as u64) << BITS
}

/// The pieces that are left, and how many workers may take one.
fn parts(ticket: u64) -> (Range<usize>, usize) {
    let number = |shift: u32| (ticket >> shift) as usize & MOST_PIECES;
    (number(0)..number(BITS), (ticket >> (2 * BITS)) as usize)
}

impl Job {
    /// Gives it to a caller, if no other one has it.
    pub(super) fn hold(&self) -> bool {
        !self.held.load(Ordering::Relaxed)
            && self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives it back.
    pub(super) fn release(&self) {
        self.held.store(false, Ordering::Release);
    }

    /// Takes a piece: the caller, or a worker by its number.
    fn take(&self, worker: Option<usize>) -> Option<usize> {
        let mut now = self.ticket.load(Ordering::Relaxed);
        loop {
            let (left, helpers) = parts(now);
            if left.is_empty() || worker.is_some_and(|worker| worker >= helpers) {
                return None;
            }
            // The number may be that of other work by now that has come as far: then it is a piece of that.
            match self.ticket.compare_exchange_weak(now, now + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(left.start),
                Err(other) => now = other,
            }
        }
    }

    /// Runs a piece that was taken.
    fn run_piece(&self, piece: usize, by: By) {
        // SAFETY: the piece was taken and is not yet counted as done, so the caller is there, and does not write.
        let work = unsafe { *self.work.get() };
        let Some(work) = work else { return };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(piece, by))) {
            lock(&self.panic).get_or_insert(panic);
        }
    }

    /// A worker takes pieces until there are none; it returns whether there was one.
    pub(super) fn help(&self, worker: usize) -> bool {
        let mut ended = 0;
        while let Some(piece) = self.take(Some(worker)) {
            self.run_piece(piece, By::Worker);
            ended += 1;
        }
        if ended == 0 {
            return false;
        }
        // In one order for all with what `wait` does: either it sees this number, or this thread that it sleeps.
        self.done.fetch_add(ended, Ordering::SeqCst);
        if self.waits.load(Ordering::SeqCst) {
            let _asleep = lock(&self.asleep);
            self.ended.notify_all();
        }
        true
    }

    /// Calls `work` with each number below `count`, at most `MOST_PIECES`, here and in up to `helpers` workers, and
    /// `between` on this thread now and then. A panic in any of them goes on here, once no one works any more. The
    /// caller holds the job; `announce` tells workers.
    pub(super) fn run(
        &self,
        count: usize,
        helpers: usize,
        work: &Work<'_>,
        between: &mut dyn FnMut(),
        announce: impl FnOnce(),
    ) {
        // SAFETY: only the lifetime changes. It is called for pieces that are taken, and this function ends, in any way,
        // only when no more can be taken and those that were are done.
        let work = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        // SAFETY: the caller holds the job, and no piece of earlier work is taken: that was waited for below.
        unsafe { *self.work.get() = Some(work) };
        self.done.store(0, Ordering::Relaxed);
        self.ticket.store(ticket(helpers, count), Ordering::Release);
        let mut mine = 0;
        let own = catch_unwind(AssertUnwindSafe(|| {
            announce();
            between();
            while let Some(piece) = self.take(None) {
                mine += 1;
                self.run_piece(piece, By::Caller);
                between();
            }
        }));
        let (left, _) = parts(self.ticket.swap(0, Ordering::Relaxed));
        self.wait(count - left.len() - mine);
        let theirs = lock(&self.panic).take();
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }

    /// Waits until workers have ended so many pieces.
    fn wait(&self, pieces: usize) {
        // Acquire, so that what the workers wrote is seen here.
        let ended = || self.done.load(Ordering::Acquire) == pieces;
        let start = Instant::now();
        while !ended() {
            if start.elapsed() > SPINNING {
                return self.sleep(pieces);
            }
            (0..8).for_each(|_| std::hint::spin_loop());
        }
    }

    #[cold]
    fn sleep(&self, pieces: usize) {
        self.waits.store(true, Ordering::SeqCst);
        let mut asleep = lock(&self.asleep);
        while self.done.load(Ordering::SeqCst) != pieces {
            let woken = self.ended.wait_timeout(asleep, Duration::from_millis(50));
            asleep = woken.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        self.waits.store(false, Ordering::Relaxed);
    }
}
