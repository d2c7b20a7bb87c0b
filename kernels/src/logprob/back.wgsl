// In the forward pass: lp = logits[id] - lse. So dlogits = d (1[id] - softmax), written over the logits.
struct Params { n: u32, cols: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.n) { return; }
    let row = p.first + i / p.cols;
    let one = select(0.0, 1.0, i % p.cols == ids[row]);
    logits[i] = d[row] * (one - exp(logits[i] - lse[row]));
}
