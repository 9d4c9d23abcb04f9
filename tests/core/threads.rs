//! Many callers at once, a forked child, an interrupt.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{collect, turn};
use quantray_core::affine::{self, Affine};
use quantray_core::arch::Isa;
use quantray_core::error::Stopped;
use quantray_core::{observe, threads};

const PARAMS: Affine<'static> = Affine::PerTensor { scale: 0.05, zero_point: 7 };

/// Large enough to be shared.
const N: usize = 1 << 20;

fn quantize(x: &[f32]) -> Vec<u8> {
    collect(x.len(), |out| affine::quantize::<u8>(x, out, &PARAMS)).unwrap()
}

fn input() -> Vec<f32> {
    (0..N).map(|i| (i % 1000) as f32 * 0.01).collect()
}

#[test]
fn many_callers_at_once_all_get_their_own_answer() {
    let _turn = turn();
    threads::set_num_threads(1).unwrap();
    let x = input();
    let want = quantize(&x);
    threads::set_num_threads(3).unwrap();
    let calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(quantize(&x) == want);
                    assert_eq!(observe::min_max(&x).unwrap().max, 9.99);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(calls.into_inner(), 120);
}

#[test]
fn the_number_of_threads_may_change_between_calls() {
    let _turn = turn();
    let x = input();
    threads::set_num_threads(1).unwrap();
    let want = quantize(&x);
    for n in [4, 1, 2, 8, 3] {
        threads::set_num_threads(n).unwrap();
        assert_eq!(threads::num_threads(), n);
        assert!(quantize(&x) == want, "with {n} threads");
    }
    threads::set_num_threads(0).unwrap_err();
}

#[cfg(unix)]
#[test]
fn a_forked_child_works_and_does_not_hang() {
    let _turn = turn();
    threads::set_num_threads(2).unwrap();
    let x = input();
    let want = quantize(&x);
    let mut out = vec![std::mem::MaybeUninit::new(0u8); N];
    // SAFETY: the child calls the kernels, which allocate (glibc's `malloc` works in a child), and ends without
    // unwinding or running destructors.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let mut right = true;
        for _ in 0..3 {
            right &= affine::quantize::<u8>(&x, &mut out, &PARAMS).is_ok();
            // SAFETY: all of it was initialized.
            right &= out.iter().zip(&want).all(|(got, want)| unsafe { got.assume_init() } == *want);
        }
        // SAFETY: ends the process, whatever its state.
        unsafe { libc::_exit(if right { 0 } else { 1 }) };
    }
    for _ in 0..3000 {
        let mut status = 0;
        // SAFETY: `status` may be written.
        let ended = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        if ended == child {
            assert!(
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
                "the child ended with {status}"
            );
            assert!(quantize(&x) == want, "the parent's threads work on");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // SAFETY: our own child, which was not waited for yet.
    unsafe { libc::kill(child, libc::SIGKILL) };
    panic!("the child hangs");
}

static STOP: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn an_interrupt_stops_long_work() {
    let _turn = turn();
    threads::set_interrupt_check(|| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        STOP.load(Ordering::Relaxed)
    });
    let best = Isa::current();
    // The slowest there is, so that it takes long enough.
    Isa::set_current(Isa::Scalar).unwrap();
    for count in [1, 2] {
        threads::set_num_threads(count).unwrap();
        STOP.store(true, Ordering::Relaxed);
        let stopped = (20..28).any(|log| {
            let x = vec![1.5f32; 1 << log];
            collect(x.len(), |out| affine::quantize::<i32>(&x, out, &PARAMS)) == Err(Stopped::Interrupted)
        });
        assert!(stopped, "with {count} threads; it asked {} times", ASKED.load(Ordering::Relaxed));
        STOP.store(false, Ordering::Relaxed);
        let x = input();
        assert_eq!(quantize(&x).len(), N);
    }
    Isa::set_current(best).unwrap();
}

#[test]
fn products_are_the_same_however_many_threads_share_them() {
    use quantray_core::gemm::{
        Activations, Codes, Finish, Matrix, PackedWeights, Results, WeightParams, multiply,
    };
    let _turn = turn();
    // Shared when calls come in a row, when it is large, and never; with rows that no tile divides.
    for (m, k, n) in [(49, 768, 768), (133, 512, 700), (1, 768, 3072), (5, 64, 64)] {
        let w: Vec<i8> = (0..n * k).map(|i| (i * 37 % 255) as u8 as i8).collect();
        let x: Vec<u8> = (0..m * k).map(|i| (i * 89 % 256) as u8).collect();
        let params = WeightParams { scales: &[1.0], zero_points: &[0] };
        let packed = PackedWeights::new(Isa::current(), Matrix::dense(Codes::I8(&w), n, k), params).unwrap();
        let x = Activations {
            codes: Matrix::dense(Codes::U8(&x), m, k).into(),
            scales: &[1.0],
            zero_points: &[3],
        };
        let finish = Finish::default();
        let sums = || {
            let to = |out: &mut [_]| multiply(&x, &packed, &finish, Results::Sums(out));
            collect(m * n, to).unwrap()
        };
        threads::set_num_threads(1).unwrap();
        let want: Vec<i32> = sums();
        let (r, c) = (m - 1, n - 1);
        let term = |i: usize| ((r * k + i) * 89 % 256) as i32 - 3;
        let last: i32 = (0..k).map(|i| term(i) * i32::from(w[c * k + i])).sum();
        assert_eq!(*want.last().unwrap(), last);
        for count in [2, 3] {
            threads::set_num_threads(count).unwrap();
            for _ in 0..20 {
                assert!(sums() == want, "{m} x {k} x {n} with {count} threads");
            }
        }
    }
}
