//! The library that Python loads: the binding, linked.

// Its `PyInit__core` is all that is wanted.
extern crate quantray_py as _;
