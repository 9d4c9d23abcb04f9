//! The workers, and how they wait for work.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::cpus::{self, Cpus, here};
use super::job::{Job, MOST_PIECES, Work};
use super::{HERE, Here, SPINNING, lock};

/// From here on (some 100 us) a sleeping worker is woken, which costs the caller a few us. Below, only when calls
/// come in a row, so that the next one meets it awake.
pub(super) const WAKE_FROM: usize = 3 << 20;
/// Calls with less time between them come in a row.
const IN_A_ROW: Duration = Duration::from_micros(200);
/// How long a worker without work stays awake: first spinning, then giving way to other threads.
const AWAKE: Duration = Duration::from_micros(200);

/// Calls that are shared at the same time; others work alone.
const JOBS: usize = 32;

/// Workers and what they may work on. Never freed: workers live as long as the process.
pub(super) struct Pool {
    /// The process whose threads the workers are.
    process: u32,
    jobs: [Job; JOBS],
    /// How many of them have ever been held.
    used: AtomicUsize,
    /// Counts what is to be done, so that a worker that is awake sees new work.
    news: AtomicUsize,
    /// How many workers the last work was for.
    wanted: AtomicUsize,
    /// Workers that are awake and have no work.
    idle: AtomicUsize,
    /// Workers that sleep, or are about to.
    sleeping: AtomicUsize,
    /// Workers that there are.
    count: AtomicUsize,
    workers: Mutex<Vec<Arc<Worker>>>,
    /// When the last call ended, or was cut, in ns after `born`.
    last: AtomicU64,
    born: Instant,
}

/// What callers know of a worker.
#[derive(Default)]
struct Worker {
    /// Once it runs.
    thread: OnceLock<(Thread, cpus::Worker)>,
    asleep: AtomicBool,
    /// The CPU that it fell asleep on.
    cpu: AtomicUsize,
    /// Where it may run, while it is kept off a CPU.
    kept_off: Mutex<Option<Cpus>>,
}

static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

impl Pool {
    /// This process's pool. In a forked child the parent's is left alone: the threads do not exist here, and may have
    /// held its locks.
    pub(super) fn current() -> &'static Self {
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
                jobs: Default::default(),
                used: AtomicUsize::new(0),
                news: AtomicUsize::new(0),
                wanted: AtomicUsize::new(0),
                idle: AtomicUsize::new(0),
                sleeping: AtomicUsize::new(0),
                count: AtomicUsize::new(0),
                workers: Mutex::default(),
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

