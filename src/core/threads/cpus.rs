//! On which CPU a worker wakes up.
//!
//! Linux wakes a thread on an idle CPU, but on virtual machines it may take one that sleeps for one that was taken away,
//! and on a machine that was busy a moment ago it does not look. A worker that wakes up on its caller's CPU waits there
//! until the caller has done all work alone, and goes back to sleep in the same place: so it may go for seconds, with
//! another CPU idle.

/// A worker's thread, as the system counts it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Worker {
    #[cfg(all(target_os = "linux", not(miri)))]
    id: libc::pid_t,
}

#[cfg(all(target_os = "linux", not(miri)))]
mod linux {
    use super::Worker;

    /// A set of CPUs.
    pub(in super::super) type Cpus = libc::cpu_set_t;

    const SIZE: usize = size_of::<libc::cpu_set_t>();

    /// Where a thread may run; 0 is the calling one.
    fn allowed(id: libc::pid_t) -> Option<Cpus> {
        // SAFETY: a set of bits, for which zeros mean that it is empty.
        let mut cpus: Cpus = unsafe { std::mem::zeroed() };
        // SAFETY: it writes at most `SIZE` bytes into `cpus`.
        (unsafe { libc::sched_getaffinity(id, SIZE, &mut cpus) } == 0).then_some(cpus)
    }

    fn allow(id: libc::pid_t, cpus: &Cpus) {
        // SAFETY: it reads `SIZE` bytes of `cpus`. Where it fails, the thread stays where it was.
        unsafe { libc::sched_setaffinity(id, SIZE, cpus) };
    }

    /// The CPU that the calling thread runs on; a large number where that is not known.
    pub(in super::super) fn here() -> usize {
        // SAFETY: it takes nothing and gives a number, -1 where it fails.
        usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(usize::MAX)
    }

    impl Worker {
        /// The calling thread.
        pub(in super::super) fn this() -> Self {
            // SAFETY: it takes nothing and gives a number.
            Self { id: unsafe { libc::gettid() } }
        }

        /// Keeps it, which sleeps, from waking up on this CPU, if it may run on another one. Gives where it may run
        /// otherwise.
        pub(in super::super) fn keep_off(self, cpu: usize) -> Option<Cpus> {
            let before = allowed(self.id)?;
            let mut others = before;
            // SAFETY: `cpu` is checked to be one of the set's.
            let some = cpu < 8 * SIZE
                && unsafe {
                    libc::CPU_CLR(cpu, &mut others);
                    libc::CPU_COUNT(&others) > 0
                };
            some.then(|| {
                allow(self.id, &others);
                before
            })
        }

        /// Lets it run there again.
        pub(in super::super) fn let_run(self, cpus: &Cpus) {
            allow(self.id, cpus);
        }
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod elsewhere {
    use super::Worker;

    /// Nothing is known of CPUs.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Cpus;

    pub(in super::super) fn here() -> usize {
        usize::MAX
    }

    impl Worker {
        pub(in super::super) fn this() -> Self {
            Self {}
        }

        pub(in super::super) fn keep_off(self, _: usize) -> Option<Cpus> {
            None
        }

        pub(in super::super) fn let_run(self, _: &Cpus) {}
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
pub(super) use elsewhere::{Cpus, here};
#[cfg(all(target_os = "linux", not(miri)))]
pub(super) use linux::{Cpus, here};
