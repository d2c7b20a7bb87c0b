//! Through wgpu: a register-tiled product for any form and shape, and one for few rows.
use super::{Form, Size};
use crate::Tensor;
use crate::gpu::{Gpu, Kernel, read, row_groups, wgsl, write};
use std::sync::Arc;

const fn tiled(consts: &'static [(&'static str, u32)]) -> Kernel<'static> {
    Kernel { name: "matmul", parts: &[include_str!("matmul.wgsl")], consts }
}
const fn few(consts: &'static [(&'static str, u32)]) -> Kernel<'static> {
    Kernel { name: "few_rows", parts: &[wgsl::GRID, include_str!("few_rows.wgsl")], consts }
}
const LARGE: Kernel = tiled(&[("TILE", 64)]);
const SMALL: Kernel = tiled(&[("TILE", 32)]);
const FOUR_ROWS: Kernel = few(&[("ROWS", 4)]);
const SIXTEEN_ROWS: Kernel = few(&[("ROWS", 16)]);

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[LARGE, SMALL, FOUR_ROWS, SIXTEEN_ROWS])
}

#[track_caller]
pub fn matmul(g: &Arc<Gpu>, form: Form, s: Size, a: &Tensor, b: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let c = g.array(&[s.m, s.n]);
    product(g, form, s, a, b, bias, &c);
    c
}

#[track_caller]
fn product(g: &Arc<Gpu>, form: Form, s: Size, a: &Tensor, b: &Tensor, bias: Option<&Tensor>, c: &Tensor) {
    let Size { m, n, k } = s;
    // without a bias b stands in its place and is not looked at
    let args = [read(a), read(b), read(bias.unwrap_or(b)), write(c)];
    let flags = [bias.is_some() as usize, 0];
    if form == Form::NT && m <= 16 {
        let kernel = if m <= 4 { &FOUR_ROWS } else { &SIXTEEN_ROWS };
        let params = [m, n, k, flags[0], flags[1]].map(|x| x as u32);
        return g.run(kernel, row_groups(n.div_ceil(4)), &params, &args);
    }
    let (a_m, a_k) = if form == Form::TN { (1, m) } else { (k, 1) };
    let (b_k, b_n) = if form == Form::NT { (1, k) } else { (n, 1) };
    let params = [m, n, k, a_m, a_k, b_k, b_n, flags[0], flags[1]].map(|x| x as u32);
    // small tiles where large ones would leave most of a GPU idle
    let (kernel, tile) = if m.div_ceil(64) * n.div_ceil(64) >= 64 { (&LARGE, 64) } else { (&SMALL, 32) };
    g.run(kernel, [n.div_ceil(tile) as u32, m.div_ceil(tile) as u32, 1], &params, &args);
}
