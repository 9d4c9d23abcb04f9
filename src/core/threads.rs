//! Work shared between threads.
//!
//! A rayon pool of our own supplies the threads. How they share a call is ours, for three things that rayon's scopes
//! do not give:
//! - The caller starts at once and takes pieces from the same counter as the workers, and waits only for pieces that
//!   others have begun. A worker that wakes up late (a parked one takes 50 to 200 us) finds nothing left, and nobody
//!   waits for it. So sharing is not slower than working alone.
//! - A worker that ran out of work looks for more for 200 us before it goes back to rayon, which lets it sleep, so
//!   calls in a row meet it awake.
//! - After `fork` the child, which has none of the workers, leaves the old pool alone and makes a new one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, Stopped};
use crate::memory::{Ended, end};

/// Bytes read and written by one piece of work: small enough for balance and for the second cache.
pub(crate) const CHUNK_BYTES: usize = 160 << 10;

/// Less work than this, in bytes read and written, is never shared: some 15 us.
const SHARED_FROM: usize = 512 << 10;
/// From here on (some 100 us) a sleeping worker is woken, which costs the caller a few us. Below, only when calls
/// come in a row, so that the next one meets it awake.
const WAKE_FROM: usize = 3 << 20;
/// Calls with less time between them come in a row.
const IN_A_ROW: Duration = Duration::from_micros(200);
/// How long a worker without work stays awake: first spinning, then giving way to other threads.
const AWAKE: Duration = Duration::from_micros(200);
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
/// order. `f` returns whether to go on; once it says no, or an interrupt arrives, the rest is left out.
#[inline]
pub(crate) fn for_each<W: Send>(
    bytes: usize,
    mut items: impl ExactSizeIterator<Item = W> + Send,
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
    mut items: impl ExactSizeIterator<Item = W> + Send,
    f: &(dyn Fn(W) -> bool + Sync),
) -> std::result::Result<(), Stopped> {
    let count = items.len();
    if bytes >= SHARED_FROM && num_threads() > 1 {
        // The lock is given back before the work begins.
        let items = Mutex::new(items);
        let next = || {
            let item = lock(&items).next();
            item.is_some_and(f)
        };
        return share(bytes, count, &next);
    }
    // Small items are not worth a look at the clock each.
    let every = (CHUNK_BYTES * count).checked_div(bytes).unwrap_or(1).max(1);
    alone(count, every, &mut || items.next().is_some_and(f))
}

/// How many threads a call would share this work with now, itself included: what is not shared need not be cut. The
/// next call then comes in a row with this one, which, in one piece, [`for_each`] would not see.
pub(crate) fn sharing(bytes: usize) -> usize {
    let n = num_threads();
    if bytes < SHARED_FROM || n == 1 {
        return 1;
    }
    let pool = Pool::current();
    let worth = pool.worth_sharing(bytes);
    pool.note_time();
    if worth { n } else { 1 }
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

/// [`alone`], on several threads where that is worth it.
#[cold]
fn share(bytes: usize, count: usize, next: &(dyn Fn() -> bool + Sync)) -> std::result::Result<(), Stopped> {
    let pool = Pool::current();
    if !pool.worth_sharing(bytes) {
        let result = alone(count, 1, &mut || next());
        pool.note_time();
        return result;
    }
    let stop = AtomicBool::new(false);
    let work = |_| {
        if !stop.load(Ordering::Relaxed) && !next() {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let mut poll = Poll::new();
    let mut interrupted = false;
    pool.run(count, num_threads() - 1, &work, &mut || {
        if poll.interrupted() {
            interrupted = true;
            stop.store(true, Ordering::Relaxed);
        }
    });
    pool.note_time();
    if interrupted { Err(Stopped::Interrupted) } else { Ok(()) }
}

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Pieces of work, numbered, for whoever takes the next number.
struct Job {
    /// The next piece; `count` and more are none.
    next: AtomicUsize,
    count: usize,
    done: AtomicUsize,
    /// How many more workers may join.
    room: AtomicUsize,
    /// Valid as long as a piece is unfinished: see `Pool::run`.
    work: *const (dyn Fn(usize) + Sync),
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    owner: Thread,
}

// SAFETY: `work` points to something `Sync`; all else is Send and Sync by itself.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

impl Job {
    /// Takes pieces until there are none, and calls `between` before each.
    fn take_all(&self, between: &mut dyn FnMut()) {
        loop {
            between();
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= self.count {
                return;
            }
            // SAFETY: piece `i` was taken and is not yet done, and until all taken ones are `Pool::run` does not
            // return, which borrows the closure.
            let work = unsafe { &*self.work };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(i))) {
                lock(&self.panic).get_or_insert(panic);
            }
            // After this the closure may be gone, but `self` is kept by its `Arc`.
            self.done.fetch_add(1, Ordering::Release);
        }
    }

    /// Takes a place as a worker, if there is work and room.
    fn join(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.count
            && self
                .room
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1))
                .is_ok()
    }
}