    /// Whether a worker is awake and has no work.
    pub(super) fn has_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0
    }

    /// Whether a call follows another one closely.
    pub(super) fn in_a_row(&self) -> bool {
        let last = Duration::from_nanos(self.last.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last) < IN_A_ROW
    }

    /// A call ends, or is cut.
    pub(super) fn note_time(&self) {
        self.last.store(self.born.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// A place to share work in, if one is left: held until it is released.
    pub(super) fn hold(&'static self) -> Option<&'static Job> {
        let at = self.jobs.iter().position(Job::hold)?;
        self.used.fetch_max(at + 1, Ordering::Release);
        Some(&self.jobs[at])
    }

    /// Has pieces of work done, as [`Job::run`] has it, in a job that is held.
    pub(super) fn run(
        &'static self,
        job: &Job,
        (count, helpers): (usize, usize),
        work: &Work<'_>,
        between: &mut dyn FnMut(),
    ) {
        if count <= MOST_PIECES {
            return job.run(count, helpers, work, between, || self.announce(helpers));
        }
        // Several at a time.
        let each = count.div_ceil(MOST_PIECES);
        let some = |i: usize, by| (i * each..count.min((i + 1) * each)).for_each(|i| work(i, by));
        job.run(count.div_ceil(each), helpers, &some, between, || self.announce(helpers));
    }

    /// Tells workers of new work, and wakes up those that are to help.
    pub(super) fn announce(&'static self, helpers: usize) {
        self.wanted.store(helpers, Ordering::Relaxed);
        // In one order for all with what `sleep` does: either a worker sees the news, or this thread that it sleeps.
        self.news.fetch_add(1, Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) > 0 || self.count.load(Ordering::Relaxed) < helpers {
            self.wake(helpers);
        }
    }

    #[cold]
    fn wake(&'static self, helpers: usize) {
        let mut workers = lock(&self.workers);
        for worker in workers.iter().take(helpers).filter(|worker| worker.asleep.load(Ordering::SeqCst)) {
            worker.wake();
        }
        let missing = helpers.saturating_sub(workers.len());
        if missing > 0 {
            let threads =
                rayon_core::ThreadPoolBuilder::new().num_threads(missing).thread_name(|_| "quantray".into());
            // No more threads to be had: with fewer it takes longer.
            if let Ok(threads) = threads.build() {
                for number in workers.len()..helpers {
                    let worker = Arc::new(Worker::default());
                    workers.push(Arc::clone(&worker));
                    // Each serves for ever, so each has a thread to itself, and rayon has none to put to sleep.
                    threads.spawn(move || self.serve(number, &worker));
                }
            }
        }
        self.count.store(workers.len(), Ordering::Relaxed);
    }

    /// What a worker does as long as the process lives.
    fn serve(&'static self, number: usize, worker: &Worker) {
        let _ = worker.thread.set((std::thread::current(), cpus::Worker::this()));
        HERE.set(Here::Piece(self));
        let mut since = Instant::now();
        loop {
            let seen = self.news.load(Ordering::Acquire);
            let jobs = &self.jobs[..self.used.load(Ordering::Acquire)];
            if jobs.iter().any(|job| job.help(number)) {
                since = Instant::now();
            } else if !self.stay_awake(number, seen, &mut since) {
                self.sleep(number, worker, seen);
                since = Instant::now();
            }
        }
    }

    /// Waits a while for news, from the last work on; it returns whether there are any.
    fn stay_awake(&self, number: usize, seen: usize, since: &mut Instant) -> bool {
        self.idle.fetch_add(1, Ordering::Relaxed);
        let came = loop {
            if self.news.load(Ordering::Relaxed) != seen {
                // Work that others were quick to end, but in which this worker had its part.
                if number < self.wanted.load(Ordering::Relaxed) {
                    *since = Instant::now();
                }
                break true;
            }
            match since.elapsed() {
                awake if awake > AWAKE => break false,
                awake if awake > SPINNING => std::thread::yield_now(),
                _ => (0..16).for_each(|_| std::hint::spin_loop()),
            }
        };
        self.idle.fetch_sub(1, Ordering::Relaxed);
        came
    }

    /// Sleeps until there is news for this worker.
    #[cold]
    fn sleep(&self, number: usize, worker: &Worker, seen: usize) {
        // Whoever found it asleep last time may have been late.
        worker.let_run();
        worker.cpu.store(here(), Ordering::Relaxed);
        worker.asleep.store(true, Ordering::SeqCst);
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        let news =
            || self.news.load(Ordering::SeqCst) != seen && number < self.wanted.load(Ordering::Relaxed);
        while worker.asleep.load(Ordering::SeqCst) && !news() {
            std::thread::park();
        }
        worker.asleep.store(false, Ordering::SeqCst);
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
        worker.let_run();
    }
}

impl Worker {
    /// Ends its sleep, on another CPU than this one.
    fn wake(&self) {
        // It has noted its thread before it sleeps.
        let Some((thread, this)) = self.thread.get() else { return };
        let here = here();
        if self.cpu.load(Ordering::Relaxed) == here {
            let mut kept_off = lock(&self.kept_off);
            if kept_off.is_none() {
                *kept_off = this.keep_off(here);
            }
        }
        self.asleep.store(false, Ordering::SeqCst);
        thread.unpark();
    }

    /// Lets it run on all CPUs again.
    fn let_run(&self) {
        if let Some((cpus, (_, this))) = lock(&self.kept_off).take().zip(self.thread.get()) {
            this.let_run(&cpus);
        }
    }
}
