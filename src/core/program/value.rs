//! What a value is: what its elements stand for, its shape, and how it lies in memory.

use crate::error::{Error, Result};

/// What an element is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Unsigned codes.
    U8,
    /// Signed codes.
    I8,
    /// Real numbers.
    F32,
    /// Integers of 32 bits.
    I32,
    /// Integers of 64 bits.
    I64,
    /// Truth values, a byte each.
    Bool,
}

impl Kind {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }
}

/// What codes stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Whether codes are signed.
    pub signed: bool,
    /// The size of a step.
    pub scale: f64,
    /// The code that stands for 0.
    pub zero_point: i32,
}

impl Grid {
    /// The size of a step, as kernels have it.
    pub fn step(self) -> f32 {
        self.scale as f32
    }

    /// The size of a step, and the code that stands for 0.
    pub fn params(self) -> (f32, i32) {
        (self.step(), self.zero_point)
    }

    /// The least and the greatest code.
    pub fn range(self) -> (i32, i32) {
        if self.signed { (-128, 127) } else { (0, 255) }
    }
}

/// What elements stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// Real numbers, by codes.
    Codes(Grid),
    /// Real numbers.
    F32,
    /// Integers of 32 bits.
    I32,
    /// Integers of 64 bits.
    I64,
    /// Truth values.
    Bool,
    /// Integers of 8 bits without a sign, which stand for themselves.
    U8,
    /// Integers of 8 bits, which stand for themselves.
    I8,
}

impl Type {
    /// What an element is in memory.
    pub fn kind(self) -> Kind {
        match self {
            Self::Codes(Grid { signed: false, .. }) | Self::U8 => Kind::U8,
            Self::Codes(Grid { signed: true, .. }) | Self::I8 => Kind::I8,
            Self::F32 => Kind::F32,
            Self::I32 => Kind::I32,
            Self::I64 => Kind::I64,
            Self::Bool => Kind::Bool,
        }
    }

    /// Its name, as Python has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Codes(Grid { signed: false, .. }) => "quint8",
            Self::Codes(Grid { signed: true, .. }) => "qint8",
            Self::F32 => "float32",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I8 => "int8",
        }
    }
}

/// An array, without its elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What its elements stand for.
    pub ty: Type,
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// From one element of each axis to the next, in elements.
    pub strides: Vec<usize>,
}

impl Value {
    /// In C order.
    pub fn new(ty: Type, shape: Vec<usize>) -> Self {
        let strides = c_strides(&shape);
        Self { ty, shape, strides }
    }

    /// Images, `images x channels x lengths`, that lie channels last.
    pub fn channels_last(ty: Type, shape: Vec<usize>) -> Self {
        let strides = last_strides(&shape);
        Self { ty, shape, strides }
    }

    /// Another type in the same place.
    pub fn with_type(&self, ty: Type) -> Self {
        Self { ty, ..self.clone() }
    }

    /// The same elements again along axes that it lacks or that are 1 long.
    ///
    /// # Panics
    /// A shape with fewer axes.
    pub fn broadcast_to(&self, shape: &[usize]) -> Self {
        let new = shape.len() - self.shape.len();
        let stride = |a: usize| match a.checked_sub(new) {
            Some(own) if self.shape[own] == shape[a] => self.strides[own],
            _ => 0,
        };
        Self { ty: self.ty, shape: shape.to_vec(), strides: (0..shape.len()).map(stride).collect() }
    }

    /// What it becomes element by element: without gaps, in its own order.
    pub fn dense(&self, ty: Type) -> Self {
        Self { ty, shape: self.shape.clone(), strides: self.dense_strides() }
    }

    /// Another shape of as many axes, without gaps, in its own order.
    pub fn ordered(&self, shape: Vec<usize>) -> Self {
        let own = self.dense_strides();
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        // Axes of one element have no place of their own: they stay where C order has them.
        axes.sort_by_key(|&a| std::cmp::Reverse(if self.shape[a] == 1 { usize::MAX - a } else { own[a] }));
        if self.is_contiguous() {
            return Self::new(self.ty, shape);
        }
        let (mut strides, mut step) = (vec![1usize; shape.len()], 1usize);
        for &a in axes.iter().rev() {
            strides[a] = step;
            step = step.saturating_mul(shape[a].max(1));
        }
        Self { ty: self.ty, shape, strides }
    }

