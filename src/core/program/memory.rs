//! Elements of any kind: to be read, and to be written.

use std::mem::MaybeUninit;

use super::value::Kind;
use crate::arch::{slots, slots_of};
use crate::gemm::Codes;
use crate::ops::TargetCodes;

/// Elements, from the first one of a value on.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "as in `Kind`")]
pub enum Memory<'a> {
    U8(&'a [u8]),
    I8(&'a [i8]),
    F32(&'a [f32]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    Bool(&'a [u8]),
}

/// Room for elements, all of which are written.
#[derive(Debug)]
#[expect(missing_docs, reason = "as in `Kind`")]
pub enum Room<'a> {
    U8(&'a mut [MaybeUninit<u8>]),
    I8(&'a mut [MaybeUninit<i8>]),
    F32(&'a mut [MaybeUninit<f32>]),
    I32(&'a mut [MaybeUninit<i32>]),
    I64(&'a mut [MaybeUninit<i64>]),
    Bool(&'a mut [MaybeUninit<u8>]),
}

/// A task was planned for other elements than it meets: a mistake of the plan.
#[cold]
fn wrong() -> ! {
    panic!("elements of the planned kind")
}

impl<'a> Memory<'a> {
    /// None.
    pub const EMPTY: Self = Self::U8(&[]);

    /// Bytes as elements.
    pub(super) fn of(kind: Kind, bytes: &'a [u8]) -> Self {
        match kind {
            Kind::U8 => Self::U8(bytes),
            Kind::I8 => Self::I8(bytemuck::cast_slice(bytes)),
            Kind::F32 => Self::F32(bytemuck::cast_slice(bytes)),
            Kind::I32 => Self::I32(bytemuck::cast_slice(bytes)),
            Kind::I64 => Self::I64(bytemuck::cast_slice(bytes)),
            Kind::Bool => Self::Bool(bytes),
        }
    }

    /// The elements from one on; a view without any may begin beyond them.
    pub(super) fn from(self, at: usize) -> Self {
        let at = at.min(self.len());
        match self {
            Self::U8(all) => Self::U8(&all[at..]),
            Self::I8(all) => Self::I8(&all[at..]),
            Self::F32(all) => Self::F32(&all[at..]),
            Self::I32(all) => Self::I32(&all[at..]),
            Self::I64(all) => Self::I64(&all[at..]),
            Self::Bool(all) => Self::Bool(&all[at..]),
        }
    }

    /// The first elements.
    pub(super) fn first(self, n: usize) -> Self {
        match self {
            Self::U8(all) => Self::U8(&all[..n]),
            Self::I8(all) => Self::I8(&all[..n]),
            Self::F32(all) => Self::F32(&all[..n]),
            Self::I32(all) => Self::I32(&all[..n]),
            Self::I64(all) => Self::I64(&all[..n]),
            Self::Bool(all) => Self::Bool(&all[..n]),
        }
    }

    /// The same bits as integers of one of three sizes: what only moves elements is compiled for these alone.
    pub(super) fn bits(self) -> Self {
        match self {
            Self::U8(all) | Self::Bool(all) => Self::U8(all),
            Self::I8(all) => Self::U8(bytemuck::cast_slice(all)),
            Self::F32(all) => Self::I32(bytemuck::cast_slice(all)),
            Self::I32(all) => Self::I32(all),
            Self::I64(all) => Self::I64(all),
        }
    }

    /// What they are.
    pub fn kind(self) -> Kind {
        match self {
            Self::U8(_) => Kind::U8,
            Self::I8(_) => Kind::I8,
            Self::F32(_) => Kind::F32,
            Self::I32(_) => Kind::I32,
            Self::I64(_) => Kind::I64,
            Self::Bool(_) => Kind::Bool,
        }
    }

    /// How many there are.
    pub(super) fn len(self) -> usize {
        match self {
            Self::U8(all) | Self::Bool(all) => all.len(),
            Self::I8(all) => all.len(),
            Self::F32(all) => all.len(),
            Self::I32(all) => all.len(),
            Self::I64(all) => all.len(),
        }
    }

    pub(super) fn codes(self) -> Codes<'a> {
        match self {
            Self::U8(codes) => Codes::U8(codes),
            Self::I8(codes) => Codes::I8(codes),
            _ => wrong(),
        }
    }

    pub(super) fn floats(self) -> &'a [f32] {
        if let Self::F32(floats) = self { floats } else { wrong() }
    }
}

impl<'a> Room<'a> {
    /// Bytes as room.
    pub(super) fn of(kind: Kind, bytes: &'a mut [u8]) -> Self {
        match kind {
            Kind::U8 => Self::U8(slots(bytes)),
            Kind::I8 => Self::I8(slots(bytemuck::cast_slice_mut(bytes))),
            Kind::F32 => Self::F32(slots(bytemuck::cast_slice_mut(bytes))),
            Kind::I32 => Self::I32(slots(bytemuck::cast_slice_mut(bytes))),
            Kind::I64 => Self::I64(slots(bytemuck::cast_slice_mut(bytes))),
            Kind::Bool => Self::Bool(slots(bytes)),
        }
    }

    /// As [`Memory::bits`].
    pub(super) fn bits(self) -> Self {
        match self {
            Self::U8(all) | Self::Bool(all) => Self::U8(all),
            Self::I8(all) => Self::U8(slots_of(all)),
            Self::F32(all) => Self::I32(slots_of(all)),
            Self::I32(all) => Self::I32(all),
            Self::I64(all) => Self::I64(all),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::U8(all) | Self::Bool(all) => all.len(),
            Self::I8(all) => all.len(),
            Self::F32(all) => all.len(),
            Self::I32(all) => all.len(),
            Self::I64(all) => all.len(),
        }
    }

    pub(super) fn codes(self) -> TargetCodes<'a> {
        match self {
            Self::U8(codes) => TargetCodes::U8(codes),
            Self::I8(codes) => TargetCodes::I8(codes),
            _ => wrong(),
        }
    }

    pub(super) fn floats(self) -> &'a mut [MaybeUninit<f32>] {
        if let Self::F32(floats) = self { floats } else { wrong() }
    }

    /// The first elements, and the rest.
    pub(super) fn split(self, at: usize) -> (Self, Self) {
        macro_rules! split {
            ($($kind:ident),*) => {
                match self {
                    $(Self::$kind(all) => {
                        let (first, rest) = all.split_at_mut(at);
                        (Self::$kind(first), Self::$kind(rest))
                    })*
                }
            };
        }
        split!(U8, I8, F32, I32, I64, Bool)
    }
}

/// Elements of any kind as bits of one of three sizes, and room for them, for functions that move elements.
macro_rules! with_bits {
    ($from:expr, $to:expr, |$x:ident, $y:ident| $body:expr) => {
        match ($from.bits(), $to.bits()) {
            (Memory::U8($x), Room::U8($y)) => $body,
            (Memory::I32($x), Room::I32($y)) => $body,
            (Memory::I64($x), Room::I64($y)) => $body,
            _ => panic!("elements of the planned kind"),
        }
    };
}
pub(super) use with_bits;
