//! Attention on ragged batches and over a cache, and rotary positions.
use super::{Case, case};
use kernels::attention::plain;
use kernels::{Heads, Ids, Rng, Segments, Tensor};

const HEADS: [Heads; 6] = [
    Heads { q: 1, kv: 1, dim: 2 },
    Heads { q: 3, kv: 3, dim: 6 },
    Heads { q: 4, kv: 2, dim: 16 },
    Heads { q: 4, kv: 4, dim: 32 },
    Heads { q: 6, kv: 1, dim: 64 },
    Heads { q: 2, kv: 1, dim: 128 },
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for heads in HEADS {
        for lengths in [&[1][..], &[3, 1, 70], &[64, 65, 63], &[200]] {
            for window in [None, Some(1), Some(67)] {
                cases.push(attention(lengths, heads, window));
                cases.push(cached(lengths, heads, window));
            }
            cases.push(rope(lengths, heads, heads.dim));
            cases.push(rope(lengths, heads, (heads.dim / 4 * 2).max(2)));
        }
    }
    cases
}

/// What the plain loops take for no window.
fn reach(window: Option<usize>) -> usize {
    window.unwrap_or(usize::MAX)
}

pub fn attention(lengths: &[usize], heads: Heads, window: Option<usize>) -> Case {
    let seg = Segments::from_lengths(lengths).within(window);
    let starts = seg.starts().host().to_vec();
    let n = seg.tokens();
    let inputs = vec![(vec![n, heads.qkv()], 1.0), (vec![n, heads.q * heads.dim], 1.0)];
    let run = move |x: &[Tensor]| {
        let (y, lse) = kernels::attention(&x[0], &seg, heads);
        let dqkv = kernels::attention_back(&x[1], &x[0], &y, &lse, &seg, heads);
        vec![y, lse, dqkv]
    };
    let loops = |x: &[Vec<f64>]| {
        let (mut y, mut lse) = (vec![0.0; n * heads.q * heads.dim], vec![0.0; n * heads.q]);
        plain::attention(&x[0], &starts, reach(window), heads, &mut y, &mut lse);
        let mut dqkv = vec![0.0; n * heads.qkv()];
        plain::attention_back(&x[1], &x[0], &y, &lse, &starts, reach(window), heads, &mut dqkv);
        vec![y, lse, dqkv]
    };
    case("attention", inputs, run, loops).noting(&format!("{lengths:?} {heads:?} {window:?}"))
}

/// Sequence b lives in slot count - 1 - b of a cache that held other numbers before.
pub fn cached(lengths: &[usize], heads: Heads, window: Option<usize>) -> Case {
    let seg = Segments::from_lengths(lengths);
    let (count, context, width) = (seg.count(), seg.longest() + 3, heads.kv * heads.dim);
    let slots: Vec<u32> = (0..count).flat_map(|b| vec![(count - 1 - b) as u32; lengths[b]]).collect();
    let (slots, positions) = (Ids::new(slots), seg.positions().clone());
    let n = seg.tokens();
    let cache = vec![count, context, width];
    let inputs = vec![(vec![n, heads.qkv()], 1.0), (cache.clone(), 1.0), (cache, 1.0)];
    let (slots2, positions2) = (slots.clone(), positions.clone());
    let run = move |x: &[Tensor]| {
        let (mut k, mut v) = (x[1].clone(), x[2].clone());
        kernels::kv_append(&mut k, &mut v, &x[0], &slots, &positions, heads);
        let y = kernels::attention_cached(&x[0], &k, &v, &slots, &positions, heads, window);
        vec![k, v, y]
    };
    let loops = move |x: &[Vec<f64>]| {
        let (slots, positions) = (slots2.host(), positions2.host());
        let (mut k, mut v) = (x[1].clone(), x[2].clone());
        plain::kv_append(&mut k, &mut v, &x[0], slots, positions, context, heads);
        let mut y = vec![0.0; n * heads.q * heads.dim];
        plain::attention_cached(&x[0], &k, &v, slots, positions, context, heads, reach(window), &mut y);
        vec![k, v, y]
    };
    case("attention_cached", inputs, run, loops).noting(&format!("{lengths:?} {heads:?} {window:?}"))
}

fn rope(lengths: &[usize], heads: Heads, turned: usize) -> Case {
    let seg = Segments::from_lengths(lengths);
    let (n, t) = (seg.tokens(), seg.longest());
    let inv_freq: Vec<f64> = (0..turned / 2).map(|i| 10_000f64.powf(-2.0 * i as f64 / turned as f64)).collect();
    let table = kernels::rope_table(t, &inv_freq);
    let wide: Vec<f64> = table.iter().map(|&x| x as f64).collect();
    let positions = seg.positions().clone();
    let positions2 = positions.clone();
    let run = move |x: &[Tensor]| {
        let table = Tensor::from_slice(&x[0].device(), &[t, turned], &table);
        [false, true].map(|back| kernels::rope(&x[0], &table, &positions, heads, back)).to_vec()
    };
    let loops = move |x: &[Vec<f64>]| {
        let turned = [false, true].map(|back| {
            let mut y = vec![0.0; x[0].len()];
            kernels::rope::plain::rope(&x[0], &wide, turned, positions2.host(), heads, back, &mut y);
            y
        });
        turned.to_vec()
    };
    case("rope", vec![(vec![n, heads.qkv()], 1.0)], run, loops).noting(&format!("{lengths:?} {heads:?} {turned}"))
}

/// Every token of a ragged batch sees what it would see alone.
#[test]
fn segments_do_not_see_each_other_on_a_gpu() {
    let Some(device) = crate::gpu::device() else { return };
    let heads = Heads { q: 4, kv: 2, dim: 32 };
    let lengths = [5, 130, 1, 64];
    let seg = Segments::from_lengths(&lengths);
    let data = super::normals(Rng::new(2), seg.tokens() * heads.qkv(), 1.0);
    let together = kernels::attention(&Tensor::from_slice(&device, &[seg.tokens(), heads.qkv()], &data), &seg, heads).0;
    let (together, width) = (together.to_vec(), heads.q * heads.dim);
    for (b, &length) in lengths.iter().enumerate() {
        let rows = seg.range(b);
        let own = &data[rows.start * heads.qkv()..rows.end * heads.qkv()];
        let alone = Tensor::from_slice(&device, &[length, heads.qkv()], own);
        let (y, _) = kernels::attention(&alone, &Segments::from_lengths(&[length]), heads);
        let worst =
            y.to_vec().iter().zip(&together[rows.start * width..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-6, "sequence {b}: {worst}");
    }
}
