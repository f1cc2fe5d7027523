//! Time and chance.

use crate::ids::Millis;

/// What time it is. Everybody is given a clock; nobody reads the machine's.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Millis;

    /// Microseconds of processor time of the calling thread so far. A clock that is
    /// no machine's own measures none.
    fn thread_cpu_us(&self) -> u64 {
        0
    }
}

/// Random bytes.
pub trait Entropy: Send + Sync {
    /// Fills the slice.
    fn fill(&self, bytes: &mut [u8]);

    /// Four random bytes.
    fn next_u32(&self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// Bytes that were drawn before, such as those of a digest: a name made of them is
/// the same each time.
pub struct Drawn<'b>(pub &'b [u8]);

impl Entropy for Drawn<'_> {
    fn fill(&self, bytes: &mut [u8]) {
        for (byte, drawn) in bytes.iter_mut().zip(self.0) {
            *byte = *drawn;
        }
    }
}
