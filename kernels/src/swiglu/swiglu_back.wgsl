// In the forward pass: y = silu(gate) up. So dgate = dy up silu'(gate), dup = dy silu(gate).
struct Params { n: u32, f: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> gu: array<f32>;
@group(0) @binding(3) var<storage, read_write> dgu: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.n) { return; }
    let at = i / p.f * 2u * p.f + i % p.f;
    let gate = gu[at];
    let s = 1.0 / (1.0 + exp(-gate));
    dgu[at] = dy[i] * gu[at + p.f] * s * (1.0 + gate * (1.0 - s));
    dgu[at + p.f] = dy[i] * gate * s;
}
