//! What this machine could do at most, measured: the rates that benches are held against.

use super::simd::{Isa, isa};
use super::{par, thread_pool};
use std::hint::black_box;
use std::time::Instant;

/// Independent chains of multiply-adds, enough to hide their latency, each a register.
const CHAINS: usize = 12;
const ROUNDS: usize = 1_000_000;

/// Runs [`CHAINS`] chains for some rounds with the widest registers there are; returns how many numbers each held.
fn multiply_add(rounds: usize, x: f32, y: f32) -> usize {
    match isa() {
        // SAFETY: `isa` only returns what was found on this machine.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Amx => unsafe { x86::avx512(rounds, x, y) },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { x86::avx2(rounds, x, y) },
        _ => portable(rounds, x, y),
    }
}

/// Four numbers to a register, as SSE2 and NEON have them.
fn portable(rounds: usize, x: f32, y: f32) -> usize {
    let mut chains = [[1.0f32; 4]; CHAINS];
    for _ in 0..rounds {
        chains = chains.map(|chain| chain.map(|c| c * x + y));
    }
    black_box(chains);
    4
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::CHAINS;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx512f")]
    pub fn avx512(rounds: usize, x: f32, y: f32) -> usize {
        let (x, y) = (_mm512_set1_ps(x), _mm512_set1_ps(y));
        let mut chains = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..rounds {
            for c in &mut chains {
                *c = _mm512_fmadd_ps(*c, x, y);
            }
        }
        black_box(chains);
        16
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn avx512_bf16(rounds: usize) -> usize {
        let ones = _mm512_set1_epi32(0x3f80_3f80);
        // SAFETY: the same 64 bytes.
        let ones: __m512bh = unsafe { std::mem::transmute(black_box(ones)) };
        let mut chains = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..rounds {
            for c in &mut chains {
                *c = _mm512_dpbf16_ps(*c, ones, ones);
            }
        }
        black_box(chains);
        16
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2(rounds: usize, x: f32, y: f32) -> usize {
        let (x, y) = (_mm256_set1_ps(x), _mm256_set1_ps(y));
        let mut chains = [_mm256_set1_ps(1.0); CHAINS];
        for _ in 0..rounds {
            for c in &mut chains {
                *c = _mm256_fmadd_ps(*c, x, y);
            }
        }
        black_box(chains);
        8
    }
}

/// f32 operations a second on all threads.
pub fn flops() -> f64 {
    let threads = thread_pool::threads();
    let lanes = multiply_add(1, 0.5, 0.5);
    let work = || par::map(threads, 1, |_| multiply_add(black_box(ROUNDS), black_box(0.5), black_box(0.5)));
    2.0 * (CHAINS * lanes * ROUNDS * threads) as f64 / sustained(work)
}

/// As [`flops`] for pairs of bf16; where the processor has no instruction for them, they are multiplied as f32.
pub fn bf16_flops() -> f64 {
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Amx {
        let threads = thread_pool::threads();
        const TILES: usize = ROUNDS / 20;
        // SAFETY: found on this machine.
        let work = || par::map(threads, 1, |_| unsafe { super::gemm::amx_products(black_box(TILES)) });
        return work().iter().sum::<usize>() as f64 / sustained(work);
    }
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16") {
        let threads = thread_pool::threads();
        // SAFETY: found on this machine.
        let work = || par::map(threads, 1, |_| unsafe { x86::avx512_bf16(black_box(ROUNDS)) });
        return 4.0 * (CHAINS * 16 * ROUNDS * threads) as f64 / sustained(work);
    }
    flops()
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
    (2 * 4 * LEN) as f64 / sustained(copy)
}

/// Median seconds of many calls, as kernels are timed. The first third is left out: it takes the system some tens of
/// milliseconds to give every thread a core of its own.
fn sustained<T>(mut work: impl FnMut() -> T) -> f64 {
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed().as_secs_f64() < 0.3 || times.len() < 3 {
        let start = Instant::now();
        black_box(work());
        times.push(start.elapsed().as_secs_f64());
    }
    times.drain(..times.len() / 3);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[cfg(test)]
mod tests {
    #[test]
    fn roofs_are_plausible() {
        assert!(super::flops() > 1e8 && super::bf16_flops() > 1e8);
        assert!(super::copy_bytes() > 1e8);
    }
}
