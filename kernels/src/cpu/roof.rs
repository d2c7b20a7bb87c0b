//! What this machine could do at most, measured: the rates that benches are held against.

use super::simd::{Level, level, per_level};
use super::{crew, par};
use std::hint::black_box;
use std::time::Instant;

/// Independent chains of multiply-adds, enough to hide their latency, in registers.
const CHAINS: usize = 12;
const LANES: usize = 16;
const ROUNDS: usize = 200_000;

per_level! {
    fn multiply_add(rounds: usize, x: f32, y: f32) -> f32 {
        let mut chains = [[1.0f32; LANES]; CHAINS];
        if level() == Level::Portable {
            for _ in 0..rounds {
                chains.iter_mut().flatten().for_each(|c| *c = *c * x + y);
            }
        } else {
            for _ in 0..rounds {
                for chain in &mut chains {
                    for c in chain {
                        *c = c.mul_add(x, y);
                    }
                }
            }
        }
        chains.iter().flatten().sum()
    }
}

/// f32 operations a second on all threads: the best of a few attempts.
pub fn flops() -> f64 {
    let threads = crew::threads();
    let work = || par::map(threads, 1, |_| multiply_add(black_box(ROUNDS), black_box(0.5), black_box(0.5)));
    2.0 * (CHAINS * LANES * ROUNDS * threads) as f64 / fastest(7, work)
}

/// Bytes a second that a copy reads and writes, on all threads, in arrays that no cache holds.
pub fn copy_bytes() -> f64 {
    const LEN: usize = 16 << 20;
    const PIECE: usize = 1 << 16;
    let from = vec![1.0f32; LEN];
    let mut to = vec![0.0f32; LEN];
    let copy = || {
        par::rows(LEN, PIECE, [(&mut to, 1)], |range, [to]| to.copy_from_slice(&from[range]));
        black_box(to[LEN - 1])
    };
    (2 * 4 * LEN) as f64 / fastest(7, copy)
}

/// Seconds of the fastest of several attempts: a roof is what the machine can do when nobody disturbs it.
fn fastest<T>(attempts: usize, mut work: impl FnMut() -> T) -> f64 {
    let time = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    };
    (0..attempts).map(time).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    #[test]
    fn roofs_are_plausible() {
        assert!(super::flops() > 1e8);
        assert!(super::copy_bytes() > 1e8);
    }
}
