// y[n, j] = silu(gate) up, with gate = gu[n, j] and up = gu[n, F + j].
struct Params { n: u32, f: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gu: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.n) { return; }
    let at = i / p.f * 2u * p.f + i % p.f;
    let gate = gu[at];
    y[i] = gate / (1.0 + exp(-gate)) * gu[at + p.f];
}
