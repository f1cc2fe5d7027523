//! Surfaces: tables from names to operations. They parse, ask Alma, and show
//! what she says; they decide nothing.

pub mod bench;
pub mod cli;
pub mod http;
