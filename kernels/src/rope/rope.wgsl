// Rotates the first `turned` numbers of each query and key head by its row's position (half-split layout); the
// others and the values pass through.
// y = (a cos - b sin, b cos + a sin) for the halves a, b of what is turned; sign -1 rotates back.
struct Params { n: u32, width: u32, rotated: u32, d: u32, turned: u32, sign: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.n) { return; }
    let column = i % p.width;
    if (column >= p.rotated || column % p.d >= p.turned) {
        y[i] = qkv[i];
        return;
    }
    let half = p.turned / 2u;
    let j = column % p.d % half;
    let at = positions[i / p.width] * p.turned + j;
    let cosine = table[at];
    let sine = table[at + half] * p.sign;
    if (column % p.d < half) {
        y[i] = qkv[i] * cosine - qkv[i + half] * sine;
    } else {
        y[i] = qkv[i] * cosine + qkv[i - half] * sine;
    }
}
