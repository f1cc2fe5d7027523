//! Which instructions this processor has, and how a kernel is run with them.
//!
//! A kernel is a value ([`Work`]) whose `run` is written once over
//! [`Lanes`]. It is compiled again inside a function for each instruction set, so
//! that plain loops in it are vectorised with those instructions too.

use super::lanes::{Lanes, Portable};
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512, AvxVnni};

/// An instruction set that this processor was seen to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// All that this processor has, the best last.
    pub fn all() -> Vec<Self> {
        let mut found = vec![Self(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            found.push(Self(Kind::Avx2));
            if is_x86_feature_detected!("avxvnni") {
                found.push(Self(Kind::AvxVnni));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                found.push(Self(Kind::Avx512));
            }
        }
        #[cfg(target_arch = "aarch64")]
        found.push(Self(Kind::Neon));
        found
    }

    /// The best that this processor has.
    pub fn best() -> Self {
        Self::all().last().copied().unwrap_or(Self(Kind::Portable))
    }

    /// Most columns that are computed together: as many as its registers hold.
    pub(crate) fn together(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => super::tile::TOGETHER,
            _ => 3,
        }
    }

    /// Panels that are computed together with so many columns.
    pub(crate) fn panels(self, columns: usize) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 2,
            _ => {
                if columns == 1 {
                    2
                } else {
                    1
                }
            }
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => "AVX2 with VNNI",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "AVX-512 with VNNI",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "NEON",
        }
    }
}

/// A kernel with its arguments.
pub(crate) trait Work {
    /// Computes. Implementations are `#[inline(always)]`, and so is all that they
    /// call, or it is compiled without the instructions.
    ///
    /// # Safety
    /// The processor has the instructions of `L`.
    unsafe fn run<L: Lanes>(self);
}

/// Runs a kernel with these instructions.
pub(crate) fn run(isa: Isa, work: impl Work) {
    // SAFETY: an `Isa` is only made where the processor has its instructions.
    unsafe {
        match isa.0 {
            Kind::Portable => work.run::<Portable>(),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => with_avx2(work),
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => with_avx_vnni(work),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => with_avx512(work),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => work.run::<Neon>(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn with_avx2(work: impl Work) {
    // SAFETY: the caller knows the processor.
    unsafe { work.run::<Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn with_avx_vnni(work: impl Work) {
    // SAFETY: the caller knows the processor.
    unsafe { work.run::<AvxVnni>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn with_avx512(work: impl Work) {
    // SAFETY: the caller knows the processor.
    unsafe { work.run::<Avx512>() }
}
