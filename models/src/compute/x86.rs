//! AVX2, AVX-VNNI and AVX-512 with VNNI.

use super::lanes::Lanes;
use std::arch::x86_64::*;

/// AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2;

/// The same with the byte products of AVX-VNNI.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AvxVnni;

/// AVX-512 (F, BW, DQ, VL) with VNNI.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512;

/// Two halves of eight lanes.
macro_rules! halves {
    ($name:ident, $dot:ident) => {
        impl Lanes for $name {
            type Float = (__m256, __m256);
            type Int = (__m256i, __m256i);
            type Quads = (__m256i, __m256i);
            type Quad = __m256i;

            #[inline(always)]
            unsafe fn splat(number: f32) -> Self::Float {
                // SAFETY: the trait's contract, here and in the whole implementation.
                let all = unsafe { _mm256_set1_ps(number) };
                (all, all)
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self::Float {
                // SAFETY: see above.
                unsafe { (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
            }
            #[inline(always)]
            unsafe fn store(to: *mut f32, numbers: Self::Float) {
                // SAFETY: see above.
                unsafe {
                    _mm256_storeu_ps(to, numbers.0);
                    _mm256_storeu_ps(to.add(8), numbers.1);
                }
            }
            #[inline(always)]
            unsafe fn load_f16(from: *const u16) -> Self::Float {
                // SAFETY: see above.
                unsafe {
                    let half = |from: *const u16| _mm256_cvtph_ps(_mm_loadu_si128(from.cast()));
                    (half(from), half(from.add(8)))
                }
            }
            #[inline(always)]
            unsafe fn load_bf16(from: *const u16) -> Self::Float {
                // SAFETY: see above.
                unsafe {
                    let half = |from: *const u16| {
                        let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                        _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))
                    };
                    (half(from), half(from.add(8)))
                }
            }
            #[inline(always)]
            unsafe fn mul(a: Self::Float, b: Self::Float) -> Self::Float {
                // SAFETY: see above.
                unsafe { (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
            }
            #[inline(always)]
            unsafe fn fma(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float {
                // SAFETY: see above.
                unsafe { (_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
            }
            #[inline(always)]
            unsafe fn ints(number: i32) -> Self::Int {
                // SAFETY: see above.
                let all = unsafe { _mm256_set1_epi32(number) };
                (all, all)
            }
            #[inline(always)]
            unsafe fn to_float(ints: Self::Int) -> Self::Float {
                // SAFETY: see above.
                unsafe { (_mm256_cvtepi32_ps(ints.0), _mm256_cvtepi32_ps(ints.1)) }
            }
            #[inline(always)]
            unsafe fn load_u8(from: *const u8) -> Self::Float {
                // SAFETY: see above.
                unsafe {
                    let half = |from: *const u8| {
                        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())))
                    };
                    (half(from), half(from.add(8)))
                }
            }
            #[inline(always)]
            unsafe fn load_i8(from: *const i8) -> Self::Float {
                // SAFETY: see above.
                unsafe {
                    let half = |from: *const i8| {
                        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast())))
                    };
                    (half(from), half(from.add(8)))
                }
            }
            #[inline(always)]
            unsafe fn bits<const FROM: u32, const COUNT: u32, const TO: u32>(
                quads: Self::Quads,
            ) -> Self::Quads {
                // SAFETY: see above.
                unsafe {
                    let mask = _mm256_set1_epi8((((1 << COUNT) - 1) << TO) as i8);
                    let half = |half: __m256i| {
                        // Bytes have no shift of their own; what comes in from beside them
                        // is masked.
                        let moved = if FROM > TO {
                            _mm256_srl_epi16(half, _mm_cvtsi32_si128((FROM - TO) as i32))
                        } else if TO > FROM {
                            _mm256_sll_epi16(half, _mm_cvtsi32_si128((TO - FROM) as i32))
                        } else {
                            half
                        };
                        _mm256_and_si256(moved, mask)
                    };
                    (half(quads.0), half(quads.1))
                }
            }
            #[inline(always)]
            unsafe fn or(a: Self::Quads, b: Self::Quads) -> Self::Quads {
                // SAFETY: see above.
                unsafe { (_mm256_or_si256(a.0, b.0), _mm256_or_si256(a.1, b.1)) }
            }
            #[inline(always)]
            unsafe fn prefetch(at: *const u8) {
                // SAFETY: a hint that reads nothing.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }
            #[inline(always)]
            unsafe fn quads(from: *const u8) -> Self::Quads {
                // SAFETY: see above.
                unsafe {
                    (_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast()))
                }
            }
            #[inline(always)]
            unsafe fn quad(from: *const i8) -> Self::Quad {
                // SAFETY: see above.
                unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
            }
            #[inline(always)]
            unsafe fn dot(
                sum: Self::Int,
                weights: Self::Quads,
                activations: Self::Quad,
            ) -> Self::Int {
                // SAFETY: see above.
                unsafe {
                    ($dot(sum.0, weights.0, activations), $dot(sum.1, weights.1, activations))
                }
            }
        }
    };
}

/// Products of bytes are summed in pairs of 16 bits, which two products of a large
/// weight would overflow: the highest bit of the weights goes by itself.
#[inline(always)]
unsafe fn dot_avx2(sum: __m256i, weights: __m256i, activations: __m256i) -> __m256i {
    // SAFETY: only called on processors with AVX2.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let top = _mm256_set1_epi8(-128);
        let low = _mm256_maddubs_epi16(_mm256_andnot_si256(top, weights), activations);
        let high = _mm256_maddubs_epi16(_mm256_and_si256(top, weights), activations);
        let both = _mm256_add_epi32(_mm256_madd_epi16(low, ones), _mm256_madd_epi16(high, ones));
        _mm256_add_epi32(sum, both)
    }
}

#[inline(always)]
unsafe fn dot_vnni(sum: __m256i, weights: __m256i, activations: __m256i) -> __m256i {
    // SAFETY: only called on processors with AVX-VNNI.
    unsafe { _mm256_dpbusd_avx_epi32(sum, weights, activations) }
}

halves!(Avx2, dot_avx2);
halves!(AvxVnni, dot_vnni);

impl Lanes for Avx512 {
    type Float = __m512;
    type Int = __m512i;
    type Quads = __m512i;
    type Quad = __m512i;

    #[inline(always)]
    unsafe fn splat(number: f32) -> __m512 {
        // SAFETY: the trait's contract, here and in the whole implementation.
        unsafe { _mm512_set1_ps(number) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, numbers: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, numbers) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))
        }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn ints(number: i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(number) }
    }
    #[inline(always)]
    unsafe fn to_float(ints: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(ints) }
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn bits<const FROM: u32, const COUNT: u32, const TO: u32>(quads: __m512i) -> __m512i {
        // SAFETY: see above. Bytes have no shift of their own; what comes in from beside
        // them is masked.
        unsafe {
            let moved = if FROM > TO {
                _mm512_srl_epi16(quads, _mm_cvtsi32_si128((FROM - TO) as i32))
            } else if TO > FROM {
                _mm512_sll_epi16(quads, _mm_cvtsi32_si128((TO - FROM) as i32))
            } else {
                quads
            };
            _mm512_and_si512(moved, _mm512_set1_epi8((((1 << COUNT) - 1) << TO) as i8))
        }
    }
    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a hint that reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    unsafe fn quads(from: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn quad(from: *const i8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m512i, weights: __m512i, activations: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(sum, weights, activations) }
    }
}
