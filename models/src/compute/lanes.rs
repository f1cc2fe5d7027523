//! Sixteen numbers at once, the same on every processor: what the kernels are
//! written in. Each lane is one row of a panel, so no sum ever crosses lanes, and
//! every instruction set gives the same bits.

/// Operations on sixteen lanes.
///
/// # Safety
/// A caller has to be compiled for, and run on, a processor with the instructions
/// of the implementation ([`super::isa::run`] sees to that); pointers point at as
/// much as the operation reads or writes.
pub(crate) trait Lanes: Copy {
    /// Sixteen `f32`.
    type Float: Copy;
    /// Sixteen `i32`.
    type Int: Copy;
    /// Four `u8` for each lane.
    type Quads: Copy;
    /// Four `i8`, the same for each lane.
    type Quad: Copy;

    /// The same number in each lane.
    unsafe fn splat(number: f32) -> Self::Float;
    /// Sixteen `f32` from memory.
    unsafe fn load(from: *const f32) -> Self::Float;
    /// Sixteen `f32` to memory.
    unsafe fn store(to: *mut f32, numbers: Self::Float);
    /// Sixteen half precision numbers from memory.
    unsafe fn load_f16(from: *const u16) -> Self::Float;
    /// Sixteen brain floats from memory.
    unsafe fn load_bf16(from: *const u16) -> Self::Float;
    /// `a * b`.
    unsafe fn mul(a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float;
    /// The same whole number in each lane.
    unsafe fn ints(number: i32) -> Self::Int;
    /// As floats; exact below 2^24.
    unsafe fn to_float(ints: Self::Int) -> Self::Float;
    /// Sixteen `u8` from memory.
    unsafe fn load_u8(from: *const u8) -> Self::Float;
    /// Sixteen `i8` from memory.
    unsafe fn load_i8(from: *const i8) -> Self::Float;
    /// 64 weights from memory: four for each lane.
    unsafe fn quads(from: *const u8) -> Self::Quads;
    /// Bits `FROM` to `FROM + COUNT` of each byte, moved to bit `TO`.
    unsafe fn bits<const FROM: u32, const COUNT: u32, const TO: u32>(
        quads: Self::Quads,
    ) -> Self::Quads;
    /// The bits of both.
    unsafe fn or(a: Self::Quads, b: Self::Quads) -> Self::Quads;
    /// Says that the memory here will be read soon; it need not exist.
    unsafe fn prefetch(at: *const u8);
    /// Four activations from memory, from -127 to 127.
    unsafe fn quad(from: *const i8) -> Self::Quad;
    /// Adds, in each lane, four products to `sum`, exactly.
    unsafe fn dot(sum: Self::Int, weights: Self::Quads, activations: Self::Quad) -> Self::Int;
}

/// Any processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

/// A half precision number as `f32`, without a branch.
#[inline(always)]
pub(crate) fn f16_to_f32(half: u16) -> f32 {
    /// 2^112: moves the exponent of a half to where a single has it.
    const SCALE: f32 = f32::from_bits(0x7780_0000);
    let bits = u32::from(half);
    let magnitude = f32::from_bits((bits & 0x7FFF) << 13) * SCALE;
    // What has no finite value keeps its mantissa.
    let endless = (bits & 0x7FFF) >= 0x7C00;
    let magnitude =
        if endless { ((bits & 0x7FFF) << 13) | 0x7F80_0000 } else { magnitude.to_bits() };
    f32::from_bits(magnitude | ((bits & 0x8000) << 16))
}

/// An `f32` as the nearest half precision number, ties to even.
#[inline(always)]
pub(crate) fn f32_to_f16(number: f32) -> u16 {
    let bits = number.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7FFF_FFFF;
    let half = if magnitude > 0x7F80_0000 {
        0x7E00
    } else if magnitude >= 0x4780_0000 {
        0x7C00
    } else if magnitude < 0x3880_0000 {
        // Too small for a full mantissa: adding 0.5 rounds at the right place.
        (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3F00_0000)
    } else {
        let odd = (magnitude >> 13) & 1;
        (magnitude + 0x0FFF + odd - 0x3800_0000) >> 13
    };
    sign | half as u16
}

impl Lanes for Portable {
    type Float = [f32; 16];
    type Int = [i32; 16];
    type Quads = [[u8; 4]; 16];
    type Quad = [i8; 4];

    #[inline(always)]
    unsafe fn splat(number: f32) -> [f32; 16] {
        [number; 16]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 16] {
        // SAFETY: the caller vouches for sixteen numbers.
        unsafe { from.cast::<[f32; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, numbers: [f32; 16]) {
        // SAFETY: as above.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(numbers) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> [f32; 16] {
        // SAFETY: as above.
        unsafe { from.cast::<[u16; 16]>().read_unaligned() }.map(f16_to_f32)
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> [f32; 16] {
        // SAFETY: as above.
        let halves = unsafe { from.cast::<[u16; 16]>().read_unaligned() };
        halves.map(|half| f32::from_bits(u32::from(half) << 16))
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }
    #[inline(always)]
    unsafe fn ints(number: i32) -> [i32; 16] {
        [number; 16]
    }
    #[inline(always)]
    unsafe fn to_float(ints: [i32; 16]) -> [f32; 16] {
        ints.map(|int| int as f32)
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> [f32; 16] {
        // SAFETY: as above.
        unsafe { from.cast::<[u8; 16]>().read_unaligned() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> [f32; 16] {
        // SAFETY: as above.
        unsafe { from.cast::<[i8; 16]>().read_unaligned() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn bits<const FROM: u32, const COUNT: u32, const TO: u32>(
        quads: [[u8; 4]; 16],
    ) -> [[u8; 4]; 16] {
        quads.map(|four| four.map(|byte| ((byte >> FROM) & ((1 << COUNT) - 1)) << TO))
    }
    #[inline(always)]
    unsafe fn or(a: [[u8; 4]; 16], b: [[u8; 4]; 16]) -> [[u8; 4]; 16] {
        std::array::from_fn(|lane| std::array::from_fn(|byte| a[lane][byte] | b[lane][byte]))
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
    #[inline(always)]
    unsafe fn quads(from: *const u8) -> [[u8; 4]; 16] {
        // SAFETY: the caller vouches for 64 bytes.
        unsafe { from.cast::<[[u8; 4]; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn quad(from: *const i8) -> [i8; 4] {
        // SAFETY: the caller vouches for four bytes.
        unsafe { from.cast::<[i8; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn dot(mut sum: [i32; 16], weights: [[u8; 4]; 16], activations: [i8; 4]) -> [i32; 16] {
        for (sum, weights) in sum.iter_mut().zip(weights) {
            for (weight, activation) in weights.into_iter().zip(activations) {
                *sum += i32::from(weight) * i32::from(activation);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_converted_as_the_reference_does() {
        for bits in 0..=u16::MAX {
            let (own, other) = (f16_to_f32(bits), half::f16::from_bits(bits).to_f32());
            assert!(own.to_bits() == other.to_bits() || own.is_nan() && other.is_nan(), "{bits:x}");
        }
        for step in 0..2_000_000_u32 {
            let number = f32::from_bits(step.wrapping_mul(2_147_483_629));
            let (own, other) = (f32_to_f16(number), half::f16::from_f32(number));
            assert!(own == other.to_bits() || number.is_nan(), "{number:e}: {own:x}");
        }
        assert!(f16_to_f32(f32_to_f16(f32::NAN)).is_nan());
    }
}
