//! Fast on the CPU.
use crate::Heads;
use crate::cpu::par;
use crate::cpu::simd::per_isa;

pub fn rope(
    qkv: &[f32],
    table: &[f32],
    turned: usize,
    positions: &[u32],
    heads: Heads,
    backwards: bool,
    y: &mut [f32],
) {
    let width = heads.qkv();
    par::rows(positions.len(), par::grain(2 * width), [(y, width)], |range, [y]| {
        rope_rows(&qkv[range.start * width..range.end * width], table, turned, &positions[range], heads, backwards, y);
    });
}

per_isa! {
    fn rope_rows(qkv: &[f32], table: &[f32], turned: usize, positions: &[u32], heads: Heads, backwards: bool, y: &mut [f32]) {
        let (d, half, width) = (heads.dim, turned / 2, heads.qkv());
        let sign = if backwards { -1.0 } else { 1.0 };
        for ((x, y), &position) in qkv.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(positions) {
            let (cos, sin) = table[position as usize * turned..][..turned].split_at(half);
            let rotated = (heads.q + heads.kv) * d;
            for (x, y) in x[..rotated].chunks_exact(d).zip(y[..rotated].chunks_exact_mut(d)) {
                y[turned..].copy_from_slice(&x[turned..]);
                let ((a, b), (ya, yb)) = (x.split_at(half), y.split_at_mut(half));
                for j in 0..half {
                    let s = sign * sin[j];
                    ya[j] = a[j] * cos[j] - b[j] * s;
                    yb[j] = b[j] * cos[j] + a[j] * s;
                }
            }
            y[rotated..].copy_from_slice(&x[rotated..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{plain, rope_table};
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    #[test]
    fn both_ways() {
        crate::cpu::simd::each_isa(|isa| {
            for (q, kv, dim, turned) in [(1, 1, 2, 2), (4, 2, 12, 12), (3, 1, 64, 64), (3, 1, 64, 16), (2, 2, 7, 4)] {
                let heads = Heads { q, kv, dim };
                let frequencies: Vec<f64> = (0..turned / 2).map(|i| 0.7f64.powi(i as i32)).collect();
                let table = rope_table(50, &frequencies);
                let positions: Vec<u32> = (0..70).map(|i| i * 7 % 50).collect();
                let qkv = noise(70 * heads.qkv(), 1);
                for backwards in [false, true] {
                    let (mut y, mut want) = (vec![0.0; qkv.len()], vec![0.0; qkv.len()]);
                    rope(&qkv, &table, turned, &positions, heads, backwards, &mut y);
                    plain::rope(&wide(&qkv), &wide(&table), turned, &positions, heads, backwards, &mut want);
                    close(&format!("{isa:?} {heads:?}"), &y, &want, 1e-6);
                }
            }
        });
    }
}