    /// Number of elements; of more than a word counts, as many as it does.
    pub fn len(&self) -> usize {
        match self.is_empty() {
            true => 0,
            false => self.shape.iter().fold(1, |all, &n| all.saturating_mul(n)),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> usize {
        self.len().saturating_mul(self.ty.kind().size())
    }

    /// Elements of memory from the first to the last one.
    pub fn reach(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        self.shape.iter().zip(&self.strides).map(|(n, stride)| (n - 1) * stride).sum::<usize>() + 1
    }

    /// Whether elements lie where these strides say; an axis of length 1 may have any stride.
    pub fn lies(&self, strides: &[usize]) -> bool {
        self.is_empty()
            || self.shape.iter().zip(self.strides.iter().zip(strides)).all(|(&n, (a, b))| n == 1 || a == b)
    }

    /// Whether it lies in C order without gaps.
    pub fn is_contiguous(&self) -> bool {
        self.lies(&c_strides(&self.shape))
    }

    /// Whether elements lie without gaps and none twice, in some order of the axes.
    pub fn is_dense(&self) -> bool {
        self.is_empty() || self.dense_in_order() == self.strides_of_long_axes()
    }

    fn strides_of_long_axes(&self) -> Vec<(usize, usize)> {
        let mut long: Vec<_> = (0..self.shape.len()).filter(|&a| self.shape[a] > 1).collect();
        long.sort_by_key(|&a| std::cmp::Reverse(self.strides[a]));
        long.into_iter().map(|a| (a, self.strides[a])).collect()
    }

    /// The same, with the strides that they would have without gaps.
    fn dense_in_order(&self) -> Vec<(usize, usize)> {
        let mut all = self.strides_of_long_axes();
        let mut stride = 1;
        for (axis, own) in all.iter_mut().rev() {
            *own = stride;
            stride *= self.shape[*axis];
        }
        all
    }

    /// Strides without gaps in the order that the axes have in memory: its own where it is dense.
    pub fn dense_strides(&self) -> Vec<usize> {
        // Broadcast axes have no place in that order.
        if self.is_dense() {
            return self.strides.clone();
        }
        if self.shape.iter().zip(&self.strides).any(|(&n, &s)| n > 1 && s == 0) {
            return c_strides(&self.shape);
        }
        let mut strides = c_strides(&self.shape);
        for (axis, stride) in self.dense_in_order() {
            strides[axis] = stride;
        }
        strides
    }
}

/// The strides of C order.
pub fn c_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for a in (1..shape.len()).rev() {
        strides[a - 1] = strides[a].saturating_mul(shape[a].max(1));
    }
    strides
}

/// The strides of images that lie channels last.
pub fn last_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    if shape.len() < 2 {
        return strides;
    }
    let mut step = shape[1].max(1);
    for a in (2..shape.len()).rev() {
        strides[a] = step;
        step = step.saturating_mul(shape[a].max(1));
    }
    strides[0] = step;
    strides
}

/// Shapes that NumPy would broadcast to one.
///
/// # Errors
/// Others.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let n = a.len().max(b.len());
    let at = |shape: &[usize], i: usize| if i + shape.len() < n { 1 } else { shape[i + shape.len() - n] };
    (0..n)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(Error::value(
                "inputs",
                format!("{} and {}", text(a), text(b)),
                "of shapes that broadcast",
            )),
        })
        .collect()
}

/// A shape as Python writes it.
pub fn text(shape: &[usize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_gaps_are_seen() {
        let images = Value::channels_last(Type::F32, vec![2, 3, 4, 5]);
        assert_eq!(images.strides, [60, 1, 15, 3]);
        assert!(images.is_dense() && !images.is_contiguous());
        let gaps = Value { strides: vec![120, 2, 30, 6], ..images.clone() };
        assert!(!gaps.is_dense());
        assert_eq!(gaps.dense_strides(), images.strides);
        let spread = Value { ty: Type::F32, shape: vec![3, 2], strides: vec![0, 1] };
        assert!(!spread.is_dense());
        assert_eq!(spread.dense_strides(), [2, 1]);
        assert_eq!(spread.reach(), 2);
    }

    #[test]
    fn axes_of_one_element_may_have_any_stride() {
        let value = Value { ty: Type::F32, shape: vec![2, 1, 3], strides: vec![3, 77, 1] };
        assert!(value.is_contiguous() && value.is_dense());
        assert!(Value::new(Type::Bool, vec![]).is_contiguous());
    }

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        assert_eq!(broadcast(&[3, 1], &[2, 1, 4]).unwrap(), [2, 3, 4]);
        assert!(broadcast(&[3], &[2]).is_err());
    }
}
