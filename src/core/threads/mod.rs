//! Work shared between threads.
//!
//! Rayon supplies the threads. How they share a call is ours, for what rayon's scopes do not give:
//!
//! A caller starts at once and takes pieces from the same counter as the workers, and waits only for pieces that others
//! have begun. A worker that wakes up late (a sleeping one takes 50 to 200 us) finds nothing left, and nobody waits for
//! it. So sharing is not slower than working alone. A worker that ran out of work looks for more for 200 us before it
//! sleeps, so calls in a row meet it awake, and so do the steps of a program, which enters the pool once (`together`).
//!
//! - `job`: a place where a caller has its work shared; `pool`: the workers, and how they wait for work
//! - `cpus`: on which CPU a worker wakes up
//!
//! After `fork` the child, which has none of the workers, leaves the old pool alone and makes a new one. Nobody waits for
//! ever: a caller waits for workers that run a piece; the caller of work within a piece does, too, for pieces that began
//! after its own.

mod cpus;
mod job;
mod pool;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use self::job::{By, Job};
use self::pool::{Pool, WAKE_FROM};
use crate::error::{Error, Result, Stopped};
use crate::memory::{Ended, end};

/// Bytes read and written by one piece of work: small enough for balance and for the second cache.
pub(crate) const CHUNK_BYTES: usize = 160 << 10;

/// Less work than this, in bytes read and written, is never shared: some 15 us.
const SHARED_FROM: usize = 512 << 10;
/// The same for a step of a program, which meets workers awake: some 4 us.
const STEP_FROM: usize = 128 << 10;
/// How long a thread that waits for another one spins.
const SPINNING: Duration = Duration::from_micros(50);

/// How often the calling thread looks for an interrupt.
const POLL: Duration = Duration::from_millis(50);

static THREADS: AtomicUsize = AtomicUsize::new(0);
static CHECK: OnceLock<fn() -> bool> = OnceLock::new();

/// How many threads share the work of one call, the calling one included.
///
/// # Errors
/// None at all.
pub fn set_num_threads(n: usize) -> Result<()> {
    if n == 0 {
        return Err(Error::value("num_threads", n, "at least 1"));
    }
    THREADS.store(n, Ordering::Relaxed);
    Ok(())
}

/// The number of threads that the environment variable `QUANTRAY_NUM_THREADS` asks for, if it is set.
///
/// # Errors
/// Anything but an integer from 1 on.
pub fn from_env() -> Result<Option<usize>> {
    let Ok(text) = std::env::var("QUANTRAY_NUM_THREADS") else { return Ok(None) };
    match text.trim().parse() {
        Ok(n) if n > 0 => Ok(Some(n)),
        _ => Err(Error::value("QUANTRAY_NUM_THREADS", format!("{text:?}"), "an integer from 1 on")),
    }
}

/// How many threads share the work of one call: `QUANTRAY_NUM_THREADS` at first, or as many as this process may use
/// (its affinity and its cgroup's quota).
pub fn num_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => {
            let all = || std::thread::available_parallelism().map_or(1, usize::from);
            let n = from_env().ok().flatten().unwrap_or_else(all);
            // Whoever sets it meanwhile wins.
            let _ = THREADS.compare_exchange(0, n, Ordering::Relaxed, Ordering::Relaxed);
            THREADS.load(Ordering::Relaxed)
        }
        n => n,
    }
}

/// What a long call asks every 50 ms, on the calling thread: `true` stops it. The first one stays.
pub fn set_interrupt_check(check: fn() -> bool) {
    let _ = CHECK.set(check);
}

/// Runs `f` once for each item, which together read and write `bytes`, on this thread and perhaps on others, in any
/// order. `f` returns whether to go on; once it says no, or an interrupt arrives, the rest is left out. This thread begins
/// with the first items, others with the last ones: so what a step of a program reads was mostly written by the same
/// thread, in whose cache it still lies.
#[inline]
pub(crate) fn for_each<W: Send>(
    bytes: usize,
    mut items: impl ExactSizeIterator<Item = W> + DoubleEndedIterator + Send,
    f: impl Fn(W) -> bool + Sync,
) -> std::result::Result<(), Stopped> {
    if items.len() > 1 {
        return each(bytes, items, &f);
    }
    items.next().map(f);
    Ok(())
}

/// [`for_each`] of several, compiled once for all work on the same kind of item.
fn each<W: Send>(
    bytes: usize,
    mut items: impl ExactSizeIterator<Item = W> + DoubleEndedIterator + Send,
    f: &(dyn Fn(W) -> bool + Sync),
) -> std::result::Result<(), Stopped> {
    let count = items.len();
    if let Some(team) = Team::of(bytes) {
        // The lock is given back before the work begins.
        let items = Mutex::new(items);
        let next = |by| {
            let mut items = lock(&items);
            let item = match by {
                By::Caller => items.next(),
                By::Worker => items.next_back(),
            };
            drop(items);
            item.is_some_and(f)
        };
        return team.share(count, &next);
    }
    // Small items are not worth a look at the clock each.
    let every = (CHUNK_BYTES * count).checked_div(bytes).unwrap_or(1).max(1);
    alone(count, every, &mut || items.next().is_some_and(f))
}

