//! Chunks in registers: keys, and where they are looked up.

#![expect(unsafe_code, reason = "loads and stores of whole registers, and gathers")]

use std::arch::x86_64::*;

use crate::histogram::numeric::ROUNDER;
use crate::histogram::numeric::lookup::{BIASED_ROUNDER, KEY_BITS, Lookup};
use crate::histogram::numeric::tally::Chunk;

/// Registers of a chunk: its numbers with the key in the low half, and two of them packed to keys.
pub(super) type Wide = [__m512i; 8];
pub(super) type Packed = [__m512i; 4];

/// What is looked up with, broadcast.
pub(super) struct Tools<'a> {
    /// Its negative, to be added.
    pub(super) origin: __m512d,
    pub(super) factor: __m512d,
    pub(super) low: __m512i,
    pub(super) high: __m512i,
    shift: __m128i,
    pub(super) field: __m128i,
    pub(super) field_mask: __m512i,
    last_bucket: __m512i,
    pub(super) last_region: __m512i,
    in_registers: [__m512i; 2],
    table: &'a [u32],
    pub(super) regions: usize,
}

impl<'a> Tools<'a> {
    #[target_feature(enable = "avx512f")]
    pub(super) fn new(lookup: &'a Lookup) -> Self {
        let table = &lookup.table[..];
        // Buckets and regions are taken as far as these go, whatever a key may be.
        assert!(table.len().is_power_of_two() && table.len() >= 32, "two registers at least");
        assert!(lookup.marks.len() == lookup.len() && lookup.len() > 0, "a mark for each region");
        Self {
            origin: _mm512_set1_pd(-lookup.ruler.origin),
            factor: _mm512_set1_pd(lookup.ruler.factor),
            low: broadcast(lookup.low),
            high: broadcast(lookup.high),
            shift: _mm_cvtsi64_si128(lookup.shift.into()),
            field: _mm_cvtsi64_si128(lookup.field.into()),
            field_mask: broadcast((1 << lookup.field) - 1),
            last_bucket: last(table.len()),
            last_region: last(lookup.len()),
            in_registers: [load(&table[..16]), load(&table[16..32])],
            table,
            regions: lookup.len(),
        }
    }

    /// The numbers of a chunk with their keys in the low half, if all of them are keys.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn numbers(&self, chunk: &Chunk) -> (Wide, bool) {
        let rounder = _mm512_set1_pd(BIASED_ROUNDER);
        let zero = _mm512_castpd_si512(_mm512_set1_pd(ROUNDER));
        let mut odd = _mm512_setzero_si512();
        let (groups, _) = chunk.as_chunks::<8>();
        let mut numbers = [odd; 8];
        for (number, group) in numbers.iter_mut().zip(groups) {
            // x + -c is x - c to the bit.
            let steps = _mm512_add_pd(self.origin, doubles(group));
            let steps = _mm512_mul_pd(steps, self.factor);
            *number = _mm512_castpd_si512(_mm512_add_pd(steps, rounder));
            odd = _mm512_ternarylogic_epi64::<OR_DIFFERENCE>(odd, *number, zero);
        }
        let limit = _mm512_set1_epi64(1 << KEY_BITS);
        (numbers, _mm512_cmpge_epu64_mask(odd, limit) == 0)
    }

    /// The places in the table's field, and the region above it, of 16 keys.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn look_up<const REGISTERS: bool>(&self, key: __m512i) -> __m512i {
        let bucket = _mm512_srl_epi32(key, self.shift);
        let start = if REGISTERS {
            let [low, high] = self.in_registers;
            _mm512_permutex2var_epi32(low, bucket, high)
        } else {
            let bucket = _mm512_and_si512(bucket, self.last_bucket);
            // SAFETY: the last bucket is the table's, and its number has no bit that is not set.
            unsafe { _mm512_i32gather_epi32::<4>(bucket, self.table.as_ptr().cast()) }
        };
        _mm512_sub_epi32(start, key)
    }

    /// The region of each of eight values, or `marks` more than it if the value is on its mark.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    pub(super) fn places(
        &self,
        lookup: &Lookup,
        key: __m256i,
        value: __m512d,
        marks: __m256i,
    ) -> __m256i {
        let half = _mm512_castsi512_si256;
        let key = _mm256_max_epu32(_mm256_min_epu32(key, half(self.high)), half(self.low));
        let bucket = _mm256_srl_epi32(key, self.shift);
        let bucket = _mm256_and_si256(bucket, half(self.last_bucket));
        // SAFETY: the last bucket is the table's, and its number has no bit that is not set.
        let start = unsafe { _mm256_i32gather_epi32::<4>(self.table.as_ptr().cast(), bucket) };
        let region = _mm256_srl_epi32(_mm256_sub_epi32(start, key), self.field);
        let region = _mm256_min_epu32(region, half(self.last_region));
        // SAFETY: there is a mark for every region up to the last.
        let mark = unsafe { _mm512_i32gather_pd::<8>(region, lookup.marks.as_ptr()) };
        let over = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(value, mark);
        let on_mark = _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(value, mark);
        let place = _mm256_mask_sub_epi32(region, over, region, _mm256_set1_epi32(1));
        _mm256_mask_add_epi32(place, on_mark, place, marks)
    }
}

/// `a | (b ^ c)`
const OR_DIFFERENCE: i32 = 0xF6;

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn broadcast(word: u32) -> __m512i {
    _mm512_set1_epi32(word.cast_signed())
}

/// The number of the last one, broadcast.
#[target_feature(enable = "avx512f")]
fn last(len: usize) -> __m512i {
    broadcast(u32::try_from(len - 1).expect("keys have 32 bits"))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(words: &[u32]) -> __m512i {
    let words: &[u32; 16] = words.try_into().expect("16 words are a register");
    // SAFETY: the 64 bytes are there.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn doubles(values: &[f64; 8]) -> __m512d {
    // SAFETY: the eight doubles are there.
    unsafe { _mm512_loadu_pd(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn eight(register: __m256i) -> [u32; 8] {
    let mut words = [0; 8];
    // SAFETY: there is room for the 32 bytes.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), register) };
    words
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn words(register: __m512i) -> [u32; 16] {
    let mut words = [0; 16];
    // SAFETY: there is room for the 64 bytes.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), register) };
    words
}

/// The low halves of a chunk's numbers, in some order.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn packed(numbers: &Wide) -> Packed {
    let mut packed = [numbers[0]; 4];
    for (packed, [a, b]) in packed.iter_mut().zip(numbers.as_chunks().0) {
        let (a, b) = (_mm512_castsi512_ps(*a), _mm512_castsi512_ps(*b));
        *packed = _mm512_castps_si512(_mm512_shuffle_ps::<0b10_00_10_00>(a, b));
    }
    packed
}
