//! What the CPU's registers can do: `cargo bench --bench peak` prints, for each instruction set that it has, the 8-bit
//! products and sums of one core in 10^9 a second, exact ones, without a load. `products.py` reads it.

fn main() {
    #[cfg(target_arch = "x86_64")]
    for (name, gops) in x86_64::peaks() {
        println!("{name} {gops:.1}");
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;
    use std::time::Instant;

    /// Sums that do not wait for each other, and so many turns.
    const SUMS: usize = 12;
    const TURNS: usize = 20_000;

    /// A loop of these instructions.
    macro_rules! turns {
        ($($line:literal),* $(,)?) => {
            // SAFETY: callers have seen the CPU report the instructions; only registers are touched.
            unsafe {
                asm!(
                    "2:",
                    $($line,)*
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

    fn avx2() {
        turns!(
            "vpmaddwd ymm12, ymm14, ymm15",
            "vpaddd ymm0, ymm0, ymm12",
            "vpmaddwd ymm13, ymm14, ymm15",
            "vpaddd ymm1, ymm1, ymm13",
            "vpmaddwd ymm12, ymm14, ymm15",
            "vpaddd ymm2, ymm2, ymm12",
            "vpmaddwd ymm13, ymm14, ymm15",
            "vpaddd ymm3, ymm3, ymm13",
            "vpmaddwd ymm12, ymm14, ymm15",
            "vpaddd ymm4, ymm4, ymm12",
            "vpmaddwd ymm13, ymm14, ymm15",
            "vpaddd ymm5, ymm5, ymm13",
            "vpmaddwd ymm12, ymm14, ymm15",
            "vpaddd ymm6, ymm6, ymm12",
            "vpmaddwd ymm13, ymm14, ymm15",
            "vpaddd ymm7, ymm7, ymm13",
            "vpmaddwd ymm12, ymm14, ymm15",
            "vpaddd ymm8, ymm8, ymm12",
            "vpmaddwd ymm13, ymm14, ymm15",
            "vpaddd ymm9, ymm9, ymm13",
            "vpmaddwd ymm12, ymm14, ymm15",
            "vpaddd ymm10, ymm10, ymm12",
            "vpmaddwd ymm13, ymm14, ymm15",
            "vpaddd ymm11, ymm11, ymm13"
        );
    }

    fn avx512() {
        turns!(
            "vpmaddwd zmm12, zmm14, zmm15",
            "vpaddd zmm0, zmm0, zmm12",
            "vpmaddwd zmm13, zmm14, zmm15",
            "vpaddd zmm1, zmm1, zmm13",
            "vpmaddwd zmm12, zmm14, zmm15",
            "vpaddd zmm2, zmm2, zmm12",
            "vpmaddwd zmm13, zmm14, zmm15",
            "vpaddd zmm3, zmm3, zmm13",
            "vpmaddwd zmm12, zmm14, zmm15",
            "vpaddd zmm4, zmm4, zmm12",
            "vpmaddwd zmm13, zmm14, zmm15",
            "vpaddd zmm5, zmm5, zmm13",
            "vpmaddwd zmm12, zmm14, zmm15",
            "vpaddd zmm6, zmm6, zmm12",
            "vpmaddwd zmm13, zmm14, zmm15",
            "vpaddd zmm7, zmm7, zmm13",
            "vpmaddwd zmm12, zmm14, zmm15",
            "vpaddd zmm8, zmm8, zmm12",
            "vpmaddwd zmm13, zmm14, zmm15",
            "vpaddd zmm9, zmm9, zmm13",
            "vpmaddwd zmm12, zmm14, zmm15",
            "vpaddd zmm10, zmm10, zmm12",
            "vpmaddwd zmm13, zmm14, zmm15",
            "vpaddd zmm11, zmm11, zmm13"
        );
    }

    fn vnni() {
        turns!(
            "vpdpbusd zmm0, zmm14, zmm15",
            "vpdpbusd zmm1, zmm14, zmm15",
            "vpdpbusd zmm2, zmm14, zmm15",
            "vpdpbusd zmm3, zmm14, zmm15",
            "vpdpbusd zmm4, zmm14, zmm15",
            "vpdpbusd zmm5, zmm14, zmm15",
            "vpdpbusd zmm6, zmm14, zmm15",
            "vpdpbusd zmm7, zmm14, zmm15",
            "vpdpbusd zmm8, zmm14, zmm15",
            "vpdpbusd zmm9, zmm14, zmm15",
            "vpdpbusd zmm10, zmm14, zmm15",
            "vpdpbusd zmm11, zmm14, zmm15"
        );
    }

    /// The best of many runs, in operations (products and sums) of `products` a multiply-add.
    fn gops(products: usize, run: fn()) -> f64 {
        let best = (0..200)
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        (2 * products * SUMS * TURNS) as f64 / best / 1e9
    }

    pub fn peaks() -> Vec<(&'static str, f64)> {
        let mut found = Vec::new();
        if std::is_x86_feature_detected!("avx2") {
            found.push(("avx2", gops(16, avx2)));
        }
        if std::is_x86_feature_detected!("avx512bw") {
            found.push(("avx512", gops(32, avx512)));
        }
        if std::is_x86_feature_detected!("avx512vnni") {
            found.push(("avx512vnni", gops(64, vnni)));
        }
        found
    }
}
