//! The kernels for x86-64 CPUs with AVX2, which is nearly all that are in use.

use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _bzhi_u32, _mm_cvtsi128_si64, _mm_prefetch, _mm256_add_epi8,
    _mm256_and_si256, _mm256_blendv_epi8, _mm256_castsi256_si128, _mm256_cmpeq_epi8,
    _mm256_cmpgt_epi8, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_packus_epi32, _mm256_set1_epi8, _mm256_setr_epi8, _mm256_setr_epi16, _mm256_sub_epi8,
    _mm256_testz_si256, _mm256_xor_si256,
};

use super::{DIGITS, EXACT_DIGITS, LONGEST, Short, Simd, Task, WINDOW, Wide, Window};

/// Proof that the CPU has AVX2, BMI1, BMI2, LZCNT and POPCNT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        has_all.then_some(Self(()))
    }
}

/// Declares what passes on to a function with the features that `Avx2` stands for.
macro_rules! pass_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        #[inline(always)]
        #[expect(unsafe_code, reason = "only the token tells that the CPU can")]
        fn $name(self, $($argument: $type),*) -> $result {
            // SAFETY: `self` exists only where all features were detected.
            unsafe { $name($($argument),*) }
        }
    )*};
}

impl Simd for Avx2 {
    #[inline(always)]
    #[expect(unsafe_code, reason = "only the token tells that the CPU can")]
    fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: `self` exists only where all features were detected.
        unsafe { run(task) }
    }

    pass_on! {
        fn begins(window: &Window, head: &Window, mask: &Window) -> bool;
        fn quotes(window: &Window) -> u32;
        fn specials(window: &Window) -> u32;
        fn number(window: &Wide) -> Option<Short>;
        fn is_ascii(bytes: &[u8]) -> bool;
        fn prefetch(bytes: &[u8]) -> ();
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run<T: Task>(task: T) -> T::Output {
    task.run()
}

#[inline]
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
fn load(window: &Window) -> __m256i {
    // SAFETY: 32 bytes are there, and they need no alignment.
    unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask(bytes: __m256i) -> u32 {
    _mm256_movemask_epi8(bytes).cast_unsigned()
}

#[inline]
#[target_feature(enable = "avx2")]
fn all(byte: u8) -> __m256i {
    _mm256_set1_epi8(byte.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn begins(window: &Window, head: &Window, mask: &Window) -> bool {
    let other = _mm256_xor_si256(load(window), load(head));
    _mm256_testz_si256(other, load(mask)) == 1
}

#[inline]
#[target_feature(enable = "avx2")]
fn quotes(window: &Window) -> u32 {
    mask(_mm256_cmpeq_epi8(load(window), all(b'"')))
}

#[inline]
#[target_feature(enable = "avx2")]
fn specials(window: &Window) -> u32 {
    let bytes = load(window);
    let quote = _mm256_cmpeq_epi8(bytes, all(b'"'));
    let backslash = _mm256_cmpeq_epi8(bytes, all(b'\\'));
    let control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, all(0x1F)), bytes);
    mask(_mm256_or_si256(_mm256_or_si256(quote, backslash), control))
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn number(window: &Wide) -> Option<Short> {
    let here = load(window.first_chunk()?);
    // Where the number ends is what the next key waits for, so that is found first: from `-` to `9`
    // there are the point, the digits and `/`, which no number has.
    let offsets = _mm256_sub_epi8(here, all(b'-'));
    let is_part = _mm256_cmpeq_epi8(_mm256_min_epu8(offsets, all(b'9' - b'-')), offsets);
    let bits = (!mask(is_part)).trailing_zeros();
    let len = bits as usize;
    if len > LONGEST {
        return None;
    }
    let offsets = _mm256_sub_epi8(here, all(b'0'));
    let is_digit = _mm256_cmpeq_epi8(_mm256_min_epu8(offsets, all(9)), offsets);
    let points = mask(_mm256_cmpeq_epi8(here, all(b'.')));
    let negative = window[0] == b'-';
    let first = usize::from(negative);
    let others = (!mask(is_digit) & low_bits(bits)) ^ u32::from(negative);
    let whole = (others | 1u32.wrapping_shl(bits)).trailing_zeros() as usize - first;
    let has_point = usize::from(others != 0);
    let count = len - first - has_point;
    // One branch for what is seldom, none for what can't be foretold.
    let point_only = others & points == others && others & others.wrapping_sub(1) == 0;
    let no_places = others << 1 & 1u32.wrapping_shl(bits) != 0;
    let leading_zero = (window[first] == b'0') & (whole > 1);
    let too_long = count > EXACT_DIGITS + has_point * (DIGITS - EXACT_DIGITS);
    if !point_only || no_places || leading_zero || whole == 0 || too_long {
        return None;
    }
    // What begins with the first digit, and what begins with the second: after the point, every
    // digit stands one further.
    let zero = all(b'0');
    let values = _mm256_sub_epi8(load(window[first..].first_chunk()?), zero);
    let shifted = _mm256_sub_epi8(load(window[first + 1..].first_chunk()?), zero);
    let place = places();
    let before = _mm256_cmpgt_epi8(small(whole), place);
    let values = _mm256_blendv_epi8(shifted, values, before);
    let digits = join(_mm256_and_si256(values, _mm256_cmpgt_epi8(small(count), place)));
    Some(Short { len, negative, whole, digits })
}

#[inline]
#[target_feature(enable = "bmi2")]
fn low_bits(count: u32) -> u32 {
    _bzhi_u32(u32::MAX, count)
}

#[inline]
#[target_feature(enable = "avx2")]
fn places() -> __m256i {
    let low = _mm256_setr_epi8(
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
        12, 13, 14, 15,
    );
    let upper = _mm256_setr_epi8(
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,
        16, 16, 16, 16, 16,
    );
    _mm256_add_epi8(low, upper)
}

#[inline]
#[target_feature(enable = "avx2")]
fn small(count: usize) -> __m256i {
    // At most 32: no position in a window is beyond.
    all(count.to_le_bytes()[0])
}

/// The first 19 bytes, each 0 to 9, as one number; those behind are zeros.
#[inline]
#[target_feature(enable = "avx2")]
fn join(digits: __m256i) -> u64 {
    // The lower half holds sixteen digits, the upper three: pairs, fours and eights are joined in
    // both at once.
    let tens = _mm256_setr_epi8(
        10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0,
    );
    let pairs = _mm256_maddubs_epi16(digits, tens);
    let hundreds = _mm256_setr_epi16(100, 1, 100, 1, 100, 1, 100, 1, 10, 1, 0, 0, 0, 0, 0, 0);
    let fours = _mm256_madd_epi16(pairs, hundreds);
    let fours = _mm256_packus_epi32(fours, fours);
    let myriads = _mm256_setr_epi16(10_000, 1, 10_000, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    let eights = _mm256_madd_epi16(fours, myriads);
    let sixteen = _mm_cvtsi128_si64(_mm256_castsi256_si128(eights)).cast_unsigned();
    let three = _mm_cvtsi128_si64(_mm256_extracti128_si256::<1>(eights)).cast_unsigned();
    let sixteen = (sixteen & 0xFFFF_FFFF) * 100_000_000 + (sixteen >> 32);
    sixteen * 1000 + three
}

#[inline]
#[target_feature(enable = "avx2")]
fn is_ascii(bytes: &[u8]) -> bool {
    let (windows, rest) = bytes.as_chunks::<WINDOW>();
    let mut seen = all(0);
    for window in windows {
        seen = _mm256_or_si256(seen, load(window));
    }
    // The last whole window again covers the rest.
    match bytes.last_chunk() {
        Some(last) => mask(_mm256_or_si256(seen, load(last))) == 0,
        None => rest.is_ascii(),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64).take(16) {
        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
    }
}
