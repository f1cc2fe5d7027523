//! Files that are worth getting: small, and computed well here.

/// A recommended file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recommended {
    /// Name of the model.
    pub name: &'static str,
    /// Container and type of the weights.
    pub format: &'static str,
    /// Size of the file in bytes, about.
    pub bytes: u64,
    /// Memory that it takes.
    pub memory: &'static str,
    /// Why this one.
    pub why: &'static str,
}

/// What to get, smallest first. Q4_K and Q8_0 have kernels of their own here;
/// Q4_0, Q5_0 and Q5_1 have none. K types need rows that 256 divides, which the
/// smallest models do not have: theirs are Q5_0 inside.
pub const RECOMMENDED: &[Recommended] = &[
    Recommended {
        name: "Qwen2.5-0.5B-Instruct",
        format: "GGUF Q8_0",
        bytes: 529_000_000,
        memory: "over 1.1 GB: the file, and 544 MB for its embedding",
        why: "the fastest; its Q4_K_M is slower, because its rows do not fit that type",
    },
    Recommended {
        name: "Qwen2.5-1.5B-Instruct",
        format: "GGUF Q4_K_M",
        bytes: 984_000_000,
        memory: "3.1 to 4.5 GB",
        why: "understands more; as fast here as in llama.cpp",
    },
];
