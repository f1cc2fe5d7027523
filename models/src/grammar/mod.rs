//! What may come out of a model: grammars in the sampler.
//!
//! | to know | look at |
//! |---|---|
//! | how a grammar steers, token by token | [`guide`] |
//! | how texts and lists get upper bounds | [`bounds`] |
//! | shapes that are asked for often | [`shapes`] |
//! | the grammar of plans | [`plan`] |

pub mod bounds;
pub mod guide;
pub mod plan;
pub mod shapes;

pub use guide::{Grammars, Guide};
