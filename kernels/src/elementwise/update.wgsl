// y[start + i] += s (x[i] - keep y[start + i]): keep 0 adds, keep 1 moves y towards x.
struct Params { n: u32, start: u32, s: f32, keep: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i < p.n) {
        let j = p.start + i;
        y[j] += p.s * (x[i] - p.keep * y[j]);
    }
}
