//! From messages to a file. Initializers go through one by one, so that the weights are never in memory twice.

use std::io;

use bytes::Bytes;
use prost::{Message, encode_length_delimiter};

use super::messages::{Entry, Model, Tensor};
use super::tensor::EXTERNAL;

/// The size of a file that readers of protobuf take at most.
pub const MOST: usize = i32::MAX as usize;

/// The number of a field in the definition, before a length: such fields are below 16.
const fn key(field: u8) -> u8 {
    field << 3 | 2
}

const GRAPH: u8 = key(7);
const INITIALIZER: u8 = key(5);
const RAW_DATA: u8 = key(9);

/// Smaller tensors stay in the model's file.
const LEAST_MOVED: usize = 4096;
/// Where tensors begin in a file of their own: on pages, as the definition recommends.
const PAGE: u64 = 4096;
const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];

/// Takes the elements of large initializers out of a model and says in it that they lie in a file of this name.
///
/// Returns them in the order in which [`write_data`] wants them.
pub fn move_out(model: &mut Model, location: &str) -> Vec<Bytes> {
    let (mut moved, mut at) = (Vec::new(), 0u64);
    for t in model.graph.iter_mut().flat_map(|g| &mut g.initializer) {
        let Some(raw) = t.raw_data.take_if(|raw| raw.len() >= LEAST_MOVED) else { continue };
        let entry = |key: &str, value: String| Entry { key: key.into(), value };
        t.external_data = vec![
            entry("location", location.into()),
            entry("offset", at.to_string()),
            entry("length", raw.len().to_string()),
        ];
        t.data_location = EXTERNAL;
        at = (at + raw.len() as u64).next_multiple_of(PAGE);
        moved.push(raw);
    }
    moved
}

/// Writes what [`move_out`] took.
///
/// # Errors
/// Those of `to`.
pub fn write_data(moved: &[Bytes], to: &mut impl io::Write) -> io::Result<()> {
    for (i, raw) in moved.iter().enumerate() {
        to.write_all(raw)?;
        if i + 1 < moved.len() {
            let end = raw.len() as u64;
            to.write_all(&ZEROS[..(end.next_multiple_of(PAGE) - end) as usize])?;
        }
    }
    Ok(())
}

/// How many bytes a model takes with all of its tensors in one file.
pub fn size(model: &Model) -> usize {
    model.encoded_len()
}

fn head(key: u8, len: usize) -> Vec<u8> {
    let mut made = vec![key];
    encode_length_delimiter(len, &mut made).expect("a vector grows");
    made
}

/// Writes a model.
///
/// # Errors
/// Those of `to`, and a model of more than 2 GB, which no reader would take: its tensors belong into a file beside it.
pub fn write(mut model: Model, to: &mut impl io::Write) -> io::Result<()> {
    let len = size(&model);
    if len > MOST {
        return Err(io::Error::other(format!(
            "it takes {len} bytes, and an ONNX file has at most {MOST}: keep its tensors in a file beside it"
        )));
    }
    let graph = model.graph.take();
    to.write_all(&model.encode_to_vec())?;
    let Some(mut graph) = graph else { return Ok(()) };
    let whole = graph.encoded_len();
    let initializers = std::mem::take(&mut graph.initializer);
    to.write_all(&head(GRAPH, whole))?;
    to.write_all(&graph.encode_to_vec())?;
    initializers.into_iter().try_for_each(|t| tensor(t, to))
}

fn tensor(mut t: Tensor, to: &mut impl io::Write) -> io::Result<()> {
    to.write_all(&head(INITIALIZER, t.encoded_len()))?;
    let raw = t.raw_data.take();
    to.write_all(&t.encode_to_vec())?;
    if let Some(raw) = raw {
        to.write_all(&head(RAW_DATA, raw.len()))?;
        to.write_all(&raw)?;
    }
    Ok(())
}
