//! Files in the safetensors format: eight bytes that say how long the header is, the header as JSON, and the tensors' data
//! without gaps. A header is checked as a whole before a byte of the data is trusted.
//!
//! ```
//! use quantray_core::safetensors::{Element, Header};
//! let tensors = [("x".to_owned(), Element::U8, vec![2, 3])];
//! let (mut file, order) = Header::write(&tensors, &[("format", "np")].map(|(k, v)| (k.into(), v.into())).into()).unwrap();
//! file.extend(0..6); // The data of each tensor, as `order` says.
//! let header = Header::read(&file).unwrap();
//! assert_eq!((order, header.tensors["x"].shape.clone()), (vec![0], vec![2, 3]));
//! assert_eq!(&file[header.tensors["x"].range.clone()], [0, 1, 2, 3, 4, 5]);
//! ```
//!
//! Source: <https://github.com/huggingface/safetensors>.

mod widened;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value, json};

pub use widened::widened;

/// What a tensor's elements are.
///
/// In the order in which tensors are written, so that wide ones are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the format's own")]
#[expect(non_camel_case_types, reason = "the names are the format's own")]
pub enum Element {
    U64,
    I64,
    F64,
    C64,
    F32,
    U32,
    I32,
    BF16,
    F16,
    U16,
    I16,
    F8_E5M2FNUZ,
    F8_E4M3FNUZ,
    F8_E8M0,
    F8_E4M3,
    F8_E5M2,
    I8,
    U8,
    F6_E3M2,
    F6_E2M3,
    F4,
    BOOL,
}

impl Element {
    /// The name of each, as headers spell it, and how many bits it has.
    const ALL: [(Self, &str, usize); 22] = [
        (Self::U64, "U64", 64),
        (Self::I64, "I64", 64),
        (Self::F64, "F64", 64),
        (Self::C64, "C64", 64),
        (Self::F32, "F32", 32),
        (Self::U32, "U32", 32),
        (Self::I32, "I32", 32),
        (Self::BF16, "BF16", 16),
        (Self::F16, "F16", 16),
        (Self::U16, "U16", 16),
        (Self::I16, "I16", 16),
        (Self::F8_E5M2FNUZ, "F8_E5M2FNUZ", 8),
        (Self::F8_E4M3FNUZ, "F8_E4M3FNUZ", 8),
        (Self::F8_E8M0, "F8_E8M0", 8),
        (Self::F8_E4M3, "F8_E4M3", 8),
        (Self::F8_E5M2, "F8_E5M2", 8),
        (Self::I8, "I8", 8),
        (Self::U8, "U8", 8),
        (Self::F6_E3M2, "F6_E3M2", 6),
        (Self::F6_E2M3, "F6_E2M3", 6),
        (Self::F4, "F4", 4),
        (Self::BOOL, "BOOL", 8),
    ];

    /// As headers spell it.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// How many bytes a tensor of this shape takes; None where it is no whole number, or too many.
    fn bytes(self, shape: &[usize]) -> Option<usize> {
        let bits = shape.iter().try_fold(Self::ALL[self as usize].2, |n, &length| n.checked_mul(length))?;
        (bits % 8 == 0).then_some(bits / 8)
    }
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// What its elements are, row by row.
    pub element: Element,
    /// Its lengths.
    pub shape: Vec<usize>,
    /// Which bytes of the file are its data.
    pub range: Range<usize>,
}

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Texts of whoever wrote it.
    pub metadata: BTreeMap<String, String>,
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// The key of a header that names no tensor.
pub const RESERVED: &str = "__metadata__";

/// Of the number before the header.
const PREFIX: usize = size_of::<u64>();
/// The format's own limit of a header.
const MOST: usize = 100_000_000;

impl Header {
    /// The header of a file, all bytes of which are given.
    ///
    /// # Errors
    /// What is wrong with it, in words: a header that is cut off or no JSON, tensors that do not have the bytes that
    /// their shapes need, and data with gaps, or that are not all there.
    pub fn read(file: &[u8]) -> Result<Self, String> {
        let Some((length, rest)) = file.split_first_chunk::<PREFIX>() else {
            return Err(format!("{} bytes are too few for a safetensors file", file.len()));
        };
        let length = u64::from_le_bytes(*length);
        let header = usize::try_from(length).ok().filter(|&n| n <= MOST).and_then(|n| rest.get(..n));
        let header = header.ok_or_else(|| {
            format!(
                "its header would have {length} bytes, of {} that are there and {MOST} that may be",
                rest.len()
            )
        })?;
        let entries: Map<String, Value> =
            serde_json::from_slice(header).map_err(|e| format!("its header is no JSON object: {e}"))?;
        let mut found = Self { metadata: BTreeMap::new(), tensors: BTreeMap::new() };
        for (name, entry) in entries {
            if name == RESERVED {
                found.metadata =
                    texts(entry).ok_or_else(|| format!("its {RESERVED:?} must map texts to texts"))?;
            } else {
                let tensor =
                    tensor(&entry, PREFIX + header.len()).map_err(|e| format!("tensor {name:?}: {e}"))?;
                found.tensors.insert(name, tensor);
            }
        }
        found.check(PREFIX + header.len(), file.len())?;
        Ok(found)
    }

