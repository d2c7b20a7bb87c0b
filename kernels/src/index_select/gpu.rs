//! Through wgpu. WGSL has no float atomics, so backward gathers instead of scattering.
use crate::gpu::{Gpu, Kernel, flat_groups, read, read_buffer, row_chunks, wgsl, write};
use crate::{Ids, Tensor};
use std::sync::Arc;

const INDEX_SELECT: Kernel =
    Kernel { name: "index_select", parts: &[wgsl::GRID, include_str!("index_select.wgsl")], consts: &[] };
const INDEX_SELECT_BACK: Kernel =
    Kernel { name: "index_select_back", parts: &[wgsl::GRID, include_str!("back.wgsl")], consts: &[] };

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[INDEX_SELECT, INDEX_SELECT_BACK])
}

#[track_caller]
pub fn index_select(g: &Arc<Gpu>, w: &Tensor, ids: &Ids) -> Tensor {
    let [v, c] = w.dims();
    let y = g.array(&[ids.len(), c]);
    let on_gpu = ids.on(g);
    for rows in row_chunks(g, v, c) {
        let params = [y.len(), c, rows.start, rows.len()].map(|x| x as u32);
        let w = w.rows(rows);
        g.run(&INDEX_SELECT, flat_groups(y.len()), &params, &[read(&w), read_buffer(&on_gpu), write(&y)]);
    }
    y
}

#[track_caller]
pub fn index_select_back(g: &Arc<Gpu>, dy: &Tensor, ids: &Ids, rows: usize) -> Tensor {
    let [_, c] = dy.dims();
    let (starts, uses) = uses_of_rows(ids.host(), rows);
    let (starts, uses) = (g.upload(&starts), g.upload(&uses));
    let dw = g.array(&[rows, c]);
    for rows in row_chunks(g, rows, c) {
        let first = rows.start as u32;
        let part = dw.rows(rows);
        let args = [read(dy), read_buffer(&starts), read_buffer(&uses), write(&part)];
        g.run(&INDEX_SELECT_BACK, flat_groups(part.len()), &[part.len() as u32, c as u32, first], &args);
    }
    dw
}

/// Where each row of a table is used: row v at `uses[starts[v]..starts[v + 1]]`, in rising order.
fn uses_of_rows(ids: &[u32], rows: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; rows + 1];
    for &id in ids {
        starts[id as usize + 1] += 1;
    }
    for v in 0..rows {
        starts[v + 1] += starts[v];
    }
    let (mut next, mut uses) = (starts.clone(), vec![0; ids.len()]);
    for (n, &id) in ids.iter().enumerate() {
        uses[next[id as usize] as usize] = n as u32;
        next[id as usize] += 1;
    }
    (starts, uses)
}

#[cfg(test)]
mod tests {
    #[test]
    fn uses() {
        let (starts, uses) = super::uses_of_rows(&[2, 0, 2, 3], 5);
        assert_eq!(starts, [0, 1, 1, 3, 4, 4]);
        assert_eq!(uses, [1, 0, 2, 3]);
    }
}
