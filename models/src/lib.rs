//! Language models that run inside the process, and what keeps them in shape.
//!
//! | to know | look at |
//! |---|---|
//! | Qwen2, Qwen2.5 and Qwen3 from local files | [`qwen`] |
//! | what a model is, and which to get | [`qwen::describe`], [`catalogue`] |
//! | grammars: what may come out of a model | [`grammar`] |
//! | conversations as the text a model was trained on | [`template`] |
//! | text to tokens and back | [`tokens`] |
//! | one model for all who ask | [`engine`] |
//! | which token comes next | [`sampling`] |
//! | computing on the processor | [`compute`] |
//! | how fast a model is | [`measure`] |
//! | texts as vectors | [`embed`] |
//! | what ships inside the program and says at once what a text is | [`pocket`] |
//!
//! Nothing here fetches anything: models are files that the user has.

pub mod catalogue;
pub mod compute;
pub mod embed;
pub mod engine;
pub mod error;
pub mod grammar;
mod later;
pub mod measure;
pub mod pocket;
pub mod qwen;
pub mod sampling;
pub mod template;
#[cfg(test)]
pub(crate) mod testing;
pub mod tokens;

pub use error::LoadError;
pub use qwen::Qwen;