    /// Tensors must lie one after the other and fill the file.
    fn check(&self, start: usize, end: usize) -> Result<(), String> {
        let mut ranges: Vec<_> = self.tensors.iter().map(|(name, tensor)| (&tensor.range, name)).collect();
        ranges.sort_by_key(|(range, _)| (range.start, range.end));
        let mut at = start;
        for (range, name) in ranges {
            if range.start != at {
                let (got, valid) = (range.start - start, at - start);
                return Err(format!(
                    "tensor {name:?}: its data must begin at {valid}, where others end, got {got}"
                ));
            }
            at = range.end;
        }
        if at != end {
            let (got, valid) = (end - start, at - start);
            return Err(format!("its tensors have {valid} bytes, and {got} are there"));
        }
        Ok(())
    }

    /// A header for tensors of these names, and the order in which their data follow it.
    ///
    /// # Errors
    /// Tensors that are larger than memory, or not a whole number of bytes; a header that is too long.
    pub fn write(
        tensors: &[(String, Element, Vec<usize>)],
        metadata: &BTreeMap<String, String>,
    ) -> Result<(Vec<u8>, Vec<usize>), String> {
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_by_key(|&i| (tensors[i].1, &tensors[i].0));
        let entry = |text: &mut Vec<u8>, key: &str, value: Value| {
            text.extend(if text.is_empty() { "{" } else { "," }.bytes());
            text.extend(format!("{}:{value}", Value::from(key)).bytes());
        };
        let mut text = Vec::new();
        if !metadata.is_empty() {
            entry(&mut text, RESERVED, json!(metadata));
        }
        let mut at = 0usize;
        for &i in &order {
            let (name, element, shape) = &tensors[i];
            let end = element.bytes(shape).and_then(|n| at.checked_add(n));
            let end =
                end.ok_or_else(|| format!("tensor {name:?} of shape {shape:?} has no size in bytes"))?;
            entry(
                &mut text,
                name,
                json!({"dtype": element.name(), "shape": shape, "data_offsets": [at, end]}),
            );
            at = end;
        }
        text.extend(if text.is_empty() { "{}" } else { "}" }.bytes());
        // The data are aligned as the file is.
        text.resize(text.len().next_multiple_of(PREFIX), b' ');
        if text.len() > MOST {
            return Err(format!("its header would have {} bytes, and {MOST} is the most", text.len()));
        }
        let mut file = (text.len() as u64).to_le_bytes().to_vec();
        file.append(&mut text);
        Ok((file, order))
    }
}

fn texts(entry: Value) -> Option<BTreeMap<String, String>> {
    let entries = match entry {
        Value::Object(entries) => entries,
        Value::Null => Map::new(),
        _ => return None,
    };
    let text = |(key, value)| match value {
        Value::String(text) => Some((key, text)),
        _ => None,
    };
    entries.into_iter().map(text).collect()
}

/// What an entry of a header says, whose data begin at `start`.
fn tensor(entry: &Value, start: usize) -> Result<Tensor, String> {
    let lengths = |key: &str| -> Result<Vec<usize>, String> {
        let wrong = || format!("its {key:?} must be made of lengths, got {}", entry[key]);
        let length = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        entry[key].as_array().and_then(|all| all.iter().map(length).collect()).ok_or_else(wrong)
    };
    let element = Element::ALL.iter().find(|(_, name, _)| entry["dtype"] == *name);
    let &(element, ..) =
        element.ok_or_else(|| format!("its \"dtype\" is none of the format, got {}", entry["dtype"]))?;
    let (shape, ends) = (lengths("shape")?, lengths("data_offsets")?);
    let range = match ends[..] {
        [from, to] if from <= to => start.checked_add(from).zip(start.checked_add(to)),
        _ => None,
    };
    let (from, to) =
        range.ok_or_else(|| format!("its \"data_offsets\" must be a beginning and an end, got {ends:?}"))?;
    if element.bytes(&shape) != Some(to - from) {
        let (name, got) = (element.name(), to - from);
        return Err(format!("{got} bytes are not what {name} of shape {shape:?} needs"));
    }
    Ok(Tensor { element, shape, range: from..to })
}
