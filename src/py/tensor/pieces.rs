//! Views of parts of a tensor along one axis.

use pyo3::prelude::*;
use pyo3::types::{PySlice, PyTuple};

use super::QTensor;
use crate::array::{Int, axis_in, describe};
use crate::error::Error;

impl QTensor {
    /// The view of positions `from .. to` along an axis.
    fn part(&self, py: Python<'_>, axis: usize, from: usize, to: usize) -> PyResult<QTensor> {
        let mut items = vec![PySlice::full(py); axis];
        items.push(PySlice::new(py, from as isize, to as isize, 1));
        let key = PyTuple::new(py, items)?;
        match self.packed() {
            Some(_) => self.packed_view(py, &key, true),
            None => self.through(py, |a| a.get_item(&key)),
        }
    }

    /// Views of consecutive lengths along an axis.
    fn cut<'py>(&self, py: Python<'py>, lengths: &[usize], axis: usize) -> PyResult<Bound<'py, PyTuple>> {
        let mut start = 0;
        let parts = lengths.iter().map(|&n| {
            start += n;
            self.part(py, axis, start - n, start)
        });
        PyTuple::new(py, parts.collect::<PyResult<Vec<_>>>()?)
    }
}

/// Lengths of at most `size` that add up to `n`: at least one, which may be 0.
fn lengths(n: usize, size: usize) -> Vec<usize> {
    (0..n.max(1)).step_by(size).map(|start| size.min(n - start)).collect()
}

#[pymethods]
impl QTensor {
    /// The view of one position along an axis, which it lacks.
    pub(super) fn select(slf: &Bound<'_, Self>, dim: isize, index: Int) -> PyResult<QTensor> {
        let py = slf.py();
        let axis = axis_in("dim", dim, slf.get().dims(py).len())?;
        let mut items = vec![PySlice::full(py).into_any(); axis];
        items.push(index.0.into_pyobject(py)?.into_any());
        items.push(py.Ellipsis().into_bound(py));
        slf.get().__getitem__(py, PyTuple::new(py, items)?.as_any())
    }

    /// The view of `length` positions along an axis, from `start` on.
    fn narrow(&self, py: Python<'_>, dim: isize, start: Int, length: Int) -> PyResult<QTensor> {
        let axis = axis_in("dim", dim, self.dims(py).len())?;
        let n = self.dims(py)[axis];
        let (start, length) = (start.0, length.0);
        if !(0..=n as isize).contains(&length) {
            return Err(Error::value("length", length, format!("in 0 to {n}, the axis' length")).into());
        }
        let (from, length) = (if start < 0 { start + n as isize } else { start }, length as usize);
        match usize::try_from(from) {
            Ok(from) if from <= n - length => self.part(py, axis, from, from + length),
            _ => {
                let valid = format!("a start from which {length} positions lie inside of the axis' {n}");
                Err(Error::index("start", start, valid).into())
            }
        }
    }

