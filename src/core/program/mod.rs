//! A converted model as one: typed steps over numbered values, each made once, that one call runs.
//!
//! Values form a graph with several inputs and outputs. For each kind of inputs ([`Value`]: types, shapes, strides) a
//! plan is made once: what each step makes, how it lies in memory, from when to when it is needed, and where it lies in
//! one piece of memory ([`Program::prepare`]). Then a call only runs kernels ([`Program::run`]). Images lie channels last
//! between steps; what only moves elements is a view where strides can say it; copies appear where a kernel wants its
//! input in another order. Where images stay apart, a few at a time pass all steps, so that what lies between two steps
//! stays in the caches, and threads share images; otherwise threads share the work of each step.
//!
//! - `value`, `memory`, `dims`: what values are; their elements; lengths that depend on shapes
//! - `op`: what a step is to a plan ([`Op`]); `ops`: the steps, a file for each family; `find`: steps whose results are as
//!   long as they find, between two programs
//! - `tile`, `chain`, `fuse`: functions of single elements, which become one where they follow each other
//! - `plan`, `arena`: who reads what, and where everything lies; `run`, `groups`: a call; `steps`: the program
//!
//! Each step computes what the operator of the same name does; only order and memory differ.

mod arena;
mod chain;
mod check;
mod dims;
mod find;
mod fuse;
mod groups;
mod lie;
mod memory;
mod op;
pub mod ops;
mod plan;
mod run;
mod steps;
mod tile;
mod value;

pub use chain::Chain;
pub use dims::{Dim, Function as DimFunction, Known};
pub use find::{Find, Found};
pub use memory::{Memory, Room};
pub use op::{Constant, Does, Elements, Hint, Io, Op, Planned, Task, Trouble};
pub use steps::{Failed, Prepared, Program, Row, Step};
pub use value::{Grid, Kind, Type, Value};
