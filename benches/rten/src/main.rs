//! Times rten-gemm's products of u8 and i8, packed beforehand, for `products.py`.
//!
//! A line of the input asks for `M K N TIMES`, the answer is the seconds that one of them takes. `RAYON_NUM_THREADS` is
//! how many threads share it.

use std::io::{BufRead, Write};
use std::time::Instant;

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmUninitOptions, PackedBMatrix, QuantParams};
use rten_tensor::prelude::*;
use rten_tensor::{Matrix, NdTensor};

struct Product {
    size: [usize; 3],
    a: NdTensor<u8, 2>,
    b: PackedBMatrix<i8>,
}

fn main() {
    let gemm = GemmExecutor::<u8, i8, i32>::new();
    eprintln!("rten-gemm: {}", gemm.kernel_name());
    let mut last: Option<Product> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("lines of text");
        let numbers: Vec<usize> = line.split_whitespace().map(|n| n.parse().expect("integers")).collect();
        let &[m, k, n, times] = &numbers[..] else { panic!("M K N TIMES, not {line}") };
        let product = match last.take() {
            Some(product) if product.size == [m, k, n] => product,
            _ => {
                let a = NdTensor::from_fn([m, k], |[r, c]| (r * 31 + c * 17) as u8);
                let b = NdTensor::from_fn([k, n], |[r, c]| (r * 7 + c * 13) as u8 as i8);
                Product { size: [m, k, n], a, b: gemm.prepack_b(b.view()) }
            }
        };
        let zero_points = vec![7u8; m];
        let mut out = Vec::with_capacity(m * n);
        let mut run = || {
            let a: Matrix<'_, u8> = product.a.view();
            let quant = QuantParams { zero_point: &zero_points[..] };
            let options = GemmUninitOptions { a_quant: Some(quant), ..Default::default() };
            let out = &mut out.spare_capacity_mut()[..m * n];
            let (a, b) = (GemmInputA::Unpacked(a), GemmInputB::Packed(&product.b));
            std::hint::black_box(gemm.gemm_uninit(out, a, b, options).expect("a product"));
        };
        run();
        let start = Instant::now();
        (0..times).for_each(|_| run());
        println!("{}", start.elapsed().as_secs_f64() / times as f64);
        std::io::stdout().flush().expect("a reader");
        last = Some(product);
    }
}
