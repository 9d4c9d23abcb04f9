//! ONNX files: any bytes, and a model with the damages that bytes describe, are read or refused; what is read is written
//! and read again as the same, and each tensor's elements are there.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Result;
use bytes::Bytes;
use quantray_core::onnx::tensor::data;
use quantray_core::onnx::{read, write};
use quantray_fuzz::damage::{Numbers, damaged, sample};
use quantray_fuzz::{Input, target};

static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(sample);

/// The fuzzer's bytes as numbers; after the last one come zeros.
struct Asked<'a, 'b>(&'a mut Input<'b>);

impl Numbers for Asked<'_, '_> {
    fn below(&mut self, limit: usize) -> usize {
        self.0.from_to(0, limit - 1).unwrap_or(0)
    }
}

fn run(input: &mut Input<'_>) -> Result<()> {
    let file = match input.flag()? {
        true => damaged(&SAMPLE, &SAMPLE, &mut Asked(input)),
        false => {
            let len = input.from_to(0, 1024)?;
            (0..len).map(|_| Ok(input.from_to(0, 255)? as u8)).collect::<Result<_>>()?
        }
    };
    let Ok(model) = read(&Bytes::from(file)) else { return Ok(()) };
    for t in model.graph.iter().flat_map(|g| &g.initializer) {
        let found = data(t);
        assert!(found.is_ok(), "{found:?} after the check");
    }
    let mut again = Vec::new();
    write(model.clone(), &mut again).expect("memory grows");
    let read_again = read(&Bytes::from(again));
    assert_eq!(format!("{read_again:?}"), format!("{:?}", Ok::<_, ()>(model)));
    Ok(())
}

target!(run);
