use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::pool::Pool;
use super::*;

/// Tests that hold all places, or that need one, come one after the other.
static TURN: Mutex<()> = Mutex::new(());

/// Calls `work` with each number, in up to so many workers and here, whoever else does the same.
fn run(count: usize, helpers: usize, work: &(dyn Fn(usize) + Sync)) {
    let pool = Pool::current();
    let Some(job) = pool.hold() else { return (0..count).for_each(work) };
    let _left = Left { here: HERE.replace(Here::Piece(pool)), job: Some(job), pool };
    pool.run(job, (count, helpers), &|i, _| work(i), &mut || {});
}

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
            run(count, helpers, &work);
            assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 1));
        }
    }
}

#[test]
fn items_are_taken_once_each() {
    for count in [2, 3, 100] {
        set_num_threads(3).unwrap();
        let mut items = vec![0; count];
        let each = |(i, item): (usize, &mut usize)| {
            *item += i + 1;
            true
        };
        assert_eq!(for_each(1 << 30, items.iter_mut().enumerate(), each), Ok(()));
        assert!(items.iter().enumerate().all(|(i, &item)| item == i + 1));
    }
}

#[test]
fn more_pieces_than_a_ticket_counts_are_done_several_at_a_time() {
    let count = job::MOST_PIECES + 2;
    let (sum, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    run(count, 2, &|i| {
        sum.fetch_add(i, Ordering::Relaxed);
        done.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!((done.into_inner(), sum.into_inner()), (count, count * (count - 1) / 2));
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
        let result = catch_unwind(AssertUnwindSafe(|| run(100, 2, &work)));
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
                    run(5, 2, &|_| run(3, 2, &inner));
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 8 * 20 * 5 * 3);
}

#[test]
fn more_callers_than_there_are_places_work_alone() {
    let _turn = lock(&TURN);
    let pool = Pool::current();
    let held: Vec<_> = std::iter::from_fn(|| pool.hold()).collect();
    let done = AtomicUsize::new(0);
    let team = Team { pool, job: None };
    let next = |_| done.fetch_add(1, Ordering::Relaxed) < 9;
    assert_eq!(team.share(9, &next), Ok(()));
    held.into_iter().for_each(Job::release);
    assert_eq!(done.into_inner(), 9);
}

#[test]
fn workers_that_slept_help_again() {
    let _turn = lock(&TURN);
    for _ in 0..20 {
        // Each piece waits for the other one: the worker has to come.
        let met = std::sync::Barrier::new(2);
        run(2, 1, &|_| {
            met.wait();
        });
        // It is asleep by then.
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn steps_of_a_program_share_one_place_and_leave_it() {
    let _turn = lock(&TURN);
    let pool = Pool::current();
    let job = pool.hold().unwrap();
    let before = Left { here: HERE.replace(Here::Program(pool, job)), job: Some(job), pool };
    let sum = AtomicUsize::new(0);
    for step in 0..2000 {
        let items = AtomicUsize::new(0);
        let team = Team { pool, job: Some(job) };
        let next = |_| {
            let i = items.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(i * step, Ordering::Relaxed);
            // Work within a piece has a place of its own.
            !i.is_multiple_of(5)
                || for_each(1 << 20, [1, 2].into_iter(), |n| {
                    sum.fetch_add(n, Ordering::Relaxed);
                    true
                }) == Ok(())
        };
        assert_eq!(team.share(10, &next), Ok(()));
    }
    drop(before);
    assert!(matches!(HERE.get(), Here::Outside));
    assert_eq!(sum.into_inner(), 45 * (1999 * 2000 / 2) + 2000 * 2 * 3);
    assert!(job.hold());
    job.release();
}

#[test]
fn a_program_that_panics_leaves_the_pool() {
    let result = catch_unwind(|| together(1 << 30, || panic!("in a step")));
    assert!(result.is_err() && matches!(HERE.get(), Here::Outside));
}
