//! Hephaestus: the tools. Each tool is one file that looks, computes and
//! proposes; each has a check of its own. This crate carries out the proposed
//! changes, contains programs, and is the only one that touches the user's
//! files.

pub mod apply;
mod archive;
pub mod args;
pub mod checks;
mod data;
pub mod error;
mod guard;
mod lines;
pub mod meter;
pub mod process;
mod reach;
mod registry;
pub mod sandbox;
mod source;
mod sources;
pub mod survey;
#[cfg(test)]
pub(crate) mod testing;
pub mod tool;
pub mod tools;
pub mod workspace;
mod writer;

pub use registry::Hephaestus;
