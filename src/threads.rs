//! Work shared between threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, Stopped};

/// Bytes read and written by one piece of work: small enough for balance and for the second cache.
pub(crate) const CHUNK_BYTES: usize = 160 << 10;

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

/// How many threads share the work of one call: `QUANTRAY_NUM_THREADS`, or as many as this process may use.
pub fn num_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => {
            let set = std::env::var("QUANTRAY_NUM_THREADS").ok().and_then(|n| n.trim().parse().ok());
            let n = set
                .filter(|&n| n > 0)
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
            THREADS.store(n, Ordering::Relaxed);
            n
        }
        n => n,
    }
}

/// What a long call asks every 50 ms, on the calling thread, whether to stop. The first one stays.
pub fn set_interrupt_check(check: fn() -> bool) {
    let _ = CHECK.set(check);
}

/// Runs `f` over the items, which together move `_bytes`; it returns whether to go on.
pub(crate) fn for_each<W: Send>(
    _bytes: usize,
    items: impl ExactSizeIterator<Item = W>,
    f: impl Fn(W) -> bool + Sync,
) -> std::result::Result<(), Stopped> {
    let mut last = None;
    for item in items {
        let now = last.map(|_| Instant::now());
        if let (Some(now), Some(then)) = (now, last)
            && now - then > POLL
        {
            if CHECK.get().is_some_and(|check| check()) {
                return Err(Stopped::Interrupted);
            }
            last = Some(now);
        }
        last = last.or_else(|| Some(Instant::now()));
        if !f(item) {
            break;
        }
    }
    Ok(())
}
