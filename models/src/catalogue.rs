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

/// What to get, smallest first.
pub const RECOMMENDED: &[Recommended] = &[
    Recommended {
        name: "Qwen2.5-0.5B-Instruct",
        format: "GGUF Q8_0",
        bytes: 529_000_000,
        memory: "0.7 GB, and 12 MB for each 1,000 tokens of conversation",
        why: "the fastest",
    },
    Recommended {
        name: "Qwen2.5-1.5B-Instruct",
        format: "GGUF Q4_K_M",
        bytes: 984_000_000,
        memory: "1.2 GB, and 29 MB for each 1,000 tokens of conversation",
        why: "understands more",
    },
];
