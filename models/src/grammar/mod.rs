//! What may come out of a model: grammars in the sampler.
//!
//! | to know | look at |
//! |---|---|
//! | from a shape to a grammar | `compile` |
//! | how a grammar steers, token by token | [`guide`] |
//! | which tokens may come next, fast | `mask` |
//! | how texts and lists get upper bounds | [`bounds`] |
//! | which JSON Schemas can be said, and how | `rewrite`, `formats` |
//! | how an answer can end soon | `witness` |
//! | what is accepted, over schemas of others | [`maskbench`] |
//! | shapes that are asked for often | [`shapes`] |
//! | the grammar of plans | [`plan`] |

pub mod bounds;
mod compile;
mod formats;
pub mod guide;
mod mask;
pub mod maskbench;
pub mod plan;
mod rewrite;
mod schema;
pub mod shapes;
mod witness;

pub use compile::Grammars;
pub use guide::Guide;
