//! Philox4x32-10 (Salmon et al. 2011): random numbers as a function of (key, counter), with no state,
//! the same integers on the CPU and in WGSL.

/// The key of a counter-based generator (Philox4x32-10): numbers are a function of it and of their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rng {
    /// Mixed from the seed, the streams and the folds.
    pub key: [u32; 2],
}

impl Rng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Rng {
        Rng { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// An independent generator for the use called `name`.
    pub fn stream(&self, name: &str) -> Rng {
        // FNV-1a, 64 bits
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3));
        self.derive(hash, 1)
    }

    /// An independent generator for the `n`-th of something.
    pub fn fold(&self, n: u64) -> Rng {
        self.derive(n, 2)
    }

    fn derive(&self, n: u64, purpose: u32) -> Rng {
        let block = self.block([n as u32, (n >> 32) as u32, purpose, 0x5eed]);
        Rng { key: [block[0], block[1]] }
    }

    /// Four random words for one counter.
    pub fn block(&self, counter: [u32; 4]) -> [u32; 4] {
        let (mut c, mut k) = (counter, self.key);
        for round in 0..10 {
            if round > 0 {
                k = [k[0].wrapping_add(0x9e37_79b9), k[1].wrapping_add(0xbb67_ae85)];
            }
            let p0 = 0xd251_1f53_u64 * c[0] as u64;
            let p1 = 0xcd9e_8d57_u64 * c[2] as u64;
            c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        }
        c
    }

    /// Word `i` of the sequence: lane i % 4 of block i / 4.
    pub fn u32_at(&self, i: u64) -> u32 {
        let block = i / 4;
        self.block([block as u32, (block >> 32) as u32, 0, 0])[(i % 4) as usize]
    }

    /// Uniform in (0, 1).
    pub fn unit_at(&self, i: u64) -> f32 {
        unit(self.u32_at(i))
    }

    /// Standard normal: Box-Muller on words 2i and 2i + 1.
    pub fn normal_at(&self, i: u64) -> f32 {
        normal(self.u32_at(2 * i), self.u32_at(2 * i + 1))
    }

    /// A random order of 0..n.
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.draws().shuffle(&mut order);
        order
    }

    /// One number after the other, for host code that does not care which is which.
    pub fn draws(&self) -> Draws {
        Draws { rng: *self, next: 0 }
    }
}

/// A random word as a number in (0, 1): 23 bits, so that both ends are excluded exactly in f32.
pub fn unit(word: u32) -> f32 {
    ((word >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0)
}

/// Two random words as a standard normal number.
pub fn normal(a: u32, b: u32) -> f32 {
    (-2.0 * unit(a).ln()).sqrt() * (std::f32::consts::TAU * unit(b)).cos()
}

/// Standard Gumbel noise: arg max of logits plus this is a draw from their softmax.
pub fn gumbel(word: u32) -> f32 {
    -(-unit(word).ln()).ln()
}

/// A running sequence over an [`Rng`].
#[derive(Clone, Debug)]
pub struct Draws {
    rng: Rng,
    next: u64,
}

impl Draws {
    /// Any 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.next += 1;
        self.rng.u32_at(self.next - 1)
    }

    /// Uniform in 0..n.
    #[track_caller]
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0 && n <= u32::MAX as usize, "below({n})");
        ((self.next_u32() as u64 * n as u64) >> 32) as usize
    }

    /// Uniform in (0, 1).
    pub fn unit(&mut self) -> f32 {
        unit(self.next_u32())
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// One of them, each as likely.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// An index, each as likely as its weight says.
    #[track_caller]
    pub fn weighted(&mut self, weights: &[f32]) -> usize {
        let total: f32 = weights.iter().sum();
        assert!(total > 0.0, "weights sum to {total}");
        let mut left = self.unit() * total;
        for (i, &w) in weights.iter().enumerate() {
            left -= w;
            if left < 0.0 {
                return i;
            }
        }
        weights.iter().rposition(|&w| w > 0.0).expect("a positive weight")
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f32 {
        normal(self.next_u32(), self.next_u32())
    }

    /// Standard Gumbel noise.
    pub fn gumbel(&mut self) -> f32 {
        gumbel(self.next_u32())
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (philox 4x32 10 rounds).
    #[test]
    fn known_answers() {
        assert_eq!(Rng::new(0).block([0; 4]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        let ones = Rng { key: [u32::MAX; 2] };
        assert_eq!(ones.block([u32::MAX; 4]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let pi = Rng { key: [0xa4093822, 0x299f31d0] };
        let counter = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        assert_eq!(pi.block(counter), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
    }

    #[test]
    fn moments() {
        let (rng, n) = (Rng::new(7).stream("moments"), 200_000);
        let normals: Vec<f64> = (0..n).map(|i| rng.normal_at(i) as f64).collect();
        let mean = normals.iter().sum::<f64>() / n as f64;
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let unit = (0..n).map(|i| rng.unit_at(i) as f64).sum::<f64>() / n as f64;
        assert!((unit - 0.5).abs() < 0.005, "{unit}");
    }

    #[test]
    fn permutations_are_permutations() {
        let mut order = Rng::new(1).permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
