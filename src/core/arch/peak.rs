//! What the CPU's registers can do, to measure kernels against: loops without a load.

/// 10^9 operations a second of one core: products and their sums, exact ones of 8-bit integers for each instruction
/// set that has a probe, and of float32 by fused multiply-add. Takes some milliseconds.
pub fn peaks() -> Vec<(&'static str, f64)> {
    #[cfg(target_arch = "x86_64")]
    return x86_64::peaks();
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;
    use std::time::Instant;

    /// Sums that do not wait for each other, and so many turns.
    const SUMS: usize = 12;
    const TURNS: usize = 20_000;

    /// A loop of these instructions for each of twelve registers `r`, with 12 to 15 for what they like.
    macro_rules! turns {
        ($($line:literal),* $(,)?) => {
            // SAFETY: callers have seen the CPU report the instructions; only registers are touched.
            unsafe {
                asm!(
                    "vxorps ymm14, ymm14, ymm14",
                    "vxorps ymm15, ymm15, ymm15",
                    "2:",
                    ".irp r,0,1,2,3,4,5,6,7,8,9,10,11",
                    $($line,)*
                    ".endr",
                    "dec {n}",
                    "jnz 2b",
                    n = inout(reg) TURNS => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    options(nomem, nostack),
                )
            }
        };
    }

    fn float32() {
        turns!("vfmadd231ps ymm\\r, ymm14, ymm15");
    }

    fn float32_wide() {
        turns!("vfmadd231ps zmm\\r, zmm14, zmm15");
    }

    fn avx2() {
        turns!("vpmaddwd ymm12, ymm14, ymm15", "vpaddd ymm\\r, ymm\\r, ymm12");
    }

    fn avx_vnni() {
        turns!("{{vex}} vpdpbusd ymm\\r, ymm14, ymm15");
    }

    fn avx512() {
        turns!("vpmaddwd zmm12, zmm14, zmm15", "vpaddd zmm\\r, zmm\\r, zmm12");
    }

    fn vnni() {
        turns!("vpdpbusd zmm\\r, zmm14, zmm15");
    }

    /// The best of many runs, of `products` a multiply-add.
    fn gops(products: usize, run: fn()) -> f64 {
        let time = || {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        };
        let best = (0..50).map(|_| time()).fold(f64::INFINITY, f64::min);
        (2 * products * SUMS * TURNS) as f64 / best / 1e9
    }

    pub(super) fn peaks() -> Vec<(&'static str, f64)> {
        let mut found = Vec::new();
        let wide = std::is_x86_feature_detected!("avx512bw");
        if wide {
            found.push(("float32", gops(16, float32_wide)));
        } else if std::is_x86_feature_detected!("fma") {
            found.push(("float32", gops(8, float32)));
        }
        if std::is_x86_feature_detected!("avx2") {
            found.push(("avx2", gops(16, avx2)));
        }
        if std::is_x86_feature_detected!("avxvnni") {
            found.push(("avxvnni", gops(32, avx_vnni)));
        }
        if wide {
            found.push(("avx512", gops(32, avx512)));
        }
        if std::is_x86_feature_detected!("avx512vnni") {
            found.push(("avx512vnni", gops(64, vnni)));
        }
        found
    }
}
