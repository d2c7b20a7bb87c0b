// part[group] = Σ of a strided share of f(a, b): op 0 is a, 1 is a·b, 2 counts what is not finite.
// A second run over the parts makes the sum. Always in the same order.
struct Params { n: u32, op: u32, groups: u32, to: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = group.x * THREADS + lane; i < p.n; i += p.groups * THREADS) {
        if (p.op == 0u) { sum += a[i]; }
        else if (p.op == 1u) { sum += a[i] * b[i]; }
        else {
            // by bits: some drivers say that NaN equals itself
            sum += select(0.0, 1.0, (bitcast<u32>(a[i]) & 0x7f800000u) == 0x7f800000u);
        }
    }
    let all = total(lane, sum);
    if (lane == 0u) { part[p.to + group.x] = all; }
}
