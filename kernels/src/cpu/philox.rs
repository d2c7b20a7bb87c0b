//! Sixteen blocks of Philox4x32-10 at a time: the integers of `Rng`, in a form that compilers turn into vector code.

use super::simd::per_isa;
use crate::Rng;
use crate::rng::unit;

const BLOCKS: usize = 16;

/// `Rng::block` of sixteen counters. Word w of block i is `[w][i]`.
#[inline(always)]
fn blocks(rng: Rng, mut c: [[u32; BLOCKS]; 4]) -> [[u32; BLOCKS]; 4] {
    let mut key = rng.key;
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        }
        for i in 0..BLOCKS {
            let p0 = 0xd251_1f53_u64 * c[0][i] as u64;
            let p1 = 0xcd9e_8d57_u64 * c[2][i] as u64;
            let (w0, w2) = ((p1 >> 32) as u32 ^ c[1][i] ^ key[0], (p0 >> 32) as u32 ^ c[3][i] ^ key[1]);
            c[0][i] = w0;
            c[1][i] = p1 as u32;
            c[2][i] = w2;
            c[3][i] = p0 as u32;
        }
    }
    c
}

per_isa! {
    /// Words of consecutive blocks, in order, as numbers in (0, 1): the block of the first four elements of `y` has
    /// the counter [`first`, the rest], and the first word of the counter counts up.
    pub fn units(rng: Rng, first: u32, rest: [u32; 3], y: &mut [f32]) {
        for (n, y) in y.chunks_mut(4 * BLOCKS).enumerate() {
            let mut counters = [[first.wrapping_add((n * BLOCKS) as u32); BLOCKS], [0; BLOCKS], [0; BLOCKS], [0; BLOCKS]];
            for i in 0..BLOCKS {
                counters[0][i] = counters[0][i].wrapping_add(i as u32);
                for w in 0..3 {
                    counters[w + 1][i] = rest[w];
                }
            }
            let words = blocks(rng, counters);
            let mut ordered = [0.0; 4 * BLOCKS];
            for i in 0..BLOCKS {
                for w in 0..4 {
                    ordered[4 * i + w] = unit(words[w][i]);
                }
            }
            y.copy_from_slice(&ordered[..y.len()]);
        }
    }
}

/// Elements `start..` of `Rng::unit_at`; `start` is a multiple of 4. The high word of the counter must not change
/// within `y`, so pieces start at multiples of their own power-of-two size.
pub fn units_at(rng: Rng, start: usize, y: &mut [f32]) {
    let block = start as u64 / 4;
    assert!(start.is_multiple_of(4) && (block as u32) as u64 + y.len() as u64 / 4 <= 1 << 32);
    units(rng, block as u32, [(block >> 32) as u32, 0, 0], y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::each_isa;

    #[test]
    fn the_words_of_the_generator() {
        let rng = Rng::new(5).stream("units");
        each_isa(|_| {
            let mut y = vec![0.0; 203];
            units_at(rng, 12, &mut y);
            assert!(y.iter().enumerate().all(|(i, &y)| y == rng.unit_at(12 + i as u64)));
            units(rng, 0, [7, 8, 0], &mut y);
            assert_eq!(y[5], unit(rng.block([1, 7, 8, 0])[1]));
        });
    }
}