    /// The views of all positions along an axis, which they lack.
    #[pyo3(signature = (dim=0))]
    fn unbind<'py>(slf: &Bound<'py, Self>, dim: isize) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let axis = axis_in("dim", dim, slf.get().dims(py).len())?;
        let n = slf.get().dims(py)[axis] as isize;
        PyTuple::new(
            py,
            (0..n).map(|i| Self::select(slf, axis as isize, Int(i))).collect::<PyResult<Vec<_>>>()?,
        )
    }

    /// Views of `split_size_or_sections` elements along an axis (the last one may be shorter), or of the given
    /// lengths.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0, 3.0], 1.0, 0, qt.qint8)
    /// >>> [part.tolist() for part in q.split(2)]
    /// [[1.0, 2.0], [3.0]]
    #[pyo3(signature = (split_size_or_sections, dim=0, *, axis=None))]
    fn split<'py>(
        &self,
        py: Python<'py>,
        split_size_or_sections: &Bound<'py, PyAny>,
        dim: isize,
        axis: Option<isize>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let shape = self.dims(py);
        let axis = axis_in("dim", axis.unwrap_or(dim), shape.len())?;
        let n = shape[axis];
        let lengths: Vec<usize> = match split_size_or_sections.extract::<isize>() {
            Ok(size) if size > 0 => self::lengths(n, size as usize),
            Ok(0) if n == 0 => vec![0],
            Ok(size) => return Err(Error::value("split_size_or_sections", size, "at least 1").into()),
            Err(_) => split_size_or_sections.extract().map_err(|_| {
                let got = describe(split_size_or_sections);
                Error::type_("split_size_or_sections", got, "an integer, or lengths of at least 0")
            })?,
        };
        if lengths.iter().try_fold(0usize, |sum, &n| sum.checked_add(n)) != Some(n) {
            let valid = format!("lengths that add up to {n}, the length of axis {axis}");
            return Err(Error::value("split_size_or_sections", format!("{lengths:?}"), valid).into());
        }
        self.cut(py, &lengths, axis)
    }

    /// At most `chunks` views of equal length along an axis (the last one may be shorter); of an axis of length 0, as
    /// many as asked for.
    #[pyo3(signature = (chunks, dim=0, *, axis=None))]
    fn chunk<'py>(
        &self,
        py: Python<'py>,
        chunks: isize,
        dim: isize,
        axis: Option<isize>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        if chunks < 1 {
            return Err(Error::value("chunks", chunks, "at least 1").into());
        }
        let shape = self.dims(py);
        let axis = axis_in("dim", axis.unwrap_or(dim), shape.len())?;
        let n = shape[axis];
        match n {
            0 => self.cut(py, &vec![0; chunks as usize], axis),
            _ => self.cut(py, &lengths(n, n.div_ceil(chunks as usize)), axis),
        }
    }

    /// Views of the given lengths along an axis.
    #[pyo3(signature = (split_sizes, dim=0))]
    fn split_with_sizes<'py>(
        &self,
        py: Python<'py>,
        split_sizes: Vec<Int>,
        dim: isize,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let axis = axis_in("dim", dim, self.dims(py).len())?;
        let n = self.dims(py)[axis];
        let sizes: Vec<usize> = split_sizes.iter().filter_map(|n| usize::try_from(n.0).ok()).collect();
        let sum = sizes.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
        if sizes.len() != split_sizes.len() || sum != Some(n) {
            let got: Vec<isize> = split_sizes.iter().map(|n| n.0).collect();
            let valid = format!("lengths that add up to {n}, the length of axis {axis}");
            return Err(Error::value("split_sizes", format!("{got:?}"), valid).into());
        }
        self.cut(py, &sizes, axis)
    }

    /// Views between the given positions along an axis; or so many views of lengths that differ by at most 1.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0, 3.0], 1.0, 0, qt.qint8)
    /// >>> [part.tolist() for part in q.tensor_split(2)], [part.tolist() for part in q.tensor_split((1,))]
    /// ([[1.0, 2.0], [3.0]], [[1.0], [2.0, 3.0]])
    #[pyo3(signature = (indices_or_sections, dim=0))]
    fn tensor_split<'py>(
        &self,
        py: Python<'py>,
        indices_or_sections: &Bound<'py, PyAny>,
        dim: isize,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let axis = axis_in("dim", dim, self.dims(py).len())?;
        self.cut_at(py, indices_or_sections, axis, false)
    }

    /// Views along the second axis (the first of a tensor of one dimension), in equal parts or between positions.
    fn hsplit<'py>(
        &self,
        py: Python<'py>,
        indices_or_sections: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let ndim = self.dims(py).len();
        self.cut_at(py, indices_or_sections, axis_in("dim", isize::from(ndim != 1), ndim)?, true)
    }

    /// Views along the first axis of a tensor of two or more, in equal parts or between positions.
    fn vsplit<'py>(
        &self,
        py: Python<'py>,
        indices_or_sections: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let ndim = self.dims(py).len();
        axis_in("dim", 1, ndim)?;
        self.cut_at(py, indices_or_sections, 0, true)
    }

    /// Views along the third axis, in equal parts or between positions.
    fn dsplit<'py>(
        &self,
        py: Python<'py>,
        indices_or_sections: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let axis = axis_in("dim", 2, self.dims(py).len())?;
        self.cut_at(py, indices_or_sections, axis, true)
    }

    /// The same as `chunk`: nothing here depends on autograd's checks.
    #[pyo3(signature = (chunks, dim=0))]
    fn unsafe_chunk<'py>(&self, py: Python<'py>, chunks: isize, dim: isize) -> PyResult<Bound<'py, PyTuple>> {
        self.chunk(py, chunks, dim, None)
    }

    /// The same as `split`: nothing here depends on autograd's checks.
    #[pyo3(signature = (split_size, dim=0))]
    fn unsafe_split<'py>(
        &self,
        py: Python<'py>,
        split_size: &Bound<'py, PyAny>,
        dim: isize,
    ) -> PyResult<Bound<'py, PyTuple>> {
        self.split(py, split_size, dim, None)
    }
}

impl QTensor {
    /// Views between positions, or so many of them; `equal` where all must have one length.
    fn cut_at<'py>(
        &self,
        py: Python<'py>,
        given: &Bound<'py, PyAny>,
        axis: usize,
        equal: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let arg = "indices_or_sections";
        let n = self.dims(py)[axis];
        if Self::is_number(given) {
            let sections = given.extract::<Int>()?.0;
            let fits = sections > 0 && (!equal || n.is_multiple_of(sections as usize));
            if !fits || sections > 1 << 24 {
                let valid = match equal {
                    true => format!("a number that divides {n}, the length of axis {axis}"),
                    false => "from 1 to 2**24".into(),
                };
                return Err(Error::value(arg, sections, valid).into());
            }
            let (each, more) = (n / sections as usize, n % sections as usize);
            let lengths: Vec<usize> = (0..sections as usize).map(|i| each + usize::from(i < more)).collect();
            return self.cut(py, &lengths, axis);
        }
        let at = super::axes::one_or_more(given, arg)?;
        // As slices count: from the end where negative, and never beyond it.
        let place =
            |i: isize| (if i < 0 { i.saturating_add(n as isize) } else { i }).clamp(0, n as isize) as usize;
        let mut borders: Vec<usize> = at.into_iter().map(place).collect();
        borders.insert(0, 0);
        borders.push(n);
        let parts = borders.windows(2).map(|w| self.part(py, axis, w[0], w[1].max(w[0])));
        PyTuple::new(py, parts.collect::<PyResult<Vec<_>>>()?)
    }
}