/// Workers and what they may work on. Never freed: workers live as long as the process.
struct Pool {
    /// The process whose threads the workers are.
    process: u32,
    state: Mutex<State>,
    /// Counts jobs, so that a worker that is awake sees a new one.
    jobs: AtomicUsize,
    /// Workers that are awake and have no work.
    idle: AtomicUsize,
    /// When the last call ended, or was cut, in ns after `born`.
    last: AtomicU64,
    born: Instant,
}

#[derive(Default)]
struct State {
    jobs: Vec<Arc<Job>>,
    /// The threads, once there has been work for them.
    threads: Option<rayon_core::ThreadPool>,
    /// Workers that rayon has been asked for and that have not gone back to it.
    serving: usize,
}

static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

impl Pool {
    /// This process's pool. In a forked child the parent's is left alone, since a thread that does not exist here may
    /// have held its locks.
    fn current() -> &'static Self {
        let process = std::process::id();
        let mut found = POOL.load(Ordering::Acquire);
        loop {
            // SAFETY: it is null or comes from the `Box` below, which nobody frees once it is in `POOL`.
            if let Some(pool) = unsafe { found.as_ref() }
                && pool.process == process
            {
                return pool;
            }
            let new = Box::into_raw(Box::new(Self {
                process,
                state: Mutex::default(),
                jobs: AtomicUsize::new(0),
                idle: AtomicUsize::new(0),
                last: AtomicU64::new(0),
                born: Instant::now(),
            }));
            match POOL.compare_exchange(found, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => found = new,
                Err(other) => {
                    // SAFETY: it was made above, and did not get into `POOL`.
                    drop(unsafe { Box::from_raw(new) });
                    found = other;
                }
            }
        }
    }

    fn worth_sharing(&self, bytes: usize) -> bool {
        let since =
            || self.born.elapsed().saturating_sub(Duration::from_nanos(self.last.load(Ordering::Relaxed)));
        bytes >= WAKE_FROM || self.idle.load(Ordering::Relaxed) > 0 || since() < IN_A_ROW
    }

    fn note_time(&self) {
        self.last.store(self.born.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// Calls `work` with each number below `count`, here and in up to `helpers` workers, and `between` on this thread
    /// now and then. A panic in any of them goes on here, once no one works any more.
    fn run(
        &'static self,
        count: usize,
        helpers: usize,
        work: &(dyn Fn(usize) + Sync),
        between: &mut dyn FnMut(),
    ) {
        let helpers = helpers.min(count - 1);
        // SAFETY: only the lifetime changes. The pointer is followed for a piece that was taken and is not done, and
        // below no more can be taken, and those that were are waited for, before this function ends in any way.
        let work: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(work) };
        let job = Arc::new(Job {
            next: AtomicUsize::new(0),
            count,
            done: AtomicUsize::new(0),
            room: AtomicUsize::new(helpers),
            work,
            panic: Mutex::new(None),
            owner: std::thread::current(),
        });
        self.submit(&job, helpers);
        let mine = catch_unwind(AssertUnwindSafe(|| job.take_all(between)));
        let taken = job.next.fetch_add(count, Ordering::Relaxed).min(count);
        lock(&self.state).jobs.retain(|other| !Arc::ptr_eq(other, &job));
        let waiting = Instant::now();
        // Acquire, so that what the workers wrote is seen here.
        while job.done.load(Ordering::Acquire) < taken {
            if waiting.elapsed() < SPINNING {
                std::hint::spin_loop();
            } else {
                std::thread::park_timeout(POLL);
            }
        }
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        if let Some(panic) = lock(&job.panic).take() {
            resume_unwind(panic);
        }
    }

    fn submit(&'static self, job: &Arc<Job>, helpers: usize) {
        let mut state = lock(&self.state);
        state.jobs.push(Arc::clone(job));
        self.jobs.fetch_add(1, Ordering::Release);
        if state.threads.as_ref().is_none_or(|threads| threads.current_num_threads() < helpers) {
            let named =
                rayon_core::ThreadPoolBuilder::new().num_threads(helpers).thread_name(|_| "quantray".into());
            match named.build() {
                // A smaller pool before it ends by itself, once its workers have gone back to it.
                Ok(threads) => state.threads = Some(threads),
                // No more threads to be had: with fewer it takes longer.
                Err(_) if state.threads.is_none() => return,
                Err(_) => {}
            }
        }
        let missing = helpers.saturating_sub(state.serving);
        state.serving += missing;
        if let Some(threads) = &state.threads {
            for _ in 0..missing {
                threads.spawn(|| self.serve());
            }
        }
    }

    /// What a worker does from its waking up until it has been without work for a while.
    fn serve(&self) {
        loop {
            let seen = self.jobs.load(Ordering::Acquire);
            let job = lock(&self.state).jobs.iter().find(|job| job.join()).cloned();
            if let Some(job) = job {
                job.take_all(&mut || {});
                job.owner.unpark();
            } else if !self.stay_awake(seen) {
                let mut state = lock(&self.state);
                // A job that came since counts on this worker: it is numbered under the lock.
                if self.jobs.load(Ordering::Relaxed) == seen {
                    state.serving -= 1;
                    return;
                }
            }
        }
    }

    /// Waits a while for another job; it returns whether one came.
    fn stay_awake(&self, seen: usize) -> bool {
        let start = Instant::now();
        self.idle.fetch_add(1, Ordering::Relaxed);
        let came = loop {
            if self.jobs.load(Ordering::Relaxed) != seen {
                break true;
            }
            match start.elapsed() {
                awake if awake > AWAKE => break false,
                awake if awake > SPINNING => std::thread::yield_now(),
                _ => (0..16).for_each(|_| std::hint::spin_loop()),
            }
        };
        self.idle.fetch_sub(1, Ordering::Relaxed);
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_threads_at_all_is_an_error() {
        assert!(set_num_threads(0).unwrap_err().to_string().contains("at least 1"));
    }

    #[test]
    fn every_piece_is_done_once_by_someone() {
        for helpers in [1, 3] {
            for count in [1, 2, 7, 1000] {
                let counts: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                let work = |i: usize| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                };
                Pool::current().run(count, helpers, &work, &mut || {});
                assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_in_a_piece_reaches_the_caller_and_the_pool_lives_on() {
        for culprit in [0, 50, 99] {
            let done = AtomicUsize::new(0);
            let work = |i: usize| {
                std::thread::sleep(Duration::from_micros(50));
                assert!(i != culprit, "piece {i}");
                done.fetch_add(1, Ordering::Relaxed);
            };
            let result = catch_unwind(AssertUnwindSafe(|| Pool::current().run(100, 2, &work, &mut || {})));
            assert!(result.is_err());
            assert_eq!(done.into_inner(), 99);
        }
    }

    #[test]
    fn callers_within_and_beside_each_other_all_get_through() {
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let inner = |_: usize| {
                            done.fetch_add(1, Ordering::Relaxed);
                        };
                        let outer = |_: usize| Pool::current().run(3, 2, &inner, &mut || {});
                        Pool::current().run(5, 2, &outer, &mut || {});
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 8 * 20 * 5 * 3);
    }
}
