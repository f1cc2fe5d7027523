//! NEON, which every 64-bit ARM processor has.

use super::lanes::Lanes;
use std::arch::aarch64::*;

/// NEON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon;

/// Four products of bytes, summed by pairs: `u8` times `i8` has no instruction of
/// its own before the matrix extension, so both are widened to 16 bits.
#[inline(always)]
unsafe fn dot(sum: int32x4_t, weights: uint8x16_t, activations: int8x16_t) -> int32x4_t {
    // SAFETY: every processor that runs this has NEON.
    unsafe {
        let wide = |half: uint8x8_t| vreinterpretq_s16_u16(vmovl_u8(half));
        let low = (wide(vget_low_u8(weights)), vmovl_s8(vget_low_s8(activations)));
        let high = (wide(vget_high_u8(weights)), vmovl_s8(vget_high_s8(activations)));
        let products = |pair: (int16x8_t, int16x8_t)| {
            let first = vmull_s16(vget_low_s16(pair.0), vget_low_s16(pair.1));
            let second = vmull_s16(vget_high_s16(pair.0), vget_high_s16(pair.1));
            vpaddq_s32(first, second)
        };
        vaddq_s32(sum, vpaddq_s32(products(low), products(high)))
    }
}

impl Lanes for Neon {
    type Float = [float32x4_t; 4];
    type Int = [int32x4_t; 4];
    type Quads = [uint8x16_t; 4];
    type Quad = int8x16_t;

    #[inline(always)]
    unsafe fn splat(number: f32) -> Self::Float {
        // SAFETY: the trait's contract, here and in the whole implementation.
        [unsafe { vdupq_n_f32(number) }; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Float {
        // SAFETY: see above.
        std::array::from_fn(|part| unsafe { vld1q_f32(from.add(4 * part)) })
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, numbers: Self::Float) {
        for (part, numbers) in numbers.into_iter().enumerate() {
            // SAFETY: see above.
            unsafe { vst1q_f32(to.add(4 * part), numbers) };
        }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self::Float {
        // SAFETY: see above. The conversion of halves is not in this compiler yet.
        let all = unsafe { super::lanes::Portable::load_f16(from) };
        unsafe { Self::load(all.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self::Float {
        // SAFETY: see above.
        std::array::from_fn(|part| unsafe {
            let halves = vld1_u16(from.add(4 * part));
            vreinterpretq_f32_u32(vshll_n_u16::<16>(halves))
        })
    }
    #[inline(always)]
    unsafe fn mul(a: Self::Float, b: Self::Float) -> Self::Float {
        // SAFETY: see above.
        std::array::from_fn(|part| unsafe { vmulq_f32(a[part], b[part]) })
    }
    #[inline(always)]
    unsafe fn fma(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float {
        // SAFETY: see above.
        std::array::from_fn(|part| unsafe { vfmaq_f32(c[part], a[part], b[part]) })
    }
    #[inline(always)]
    unsafe fn ints(number: i32) -> Self::Int {
        // SAFETY: see above.
        [unsafe { vdupq_n_s32(number) }; 4]
    }
    #[inline(always)]
    unsafe fn to_float(ints: Self::Int) -> Self::Float {
        // SAFETY: see above.
        ints.map(|part| unsafe { vcvtq_f32_s32(part) })
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> Self::Float {
        // SAFETY: see above.
        unsafe {
            let all = super::lanes::Portable::load_u8(from);
            Self::load(all.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self::Float {
        // SAFETY: see above.
        unsafe {
            let all = super::lanes::Portable::load_i8(from);
            Self::load(all.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn bits<const FROM: u32, const COUNT: u32, const TO: u32>(
        quads: Self::Quads,
    ) -> Self::Quads {
        // SAFETY: see above.
        quads.map(|part| unsafe {
            let moved = vshlq_u8(part, vdupq_n_s8(TO as i8 - FROM as i8));
            vandq_u8(moved, vdupq_n_u8(((1_u32 << COUNT) - 1 << TO) as u8))
        })
    }
    #[inline(always)]
    unsafe fn or(a: Self::Quads, b: Self::Quads) -> Self::Quads {
        // SAFETY: see above.
        std::array::from_fn(|part| unsafe { vorrq_u8(a[part], b[part]) })
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
    #[inline(always)]
    unsafe fn quads(from: *const u8) -> Self::Quads {
        // SAFETY: see above.
        std::array::from_fn(|part| unsafe { vld1q_u8(from.add(16 * part)) })
    }
    #[inline(always)]
    unsafe fn quad(from: *const i8) -> Self::Quad {
        // SAFETY: see above.
        unsafe { vreinterpretq_s8_s32(vdupq_n_s32(from.cast::<i32>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn dot(sum: Self::Int, weights: Self::Quads, activations: Self::Quad) -> Self::Int {
        // SAFETY: see above.
        std::array::from_fn(|part| unsafe { dot(sum[part], weights[part], activations) })
    }
}
