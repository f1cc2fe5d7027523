//! Computing on the processor: kernels for products and the small operations
//! between them, chosen at run time.
//!
//! | to know | look at |
//! |---|---|
//! | which instructions there are, and how a kernel is run | [`isa`] |
//! | what kernels are written in | `lanes`; `x86` and `neon` implement it |
//! | how weights lie in files, and as panels in memory | `formats`, `panel` |
//! | the innermost loops, and the order in which sums are made | `tile` |
//! | activations as bytes | `activations` |
//! | what is computed between products | `element` |
//! | keys and values, and attention over them | `cache`, `attention` |
//! | products of a matrix | `matrix` |
//! | one small layer over a vector | `layer` |
//! | all of it for a batch, shared out over threads | `processor`, `pool` |
#![allow(unsafe_code, reason = "kernels work on raw memory; every block says why it may")]

pub(crate) mod activations;
mod attention;
pub(crate) mod cache;
pub(crate) mod element;
pub(crate) mod formats;
pub mod isa;
mod lanes;
pub(crate) mod layer;
pub(crate) mod matrix;
mod memory;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod panel;
mod pool;
pub(crate) mod processor;
pub(crate) mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;
