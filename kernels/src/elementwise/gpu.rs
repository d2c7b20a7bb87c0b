//! Through wgpu: one shader for each row of the table, and the updates in place.
use super::{Binary, Unary};
use crate::Tensor;
use crate::gpu::{ALIGN, Gpu, Kernel, chunks, read, wgsl, write};
use std::sync::Arc;

const UPDATE: Kernel =
    Kernel { name: "update_in_place", parts: &[wgsl::GRID, include_str!("update.wgsl")], consts: &[] };
const SCALE: Kernel = Kernel { name: "scale_in_place", parts: &[wgsl::GRID, include_str!("scale.wgsl")], consts: &[] };
const FUNCTIONS: &str = include_str!("functions.wgsl");

fn map_parts(op: Unary) -> [&'static str; 6] {
    let head = "fn apply(x: f32, p0: f32, p1: f32) -> f32 { return ";
    [wgsl::GRID, FUNCTIONS, head, op.row().wgsl, "; }\n", include_str!("map.wgsl")]
}

fn zip_parts(op: Binary) -> [&'static str; 6] {
    let head = "fn apply(a: f32, b: f32, p0: f32, p1: f32) -> f32 { return ";
    [wgsl::GRID, FUNCTIONS, head, op.row().wgsl, "; }\n", include_str!("zip.wgsl")]
}

pub fn sources() -> Vec<(String, String)> {
    let maps = Unary::ALL.map(|op| (op.name().to_string(), map_parts(op).concat()));
    let zips = Binary::ALL.map(|op| (op.name().to_string(), zip_parts(op).concat()));
    let updates = crate::gpu::source_of(&[UPDATE, SCALE]);
    maps.into_iter().chain(zips).chain(updates).collect()
}

#[track_caller]
pub fn map(g: &Arc<Gpu>, op: Unary, x: &Tensor, p: [f32; 2]) -> Tensor {
    let y = g.array(x.shape());
    let kernel = Kernel { name: op.name(), parts: &map_parts(op), consts: &[] };
    g.run_flat(&kernel, x.len(), &p.map(f32::to_bits), &[read(x), write(&y)]);
    y
}

#[track_caller]
pub fn zip(g: &Arc<Gpu>, op: Binary, a: &Tensor, b: &Tensor, p: [f32; 2]) -> Tensor {
    let y = g.array(a.shape());
    let kernel = Kernel { name: op.name(), parts: &zip_parts(op), consts: &[] };
    g.run_flat(&kernel, a.len(), &p.map(f32::to_bits), &[read(a), read(b), write(&y)]);
    y
}

#[track_caller]
pub fn add_at(g: &Arc<Gpu>, y: &mut Tensor, offset: usize, s: f32, x: &Tensor) {
    // a binding starts at a multiple of 64 elements; what is left over goes into the index
    let (base, start) = (offset / ALIGN * ALIGN, offset % ALIGN);
    for chunk in chunks(x.len(), g.max_binding_words() - ALIGN) {
        let target = y.view(base + chunk.start, &[start + chunk.len()]);
        let part = x.reshape(&[x.len()]).view(chunk.start, &[chunk.len()]);
        update(g, &target, start, s, 0.0, &part);
    }
}

#[track_caller]
pub fn lerp(g: &Arc<Gpu>, y: &mut Tensor, t: f32, x: &Tensor) {
    for chunk in chunks(x.len(), g.max_binding_words()) {
        let part = |a: &Tensor| a.reshape(&[a.len()]).view(chunk.start, &[chunk.len()]);
        update(g, &part(y), 0, t, 1.0, &part(x));
    }
}

#[track_caller]
fn update(g: &Arc<Gpu>, y: &Tensor, start: usize, s: f32, keep: f32, x: &Tensor) {
    let params = [x.len() as u32, start as u32, s.to_bits(), keep.to_bits()];
    g.run(&UPDATE, crate::gpu::flat_groups(x.len()), &params, &[read(x), write(y)]);
}

#[track_caller]
pub fn scale(g: &Arc<Gpu>, y: &mut Tensor, s: f32) {
    g.run_flat(&SCALE, y.len(), &[s.to_bits(), 0], &[write(y)]);
}

/// A new array, every element `value`.
#[track_caller]
pub fn full(g: &Arc<Gpu>, shape: &[usize], value: f32) -> Tensor {
    let y = g.array(shape);
    g.run_flat(&SCALE, y.len(), &[0, value.to_bits()], &[write(&y)]);
    y
}
