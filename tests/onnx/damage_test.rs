//! Damaged models: no panic, no hang, no more memory than is promised.
//!
//! `QUANTRAY_ONNX_MODELS=FOLDER QUANTRAY_ONNX_MUTANTS=100000 cargo test --release --test onnx` damages the small files of a
//! folder, too: `scripts/damage_onnx.sh` does.

mod damage;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use damage::{Numbers, damaged, sample};
use quantray_core::onnx::messages::{Attribute, Graph, Node, Tensor};
use quantray_core::onnx::tensor::data;
use quantray_core::onnx::{read, write};

thread_local! {
    /// Bytes that this thread holds, and the most that it held.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, counted.
struct Counted;

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: all of it is the system's allocator's work.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// The most bytes that `f` held beyond those that were held before it.
fn most_held<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let (now, _) = HELD.get();
    HELD.set((now, now));
    let made = f();
    (made, (HELD.get().1 - now) as usize)
}

/// xorshift64* (Vigna, 2016).
struct Random(u64);

impl Numbers for Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)) * limit as u128) >> 64) as usize
    }
}

/// Small models of a folder; the sample.
fn models() -> Vec<Vec<u8>> {
    let mut found = vec![sample()];
    if let Some(folder) = std::env::var_os("QUANTRAY_ONNX_MODELS") {
        collect(Path::new(&folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "onnx") && path.metadata().unwrap().len() < 64 << 10 {
            found.push(std::fs::read(path).unwrap());
        }
    }
}

/// What the reader promises: 2 KiB for each message, of which each takes at least two bytes of a file, and 32 bytes for
/// each byte of numbers.
fn promised(file: &[u8]) -> usize {
    (64 << 10) + file.len() * 1024
}

#[test]
fn damaged_models_are_read_or_refused() {
    let mutants: usize = std::env::var("QUANTRAY_ONNX_MUTANTS").map_or(5_000, |n| n.parse().unwrap());
    let models = models();
    let mut random = Random(0x5eed);
    let (mut valid, mut slowest, mut most) = (0, Duration::ZERO, 0.0f64);
    for i in 0..mutants {
        let model = &models[i % models.len()];
        let other = &models[random.below(models.len())];
        let file = Bytes::from(damaged(model, other, &mut random));
        let begun = Instant::now();
        let (found, held) = most_held(|| read(&file));
        slowest = slowest.max(begun.elapsed());
        most = most.max(held as f64 / promised(&file) as f64);
        assert!(held <= promised(&file), "mutant {i}: {held} bytes for a file of {}", file.len());
        match found {
            Err(e) => assert!(!e.to_string().is_empty()),
            Ok(model) => {
                valid += 1;
                let mut all = Vec::new();
                tensors(model.graph.as_ref().unwrap(), &mut all);
                for t in all {
                    let _ = data(t).unwrap_or_else(|e| panic!("mutant {i}: {e} after the check"));
                }
                let mut again = Vec::new();
                write(model.clone(), &mut again).unwrap();
                let read_again = read(&Bytes::from(again)).unwrap();
                // NaN is not equal to itself.
                assert_eq!(format!("{read_again:?}"), format!("{model:?}"), "mutant {i}");
            }
        }
    }
    println!(
        "{mutants} mutants of {} models: {valid} valid, slowest {slowest:?}, {:.1} % of the promised memory",
        models.len(),
        100.0 * most
    );
    assert!(mutants < 100 || (0 < valid && valid < mutants), "{valid} of {mutants} are valid");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

fn tensors<'a>(g: &'a Graph, found: &mut Vec<&'a Tensor>) {
    found.extend(&g.initializer);
    for a in g.node.iter().flat_map(|n| &n.attribute) {
        if !a.ref_attr_name.is_empty() {
            continue;
        }
        if let (4 | 0, Some(t)) = (a.kind, &a.t) {
            found.push(t);
        }
        if let (5 | 0, Some(inner)) = (a.kind, &a.g) {
            tensors(inner, found);
        }
    }
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut made = vec![number << 3 | 2];
    let mut len = content.len();
    while len > 127 {
        made.push(len as u8 & 127 | 128);
        len >>= 7;
    }
    made.push(len as u8);
    made.extend(content);
    made
}

#[test]
fn each_message_takes_its_part_of_the_memory() {
    const N: usize = 20_000;
    // Messages of two bytes each, in each place that has many.
    let many = |number: u8| field(7, &[number << 3 | 2, 0].repeat(N));
    let of_node = |number: u8| field(7, &field(1, &[number << 3 | 2, 0].repeat(N)));
    let of_attribute = |number: u8| field(7, &field(1, &field(5, &[number << 3 | 2, 0].repeat(N))));
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    files.extend([1, 5, 11, 12, 13, 14].map(|n| (format!("graph {n}"), many(n))));
    files.extend([1, 2, 5, 9, 10].map(|n| (format!("node {n}"), of_node(n))));
    files.extend([9, 10, 11, 15].map(|n| (format!("attribute {n}"), of_attribute(n))));
    files.push(("sparse".into(), field(7, &[15 << 3 | 2, 0].repeat(N))));
    files.push(("opsets".into(), [8 << 3 | 2, 0].repeat(N)));
    for (name, file) in files {
        let file = Bytes::from(file);
        let (_, held) = most_held(|| read(&file));
        println!("{name}: {} bytes a message", held / N);
        assert!(held < N * 2048 + (64 << 10), "{name}: {} bytes a message", held / N);
    }
}

#[test]
fn each_number_takes_its_part_of_the_memory() {
    const N: usize = 200_000;
    let numbers = |number: u8, content: &[u8]| field(7, &field(5, &field(number, content)));
    for (name, file, bytes) in [
        ("int32_data", numbers(5, &[1; N]), N),
        ("int64_data", numbers(7, &[1; N]), N),
        ("uint64_data", numbers(11, &[1; N]), N),
        ("float_data", numbers(4, &[0; 4 * N]), 4 * N),
        ("double_data", numbers(10, &[0; 8 * N]), 8 * N),
        ("dims", field(7, &field(5, &field(1, &[1; N]))), N),
        ("ints one by one", field(7, &field(1, &field(5, &[8 << 3, 1].repeat(N)))), 2 * N),
    ] {
        let file = Bytes::from(file);
        let (_, held) = most_held(|| read(&file));
        println!("{name}: {:.1} bytes a byte", held as f64 / bytes as f64);
        assert!(held < 32 * bytes + (64 << 10), "{name}: {} bytes a byte", held / bytes);
    }
}

#[test]
fn lengths_promise_nothing() {
    for number in 1..=26u8 {
        for len in [1u64 << 20, 1 << 31, 1 << 40, u64::MAX] {
            let mut varint = Vec::new();
            let mut rest = len;
            while rest > 127 {
                varint.push(rest as u8 & 127 | 128);
                rest >>= 7;
            }
            varint.push(rest as u8);
            let key = u16::from(number) << 3 | 2;
            let key = if key > 127 { vec![key as u8 | 128, (key >> 7) as u8] } else { vec![key as u8] };
            let broken = [key, varint].concat();
            for outer in [&[7u8][..], &[7, 1], &[7, 5], &[7, 1, 5], &[7, 11, 2], &[25]] {
                let mut file = broken.clone();
                for &n in outer.iter().rev() {
                    file = if n < 16 {
                        field(n, &file)
                    } else {
                        [&[0xca, 1, file.len() as u8][..], &file].concat()
                    };
                }
                let file = Bytes::from(file);
                let (found, held) = most_held(|| read(&file));
                assert!(found.is_err());
                assert!(held < 64 << 10, "{held} bytes for {file:?}");
            }
        }
    }
}

#[test]
fn the_sample_is_valid() {
    let file = Bytes::from(sample());
    let model = read(&file).unwrap();
    let Some(Node { attribute, .. }) = model.graph.as_ref().map(|g| &g.node[0]) else { panic!() };
    assert!(attribute.iter().any(|a: &Attribute| a.g.is_some()));
    // Raw data are parts of the file.
    let raw = model.graph.as_ref().unwrap().initializer[0].raw_data.as_ref().unwrap();
    let range = file.as_ptr_range();
    assert!(range.contains(&raw.as_ptr()));
}
