//! Products of 8-bit matrices: `sum((x - zx) * (w - zw))`, exactly, and what becomes of the sums.
//!
//! Weights are packed once, for one instruction set ([`PackedWeights`]); [`multiply`] takes activations of either sign
//! and any strides, and turns the sums into codes, floats or integers while they are still in the first cache.
//! `arch::product` has the inner loops, `rows` prepares activations for them, `epilogue` finishes their sums, `multiply`
//! cuts the work for caches and threads. [`mod@reference`] says the same in a few plain lines: what every instruction set
//! must agree with, bit for bit.

mod bounded;
mod columns;
mod corrections;
mod dynamic;
mod epilogue;
mod finisher;
mod multiply;
mod pack;
mod patches;
mod plan;
pub mod reference;
mod residual;
mod rows;
mod scales;
mod state;

pub(crate) use columns::Columns;
pub(crate) use corrections::Corrections;
pub(crate) use dynamic::CACHED;
pub use dynamic::{Floats, Formula, dynamic_codes, dynamic_params};
pub(crate) use epilogue::Epilogue;
pub(crate) use finisher::{Finisher, Room};
pub use multiply::{Activations, Each, Finish, Results, multiply};
pub(crate) use multiply::{WithEpilogue, multiply_into, with_epilogue};
pub use pack::{PackedWeights, WeightParams};
pub(crate) use patches::run;
pub use patches::{Patches, Space};
pub(crate) use plan::{Place, Plan, Task};
pub use residual::{Addend, Residual};
pub use scales::check_scales;
pub(crate) use state::{State, WIDE};

/// The integers of a matrix.
#[derive(Debug, Clone, Copy)]
pub enum Codes<'a> {
    /// Unsigned.
    U8(&'a [u8]),
    /// Signed.
    I8(&'a [i8]),
}

impl<'a> Codes<'a> {
    /// Them as bytes.
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::U8(codes) => codes,
            Self::I8(codes) => crate::arch::bytes(codes),
        }
    }

    /// The one at a position.
    pub fn at(self, i: usize) -> i32 {
        match self {
            Self::U8(codes) => i32::from(codes[i]),
            Self::I8(codes) => i32::from(codes[i]),
        }
    }

    /// How many there are.
    fn len(self) -> usize {
        match self {
            Self::U8(codes) => codes.len(),
            Self::I8(codes) => codes.len(),
        }
    }
}

/// A matrix of 8-bit integers, with strides in elements.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// Its memory, from the first element on.
    codes: Codes<'a>,
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Whether its integers are signed.
    pub(crate) fn is_signed(&self) -> bool {
        matches!(self.codes, Codes::I8(_))
    }

    /// Rows and columns in memory that starts with the first element.
    ///
    /// # Panics
    /// Where it would reach beyond the memory.
    pub fn new(
        codes: Codes<'a>,
        rows: usize,
        columns: usize,
        row_stride: usize,
        column_stride: usize,
    ) -> Self {
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * row_stride + (columns - 1) * column_stride;
            assert!(last < codes.len(), "a matrix reaches beyond its memory");
        }
        Self { codes, rows, columns, row_stride, column_stride }
    }

    /// Rows one after the other.
    pub fn dense(codes: Codes<'a>, rows: usize, columns: usize) -> Self {
        Self::new(codes, rows, columns, columns, 1)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows as columns.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// One element.
    pub fn at(&self, row: usize, column: usize) -> i32 {
        assert!(row < self.rows && column < self.columns);
        self.codes.at(row * self.row_stride + column * self.column_stride)
    }
}

/// Where rows of activations come from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// They lie in memory.
    Matrix(Matrix<'a>),
    /// Each is put together from pieces of an image.
    Patches(Patches<'a>),
}

impl Source<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Matrix(x) => x.rows(),
            Self::Patches(x) => x.rows(),
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        match self {
            Self::Matrix(x) => x.columns(),
            Self::Patches(x) => x.depth(),
        }
    }
}

impl<'a> From<Matrix<'a>> for Source<'a> {
    fn from(matrix: Matrix<'a>) -> Self {
        Self::Matrix(matrix)
    }
}

impl<'a> From<Patches<'a>> for Source<'a> {
    /// Patches that are the elements of an image one by one, all channels of them, lie in memory as rows already.
    fn from(patches: Patches<'a>) -> Self {
        let Patches { codes, padded, channels, group, kernel, stride, output, .. } = patches;
        if kernel == [1; 3] && stride == [1; 3] && output == padded && group == (0, channels) {
            return Self::Matrix(Matrix::dense(codes, patches.rows(), channels));
        }
        Self::Patches(patches)
    }
}
