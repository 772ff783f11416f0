//! Few regions counted by positions of bits.

use std::arch::x86_64::*;

use super::registers::{Packed, load, words};

/// Eight regions a group: a bit each.
const GROUPS: usize = 8;
/// Runs whose counts fit 16 bits.
const RUNS_TO_FLUSH: usize = 256;

/// Counts of up to 64 regions, kept in bytes during a run and in 16 bits for some runs.
pub(super) struct Bits {
    /// Only so many have regions.
    groups: usize,
    /// For each byte its bit in a group.
    hot: [__m512i; GROUPS],
    /// Byte i of each eight counts bit i.
    run: [__m512i; GROUPS],
    even: [__m512i; GROUPS],
    odd: [__m512i; GROUPS],
    runs: usize,
}

impl Bits {
    #[target_feature(enable = "avx512f")]
    pub(super) fn new(regions: usize) -> Self {
        let zero = _mm512_setzero_si512();
        let mut hot = [zero; GROUPS];
        for (group, hot) in hot.iter_mut().enumerate() {
            let mut bits = [0; 2 * GROUPS];
            bits[2 * group..][..2].copy_from_slice(&[0x0804_0201, 0x8040_2010]);
            *hot = load(&bits);
        }
        let groups = regions.div_ceil(8).min(GROUPS);
        Self { groups, hot, run: [zero; 8], even: [zero; 8], odd: [zero; 8], runs: 0 }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,avx512bitalg,gfni")]
    pub(super) fn count(&mut self, looked_up: Packed) {
        // The upper bytes of each four words side by side.
        let mut regions = _mm512_srli_epi32::<24>(looked_up[0]);
        for next in &looked_up[1..] {
            regions = _mm512_shldi_epi32::<8>(regions, *next);
        }
        let columns = _mm512_set1_epi64(COLUMNS);
        for (run, hot) in self.run.iter_mut().zip(self.hot).take(self.groups) {
            // Eight bytes with a bit for their region are a matrix; multiplied with each unit
            // vector it gives its columns, and their bits are counted.
            let bits = _mm512_permutexvar_epi8(regions, hot);
            let columns = _mm512_gf2p8affine_epi64_epi8::<0>(columns, bits);
            *run = _mm512_add_epi8(*run, _mm512_popcnt_epi8(columns));
        }
    }

    /// Brings the bytes to 16 bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn end_run(&mut self, regions: &mut [u64]) {
        let low = _mm512_set1_epi16(0xFF);
        for group in 0..self.groups {
            let bytes = self.run[group];
            self.run[group] = _mm512_setzero_si512();
            self.even[group] = _mm512_add_epi16(self.even[group], _mm512_and_si512(bytes, low));
            self.odd[group] = _mm512_add_epi16(self.odd[group], _mm512_srli_epi16::<8>(bytes));
        }
        self.runs += 1;
        if self.runs == RUNS_TO_FLUSH {
            self.flush(regions);
        }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn flush(&mut self, regions: &mut [u64]) {
        self.runs = 0;
        for (group, regions) in regions.chunks_mut(8).enumerate().take(self.groups) {
            let zero = _mm512_setzero_si512();
            let even = words(std::mem::replace(&mut self.even[group], zero));
            let odd = words(std::mem::replace(&mut self.odd[group], zero));
            for (at, region) in regions.iter_mut().enumerate() {
                let half = if at % 2 == 0 { &even } else { &odd };
                // Two 16-bit numbers a word, two words for each four regions.
                let (word, high) = (at / 4, at / 2 % 2);
                let of_word = |word: &u32| u64::from(word >> (16 * high) & 0xFFFF);
                *region += half.iter().skip(word).step_by(2).map(of_word).sum::<u64>();
            }
        }
    }
}

/// The unit vectors, a byte each.
const COLUMNS: i64 = 0x8040_2010_0804_0201_u64.cast_signed();