/// How many threads a call would share this work with now, itself included: what is not shared need not be cut. The
/// next call then comes in a row with this one, which, in one piece, [`for_each`] would not see.
pub(crate) fn sharing(bytes: usize) -> usize {
    if Team::of(bytes).is_some() { num_threads() } else { 1 }
}

/// Does something of so much work, in steps that call [`for_each`]: it enters the pool once for all of them, workers
/// wake up while the first one begins, and smaller steps are shared than by themselves.
pub(crate) fn together<T>(bytes: usize, f: impl FnOnce() -> T) -> T {
    let _left = enter(bytes);
    f()
}

/// Calls `next`, which works on the next item and returns whether to go on, once for each of `count` items.
fn alone(count: usize, every: usize, next: &mut dyn FnMut() -> bool) -> std::result::Result<(), Stopped> {
    let mut poll = Poll::new();
    for i in 0..count {
        if i % every == 0 && poll.interrupted() {
            return Err(Stopped::Interrupted);
        }
        if !next() {
            break;
        }
    }
    Ok(())
}

/// Remembers when the calling thread last looked for an interrupt.
pub(crate) struct Poll(Instant);

impl Poll {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Ends the work where one arrived: for loops that are deep inside of what cannot fail. Only on the thread that
    /// called, which is the one that Python tells.
    #[inline]
    pub(crate) fn end_if_interrupted(&mut self) {
        if self.interrupted() {
            end(Ended::Interrupted);
        }
    }

    /// Whether one arrived, asked now and then.
    #[inline]
    pub(crate) fn interrupted(&mut self) -> bool {
        if self.0.elapsed() < POLL {
            return false;
        }
        self.0 = Instant::now();
        CHECK.get().is_some_and(|check| check())
    }
}

/// Where a thread is.
#[derive(Clone, Copy)]
enum Here {
    Outside,
    /// Between the steps of a program, which has a job of its own.
    Program(&'static Pool, &'static Job),
    /// Within a piece of shared work.
    Piece(&'static Pool),
}

thread_local! {
    static HERE: Cell<Here> = const { Cell::new(Here::Outside) };
}

/// Who shares work with the calling thread.
struct Team {
    pool: &'static Pool,
    /// The program's, within one.
    job: Option<&'static Job>,
}

impl Team {
    /// For work that is worth it.
    #[inline]
    fn of(bytes: usize) -> Option<Self> {
        if bytes < STEP_FROM || num_threads() == 1 { None } else { Self::of_much(bytes) }
    }

    fn of_much(bytes: usize) -> Option<Self> {
        let (worth, pool, job) = match HERE.get() {
            Here::Outside if bytes < SHARED_FROM => return None,
            Here::Outside => {
                let pool = Pool::current();
                let worth = bytes >= WAKE_FROM || pool.has_idle() || pool.in_a_row();
                pool.note_time();
                (worth, pool, None)
            }
            Here::Program(pool, job) => (bytes >= SHARED_FROM || pool.has_idle(), pool, Some(job)),
            // All others have work, but perhaps at the end of it.
            Here::Piece(pool) => (bytes >= SHARED_FROM && pool.has_idle(), pool, None),
        };
        worth.then_some(Self { pool, job })
    }

    /// [`alone`], on several threads.
    #[cold]
    fn share(self, count: usize, next: &(dyn Fn(By) -> bool + Sync)) -> std::result::Result<(), Stopped> {
        let Self { pool, job } = self;
        let Some(held) = job.or_else(|| pool.hold()) else {
            return alone(count, 1, &mut || next(By::Caller));
        };
        let _left = Left { here: HERE.replace(Here::Piece(pool)), job: job.is_none().then_some(held), pool };
        let stop = AtomicBool::new(false);
        let work = |_, by| {
            if !stop.load(Ordering::Relaxed) && !next(by) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let mut poll = Poll::new();
        let mut interrupted = false;
        let helpers = (num_threads() - 1).min(count - 1);
        pool.run(held, (count, helpers), &work, &mut || {
            if poll.interrupted() {
                interrupted = true;
                stop.store(true, Ordering::Relaxed);
            }
        });
        if interrupted { Err(Stopped::Interrupted) } else { Ok(()) }
    }
}

/// What is left behind when shared work ends, in any way.
struct Left {
    here: Here,
    /// What was held for this work alone.
    job: Option<&'static Job>,
    pool: &'static Pool,
}

impl Drop for Left {
    fn drop(&mut self) {
        HERE.set(self.here);
        if let Some(job) = self.job {
            job.release();
            self.pool.note_time();
        }
    }
}

/// A program enters the pool, if that is worth it.
fn enter(bytes: usize) -> Option<Left> {
    let threads = num_threads();
    if bytes < SHARED_FROM || threads == 1 || !matches!(HERE.get(), Here::Outside) {
        return None;
    }
    let pool = Pool::current();
    let job = pool.hold()?;
    if bytes >= WAKE_FROM || pool.in_a_row() {
        pool.announce(threads - 1);
    }
    Some(Left { here: HERE.replace(Here::Program(pool, job)), job: Some(job), pool })
}

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
