//! The plain functions of `qparams`, applied element by element: what every kernel must agree with.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quantray_core::affine::{Affine, Channels};
use quantray_core::error::Stopped;
use quantray_core::qparams::{self, DType};

/// Whether an emulator asks for less.
pub fn reduced() -> bool {
    std::env::var_os("QUANTRAY_TEST_REDUCED").is_some()
}

/// The instruction set and the number of threads are global: tests that choose them take turns.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parameters that own their memory.
#[derive(Debug, Clone)]
pub enum Params {
    Tensor(f32, i32),
    Channel(Vec<f32>, Vec<i32>, Channels),
    Float(Vec<f32>, Vec<f32>, Channels),
}

impl Params {
    pub fn affine(&self) -> Affine<'_> {
        match self {
            Self::Tensor(scale, zero_point) => Affine::PerTensor { scale: *scale, zero_point: *zero_point },
            Self::Channel(scales, zero_points, layout) => {
                Affine::PerChannel { scales, zero_points, layout: *layout }
            }
            Self::Float(scales, zero_points, layout) => {
                Affine::PerChannelFloat { scales, zero_points, layout: *layout }
            }
        }
    }

    fn scale(&self, i: usize) -> f32 {
        match self {
            Self::Tensor(scale, _) => *scale,
            Self::Channel(scales, _, layout) | Self::Float(scales, _, layout) => scales[channel(*layout, i)],
        }
    }

    /// Rounded after the zero point (true) with this float one, or before it with this integer.
    fn zero_point(&self, i: usize) -> (bool, f32, i32) {
        match self {
            Self::Tensor(_, z) => (false, *z as f32, *z),
            Self::Channel(_, z, layout) => (false, z[channel(*layout, i)] as f32, z[channel(*layout, i)]),
            Self::Float(_, z, layout) => (true, z[channel(*layout, i)], 0),
        }
    }

    /// The code of element `i` by any rounding of steps, the zero point added as in `quantize`.
    pub fn rounded(&self, dtype: DType, i: usize, x: f32, round: impl Fn(f32) -> f32) -> i32 {
        let inv = 1f32 / self.scale(i);
        let (float, before, after) = self.zero_point(i);
        let (before, after) = if float || dtype.is_packed() { (before, 0) } else { (0.0, after) };
        let code = f64::from(round(x * inv + before)) + f64::from(after);
        code.clamp(f64::from(dtype.qmin()), f64::from(dtype.qmax())) as i32
    }

    /// The code of element `i`; packed data types always add the zero point before rounding.
    pub fn quantize(&self, dtype: DType, i: usize, x: f32) -> i32 {
        let inv = 1f32 / self.scale(i);
        let (float, before, after) = self.zero_point(i);
        if float || dtype.is_packed() {
            qparams::quantize_one_before(x, inv, before, dtype.qmin(), dtype.qmax())
        } else if dtype == DType::QInt32 {
            qparams::quantize_one_i32(x, inv, after)
        } else {
            qparams::quantize_one(x, inv, after, dtype.qmin(), dtype.qmax())
        }
    }

    /// The value of a code at `i`.
    pub fn dequantize(&self, i: usize, code: i32) -> f32 {
        match self.zero_point(i) {
            (true, z, _) => qparams::dequantize_one_float(code, self.scale(i), z),
            (false, _, z) => qparams::dequantize_one(code, self.scale(i), z),
        }
    }

    /// The fake quantized value at `i`, and whether the gradient passes.
    pub fn fake_quantize(&self, i: usize, x: f32, lo: i32, hi: i32) -> (f32, bool) {
        let (scale, inv) = (self.scale(i), 1f32 / self.scale(i));
        match self.zero_point(i) {
            (true, z, _) => {
                let steps = (x * inv + z).round_ties_even();
                let code = qparams::quantize_one_before(x, inv, z, lo, hi);
                (qparams::dequantize_one_float(code, scale, z), lo as f32 <= steps && steps <= hi as f32)
            }
            (false, _, z) => (
                qparams::fake_quantize_one(x, scale, inv, z, lo, hi),
                qparams::passes_gradient(x, inv, z, lo, hi),
            ),
        }
    }
}

pub fn channel(layout: Channels, i: usize) -> usize {
    i / layout.inner % layout.channels
}

/// Runs a kernel into fresh memory and returns what it wrote.
pub fn collect<T: Copy>(
    n: usize,
    kernel: impl FnOnce(&mut [MaybeUninit<T>]) -> Result<(), Stopped>,
) -> Result<Vec<T>, Stopped> {
    let mut out = Vec::with_capacity(n);
    kernel(&mut out.spare_capacity_mut()[..n])?;
    // SAFETY: the kernel returned without an error, so it wrote all of `n` elements.
    unsafe { out.set_len(n) };
    Ok(out)
}

/// Numbers without a pattern (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A code not far from the one that stands for 0, as most activations are; one in so many lies anywhere.
    pub fn near(&mut self, zero_point: i32, signed: bool, far: usize) -> i32 {
        let least = if signed { -128 } else { 0 };
        if self.below(far) == 0 {
            return least + self.below(256) as i32;
        }
        let off = (self.below(41) + self.below(41) + self.below(41)) as i32 - 60;
        (zero_point + off).clamp(least, least + 255)
    }
}

/// Floats where rounding, clamping and signs go wrong: ties, both zeros, subnormals, huge ones, infinities.
pub fn floats(n: usize, scale: f32, random: &mut Random) -> Vec<f32> {
    (0..n)
        .map(|_| match random.below(16) {
            0 => f32::INFINITY,
            1 => f32::NEG_INFINITY,
            2 => 0.0,
            3 => -0.0,
            4 => f32::from_bits(random.next() as u32 & 0x807f_ffff),
            5 => (random.unit() - 0.5) * 1e38,
            6 => (random.unit() - 0.5) * 1e10 * scale,
            7 | 8 => (random.below(600) as f32 - 300.0 + 0.5) * scale,
            9 => (random.below(70000) as f32 - 35000.0) * scale,
            _ => (random.unit() - 0.5) * 600.0 * scale,
        })
        .collect()
}
