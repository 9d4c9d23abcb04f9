//! From messages to a file. Initializers go through one by one, so that the weights are never in memory twice.

use std::io;

use prost::{Message, encode_length_delimiter};

use super::messages::{Model, Tensor};

/// What readers of protobuf take at most.
pub const MOST: usize = i32::MAX as usize;

/// The number of a field in the definition, before a length: such fields are below 16.
const fn key(field: u8) -> u8 {
    field << 3 | 2
}

const GRAPH: u8 = key(7);
const INITIALIZER: u8 = key(5);
const RAW_DATA: u8 = key(9);

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
    let len = model.encoded_len();
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
