//! Fast on the CPU: without a branch, two numbers to a word.
use crate::cpu::simd::per_isa;

per_isa! {
    pub fn pack(x: &[f32], words: &mut [u32]) {
        let (pairs, last) = x.as_chunks::<2>();
        for (word, &[low, high]) in words.iter_mut().zip(pairs) {
            *word = round(low) | round(high) << 16;
        }
        if let (&[low], Some(word)) = (last, words.last_mut()) {
            *word = round(low);
        }
    }

    /// Each number as bf16 would keep it.
    pub fn round_to(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f32::from_bits(round(x) << 16);
        }
    }

    pub fn unpack(words: &[u32], y: &mut [f32]) {
        let (pairs, last) = y.as_chunks_mut::<2>();
        for (pair, &word) in pairs.iter_mut().zip(words) {
            *pair = [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)];
        }
        if let ([low], Some(word)) = (last, words.last()) {
            *low = f32::from_bits(word << 16);
        }
    }
}

/// The upper 16 bits after rounding to nearest, ties to even; a NaN keeps its upper half and becomes quiet.
#[inline(always)]
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if x.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::noise;

    #[test]
    fn the_same_bits_as_the_plain_loops() {
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE, 1.00390625];
        let all: Vec<f32> = noise(1001, 1).into_iter().chain(special).collect();
        crate::cpu::simd::each_isa(|_| {
            for x in [&all[..], &all[1..], &all[..1], &[]] {
                let (mut words, mut want) = (vec![0; x.len().div_ceil(2)], vec![0; x.len().div_ceil(2)]);
                pack(x, &mut words);
                plain::pack(x, &mut want);
                assert_eq!(words, want);
                let (mut y, mut want) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                unpack(&words, &mut y);
                plain::unpack(&words, &mut want);
                assert!(y.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        });
    }
}
