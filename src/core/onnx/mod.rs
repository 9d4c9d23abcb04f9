//! ONNX files as protobuf messages: read, checked and written. What operators mean is none of its business.
//!
//! [`read`] finds the messages of a file and refuses what is not one; [`check`] compares each tensor's bytes with its
//! shape before anything of that size is allocated; [`tensor`] says where a tensor's elements lie; `write` puts messages
//! into a file.

pub mod attribute;
mod check;
mod elements;
mod fault;
pub mod messages;
mod other;
mod read;
pub mod tensor;
mod write;

pub use check::check;
pub use elements::{ELEMENTS, Element, Field};
pub use read::{Invalid, read};
pub use write::{MOST, move_out, size, write, write_data};
