//! The binary `alma`.
fn main() {}
