//! moroni
pub mod machine;
