//! Fast on the CPU. The backward is a gather: the uses of each row are listed first, in order, so that rows can be
//! summed in parallel and always in the same order.
use crate::cpu::math::update_from;
use crate::cpu::par;
use crate::cpu::simd::per_isa;

pub fn index_select(w: &[f32], c: usize, ids: &[u32], y: &mut [f32]) {
    par::rows(ids.len(), par::grain(c), [(y, c)], |range, [y]| super::plain::index_select(w, c, &ids[range], y));
}

pub fn index_select_bf16(words: &[u32], c: usize, ids: &[u32], y: &mut [f32]) {
    par::rows(ids.len(), par::grain(c), [(y, c)], |range, [y]| {
        super::plain::index_select_bf16(words, c, &ids[range], y);
    });
}

pub fn index_select_back(dy: &[f32], c: usize, ids: &[u32], dw: &mut [f32]) {
    let rows = dw.len() / c.max(1);
    // The uses of row r are uses[ends[r - 1]..ends[r]].
    let mut ends = vec![0; rows + 1];
    for &id in ids {
        ends[id as usize + 1] += 1;
    }
    for r in 0..rows {
        ends[r + 1] += ends[r];
    }
    let mut uses = vec![0; ids.len()];
    for (n, &id) in ids.iter().enumerate() {
        uses[ends[id as usize]] = n;
        ends[id as usize] += 1;
    }
    let work = c * (1 + ids.len() / rows.max(1));
    par::rows(rows, par::grain(work), [(dw, c)], |range, [dw]| {
        for (r, dw) in range.zip(dw.chunks_exact_mut(c)) {
            dw.fill(0.0);
            for &n in &uses[if r == 0 { 0 } else { ends[r - 1] }..ends[r]] {
                add(dw, &dy[n * c..][..c]);
            }
        }
    });
}

per_isa! {
    fn add(y: &mut [f32], x: &[f32]) {
        update_from(y, x, |y, x| y + x);
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    #[test]
    fn rows_in_bf16_are_those_of_the_unpacked_table() {
        for (rows, c) in [(1, 1), (7, 5), (6, 64)] {
            let packed = crate::pack_bf16(&crate::Tensor::new(&[rows, c], noise(rows * c, 1)));
            let ids = crate::Ids::new((0..40).map(|i| (i * i % rows) as u32).collect::<Vec<_>>());
            let want = crate::index_select(&crate::unpack_bf16(&packed), &ids).to_vec();
            assert_eq!(crate::index_select_bf16(&packed, &ids).to_vec(), want);
        }
    }

    #[test]
    fn there_and_back() {
        for (rows, c, n) in [(1, 1, 1), (7, 5, 0), (600, 65, 1000), (50, 64, 3)] {
            let ids: Vec<u32> = (0..n).map(|i| (i * i * 31 % rows) as u32).collect();
            let (w, dy) = (noise(rows * c, 1), noise(n * c, 2));
            let (mut y, mut want) = (vec![0.0; n * c], vec![0.0; n * c]);
            index_select(&w, c, &ids, &mut y);
            plain::index_select(&wide(&w), c, &ids, &mut want);
            close("index_select", &y, &want, 0.0);
            let (mut dw, mut want) = (vec![7.0; rows * c], vec![0.0; rows * c]);
            index_select_back(&dy, c, &ids, &mut dw);
            plain::index_select_back(&wide(&dy), c, &ids, &mut want);
            close("index_select_back", &dw, &want, 1e-5);
        }
    }
}
